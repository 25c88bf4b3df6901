package io.github.resnet4j.engine.inference;

import io.github.resnet4j.engine.step.ExecutionContext;
import io.github.resnet4j.engine.step.Step;
import java.util.ArrayList;
import java.util.List;

/**
 * A network compiled for one input size: fused steps in order, and a position in the arena for
 * everything that they write. Immutable. Several threads may run it, each in its own arena, or all
 * parts of it together in one arena.
 *
 * @param outputs the shape of each output for one image, {@code [C, H, W]} or {@code [classes]}
 * @param workload what it was compiled for
 * @param arenaSize the number of words of the arena
 */
public record Plan(List<Section> sections, List<int[]> outputs, Workload workload, int arenaSize) {
  /** Consecutive steps with the same chunk size. */
  public record Section(int images, List<Step> steps) {}

  /** The largest number of images processed together. */
  public int images() {
    return workload.images();
  }

  /** The number of threads among which each step is split. */
  public int parts() {
    return workload.parts();
  }

  /**
   * Runs one part of the plan.
   *
   * @param count the number of images, at most {@link #images()}
   * @param betweenPhases called after each phase of each step; all parts must synchronize there
   */
  public void run(ExecutionContext context, int count, int part, Runnable betweenPhases) {
    for (int s = 0; s < sections.size(); s++) {
      Section section = sections.get(s);
      for (int first = 0; first < count; first += section.images) {
        int now = Math.min(section.images, count - first);
        for (int i = 0; i < section.steps.size(); i++) {
          Step step = section.steps.get(i);
          for (int phase = 0; phase < step.phases(); phase++) {
            step.run(context, first, now, phase, part, workload.parts());
            betweenPhases.run();
          }
        }
      }
    }
  }

  /** The steps in the order in which their phases end when all images are run. */
  public List<Step> phases() {
    var phases = new ArrayList<Step>();
    for (Section section : sections) {
      for (int first = 0; first < workload.images(); first += section.images) {
        for (Step step : section.steps) {
          for (int phase = 0; phase < step.phases(); phase++) {
            phases.add(step);
          }
        }
      }
    }
    return phases;
  }
}
