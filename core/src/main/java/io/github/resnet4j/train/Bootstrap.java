package io.github.resnet4j.train;

import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.function.Function;

/** Confidence intervals of evaluations by the percentile bootstrap (B. Efron, 1979). */
public final class Bootstrap {
  private static final double CONFIDENCE = 0.95;

  private Bootstrap() {}

  /** An interval that contains the true value with a probability of about 95 %. */
  public record Interval(double low, double high) {}

  /**
   * The interval of an evaluation's {@link Evaluation#score()}: images are drawn with replacement,
   * as many as there are, and the score is computed again.
   *
   * @param resamples how often this is done; 1,000 is usual
   * @param seed the random seed
   * @throws IllegalArgumentException if there are no images, or the number of resamples is not
   *     positive
   */
  public static Interval interval(Evaluation evaluation, int resamples, long seed) {
    return switch (evaluation) {
      case SingleLabelEvaluation single ->
          interval(single.outcomes(), Bootstrap::accuracy, resamples, seed);
      case MultiLabelEvaluation several ->
          interval(
              several.outcomes(),
              sample ->
                  new MultiLabelEvaluation(several.classes(), several.thresholds(), sample).score(),
              resamples,
              seed);
      case RegressionEvaluation numbers ->
          interval(
              numbers.outcomes(),
              sample -> new RegressionEvaluation(numbers.classes(), sample).score(),
              resamples,
              seed);
    };
  }

  private static double accuracy(List<SingleLabelEvaluation.Outcome> sample) {
    long correct = sample.stream().filter(SingleLabelEvaluation.Outcome::isCorrect).count();
    return (double) correct / sample.size();
  }

  private static <T> Interval interval(
      List<T> outcomes, Function<List<T>, Double> score, int resamples, long seed) {
    if (outcomes.isEmpty() || resamples < 1) {
      throw new IllegalArgumentException(
          "%d resamples of %d images: both must be positive".formatted(resamples, outcomes.size()));
    }
    var random = new Random(seed);
    double[] scores = new double[resamples];
    for (int i = 0; i < resamples; i++) {
      scores[i] =
          score.apply(
              random.ints(outcomes.size(), 0, outcomes.size()).mapToObj(outcomes::get).toList());
    }
    Arrays.sort(scores);
    return new Interval(
        quantile(scores, (1 - CONFIDENCE) / 2), quantile(scores, (1 + CONFIDENCE) / 2));
  }

  /** Interpolates linearly, as NumPy does. */
  private static double quantile(double[] sorted, double fraction) {
    double at = fraction * (sorted.length - 1);
    int before = (int) at;
    int after = Math.min(sorted.length - 1, before + 1);
    return sorted[before] + (at - before) * (sorted[after] - sorted[before]);
  }
}
