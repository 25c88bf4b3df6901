package io.github.resnet4j.engine;

import io.github.resnet4j.nn.Layer.BatchNorm2d;
import io.github.resnet4j.nn.StateDict;
import java.util.Arrays;

/**
 * Batch norm after a convolution as training has it (arXiv 1502.03167): with the statistics of each
 * batch, and running ones beside them.
 */
final class TrainedNorm {
  private static final double MOMENTUM = 0.1;

  // Rows of a norm's numbers, in the orders in which kernels read them: a, b, c; then the pivot;
  // mean, a, b; p, q, r, a, b.
  static final int A = 0;
  static final int B = 1;
  static final int C = 2;
  static final int PIVOT = 3;
  static final int MEAN = 4;
  static final int A_AGAIN = 5;
  static final int B_AGAIN = 6;
  static final int P = 7;
  static final int Q = 8;
  static final int R = 9;
  static final int A_THIRD = 10;
  static final int B_THIRD = 11;
  static final int FACTOR = PIVOT; // the pivot has served when the factor is known

  final BatchNorm2d layer;
  final Draft x;
  final int weightAt;
  final int biasAt;
  final float[] runningMean;
  final float[] runningVar;
  long batches;
  private final boolean frozen;
  private final int block;

  /** Numbers of each channel: three for the forward pass, one pivot, eight for the backward. */
  final Draft numbers;

  /** Sums of each image: two for each channel. */
  final Draft sums;

  /**
   * @param x what is normalised
   * @param weightAt where its weight lies among the network's, and its gradient among theirs
   * @param state the first statistics
   * @param batch images of the largest batch
   * @param frozen whether the running statistics are used and left alone
   */
  TrainedNorm(
      BatchNorm2d layer,
      Draft x,
      int weightAt,
      int biasAt,
      StateDict state,
      int batch,
      boolean frozen) {
    this.layer = layer;
    this.x = x;
    this.weightAt = weightAt;
    this.biasAt = biasAt;
    this.frozen = frozen;
    this.block = x.block();
    this.runningMean = state.get(layer.name() + ".running_mean").data().clone();
    this.runningVar = state.get(layer.name() + ".running_var").data().clone();
    this.batches = (long) state.get(layer.name() + ".num_batches_tracked").data()[0];
    this.numbers = new Draft(x.channels, 12, 1, block);
    this.sums = new Draft(x.channels, 2, 1, block);
    sums.holdImages(batch);
  }

  /** Where the numbers of a block of channels begin; {@code row} says which. */
  int numbers(int b, int row) {
    return numbers.image(0) + b * numbers.plane() + row * block;
  }

  int sums(int n, int b) {
    return sums.image(n) + b * sums.plane();
  }

  int number(int channel, int row) {
    return numbers(channel / block, row) + channel % block;
  }

  private double sum(float[] arena, int count, int channel, int row) {
    double sum = 0;
    for (int n = 0; n < count; n++) {
      sum += arena[sums(n, channel / block) + row * block + channel % block];
    }
    return sum;
  }

  private double pixels(int count) {
    return (double) count * x.height * x.width;
  }

  void clearSums(float[] arena, int n) {
    Arrays.fill(arena, sums.image(n), sums.image(n) + sums.imageSize(), 0);
  }

  /** The statistics of the batch, and what the forward pass multiplies and adds. */
  void finish(float[] arena, float[] weights, int count, int from, int end) {
    if (from == 0 && end > 0 && !frozen) {
      batches++;
    }
    for (int c = from; c < end; c++) {
      double mean = runningMean[c];
      double variance = runningVar[c];
      if (!frozen) {
        double shift = sum(arena, count, c, 0) / pixels(count);
        mean = arena[number(c, PIVOT)] + shift;
        variance = Math.max(0, sum(arena, count, c, 1) / pixels(count) - shift * shift);
        double unbiased = variance * pixels(count) / Math.max(1, pixels(count) - 1);
        runningMean[c] = (float) ((1 - MOMENTUM) * runningMean[c] + MOMENTUM * mean);
        runningVar[c] = (float) ((1 - MOMENTUM) * runningVar[c] + MOMENTUM * unbiased);
      }
      double factor = 1 / Math.sqrt(variance + BatchNorm2d.EPS);
      double a = weights[weightAt + c] * factor;
      arena[number(c, A)] = (float) a;
      arena[number(c, B)] = (float) (weights[biasAt + c] - mean * a);
      arena[number(c, MEAN)] = (float) mean;
      arena[number(c, FACTOR)] = (float) factor;
      arena[number(c, A_AGAIN)] = (float) a;
      arena[number(c, B_AGAIN)] = arena[number(c, B)];
      arena[number(c, A_THIRD)] = (float) a;
      arena[number(c, B_THIRD)] = arena[number(c, B)];
    }
  }

  /** What the backward pass multiplies and adds, and the gradients of weight and bias. */
  void finishGradient(float[] arena, float[] weights, int gradients, int count, int from, int end) {
    for (int c = from; c < end; c++) {
      double sum = sum(arena, count, c, 0);
      double products = sum(arena, count, c, 1);
      double factor = arena[number(c, FACTOR)];
      double p = weights[weightAt + c] * factor;
      double q = frozen ? 0 : -p * factor * factor * products / pixels(count);
      double r = frozen ? 0 : -p * sum / pixels(count) - q * arena[number(c, MEAN)];
      arena[number(c, P)] = (float) p;
      arena[number(c, Q)] = (float) q;
      arena[number(c, R)] = (float) r;
      arena[gradients + weightAt + c] += (float) (products * factor);
      arena[gradients + biasAt + c] += (float) sum;
    }
  }
}
