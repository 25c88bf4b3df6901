package io.github.resnet4j.kernel;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.HashMap;
import java.util.Map;

/**
 * The expected content of an array after a kernel: sums in double precision, each with the
 * tolerance of a sum in single precision; all other elements must be unchanged, bit for bit.
 *
 * <p>The tolerance is from numerical analysis (Higham, Accuracy and Stability of Numerical
 * Algorithms, section 3.1): every rounding has an error of at most u = 2⁻²⁴ of its result, so a sum
 * of n products, in any order, has an error of at most about (n + k) u times the sum of the
 * products' magnitudes, where k counts the roundings besides the additions.
 */
final class Truth {
  /** The unit roundoff of floats. */
  static final double U = 0x1p-24;

  /** Smaller floats are denormal, and a rounding has an error of more than u of its result. */
  private static final double TINY = 0x1p-126;

  private final float[] before;
  private final Map<Integer, Sum> expected = new HashMap<>();

  Truth(float[] before) {
    this.before = before.clone();
  }

  /** A sum, and its tolerance in single precision. */
  static final class Sum {
    double value;
    double magnitude;
    int roundings;

    /** Error in addition to the roundings of the sum. */
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

  /** A number that is copied, or rounded only once. */
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

  /** A sum that starts with the existing value. */
  Sum more(int at) {
    return expected.computeIfAbsent(at, _ -> sum().add(before[at]));
  }

  /** Fails if an array has other values. */
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
