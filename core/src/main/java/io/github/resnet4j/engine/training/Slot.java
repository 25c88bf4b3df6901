package io.github.resnet4j.engine.training;

import io.github.resnet4j.engine.graph.Layout;

/**
 * Something that tasks read and write, before it has a border and a place. Each is equal to itself
 * only.
 */
final class Slot {
  private final Layout layout;
  private final boolean kept;

  private Slot(Layout layout, boolean kept) {
    this.layout = layout;
    this.kept = kept;
  }

  /** Lives from the first task that uses it to the last. */
  static Slot of(Layout layout) {
    return new Slot(layout, false);
  }

  /** Lives from the first stage to the last and after. */
  static Slot kept(Layout layout) {
    return new Slot(layout, true);
  }

  /** Without the border that tasks ask for. */
  Layout layout() {
    return layout;
  }

  boolean isKept() {
    return kept;
  }
}
