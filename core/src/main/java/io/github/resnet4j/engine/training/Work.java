package io.github.resnet4j.engine.training;

import org.jspecify.annotations.Nullable;

/**
 * The work of a task within a stage. First the {@code prepare} jobs of all tasks run, then each
 * worker takes its images through the tasks, then the {@code finish} jobs run; in between all
 * workers synchronize.
 *
 * @param prepare runs before any images
 * @param images processes images, some at a time
 * @param finish runs after all images
 */
record Work(@Nullable Job prepare, @Nullable Images images, @Nullable Job finish) {
  /** A job that all workers execute. */
  interface Job {
    /**
     * @param count the number of images of the batch
     */
    void run(int worker, int count);
  }

  /** The processing of some of a worker's images. */
  interface Images {
    void run(int worker, int first, int count);
  }

  static Work of(Images images) {
    return new Work(null, images, null);
  }

  static Work before(Job prepare) {
    return new Work(prepare, null, null);
  }

  Work preparedBy(Job job) {
    return new Work(job, images, finish);
  }

  Work finishedBy(Job job) {
    return new Work(prepare, images, job);
  }
}
