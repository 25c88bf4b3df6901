package io.github.resnet4j.engine.training;

import io.github.resnet4j.engine.step.Workers;
import java.util.Arrays;
import java.util.List;
import java.util.stream.IntStream;

/** Runs a plan on a team of workers. Not for several threads at once. */
public final class TrainingExecutor implements AutoCloseable {
  private final TrainingPlan plan;
  private final Placed placed;
  private final TrainingSetup setup;
  private final Workers workers;
  private final List<TrainingPlan.Stage> stages;
  private final long[] nanos;
  private int count;

  public TrainingExecutor(TrainingPlan plan) {
    this.plan = plan;
    this.placed = plan.placed();
    this.setup = plan.setup();
    this.workers = new Workers(setup.threads());
    this.stages = plan.stages();
    this.nanos = new long[stages.size()];
  }

  /**
   * Forward and backward; adds to the gradients.
   *
   * @param images {@code [count, C, H, W]}
   * @param probabilities {@code [count, classes]}
   * @param scale what the gradients are multiplied by
   * @return the mean loss
   */
  public double run(float[] images, float[] probabilities, int imageCount, float scale) {
    count = imageCount;
    placed.frame().input = images;
    placed.loss().set(probabilities, imageCount, scale);
    workers.run(this::run);
    return placed.loss().mean();
  }

  /** A worker's part of a step. */
  private void run(int worker) {
    if (worker > 0) {
      clear(worker);
    }
    for (int s = 0; s < nanos.length; s++) {
      long start = System.nanoTime();
      run(stages.get(s), worker);
      if (worker == 0) {
        nanos[s] = System.nanoTime() - start;
      }
    }
    addParts(worker);
  }

  private void run(TrainingPlan.Stage stage, int worker) {
    runAll(stage.prepare(), worker);
    int first = setup.share(worker, count);
    int end = setup.share(worker + 1, count);
    for (int n = first; n < end; n += stage.imagesAtOnce()) {
      for (int p = 0; p < stage.passes().size(); p++) {
        stage.passes().get(p).run(worker, n, Math.min(stage.imagesAtOnce(), end - n));
      }
    }
    workers.meet();
    runAll(stage.finish(), worker);
  }

  /** What all workers have finished before anyone goes on. */
  private void runAll(List<Pass.Job> jobs, int worker) {
    if (!jobs.isEmpty()) {
      for (int i = 0; i < jobs.size(); i++) {
        jobs.get(i).run(worker, count);
      }
      workers.meet();
    }
  }

  /** Adds the gradients that the workers found to those of the first, each a range of them. */
  private void addParts(int worker) {
    float[] arena = placed.arena();
    int size = plan.parameters().size();
    int to = placed.gradientsAt(0);
    for (int t = 1; t < setup.threads(); t++) {
      int from = placed.gradientsAt(t);
      for (int i = setup.share(worker, size); i < setup.share(worker + 1, size); i++) {
        arena[to + i] += arena[from + i];
      }
    }
  }

  private void clear(int worker) {
    int from = placed.gradientsAt(worker);
    Arrays.fill(placed.arena(), from, from + plan.parameters().size(), 0);
  }

  /** Sets the gradients to zero. */
  public void clearGradients() {
    clear(0);
  }

  /** Something that is done on all threads: each is given a range of indices. */
  public interface Share {
    void run(int from, int end);
  }

  /** Splits the indices of the parameters among the workers. */
  public void inParallel(Share share) {
    int size = plan.parameters().size();
    workers.run(worker -> share.run(setup.share(worker, size), setup.share(worker + 1, size)));
  }

  /** The logits of the last batch, {@code [count, classes]}. */
  public void copyLogits(float[] to) {
    placed.loss().copyLogits(placed.arena(), to);
  }

  /**
   * A stage and its time in the last run.
   *
   * @param seconds for one image
   */
  public record StageTime(String name, int imagesAtOnce, double seconds) {}

  /** Where the time of the last run went. */
  public List<StageTime> times() {
    return IntStream.range(0, nanos.length)
        .mapToObj(s -> {
          TrainingPlan.Stage stage = stages.get(s);
          return new StageTime(
              stage.name(), stage.imagesAtOnce(), nanos[s] / 1e9 / Math.max(1, count));
        })
        .toList();
  }

  @Override
  public void close() {
    workers.close();
  }
}
