package io.github.resnet4j.engine;

import io.github.resnet4j.kernel.Floats;

/** What the steps of one run work on: the arena, and the caller's arrays on both ends. */
final class Frame {
  private Floats memory = Floats.of(new float[0]);

  /** {@code [N, C, H, W]}. */
  float[] input = {};

  /** One array for each output of the plan. */
  float[][] outputs = {};

  /** The image of {@link #input} that is image 0 of the plan. */
  int firstImage;

  /** The arena, as kernels take it. */
  Floats memory() {
    return memory;
  }

  /** The arena itself. */
  float[] arena() {
    return memory.values();
  }

  /** Makes the arena at least so large. */
  void makeRoom(int floats) {
    if (arena().length < floats) {
      memory = Floats.of(new float[floats]);
    }
  }
}
