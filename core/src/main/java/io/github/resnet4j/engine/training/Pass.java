package io.github.resnet4j.engine.training;

import org.jspecify.annotations.Nullable;

/**
 * Work of a stage. Of all passes of a stage, first everything is prepared, then each worker takes
 * its images through the passes, then everything is finished; in between all workers wait for each
 * other.
 *
 * @param prepare before any images
 * @param images one after the other, some at a time
 * @param finish after all images
 */
record Pass(@Nullable Job prepare, @Nullable Images images, @Nullable Job finish) {
  /** What all workers do together. */
  interface Job {
    /**
     * @param count images of the batch
     */
    void run(int worker, int count);
  }

  /** What a worker does with some of its images. */
  interface Images {
    void run(int worker, int first, int count);
  }

  static Pass of(Images images) {
    return new Pass(null, images, null);
  }

  static Pass before(Job prepare) {
    return new Pass(prepare, null, null);
  }

  Pass preparedBy(Job job) {
    return new Pass(job, images, finish);
  }

  Pass finishedBy(Job job) {
    return new Pass(prepare, images, job);
  }
}
