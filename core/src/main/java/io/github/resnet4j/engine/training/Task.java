package io.github.resnet4j.engine.training;

import io.github.resnet4j.engine.graph.Border;
import java.util.List;
import java.util.Map;

/** Work of a stage before anything has its place: what it needs, and what it becomes. */
interface Task {
  /** What it reads and writes. */
  List<Slot> uses();

  /** How many zeros it reads around what it uses. */
  default Map<Slot, Border> borders() {
    return Map.of();
  }

  /** Floats of the scratch, which the stages use one after the other. */
  default int scratch(LaidOut laid) {
    return 0;
  }

  /** Floats of the arena that each worker needs for itself. */
  default int room(LaidOut laid) {
    return 0;
  }

  /** The work itself, for which everything has its place. */
  Pass place(Placed placed);
}
