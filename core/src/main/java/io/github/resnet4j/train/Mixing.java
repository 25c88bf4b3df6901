package io.github.resnet4j.train;

import io.github.resnet4j.tensor.Tensor;
import java.io.Serializable;
import java.util.SplittableRandom;

/**
 * Mixes each image of a batch with its neighbor, and their targets too, as torchvision's transforms
 * MixUp and CutMix do.
 *
 * @param mixup the alpha of mixup's Beta distribution (arXiv 1710.09412), or 0
 * @param cutmix the alpha of CutMix, which copies a rectangle of another image (arXiv 1905.04899),
 *     or 0; if both are positive, each batch randomly uses one of them
 */
public record Mixing(double mixup, double cutmix) implements Serializable {
  /** No mixing. */
  public static final Mixing NONE = new Mixing(0, 0);

  /**
   * @throws IllegalArgumentException if a value is negative
   */
  public Mixing {
    if (!(mixup >= 0 && cutmix >= 0)) {
      throw new IllegalArgumentException(
          "mixup %s, cutmix %s: alphas must be at least 0".formatted(mixup, cutmix));
    }
  }

  /**
   * Mixes a batch in place.
   *
   * @param images {@code [N, C, H, W]}, of which the first {@code count} are filled
   * @param targets {@code [N, classes]}
   */
  void apply(Tensor images, float[] targets, int count, SplittableRandom random) {
    if (count < 2 || (mixup == 0 && cutmix == 0)) {
      return;
    }
    boolean cut = mixup == 0 || (cutmix > 0 && random.nextBoolean());
    double kept = beta(cut ? cutmix : mixup, random);
    int height = images.shape()[2];
    int width = images.shape()[3];
    int channels = images.shape()[1];
    float[] data = images.data();
    if (cut) {
      int x = random.nextInt(width);
      int y = random.nextInt(height);
      double half = Math.sqrt(1 - kept) / 2;
      int left = Math.max(0, x - (int) (half * width));
      int right = Math.min(width, x + (int) (half * width));
      int top = Math.max(0, y - (int) (half * height));
      int bottom = Math.min(height, y + (int) (half * height));
      for (int row = 0; row < channels * height; row++) {
        if (row % height >= top && row % height < bottom) {
          blendWithBefore(
              data, channels * height * width, count, row * width + left, row * width + right, 0);
        }
      }
      kept = 1 - (double) (right - left) * (bottom - top) / (width * height);
    } else {
      blendWithBefore(
          data, channels * height * width, count, 0, channels * height * width, (float) kept);
    }
    int classes = targets.length / images.shape()[0];
    blendWithBefore(targets, classes, count, 0, classes, (float) kept);
  }

  /**
   * Replaces each of {@code count} rows by {@code kept} times itself plus the rest times the
   * previous row.
   */
  private static void blendWithBefore(
      float[] data, int length, int count, int from, int end, float kept) {
    for (int i = from; i < end; i++) {
      float last = data[(count - 1) * length + i];
      for (int n = count - 1; n > 0; n--) {
        data[n * length + i] =
            kept * data[n * length + i] + (1 - kept) * data[(n - 1) * length + i];
      }
      data[i] = kept * data[i] + (1 - kept) * last;
    }
  }

  /** A sample of Beta(alpha, alpha), from two Gamma variates. */
  private static double beta(double alpha, SplittableRandom random) {
    double a = gamma(alpha, random);
    double b = gamma(alpha, random);
    return a + b == 0 ? (random.nextBoolean() ? 1 : 0) : a / (a + b);
  }

  /** G. Marsaglia and W. W. Tsang, A simple method for generating gamma variables, 2000. */
  private static double gamma(double alpha, SplittableRandom random) {
    if (alpha < 1) {
      return gamma(alpha + 1, random) * Math.pow(random.nextDouble(), 1 / alpha);
    }
    double d = alpha - 1 / 3.0;
    while (true) {
      double x = random.nextGaussian();
      double v = Math.pow(1 + x / Math.sqrt(9 * d), 3);
      if (v > 0 && Math.log(random.nextDouble()) < x * x / 2 + d - d * v + d * Math.log(v)) {
        return d * v;
      }
    }
  }
}
