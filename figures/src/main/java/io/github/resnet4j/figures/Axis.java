package io.github.resnet4j.figures;

import java.math.BigDecimal;
import java.math.MathContext;
import java.util.Arrays;

/**
 * The range of a linear axis, valid for any values: with a range that is not finite, or smaller
 * than the precision of its values, the chart library would compute ticks endlessly.
 *
 * @param min the value at the start of the axis
 * @param max the value at the end of the axis, larger than {@code min}
 * @param clipped whether there are values outside of the range; they are drawn at its edge
 */
record Axis(double min, double max, boolean clipped) {
  /** Values with a larger magnitude are drawn at the edge. */
  private static final double MAX_MAGNITUDE = 1e12;

  private static final double MIN_MAGNITUDE = 1e-12;

  /**
   * The factor between two consecutive values above which the larger one is an outlier, such as a
   * diverged epoch.
   */
  private static final double GAP = 10;

  /** Below this number of values, {@link #FEW_VALUES_GAP} applies instead of {@link #GAP}. */
  private static final int FEW_VALUES = 4;

  private static final double FEW_VALUES_GAP = 1000;

  /** The margin above and below the values, as a fraction of the range. */
  private static final double MARGIN = 0.05;

  /** An axis starts at 0 if the smallest value is at max this fraction of the largest. */
  private static final double NEAR_ZERO = 0.5;

  private static final MathContext DIGITS = new MathContext(4);

  /**
   * The axis for values, without outliers. NaN and infinite values are ignored.
   *
   * @param values in any order
   */
  static Axis of(double... values) {
    double[] sorted = finite(values);
    if (sorted.length == 0) {
      return new Axis(0, 1, false);
    }
    int last = lastTypical(sorted);
    double min = Math.clamp(sorted[0], -MAX_MAGNITUDE, MAX_MAGNITUDE);
    double max = Math.clamp(sorted[last], -MAX_MAGNITUDE, MAX_MAGNITUDE);
    boolean clipped =
        last < sorted.length - 1 || sorted[0] < -MAX_MAGNITUDE || sorted[last] > MAX_MAGNITUDE;
    if (min >= 0 && min <= NEAR_ZERO * max || max == 0 && min == 0) {
      return new Axis(0, max > 0 ? max * (1 + MARGIN) : 1, clipped);
    }
    double width = Math.max(max - min, 0.01 * Math.max(Math.abs(max), Math.abs(min)));
    return centredAt((max + min) / 2, width, clipped);
  }

  /** The axis from the smallest to the largest value, including outliers. */
  static Axis spanning(double... values) {
    double[] sorted = finite(values);
    if (sorted.length == 0) {
      return new Axis(0, 1, false);
    }
    double min = Math.clamp(sorted[0], -MAX_MAGNITUDE, MAX_MAGNITUDE);
    double max = Math.clamp(sorted[sorted.length - 1], -MAX_MAGNITUDE, MAX_MAGNITUDE);
    boolean clipped = sorted[0] < -MAX_MAGNITUDE || sorted[sorted.length - 1] > MAX_MAGNITUDE;
    double size = Math.max(Math.abs(max), Math.abs(min));
    return centredAt(
        (max + min) / 2, max - min > 1e-6 * size ? max - min : Math.max(2, size), clipped);
  }

  private static double[] finite(double[] values) {
    return Arrays.stream(values)
        .filter(Double::isFinite)
        .map(value -> Math.abs(value) < MIN_MAGNITUDE ? 0 : value)
        .sorted()
        .toArray();
  }

  private static Axis centredAt(double middle, double width, boolean clipped) {
    double half = width * (0.5 + MARGIN);
    return new Axis(middle - half, middle + half, clipped);
  }

  /** The index of the largest value that is not an outlier. */
  private static int lastTypical(double[] sorted) {
    double gap = sorted.length < FEW_VALUES ? FEW_VALUES_GAP : GAP;
    for (int i = sorted.length / 2; i + 1 < sorted.length; i++) {
      // The median may be 0, for example of errors; then the upper half determines what is typical.
      if (sorted[i] > 0 && sorted[i + 1] > gap * sorted[i]) {
        return i;
      }
    }
    return sorted.length - 1;
  }

  /** Clamps a value to the range. */
  double clamp(double value) {
    return Math.clamp(value, min, max);
  }

  /** Formats the label of a tick. */
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
