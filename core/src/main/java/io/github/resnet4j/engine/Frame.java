package io.github.resnet4j.engine;

/** What the steps of one run work on: the arena, and the caller's arrays on both ends. */
final class Frame {
  float[] arena = {};

  /** {@code [N, C, H, W]}. */
  float[] input = {};

  /** One array for each output of the plan. */
  float[][] outputs = {};

  /** The image of {@link #input} that is image 0 of the plan. */
  int firstImage;

  /** Makes the arena large enough for a plan. */
  void makeRoom(Plan plan) {
    if (arena.length < plan.arenaSize()) {
      arena = new float[plan.arenaSize()];
    }
  }
}
