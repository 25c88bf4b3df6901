package io.github.resnet4j.train;

import io.github.resnet4j.train.Dataset.Example;
import java.util.List;
import java.util.Locale;
import java.util.stream.IntStream;

/**
 * The quality of a model that predicts numbers.
 *
 * @param classes the names of the numbers
 * @param outcomes the result of each image
 */
public record RegressionEvaluation(List<String> classes, List<Outcome> outcomes)
    implements Evaluation {
  /**
   * The prediction for an image.
   *
   * @param values the predicted numbers, in the order of the names
   */
  @SuppressWarnings("ArrayRecordComponent") // one of many
  public record Outcome(Example example, float[] values) {
    /** The difference between a predicted number and the true one. */
    public double error(int number) {
      return (double) values[number] - ((Target.Values) example.target()).values().get(number);
    }
  }

  @Override
  public long count() {
    return outcomes.size();
  }

  /** The mean over all numbers of the {@linkplain #meanAbsoluteError(int) mean absolute error}. */
  @Override
  public double score() {
    return IntStream.range(0, classes.size())
        .mapToDouble(this::meanAbsoluteError)
        .average()
        .orElse(Double.NaN);
  }

  /** The mean over the images of a number's absolute error; NaN without images. */
  public double meanAbsoluteError(int number) {
    return outcomes.stream()
        .mapToDouble(outcome -> Math.abs(outcome.error(number)))
        .average()
        .orElse(Double.NaN);
  }

  /** The square root of the mean squared error of a number; NaN without images. */
  public double rootMeanSquaredError(int number) {
    return Math.sqrt(meanSquaredError(number));
  }

  private double meanSquaredError(int number) {
    return outcomes.stream()
        .mapToDouble(outcome -> outcome.error(number) * outcome.error(number))
        .average()
        .orElse(Double.NaN);
  }

  /**
   * The coefficient of determination R² of a number: 1 is perfect, 0 as good as its mean; NaN if
   * all true numbers are equal.
   */
  public double r2(int number) {
    double[] truths =
        outcomes.stream()
            .mapToDouble(outcome -> outcome.values[number] - outcome.error(number))
            .toArray();
    double mean = IntStream.range(0, truths.length).mapToDouble(i -> truths[i]).average().orElse(0);
    double variance = 0;
    for (double truth : truths) {
      variance += (truth - mean) * (truth - mean) / truths.length;
    }
    return variance == 0 ? Double.NaN : 1 - meanSquaredError(number) / variance;
  }

  /** {@code Evaluation[360 images, mean absolute error 2.31]}. */
  @Override
  public String toString() {
    return String.format(
        Locale.ROOT, "Evaluation[%d images, mean absolute error %.4g]", count(), score());
  }
}
