package io.github.resnet4j.engine.training;

import io.github.resnet4j.engine.graph.Layout;

/**
 * An activation that tasks read and write, before its border and position are decided. Slots are
 * compared by identity. A slot is in use from the first task that uses it to the last, unless
 * {@link TrainingBuffers} keeps it.
 */
final class Slot {
  private final Layout layout;

  private Slot(Layout layout) {
    this.layout = layout;
  }

  static Slot of(Layout layout) {
    return new Slot(layout);
  }

  /** The layout without the border that tasks require. */
  Layout layout() {
    return layout;
  }
}
