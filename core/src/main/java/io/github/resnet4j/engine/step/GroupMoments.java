package io.github.resnet4j.engine.step;

import io.github.resnet4j.engine.graph.Activation;
import io.github.resnet4j.engine.graph.Layout;
import io.github.resnet4j.kernel.Floats;
import io.github.resnet4j.kernel.Kernels;
import io.github.resnet4j.kernel.NormKernels;
import io.github.resnet4j.kernel.NormKernels.Mask;
import io.github.resnet4j.kernel.Plane;
import io.github.resnet4j.nn.Layer.GroupNorm;
import java.util.Arrays;
import java.util.function.ToIntFunction;
import org.jspecify.annotations.Nullable;

/**
 * The coefficients of a group norm (arXiv 1803.08494) for each image and channel, computed from
 * sums over the channel's pixels: forward {@code y = x a + b}, backward {@code dx = g p + (x q +
 * r)}. All channels of a group have the same mean, factor and q.
 */
public final class GroupMoments {
  // Rows of an image's workspace, in the orders in which kernels read them: a, b and 1 (or, without
  // ReLU, a, 0 and b); the mean, followed by two rows that a kernel may read; p, q, r.
  private static final int A = 0;
  private static final int MEAN = 3;
  private static final int FACTOR = 4;
  private static final int SUM = 5;
  private static final int SQUARES = 6;
  private static final int P = 7;
  private static final int PIVOT = P; // until the gradient's coefficients are known
  private static final int Q = 8;
  private static final int R = 9;
  private static final int ROWS = 10;

  private final GroupNorm layer;
  private final float[] parameters;
  private final int weightAt;
  private final int biasAt;
  private final boolean relu;
  private final Activation x;
  private final Activation workspace;
  private final int block;
  private final int each;
  private final double pixels;
  private final NormKernels.Moments moments;

  /**
   * @param parameters the array of the layer's parameters, which may change
   * @param place maps the name of a parameter to its index
   * @param relu whether a ReLU follows
   * @param x the input, floats or bfloat16
   * @param workspace the {@link #workspace}
   */
  public GroupMoments(
      GroupNorm layer,
      float[] parameters,
      ToIntFunction<String> place,
      boolean relu,
      Activation x,
      Activation workspace,
      Kernels kernels) {
    this.layer = layer;
    this.parameters = parameters;
    this.weightAt = place.applyAsInt(layer.weight().name());
    this.biasAt = place.applyAsInt(layer.bias().name());
    this.relu = relu;
    this.x = x;
    this.workspace = workspace;
    this.block = x.layout().blockChannels();
    this.each = layer.channels() / layer.groups();
    this.pixels = (double) x.height() * x.width();
    this.moments = kernels.norm().moments(x.asPlane());
  }

  /** The layout of the workspace for images with the layout {@code x}. */
  public static Layout workspace(Layout x, int images) {
    return Layout.of(x.channels(), ROWS, 1, x.blockChannels()).withImages(images);
  }

  /**
   * The kernel that normalizes, with the coefficients at {@link #forward}.
   *
   * @throws IllegalArgumentException if there is a residual and no ReLU
   */
  public static NormKernels.Normalize normalize(
      boolean relu, Plane x, @Nullable Plane residual, Plane y, Kernels kernels) {
    if (relu) {
      return kernels.norm().normalize(x, residual, y);
    }
    if (residual != null) {
      throw new IllegalArgumentException("a residual without ReLU after the sum");
    }
    NormKernels.Gradient linear = kernels.norm().gradient(false, x, x, y); // x a + (x 0 + b)
    return (memory, from, coefficients, _, to) -> linear.run(memory, from, from, coefficients, to);
  }

  /** The kernel that sums a gradient; {@code y} is the result of the ReLU, if there is one. */
  public static NormKernels.GradientMoments gradientMoments(
      Plane g, Plane x, @Nullable Plane y, Kernels kernels) {
    return kernels.norm().gradientMoments(y == null ? Mask.NONE : Mask.OUTPUT, g, x, y);
  }

  private int row(int image, int b, int row) {
    return workspace.at(image, b, row, 0);
  }

  private int at(int image, int channel, int row) {
    return row(image, channel / block, row) + channel % block;
  }

  /** The index of the forward coefficients of a channel block. */
  public int forward(int image, int b) {
    return row(image, b, A);
  }

  /** The index of the means of a channel block, which the kernel that sums the gradient reads. */
  public int means(int image, int b) {
    return row(image, b, MEAN);
  }

  /**
   * The index to which the kernel adds the sums of the gradient of a channel block; clears them.
   */
  public int clearedSums(float[] arena, int image, int b) {
    int at = row(image, b, SUM);
    Arrays.fill(arena, at, at + 2 * block, 0);
    return at;
  }

  /** The index of the backward coefficients of a channel block. */
  public int backward(int image, int b) {
    return row(image, b, P);
  }

  /**
   * Sums the pixels of a channel block; sets all other rows of its workspace to zero, except the
   * pivot: a pixel in the middle, relative to which sums are computed, which reduces cancellation.
   */
  public void sum(Floats memory, int image, int b) {
    float[] arena = memory.values();
    Arrays.fill(arena, row(image, b, 0), row(image, b, 0) + ROWS * block, 0);
    int pivot = row(image, b, PIVOT);
    int pixel = x.at(image, b, x.height() / 2, x.width() / 2);
    for (int c = 0; c < block; c++) {
      arena[pivot + c] = x.format().get(arena, pixel, c);
    }
    moments.run(memory, x.at(image, b, 0, 0), pivot, row(image, b, SUM));
  }

  /** Computes the statistics of each group and the forward coefficients of a result in floats. */
  public void finish(float[] arena, int image) {
    finish(arena, image, 1, 1);
  }

  /**
   * The same for a result of integers, which needs a ReLU.
   *
   * @param scale the real value of a stored 1 of the result
   * @param residualScale that of the value that is added
   */
  public void finish(float[] arena, int image, float scale, float residualScale) {
    for (int from = 0; from < layer.channels(); from += each) {
      double mean = 0;
      for (int c = from; c < from + each; c++) {
        mean += mean(arena, image, c) / each;
      }
      double squares = 0;
      for (int c = from; c < from + each; c++) {
        double shift = arena[at(image, c, SUM)] / pixels;
        double away = mean(arena, image, c) - mean;
        squares += arena[at(image, c, SQUARES)] + pixels * (away * away - shift * shift);
      }
      double variance = Math.max(0, squares) / (pixels * each);
      double factor = 1 / Math.sqrt(variance + GroupNorm.EPS);
      for (int c = from; c < from + each; c++) {
        double a = parameters[weightAt + c] * factor / scale;
        double b = parameters[biasAt + c] / scale - mean * a;
        arena[at(image, c, A)] = (float) a;
        arena[at(image, c, A + 1)] = relu ? (float) b : 0;
        arena[at(image, c, A + 2)] = relu ? residualScale / scale : (float) b;
        arena[at(image, c, MEAN)] = (float) mean;
        arena[at(image, c, FACTOR)] = (float) factor;
      }
    }
  }

  private double mean(float[] arena, int image, int channel) {
    return arena[at(image, channel, PIVOT)] + arena[at(image, channel, SUM)] / pixels;
  }

  /**
   * Computes from the sums of the gradient the backward coefficients and the gradients of weight
   * and bias.
   *
   * @param gradients the index of the gradient of the parameter array's first element
   */
  public void finishGradient(float[] arena, int image, int gradients) {
    for (int from = 0; from < layer.channels(); from += each) {
      double factor = arena[at(image, from, FACTOR)];
      double sum = 0;
      double products = 0;
      for (int c = from; c < from + each; c++) {
        double weight = parameters[weightAt + c];
        sum += weight * arena[at(image, c, SUM)];
        products += weight * arena[at(image, c, SQUARES)];
        arena[gradients + biasAt + c] += arena[at(image, c, SUM)];
        arena[gradients + weightAt + c] += (float) (arena[at(image, c, SQUARES)] * factor);
      }
      double q = -factor * factor * factor * products / (pixels * each);
      double r = -factor * sum / (pixels * each) - q * arena[at(image, from, MEAN)];
      for (int c = from; c < from + each; c++) {
        arena[at(image, c, P)] = (float) (parameters[weightAt + c] * factor);
        arena[at(image, c, Q)] = (float) q;
        arena[at(image, c, R)] = (float) r;
      }
    }
  }
}
