package io.github.resnet4j.engine.step;

import io.github.resnet4j.engine.graph.Activation;

/**
 * One step of a plan: reads activations, writes one. The work of a step can be split into parts for
 * as many threads; a step of several phases needs all parts to meet between them.
 */
public interface Step {
  /** The layers that the step computes, {@code layer1.0.conv1}. */
  String name();

  /** How it computes them, {@code direct 3x3}. */
  String algorithm();

  /** What it writes. */
  Activation out();

  /** Multiplications and additions for one image, counted as direct convolution has them. */
  default long flops() {
    return 0;
  }

  default int phases() {
    return 1;
  }

  /**
   * Does one part of one phase for the images {@code [first, first + count)}.
   *
   * @param part which part, from 0
   * @param parts how many there are
   */
  void run(Frame frame, int first, int count, int phase, int part, int parts);
}
