package io.github.resnet4j.kernel;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.HashMap;
import java.util.Map;

/**
 * What an array should hold after a kernel has run: sums in double precision, each with what a sum
 * in single precision may differ by, and beside them what was there before, bit for bit.
 *
 * <p>The tolerance is the one of numerical analysis (Higham, Accuracy and Stability of Numerical
 * Algorithms, section 3.1): every rounding is off by at most u = 2⁻²⁴ of its result, so a sum of n
 * products, in whatever order, is off by at most about (n + k) u times the sum of the products'
 * magnitudes, where k counts what is rounded beside the additions.
 */
final class Truth {
  /** The unit roundoff of floats. */
  static final double U = 0x1p-24;

  /** Below it floats are denormal, and a rounding is off by more than u of its result. */
  private static final double TINY = 0x1p-126;

  private final float[] before;
  private final Map<Integer, Sum> expected = new HashMap<>();

  Truth(float[] before) {
    this.before = before.clone();
  }

  /** A sum, and how exact a float can be that stands for it. */
  static final class Sum {
    double value;
    double magnitude;
    int roundings;

    /** What is off beside the roundings of the sum. */
    double more;

    Sum add(double term) {
      value += term;
      magnitude += Math.abs(term);
      roundings++;
      return this;
    }

    Sum addProduct(double a, double b) {
      return add(a * b);
    }

    Sum round(int times) {
      roundings += times;
      return this;
    }

    Sum offBy(double difference) {
      more += difference;
      return this;
    }

    /** Negative results become zero, NaN stays. */
    Sum relu(boolean asked) {
      value = asked && value < 0 ? 0 : value;
      return this;
    }

    double tolerance() {
      return roundings == 0 ? more : roundings * (1 + roundings * U) * U * magnitude + more + TINY;
    }
  }

  static Sum sum() {
    return new Sum();
  }

  /** A number that is not calculated, or rounded once only. */
  static Sum exactly(float value) {
    Sum sum = sum();
    sum.value = value;
    return sum;
  }

  /** A number that the kernel reads. */
  double get(int at) {
    return before[at];
  }

  void expect(int at, Sum sum) {
    expected.put(at, sum);
  }

  /** A sum that begins with what is there. */
  Sum more(int at) {
    return expected.computeIfAbsent(at, _ -> sum().add(before[at]));
  }

  /** Fails where an array holds something else. */
  void check(float[] actual, String what) {
    for (int i = 0; i < actual.length; i++) {
      Sum sum = expected.get(i);
      if (sum == null) {
        if (Float.floatToRawIntBits(before[i]) != Float.floatToRawIntBits(actual[i])) {
          assertEquals(
              before[i], actual[i], "%s: written beside its results, %d".formatted(what, i));
        }
      } else {
        check(sum, actual[i], what, i);
      }
    }
  }

  static void check(Sum sum, double actual, String what, int at) {
    boolean same =
        Double.isFinite(sum.value)
            ? Math.abs(actual - sum.value) <= sum.tolerance()
            : Double.compare(sum.value, actual) == 0;
    assertTrue(
        same,
        () ->
            "%s at %d: %s, not %s; at most %s away"
                .formatted(what, at, actual, sum.value, sum.tolerance()));
  }
}
