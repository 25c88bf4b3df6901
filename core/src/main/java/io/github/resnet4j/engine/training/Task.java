package io.github.resnet4j.engine.training;

import io.github.resnet4j.engine.graph.Border;
import java.util.List;
import java.util.Map;

/**
 * The work of a stage before positions are assigned: its requirements, and how to create the
 * executable work.
 */
interface Task {
  /** The slots that it reads and writes. */
  List<Slot> uses();

  /** The width of the borders that it reads. */
  default Map<Slot, Border> borders() {
    return Map.of();
  }

  /** The number of floats of the scratch array, which the stages use one after the other. */
  default int scratch(TrainingLayout trainingLayout) {
    return 0;
  }

  /** The number of floats of each worker's workspace in the arena. */
  default int workspace(TrainingLayout trainingLayout) {
    return 0;
  }

  /** Creates the executable work, after all positions are assigned. */
  Work place(TrainingPlacement placement);
}
