package io.github.resnet4j.engine.step;

import io.github.resnet4j.kernel.Floats;

/** What the steps of one run work on: the arena, and the caller's arrays on both ends. */
public final class Frame {
  private Floats memory = Floats.of(new float[0]);

  /** {@code [N, C, H, W]}. */
  public float[] input = {};

  /** One array for each output of the plan. */
  public float[][] outputs = {};

  /** The image of {@link #input} that is image 0 of the plan. */
  public int firstImage;

  /** The arena, as kernels take it. */
  public Floats memory() {
    return memory;
  }

  /** The arena itself. */
  public float[] arena() {
    return memory.values();
  }

  /** Makes the arena at least so large. */
  public void makeRoom(int floats) {
    if (arena().length < floats) {
      memory = Floats.of(new float[floats]);
    }
  }
}
