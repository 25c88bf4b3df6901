package io.github.resnet4j.engine.inference;

import io.github.resnet4j.engine.conv.PackedWeights;
import io.github.resnet4j.engine.graph.AlgorithmChoice;
import io.github.resnet4j.engine.graph.Numbers;
import io.github.resnet4j.engine.step.Frame;
import io.github.resnet4j.engine.step.Step;
import io.github.resnet4j.kernel.Kernels;
import io.github.resnet4j.nn.Layer.Sequential;
import java.util.List;

/**
 * A network compiled for one input size: fused steps in order, and a place in the arena for all
 * that they write. Immutable; several threads may run it, each in an arena of its own, or all parts
 * of it together in one.
 */
public final class Plan {
  private final List<Segment> segments;
  private final List<int[]> outputs;
  private final int images;
  private final int parts;
  private final int arenaSize;

  /** Consecutive steps that take so many images at a time. */
  public record Segment(int images, List<Step> steps) {}

  public Plan(List<Segment> segments, List<int[]> outputs, int images, int parts, int arenaSize) {
    this.segments = segments;
    this.outputs = outputs;
    this.images = images;
    this.parts = parts;
    this.arenaSize = arenaSize;
  }

  /** How many images it runs at once, at most. */
  public int images() {
    return images;
  }

  /** Among how many threads each step is split. */
  public int parts() {
    return parts;
  }

  public int arenaSize() {
    return arenaSize;
  }

  /** The shape of each output for one image, {@code [C, H, W]} or {@code [classes]}. */
  public List<int[]> outputs() {
    return outputs;
  }

  public List<Segment> segments() {
    return segments;
  }

  /**
   * Runs part of the plan.
   *
   * @param count images, at most {@link #images()}
   * @param betweenPhases called after each phase of each step; all parts must meet there
   */
  public void run(Frame frame, int count, int part, Runnable betweenPhases) {
    for (int s = 0; s < segments.size(); s++) {
      Segment segment = segments.get(s);
      for (int first = 0; first < count; first += segment.images) {
        int now = Math.min(segment.images, count - first);
        for (int i = 0; i < segment.steps.size(); i++) {
          Step step = segment.steps.get(i);
          for (int phase = 0; phase < step.phases(); phase++) {
            step.run(frame, first, now, phase, part, parts);
            betweenPhases.run();
          }
        }
      }
    }
  }

  /**
   * Compiles a network.
   *
   * @param images that run at once
   * @param parts among how many threads each step is split
   * @param taps names of layers whose results are outputs too, before the network's own
   */
  public static Plan compile(
      Sequential network,
      int inChannels,
      int height,
      int width,
      int images,
      int parts,
      List<String> taps,
      PackedWeights weights,
      AlgorithmChoice choice,
      Numbers numbers,
      Kernels kernels) {
    var compiler = new PlanCompiler(network, parts, taps, numbers, kernels);
    compiler.walk(network, inChannels, height, width);
    return compiler.plan(images, weights, choice);
  }
}
