package io.github.resnet4j.train;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.stream.IntStream;

/** Metrics of scores with known truths, as scikit-learn defines them. */
public final class Metrics {
  private Metrics() {}

  /** The indices of scores in descending order. */
  private static int[] descending(double[] scores) {
    return IntStream.range(0, scores.length)
        .boxed()
        .sorted(Comparator.comparing((Integer i) -> -scores[i]))
        .mapToInt(Integer::intValue)
        .toArray();
  }

  private static int count(boolean[] truths) {
    return (int) IntStream.range(0, truths.length).filter(i -> truths[i]).count();
  }

  /**
   * The average precision: the mean of the precision at each threshold, weighted by the increase of
   * recall ({@code average_precision_score}).
   *
   * @param scores the higher, the more likely
   * @return 0 to 1; NaN if no truth is true
   */
  public static double averagePrecision(double[] scores, boolean[] truths) {
    int[] order = descending(scores);
    double sum = 0;
    long correct = 0;
    long before = 0;
    for (int i = 0; i < order.length; i++) {
      correct += truths[order[i]] ? 1 : 0;
      if (i + 1 == order.length || scores[order[i + 1]] != scores[order[i]]) {
        sum += (double) (correct - before) * correct / (i + 1);
        before = correct;
      }
    }
    return sum / count(truths);
  }

  /**
   * The area under the ROC curve: the probability that a true one has a higher score than a false
   * one, where equal scores count half ({@code roc_auc_score}).
   *
   * @return 0 to 1; NaN if all truths are equal
   */
  public static double rocAuc(double[] scores, boolean[] truths) {
    int[] order = descending(scores);
    double ranks = 0; // of the true ones, from the lowest score, counted from 1
    for (int i = 0; i < order.length; ) {
      int end = i + 1;
      while (end < order.length && scores[order[end]] == scores[order[i]]) {
        end++;
      }
      double rank = order.length - (i + end - 1) / 2.0;
      for (; i < end; i++) {
        ranks += truths[order[i]] ? rank : 0;
      }
    }
    double positives = count(truths);
    double negatives = truths.length - positives;
    return (ranks - positives * (positives + 1) / 2) / (positives * negatives);
  }

  /**
   * The points of a ROC curve, from the highest threshold to the lowest; the first one is (0, 0).
   *
   * @param falsePositiveRates false ones above the threshold, a fraction of the false ones
   * @param truePositiveRates true ones above the threshold, a fraction of the true ones
   */
  public record RocCurve(List<Double> falsePositiveRates, List<Double> truePositiveRates) {}

  /**
   * The ROC curve, with a point for each different score ({@code roc_curve} without {@code
   * drop_intermediate}).
   */
  public static RocCurve rocCurve(double[] scores, boolean[] truths) {
    int[] order = descending(scores);
    double positives = count(truths);
    double negatives = truths.length - positives;
    var falseRates = new ArrayList<Double>(List.of(0.0));
    var trueRates = new ArrayList<Double>(List.of(0.0));
    int correct = 0;
    for (int i = 0; i < order.length; i++) {
      correct += truths[order[i]] ? 1 : 0;
      if (i + 1 == order.length || scores[order[i + 1]] != scores[order[i]]) {
        falseRates.add((i + 1 - correct) / negatives);
        trueRates.add(correct / positives);
      }
    }
    return new RocCurve(List.copyOf(falseRates), List.copyOf(trueRates));
  }

  /**
   * The threshold from which on scores count as true, with the highest F1; of equal ones the
   * highest. It lies in the middle between two scores, so that scores may change a little.
   *
   * @param scores probabilities, in [0, 1]
   * @return 0.5 if no truth is true
   */
  static double bestThreshold(double[] scores, boolean[] truths) {
    int[] order = descending(scores);
    int positives = count(truths);
    double best = 0;
    double threshold = 0.5;
    int correct = 0;
    for (int i = 0; i < order.length; i++) {
      correct += truths[order[i]] ? 1 : 0;
      double next = i + 1 == order.length ? 0 : scores[order[i + 1]];
      double f1 = 2.0 * correct / (positives + i + 1);
      if (next != scores[order[i]] && f1 > best) {
        best = f1;
        threshold = (scores[order[i]] + next) / 2;
      }
    }
    return threshold;
  }
}
