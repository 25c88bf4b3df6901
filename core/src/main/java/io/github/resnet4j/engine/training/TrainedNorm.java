package io.github.resnet4j.engine.training;

import io.github.resnet4j.engine.graph.Activation;
import io.github.resnet4j.nn.Layer.BatchNorm2d;
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

  /** Rows of the numbers of each channel. */
  static final int NUMBERS = 12;

  /** Rows of the sums of each channel and image. */
  static final int SUMS = 2;

  private final RunningStatistics running;
  private final Weights weights;
  private final Activation x;
  private final Activation numbers;
  private final Activation sums;
  private final boolean frozen;
  private final int block;

  /**
   * @param values the network's weights
   * @param weightAt where the norm's weight lies among them, and its gradient among theirs
   * @param biasAt where its bias does
   */
  @SuppressWarnings("ArrayRecordComponent") // it is the optimizer's
  record Weights(float[] values, int weightAt, int biasAt) {}

  /**
   * @param x what is normalised
   * @param numbers for each channel {@link #NUMBERS}
   * @param sums for each image and channel {@link #SUMS}
   * @param frozen whether the running statistics are used and left alone
   */
  TrainedNorm(
      RunningStatistics running,
      Weights weights,
      Activation x,
      Activation numbers,
      Activation sums,
      boolean frozen) {
    this.running = running;
    this.weights = weights;
    this.x = x;
    this.numbers = numbers;
    this.sums = sums;
    this.frozen = frozen;
    this.block = x.block();
  }

  /** What is normalised. */
  Activation x() {
    return x;
  }

  RunningStatistics running() {
    return running;
  }

  /** The bias of a channel. */
  float bias(int channel) {
    return weights.values[weights.biasAt + channel];
  }

  /** Where the numbers of a block of channels begin; {@code row} says which. */
  int numbers(int b, int row) {
    return numbers.at(0, b, row, 0);
  }

  int sums(int n, int b) {
    return sums.at(n, b, 0, 0);
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
    return (double) count * x.height() * x.width();
  }

  void clearSums(float[] arena, int n) {
    Arrays.fill(arena, sums.image(n), sums.image(n) + sums.layout().imageSize(), 0);
  }

  /** Before the sums of a batch, for some channels. */
  void begin(float[] arena, int from, int end) {
    for (int c = from; c < end; c++) {
      arena[number(c, PIVOT)] = running.mean[c];
      arena[number(c, C)] = 1;
    }
  }

  /** The statistics of the batch, and what the forward pass multiplies and adds. */
  void finish(float[] arena, int count, int from, int end) {
    if (from == 0 && end > 0 && !frozen) {
      running.batches++;
    }
    for (int c = from; c < end; c++) {
      double mean = running.mean[c];
      double variance = running.variance[c];
      if (!frozen) {
        double shift = sum(arena, count, c, 0) / pixels(count);
        mean = arena[number(c, PIVOT)] + shift;
        variance = Math.max(0, sum(arena, count, c, 1) / pixels(count) - shift * shift);
        double unbiased = variance * pixels(count) / Math.max(1, pixels(count) - 1);
        running.mean[c] = (float) ((1 - MOMENTUM) * running.mean[c] + MOMENTUM * mean);
        running.variance[c] = (float) ((1 - MOMENTUM) * running.variance[c] + MOMENTUM * unbiased);
      }
      double factor = 1 / Math.sqrt(variance + BatchNorm2d.EPS);
      double a = weights.values[weights.weightAt + c] * factor;
      arena[number(c, A)] = (float) a;
      arena[number(c, B)] = (float) (bias(c) - mean * a);
      arena[number(c, MEAN)] = (float) mean;
      arena[number(c, FACTOR)] = (float) factor;
      arena[number(c, A_AGAIN)] = (float) a;
      arena[number(c, B_AGAIN)] = arena[number(c, B)];
      arena[number(c, A_THIRD)] = (float) a;
      arena[number(c, B_THIRD)] = arena[number(c, B)];
    }
  }

  /**
   * Lets the forward pass add the result of another norm: {@code x a + b + s c + d}, with one bias
   * for both.
   */
  void add(TrainedNorm other, float[] arena, int from, int end) {
    for (int c = from; c < end; c++) {
      arena[number(c, C)] = arena[other.number(c, A)];
      arena[number(c, B)] += arena[other.number(c, B)];
    }
  }

  /**
   * What the backward pass multiplies and adds, and the gradients of weight and bias.
   *
   * @param gradients where those of all weights begin
   */
  void finishGradient(float[] arena, int gradients, int count, int from, int end) {
    for (int c = from; c < end; c++) {
      double sum = sum(arena, count, c, 0);
      double products = sum(arena, count, c, 1);
      double factor = arena[number(c, FACTOR)];
      double p = weights.values[weights.weightAt + c] * factor;
      double q = frozen ? 0 : -p * factor * factor * products / pixels(count);
      double r = frozen ? 0 : -p * sum / pixels(count) - q * arena[number(c, MEAN)];
      arena[number(c, P)] = (float) p;
      arena[number(c, Q)] = (float) q;
      arena[number(c, R)] = (float) r;
      arena[gradients + weights.weightAt + c] += (float) (products * factor);
      arena[gradients + weights.biasAt + c] += (float) sum;
    }
  }
}
