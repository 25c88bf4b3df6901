package io.github.resnet4j.train;

import java.util.List;
import java.util.function.ToDoubleFunction;

/**
 * The numbers of correct and incorrect predictions of a class. All fractions are 0 if their
 * denominator is, as scikit-learn's by default.
 *
 * @param truePositives images of the class that were predicted as such
 * @param falsePositives images of other classes that were predicted as this class
 * @param falseNegatives images of the class that were not predicted as such
 */
public record Counts(long truePositives, long falsePositives, long falseNegatives) {
  /** The number of images that have the class. */
  public long support() {
    return truePositives + falseNegatives;
  }

  /** The fraction of images predicted as this class that belong to it, 0 to 1. */
  public double precision() {
    return fraction(truePositives, truePositives + falsePositives);
  }

  /** The fraction of the class's images that were predicted as such, 0 to 1. */
  public double recall() {
    return fraction(truePositives, support());
  }

  /** The harmonic mean of precision and recall, 0 to 1. */
  public double f1() {
    return fraction(2 * truePositives, 2 * truePositives + falsePositives + falseNegatives);
  }

  private static double fraction(long part, long all) {
    return all == 0 ? 0 : (double) part / all;
  }

  /** The mean of a metric over classes, for macro averages; NaN without classes. */
  public static double mean(List<Counts> all, ToDoubleFunction<Counts> metric) {
    return all.stream().mapToDouble(metric).average().orElse(Double.NaN);
  }

  /** The counts of all classes together, for micro averages. */
  public static Counts sum(List<Counts> all) {
    return new Counts(
        all.stream().mapToLong(Counts::truePositives).sum(),
        all.stream().mapToLong(Counts::falsePositives).sum(),
        all.stream().mapToLong(Counts::falseNegatives).sum());
  }
}
