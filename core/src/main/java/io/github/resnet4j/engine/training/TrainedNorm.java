package io.github.resnet4j.engine.training;

import io.github.resnet4j.engine.graph.Activation;
import io.github.resnet4j.nn.Layer.BatchNorm2d;
import java.util.Arrays;

/**
 * Batch norm after a convolution in training (arXiv 1502.03167): it uses the statistics of each
 * batch and updates running statistics.
 */
final class TrainedNorm {
  private static final double MOMENTUM = 0.1;

  // Rows of a norm's coefficients, in the orders in which kernels read them: a, b, c; then the
  // pivot; mean, a, b; p, q, r, a, b.
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
  static final int FACTOR = PIVOT; // the pivot is no longer needed when the factor is known

  /** The coefficient of coefficients of each channel. */
  static final int ROWS = 12;

  /** The coefficient of sums of each channel and image. */
  static final int SUMS = 2;

  private final RunningStatistics running;
  private final Weights weights;
  private final Activation x;
  private final Activation coefficients;
  private final Activation sums;
  private final boolean frozen;
  private final int block;

  /**
   * @param values the network's weights
   * @param weightAt the index of the norm's weight, and of its gradient among the gradients
   * @param biasAt the index of the norm's bias
   */
  @SuppressWarnings("ArrayRecordComponent") // the optimizer updates it
  record Weights(float[] values, int weightAt, int biasAt) {}

  /**
   * @param x the input of the norm
   * @param coefficients {@link #ROWS} coefficients for each channel
   * @param sums {@link #SUMS} sums for each image and channel
   * @param frozen whether the running statistics are used and not updated
   */
  TrainedNorm(
      RunningStatistics running,
      Weights weights,
      Activation x,
      Activation coefficients,
      Activation sums,
      boolean frozen) {
    this.running = running;
    this.weights = weights;
    this.x = x;
    this.coefficients = coefficients;
    this.sums = sums;
    this.frozen = frozen;
    this.block = coefficients.block();
  }

  /** The input of the norm. */
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

  /** The index of a row of the coefficients of a channel block. */
  int coefficients(int b, int row) {
    return coefficients.at(0, b, row, 0);
  }

  int sums(int n, int b) {
    return sums.at(n, b, 0, 0);
  }

  int coefficient(int channel, int row) {
    return coefficients(channel / block, row) + channel % block;
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

  /** Prepares the sums of a batch, for some channels. */
  void begin(float[] arena, int from, int end) {
    for (int c = from; c < end; c++) {
      arena[coefficient(c, PIVOT)] = running.mean[c];
      arena[coefficient(c, C)] = 1;
    }
  }

  /** Computes the statistics of the batch and the forward coefficients. */
  void finish(float[] arena, int count, int from, int end) {
    if (from == 0 && end > 0 && !frozen) {
      running.batches++;
    }
    for (int c = from; c < end; c++) {
      double mean = running.mean[c];
      double variance = running.variance[c];
      if (!frozen) {
        double shift = sum(arena, count, c, 0) / pixels(count);
        mean = arena[coefficient(c, PIVOT)] + shift;
        variance = Math.max(0, sum(arena, count, c, 1) / pixels(count) - shift * shift);
        double unbiased = variance * pixels(count) / Math.max(1, pixels(count) - 1);
        running.mean[c] = (float) ((1 - MOMENTUM) * running.mean[c] + MOMENTUM * mean);
        running.variance[c] = (float) ((1 - MOMENTUM) * running.variance[c] + MOMENTUM * unbiased);
      }
      double factor = 1 / Math.sqrt(variance + BatchNorm2d.EPS);
      double a = weights.values[weights.weightAt + c] * factor;
      arena[coefficient(c, A)] = (float) a;
      arena[coefficient(c, B)] = (float) (bias(c) - mean * a);
      arena[coefficient(c, MEAN)] = (float) mean;
      arena[coefficient(c, FACTOR)] = (float) factor;
      arena[coefficient(c, A_AGAIN)] = (float) a;
      arena[coefficient(c, B_AGAIN)] = arena[coefficient(c, B)];
      arena[coefficient(c, A_THIRD)] = (float) a;
      arena[coefficient(c, B_THIRD)] = arena[coefficient(c, B)];
    }
  }

  /**
   * Adds the result of another norm to the forward coefficients: {@code x a + b + s c + d}, with
   * one bias for both.
   */
  void add(TrainedNorm other, float[] arena, int from, int end) {
    for (int c = from; c < end; c++) {
      arena[coefficient(c, C)] = arena[other.coefficient(c, A)];
      arena[coefficient(c, B)] += arena[other.coefficient(c, B)];
    }
  }

  /**
   * Computes the backward coefficients, and the gradients of weight and bias.
   *
   * @param gradients the index of the gradient of the network's first weight
   */
  void finishGradient(float[] arena, int gradients, int count, int from, int end) {
    for (int c = from; c < end; c++) {
      double sum = sum(arena, count, c, 0);
      double products = sum(arena, count, c, 1);
      double factor = arena[coefficient(c, FACTOR)];
      double p = weights.values[weights.weightAt + c] * factor;
      double q = frozen ? 0 : -p * factor * factor * products / pixels(count);
      double r = frozen ? 0 : -p * sum / pixels(count) - q * arena[coefficient(c, MEAN)];
      arena[coefficient(c, P)] = (float) p;
      arena[coefficient(c, Q)] = (float) q;
      arena[coefficient(c, R)] = (float) r;
      arena[gradients + weights.weightAt + c] += (float) (products * factor);
      arena[gradients + weights.biasAt + c] += (float) sum;
    }
  }
}
