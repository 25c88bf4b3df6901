package io.github.resnet4j.engine.inference;

import io.github.resnet4j.engine.step.ExecutionContext;
import io.github.resnet4j.engine.step.Step;
import io.github.resnet4j.engine.step.Workers;
import io.github.resnet4j.tensor.Tensor;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.SequencedMap;

/**
 * Runs a plan on all threads and measures each of its steps on the first thread. A plan that is not
 * split runs on every thread, each with its own images.
 */
public final class PlanProfiler {
  private static final Runnable NO_OP = () -> {};

  private final Plan plan;
  private final ExecutionContext[] contexts;
  private final Workers workers;
  private final List<Step> phases;
  private final float[] input;
  private final float[][] outputs;
  private final double[] shortest;
  private double[] seconds = {};
  private int phase;
  private long last;

  /**
   * @param imageSize the number of floats of an image
   * @param contexts one for each worker, used by the runs
   */
  PlanProfiler(Plan plan, int imageSize, ExecutionContext[] contexts, Workers workers) {
    this.plan = plan;
    this.contexts = contexts;
    this.workers = workers;
    this.phases = plan.phases();
    int n = runsWholeImages() ? plan.images() * workers.size() : 1;
    this.input = new float[n * imageSize];
    for (int i = 0; i < input.length; i++) {
      input[i] = (i * 31 % 255) / 127f - 1; // neither zeros nor denormals
    }
    this.outputs = new float[plan.outputs().size()][];
    for (int i = 0; i < outputs.length; i++) {
      outputs[i] = new float[n * Tensor.sizeOf(plan.outputs().get(i))];
    }
    this.shortest = new double[phases.size()];
    Arrays.fill(shortest, Double.MAX_VALUE);
  }

  private boolean runsWholeImages() {
    return plan.parts() == 1;
  }

  /** Runs the plan once and measures each phase. */
  void run() {
    for (int i = 0; i < contexts.length; i++) {
      contexts[i].input = input;
      contexts[i].outputs = outputs;
      contexts[i].ensureCapacity(plan.arenaSize());
      contexts[i].firstImage = runsWholeImages() ? i * plan.images() : 0;
    }
    seconds = new double[phases.size()];
    phase = 0;
    last = System.nanoTime();
    workers.run(
        runsWholeImages()
            ? worker ->
                plan.run(contexts[worker], plan.images(), 0, worker == 0 ? this::record : NO_OP)
            : worker ->
                plan.run(contexts[0], 1, worker, worker == 0 ? this::barrier : workers::barrier));
    for (int i = 0; i < shortest.length; i++) {
      shortest[i] = Math.min(shortest[i], seconds[i]);
    }
  }

  private void barrier() {
    workers.barrier();
    record();
  }

  private void record() {
    long now = System.nanoTime();
    seconds[phase++] = (now - last) * 1e-9;
    last = now;
  }

  /** The seconds of a run in which every phase takes its shortest measured time. */
  double fastest() {
    return Arrays.stream(shortest).sum();
  }

  /** The same for the steps of one layer. */
  double fastest(String layer) {
    double sum = 0;
    for (int i = 0; i < shortest.length; i++) {
      if (phases.get(i).name().equals(layer)) {
        sum += shortest[i];
      }
    }
    return sum;
  }

  /**
   * Runs the plan repeatedly; the result is the median of the later half of the runs.
   *
   * @param nanos how long to measure, warm-up included
   * @return the seconds of each step for one image, in the plan's order
   */
  public SequencedMap<Step, Double> measure(long nanos) {
    var runs = new ArrayList<double[]>();
    long end = System.nanoTime() + nanos;
    do {
      run();
      runs.add(seconds);
    } while (System.nanoTime() < end);
    List<double[]> warm = runs.subList(runs.size() / 2, runs.size());
    // Whole images: every thread has processed as many in this time.
    double imagesPerRun = runsWholeImages() ? (double) plan.images() * workers.size() : 1;
    var times = new LinkedHashMap<Step, Double>();
    for (int i = 0; i < phases.size(); i++) {
      int at = i;
      double median = warm.stream().mapToDouble(run -> run[at]).sorted().toArray()[warm.size() / 2];
      times.merge(phases.get(i), median / imagesPerRun, Double::sum);
    }
    return times;
  }
}
