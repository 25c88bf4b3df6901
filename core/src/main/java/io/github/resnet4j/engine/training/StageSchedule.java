package io.github.resnet4j.engine.training;

import java.util.ArrayList;
import java.util.List;

/**
 * A training step as stages of tasks. Within a stage a worker takes its own images through all
 * tasks, a few at a time, so that a task's result is still in the cache when the next task reads
 * it; between stages workers synchronize.
 */
final class StageSchedule {
  /**
   * @param chunkSize the chunk size: the number of images that a worker takes through the tasks
   *     together
   */
  record Stage(String name, int chunkSize, List<Task> tasks) {}

  private final List<Stage> stages = new ArrayList<>();
  private List<Task> open = new ArrayList<>();

  /** Adds a task to the open stage. */
  void add(Task task) {
    open.add(task);
  }

  /** Closes the open stage, unless it is empty, and opens the next one. */
  void close(String name, int chunkSize) {
    if (!open.isEmpty()) {
      stages.add(new Stage(name, chunkSize, List.copyOf(open)));
      open = new ArrayList<>();
    }
  }

  List<Stage> stages() {
    return List.copyOf(stages);
  }
}
