package io.github.resnet4j.train;

import io.github.resnet4j.train.Dataset.Example;
import java.util.List;
import java.util.Locale;
import java.util.stream.IntStream;

/**
 * The quality of a model on images with any number of classes.
 *
 * @param classes the model's labels
 * @param thresholds for each class the probability from which it is predicted
 * @param outcomes the result of each image
 */
public record MultiLabelEvaluation(
    List<String> classes, List<Float> thresholds, List<Outcome> outcomes) implements Evaluation {
  /**
   * The prediction for an image.
   *
   * @param probabilities one for each class
   */
  @SuppressWarnings("ArrayRecordComponent") // one of many
  public record Outcome(Example example, float[] probabilities) {}

  @Override
  public long count() {
    return outcomes.size();
  }

  /** The mean average precision (mAP) over the classes that have images, 0 to 1. */
  @Override
  public double score() {
    return IntStream.range(0, classes.size())
        .mapToDouble(this::averagePrecision)
        .filter(value -> !Double.isNaN(value))
        .average()
        .orElse(Double.NaN);
  }

  /** The {@link Metrics#averagePrecision} of a class; NaN if no image has it. */
  public double averagePrecision(int label) {
    return Metrics.averagePrecision(probabilities(label), truths(label));
  }

  /** The {@link Metrics#rocAuc} of a class; NaN if no image has it, or all have it. */
  public double rocAuc(int label) {
    return Metrics.rocAuc(probabilities(label), truths(label));
  }

  /** The {@link Metrics#rocCurve} of a class. */
  public Metrics.RocCurve rocCurve(int label) {
    return Metrics.rocCurve(probabilities(label), truths(label));
  }

  /** Correct and incorrect predictions of all classes, with their thresholds. */
  public List<Counts> counts() {
    return IntStream.range(0, classes.size()).mapToObj(this::counts).toList();
  }

  /** Correct and incorrect predictions of a class, with its threshold. */
  public Counts counts(int label) {
    double[] probabilities = probabilities(label);
    boolean[] truths = truths(label);
    long[] counts = new long[3];
    for (int i = 0; i < truths.length; i++) {
      boolean predicted = probabilities[i] >= thresholds.get(label);
      if (predicted || truths[i]) {
        counts[predicted ? (truths[i] ? 0 : 1) : 2]++;
      }
    }
    return new Counts(counts[0], counts[1], counts[2]);
  }

  private double[] probabilities(int label) {
    return outcomes.stream().mapToDouble(outcome -> outcome.probabilities[label]).toArray();
  }

  private boolean[] truths(int label) {
    boolean[] truths = new boolean[outcomes.size()];
    for (int i = 0; i < truths.length; i++) {
      truths[i] = outcomes.get(i).example.target().classes().contains(label);
    }
    return truths;
  }

  /**
   * For each class the threshold with the highest F1 on these images; 0.5 for classes without any.
   */
  public List<Float> bestThresholds() {
    return IntStream.range(0, classes.size())
        .mapToObj(label -> (float) Metrics.bestThreshold(probabilities(label), truths(label)))
        .toList();
  }

  /** {@code Evaluation[360 images, mAP 91.3 %]}. */
  @Override
  public String toString() {
    return String.format(Locale.ROOT, "Evaluation[%d images, mAP %.1f %%]", count(), 100 * score());
  }
}
