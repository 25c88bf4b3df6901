package io.github.resnet4j.engine.inference;

import io.github.resnet4j.engine.step.Frame;
import io.github.resnet4j.engine.step.Step;
import io.github.resnet4j.engine.step.Workers;
import io.github.resnet4j.tensor.Tensor;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.SequencedMap;

/**
 * Runs a plan on all threads and takes the time of each of its steps on the first. A plan that is
 * not split runs on every thread, each with images of its own.
 */
public final class PlanProfiler {
  private static final Runnable NOTHING = () -> {};

  private final Plan plan;
  private final Frame[] frames;
  private final Workers workers;
  private final List<Step> phases;
  private final float[] input;
  private final float[][] outputs;
  private final double[] least;
  private double[] seconds = {};
  private int phase;
  private long last;

  /**
   * @param imageSize floats of an image
   * @param frames one for each worker, which runs use
   */
  PlanProfiler(Plan plan, int imageSize, Frame[] frames, Workers workers) {
    this.plan = plan;
    this.frames = frames;
    this.workers = workers;
    this.phases = plan.phases();
    int n = isWhole() ? plan.images() * workers.size() : 1;
    this.input = new float[n * imageSize];
    for (int i = 0; i < input.length; i++) {
      input[i] = (i * 31 % 255) / 127f - 1; // neither zeros nor denormals
    }
    this.outputs = new float[plan.outputs().size()][];
    for (int i = 0; i < outputs.length; i++) {
      outputs[i] = new float[n * Tensor.sizeOf(plan.outputs().get(i))];
    }
    this.least = new double[phases.size()];
    Arrays.fill(least, Double.MAX_VALUE);
  }

  private boolean isWhole() {
    return plan.parts() == 1;
  }

  /** Runs the plan once and takes the time of each phase. */
  void run() {
    for (int i = 0; i < frames.length; i++) {
      frames[i].input = input;
      frames[i].outputs = outputs;
      frames[i].makeRoom(plan.arenaSize());
      frames[i].firstImage = isWhole() ? i * plan.images() : 0;
    }
    seconds = new double[phases.size()];
    phase = 0;
    last = System.nanoTime();
    workers.run(
        isWhole()
            ? worker ->
                plan.run(frames[worker], plan.images(), 0, worker == 0 ? this::record : NOTHING)
            : worker -> plan.run(frames[0], 1, worker, worker == 0 ? this::meet : workers::meet));
    for (int i = 0; i < least.length; i++) {
      least[i] = Math.min(least[i], seconds[i]);
    }
  }

  private void meet() {
    workers.meet();
    record();
  }

  private void record() {
    long now = System.nanoTime();
    seconds[phase++] = (now - last) * 1e-9;
    last = now;
  }

  /** Seconds of a run whose phases were all as fast as they ever were. */
  double fastest() {
    return Arrays.stream(least).sum();
  }

  /** The same of one layer alone. */
  double fastest(String layer) {
    double sum = 0;
    for (int i = 0; i < least.length; i++) {
      if (phases.get(i).name().equals(layer)) {
        sum += least[i];
      }
    }
    return sum;
  }

  /**
   * Runs the plan again and again; of the later half of the runs the median counts.
   *
   * @param nanos how long, warming up included
   * @return seconds of each step for one image, in the plan's order
   */
  public SequencedMap<Step, Double> measure(long nanos) {
    var runs = new ArrayList<double[]>();
    long end = System.nanoTime() + nanos;
    do {
      run();
      runs.add(seconds);
    } while (System.nanoTime() < end);
    List<double[]> warm = runs.subList(runs.size() / 2, runs.size());
    // Whole images: every thread has done as many in this time.
    double imagesAtOnce = isWhole() ? (double) plan.images() * workers.size() : 1;
    var times = new LinkedHashMap<Step, Double>();
    for (int i = 0; i < phases.size(); i++) {
      int at = i;
      double median = warm.stream().mapToDouble(run -> run[at]).sorted().toArray()[warm.size() / 2];
      times.merge(phases.get(i), median / imagesAtOnce, Double::sum);
    }
    return times;
  }
}
