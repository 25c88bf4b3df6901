package io.github.resnet4j.train;

import io.github.resnet4j.Model;
import io.github.resnet4j.train.Dataset.Example;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.stream.IntStream;

/**
 * The quality of a model on images of one class each.
 *
 * @param classes the model's labels
 * @param confusion the confusion matrix {@code [true class][predicted class]}: numbers of images
 * @param top5Correct for each class the number of images whose class is among the five most likely
 *     ones
 * @param outcomes the result of each image
 */
public record SingleLabelEvaluation(
    List<String> classes, long[][] confusion, long[] top5Correct, List<Outcome> outcomes)
    implements Evaluation {
  private static final int TOP = 5;

  /**
   * The prediction for an image.
   *
   * @param predicted the index of the most likely class
   * @param probability the probability of the most likely class
   * @param truthProbability the probability of the true class
   */
  public record Outcome(
      Example example, int predicted, double probability, double truthProbability) {
    /** The index of the true class. */
    int truth() {
      return example.label();
    }
  }

  static SingleLabelEvaluation empty(Model model) {
    int classes = model.labels().size();
    return new SingleLabelEvaluation(
        model.labels(), new long[classes][classes], new long[classes], new ArrayList<>());
  }

  /**
   * Adds an image. Of equally likely classes the first counts as more likely.
   *
   * @param truth the index of its class
   */
  void add(Example example, int truth, float[] probabilities) {
    int best = 0;
    int rank = 0;
    for (int k = 0; k < probabilities.length; k++) {
      best = probabilities[k] > probabilities[best] ? k : best;
      boolean before =
          probabilities[k] > probabilities[truth]
              || (probabilities[k] == probabilities[truth] && k < truth);
      rank += before ? 1 : 0;
    }
    confusion[truth][best]++;
    top5Correct[truth] += rank < TOP ? 1 : 0;
    outcomes.add(new Outcome(example, best, probabilities[best], probabilities[truth]));
  }

  /** The number of images of a class. */
  public long count(int label) {
    return Arrays.stream(confusion[label]).sum();
  }

  @Override
  public long count() {
    return IntStream.range(0, confusion.length).mapToLong(this::count).sum();
  }

  /** The accuracy. */
  @Override
  public double score() {
    return accuracy();
  }

  /** The top-1 accuracy: the fraction of images whose most likely class is the true one, 0 to 1. */
  public double accuracy() {
    return (double) IntStream.range(0, confusion.length).mapToLong(k -> confusion[k][k]).sum()
        / count();
  }

  /**
   * The top-5 accuracy: the fraction of images whose class is among the five most likely ones, 0 to
   * 1.
   */
  public double top5Accuracy() {
    return (double) Arrays.stream(top5Correct).sum() / count();
  }

  /**
   * The recall of a class: the fraction of its images that are predicted correctly, 0 to 1; NaN
   * without images.
   */
  public double recall(int label) {
    return (double) confusion[label][label] / count(label);
  }

  /**
   * The precision of a class: the fraction of images predicted as this class that belong to it, 0
   * to 1; NaN without such images.
   */
  public double precision(int label) {
    return (double) confusion[label][label] / countPredicted(label);
  }

  private long countPredicted(int label) {
    return Arrays.stream(confusion).mapToLong(row -> row[label]).sum();
  }

  /**
   * The expected calibration error (ECE, arXiv 1706.04599, section 2): images are grouped by the
   * probability of their most likely class, and the difference between its mean and the accuracy of
   * the group is averaged over the images.
   *
   * @param bins the number of groups of equal width; 15 is usual
   * @return 0 for a calibrated model, at most 1; NaN without images
   */
  public double calibrationError(int bins) {
    double[] differences = new double[bins]; // probabilities, less one for each correct image
    for (Outcome outcome : outcomes) {
      int bin = (int) Math.ceil(outcome.probability * bins) - 1; // upper ends belong to a bin
      differences[Math.clamp(bin, 0, bins - 1)] +=
          outcome.probability - (outcome.predicted == outcome.truth() ? 1 : 0);
    }
    return Arrays.stream(differences).map(Math::abs).sum() / outcomes.size();
  }

  /** Correct and incorrect predictions of a class. */
  public Counts counts(int label) {
    long correct = confusion[label][label];
    return new Counts(correct, countPredicted(label) - correct, count(label) - correct);
  }

  /** {@code Evaluation[360 images, top-1 99.4 %, top-5 100.0 %]}. */
  @Override
  public String toString() {
    return String.format(
        Locale.ROOT,
        "Evaluation[%d images, top-1 %.1f %%, top-5 %.1f %%]",
        count(),
        100 * accuracy(),
        100 * top5Accuracy());
  }
}
