package io.github.resnet4j.engine.training;

import java.util.ArrayList;
import java.util.List;

/**
 * A training step as stages of tasks. Within a stage a worker takes its own images through all
 * tasks, a few at a time, so that what one task writes is still in the cache when the next one
 * reads it; between stages workers wait for each other.
 */
final class Schedule {
  /**
   * @param imagesAtOnce that a worker takes through the tasks
   */
  record Stage(String name, int imagesAtOnce, List<Task> tasks) {}

  private final List<Stage> stages = new ArrayList<>();
  private List<Task> open = new ArrayList<>();

  /** Adds a task to the open stage. */
  void add(Task task) {
    open.add(task);
  }

  /** Closes the open stage, unless it is empty; the next one is open from now on. */
  void close(String name, int imagesAtOnce) {
    if (!open.isEmpty()) {
      stages.add(new Stage(name, imagesAtOnce, List.copyOf(open)));
      open = new ArrayList<>();
    }
  }

  List<Stage> stages() {
    return List.copyOf(stages);
  }
}
