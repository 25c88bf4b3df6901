package io.github.resnet4j.engine.inference;

import io.github.resnet4j.engine.step.Frame;
import io.github.resnet4j.engine.step.Step;
import java.util.ArrayList;
import java.util.List;

/**
 * A network compiled for one input size: fused steps in order, and a place in the arena for all
 * that they write. Immutable; several threads may run it, each in an arena of its own, or all parts
 * of it together in one.
 *
 * @param outputs the shape of each output for one image, {@code [C, H, W]} or {@code [classes]}
 * @param load what it was compiled for
 * @param arenaSize words that a run needs
 */
public record Plan(List<Segment> segments, List<int[]> outputs, Workload load, int arenaSize) {
  /** Consecutive steps that take so many images at a time. */
  public record Segment(int images, List<Step> steps) {}

  /** How many images it runs at once, at most. */
  public int images() {
    return load.images();
  }

  /** Among how many threads each step is split. */
  public int parts() {
    return load.parts();
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
            step.run(frame, first, now, phase, part, load.parts());
            betweenPhases.run();
          }
        }
      }
    }
  }

  /** The steps in the order in which a run of all images comes to the end of a phase of each. */
  public List<Step> phases() {
    var phases = new ArrayList<Step>();
    for (Segment segment : segments) {
      for (int first = 0; first < load.images(); first += segment.images) {
        for (Step step : segment.steps) {
          for (int phase = 0; phase < step.phases(); phase++) {
            phases.add(step);
          }
        }
      }
    }
    return phases;
  }
}
