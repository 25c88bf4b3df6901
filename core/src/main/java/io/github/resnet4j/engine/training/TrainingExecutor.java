package io.github.resnet4j.engine.training;

import io.github.resnet4j.engine.step.Workers;
import java.util.Arrays;
import java.util.List;
import java.util.stream.IntStream;

/** Runs a plan on several threads. Not thread-safe. */
public final class TrainingExecutor implements AutoCloseable {
  private final TrainingPlan plan;
  private final TrainingPlacement placement;
  private final TrainingSetup setup;
  private final Workers workers;
  private final List<TrainingPlan.Stage> stages;
  private final long[] nanos;
  private int count;

  public TrainingExecutor(TrainingPlan plan) {
    this.plan = plan;
    this.placement = plan.placement();
    this.setup = plan.setup();
    this.workers = new Workers(setup.threads());
    this.stages = plan.stages();
    this.nanos = new long[stages.size()];
  }

  /**
   * Runs the forward and backward pass; adds to the gradients.
   *
   * @param images {@code [count, C, H, W]}
   * @param targets {@code [count, classes]}, see the plan's loss
   * @param scale the factor of the gradients
   * @return the mean loss
   */
  public double run(float[] images, float[] targets, int imageCount, float scale) {
    count = imageCount;
    placement.context().input = images;
    placement.loss().set(targets, imageCount, scale);
    workers.run(this::run);
    return placement.loss().mean();
  }

  /** Executes a worker's work for all stages. */
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
    addWorkerGradients(worker);
  }

  private void run(TrainingPlan.Stage stage, int worker) {
    runAll(stage.prepare(), worker);
    int first = setup.rangeStart(worker, count);
    int end = setup.rangeStart(worker + 1, count);
    for (int n = first; n < end; n += stage.chunkSize()) {
      for (int p = 0; p < stage.passes().size(); p++) {
        stage.passes().get(p).run(worker, n, Math.min(stage.chunkSize(), end - n));
      }
    }
    workers.barrier();
    runAll(stage.finish(), worker);
  }

  /** Runs jobs; returns when all workers have finished them. */
  private void runAll(List<Work.Job> jobs, int worker) {
    if (!jobs.isEmpty()) {
      for (int i = 0; i < jobs.size(); i++) {
        jobs.get(i).run(worker, count);
      }
      workers.barrier();
    }
  }

  /** Adds the gradients of all workers to those of the first; each worker adds a range. */
  private void addWorkerGradients(int worker) {
    float[] arena = placement.arena();
    int size = plan.parameters().size();
    int to = placement.gradientsAt(0);
    for (int t = 1; t < setup.threads(); t++) {
      int from = placement.gradientsAt(t);
      for (int i = setup.rangeStart(worker, size); i < setup.rangeStart(worker + 1, size); i++) {
        arena[to + i] += arena[from + i];
      }
    }
  }

  private void clear(int worker) {
    int from = placement.gradientsAt(worker);
    Arrays.fill(placement.arena(), from, from + plan.parameters().size(), 0);
  }

  /** Sets the gradients to zero. */
  public void clearGradients() {
    clear(0);
  }

  /** A task that all threads execute, each with its own range of indices. */
  public interface RangeTask {
    void run(int from, int end);
  }

  /** Splits the indices of the parameters among the threads and runs the task on all of them. */
  public void inParallel(RangeTask task) {
    int size = plan.parameters().size();
    workers.run(
        worker -> task.run(setup.rangeStart(worker, size), setup.rangeStart(worker + 1, size)));
  }

  /** The logits of the last batch, {@code [count, classes]}. */
  public void copyLogits(float[] to) {
    placement.loss().copyOutputs(placement.arena(), to);
  }

  /**
   * A stage and its time in the last run.
   *
   * @param seconds for one image
   */
  public record StageTime(String name, int chunkSize, double seconds) {}

  /** The times of the stages in the last run. */
  public List<StageTime> times() {
    return IntStream.range(0, nanos.length)
        .mapToObj(s -> {
          TrainingPlan.Stage stage = stages.get(s);
          return new StageTime(
              stage.name(), stage.chunkSize(), nanos[s] / 1e9 / Math.max(1, count));
        })
        .toList();
  }

  @Override
  public void close() {
    workers.close();
  }
}
