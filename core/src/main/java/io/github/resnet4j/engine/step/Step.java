package io.github.resnet4j.engine.step;

import io.github.resnet4j.engine.graph.Activation;

/**
 * A step of a plan: reads activations and writes one. The work can be split into parts for several
 * threads. In a step with several phases all parts must complete a phase before the next one
 * starts.
 */
public interface Step {
  /** The names of the layers that the step computes, {@code layer1.0.conv1}. */
  String name();

  /** How the step computes them, {@code direct 3x3}. */
  String algorithm();

  /** The result. */
  Activation out();

  /** Multiplications and additions for one image, counted as for direct convolution. */
  default long flops() {
    return 0;
  }

  default int phases() {
    return 1;
  }

  /**
   * Executes one part of one phase for the images {@code [first, first + count)}.
   *
   * @param part the index of the part, from 0
   * @param parts the number of parts
   */
  void run(ExecutionContext context, int first, int count, int phase, int part, int parts);
}
