package io.github.resnet4j.engine.training;

import io.github.resnet4j.engine.graph.Layout;

/**
 * An activation that tasks read and write, before its border and position are decided. Slots are
 * compared by identity.
 */
final class Slot {
  private final Layout layout;
  private final boolean kept;

  private Slot(Layout layout, boolean kept) {
    this.layout = layout;
    this.kept = kept;
  }

  /** In use from the first task that uses it to the last. */
  static Slot of(Layout layout) {
    return new Slot(layout, false);
  }

  /** In use from the first stage to the last and after. */
  static Slot kept(Layout layout) {
    return new Slot(layout, true);
  }

  /** The layout without the border that tasks require. */
  Layout layout() {
    return layout;
  }

  boolean isKept() {
    return kept;
  }
}
