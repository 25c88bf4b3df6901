package io.github.resnet4j.engine.step;

import io.github.resnet4j.kernel.Floats;

/**
 * The memory that the steps of one execution use: the arena, and the caller's input and output
 * arrays.
 */
public final class ExecutionContext {
  private Floats memory = Floats.of(new float[0]);

  /** The caller's images, {@code [N, C, H, W]}. */
  public float[] input = {};

  /** One array for each output of the plan. */
  public float[][] outputs = {};

  /** The index in {@link #input} of the plan's image 0. */
  public int firstImage;

  /** The arena in the form that kernels take. */
  public Floats memory() {
    return memory;
  }

  /** The array of the arena. */
  public float[] arena() {
    return memory.values();
  }

  /** Ensures that the arena has at least this many floats. */
  public void ensureCapacity(int floats) {
    if (arena().length < floats) {
      memory = Floats.of(new float[floats]);
    }
  }
}
