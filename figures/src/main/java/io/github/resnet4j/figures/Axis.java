package io.github.resnet4j.figures;

import java.math.BigDecimal;
import java.math.MathContext;
import java.util.Arrays;

/**
 * The range of a linear axis for any numbers: the chart library computes ticks without end where a
 * range is not finite, or smaller than the precision of its numbers.
 *
 * @param min the value at its beginning
 * @param max the value at its end, larger
 * @param clipped whether there are values outside, which are drawn at the edge
 */
record Axis(double min, double max, boolean clipped) {
  /** Numbers beyond it are drawn at the edge. */
  private static final double LARGEST = 1e12;

  private static final double SMALLEST = 1e-12;

  /** A value so many times larger than the next smaller one is an outlier: a diverged epoch. */
  private static final double GAP = 10;

  /** Of fewer values none is typical enough to call others outliers, unless they are extreme. */
  private static final int FEW = 4;

  private static final double GAP_OF_FEW = 1000;

  /** The part of the range that stays free above and below the values. */
  private static final double MARGIN = 0.05;

  /** An axis begins at 0 if the smallest value is not larger than this part of the largest. */
  private static final double NEAR_ZERO = 0.5;

  private static final MathContext DIGITS = new MathContext(4);

  /**
   * The axis for values without their outliers; those that are NaN or infinite do not count.
   *
   * @param values in any order
   */
  static Axis of(double... values) {
    double[] sorted = finite(values);
    if (sorted.length == 0) {
      return new Axis(0, 1, false);
    }
    int last = lastTypical(sorted);
    double least = Math.clamp(sorted[0], -LARGEST, LARGEST);
    double most = Math.clamp(sorted[last], -LARGEST, LARGEST);
    boolean clipped = last < sorted.length - 1 || sorted[0] < -LARGEST || sorted[last] > LARGEST;
    if (least >= 0 && least <= NEAR_ZERO * most || most == 0 && least == 0) {
      return new Axis(0, most > 0 ? most * (1 + MARGIN) : 1, clipped);
    }
    double width = Math.max(most - least, 0.01 * Math.max(Math.abs(most), Math.abs(least)));
    return around((most + least) / 2, width, clipped);
  }

  /** The axis from the least to the largest value, for what is counted or measured. */
  static Axis spanning(double... values) {
    double[] sorted = finite(values);
    if (sorted.length == 0) {
      return new Axis(0, 1, false);
    }
    double least = Math.clamp(sorted[0], -LARGEST, LARGEST);
    double most = Math.clamp(sorted[sorted.length - 1], -LARGEST, LARGEST);
    boolean clipped = sorted[0] < -LARGEST || sorted[sorted.length - 1] > LARGEST;
    double size = Math.max(Math.abs(most), Math.abs(least));
    return around(
        (most + least) / 2, most - least > 1e-6 * size ? most - least : Math.max(2, size), clipped);
  }

  private static double[] finite(double[] values) {
    return Arrays.stream(values)
        .filter(Double::isFinite)
        .map(value -> Math.abs(value) < SMALLEST ? 0 : value)
        .sorted()
        .toArray();
  }

  private static Axis around(double middle, double width, boolean clipped) {
    double half = width * (0.5 + MARGIN);
    return new Axis(middle - half, middle + half, clipped);
  }

  /** The index of the largest value that is no outlier. */
  private static int lastTypical(double[] sorted) {
    double gap = sorted.length < FEW ? GAP_OF_FEW : GAP;
    for (int i = sorted.length / 2; i + 1 < sorted.length; i++) {
      // The median itself may be 0, as of errors: then the largest half says what is typical.
      if (sorted[i] > 0 && sorted[i + 1] > gap * sorted[i]) {
        return i;
      }
    }
    return sorted.length - 1;
  }

  /** Where a value is drawn. */
  double clamp(double value) {
    return Math.clamp(value, min, max);
  }

  /** A tick's number. */
  String label(double tick) {
    double value = Math.abs(tick) < (max - min) * 1e-9 ? 0 : tick;
    BigDecimal rounded = new BigDecimal(value).round(DIGITS).stripTrailingZeros();
    double size = Math.abs(value);
    if (size == 0 || size >= 1e-3 && size < 1e5) {
      return rounded.toPlainString();
    }
    int exponent = rounded.precision() - 1 - rounded.scale();
    return rounded.scaleByPowerOfTen(-exponent).toPlainString() + "e" + exponent;
  }
}
