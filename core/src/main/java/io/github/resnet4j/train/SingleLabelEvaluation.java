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
 * @param examples the images
 * @param outcomes the results of those that could be read; about 60 bytes each, and the
 *     probabilities if there are any
 */
public record SingleLabelEvaluation(
    List<String> classes,
    long[][] confusion,
    long[] top5Correct,
    List<Example> examples,
    List<Outcome> outcomes)
    implements Evaluation {
  private static final int TOP = 5;

  /** With more classes than these, probabilities of all classes are not kept. */
  public static final int MAX_CURVES = 200;

  /** More probabilities than these, 256 MB, are not kept. */
  private static final long MAX_PROBABILITIES = 1L << 26;

  private static final float[] NONE = {};

  /**
   * The prediction for an image.
   *
   * @param image its index in {@link #examples}
   * @param truth the index of the true class; of several right ones the most likely one
   * @param predicted the index of the most likely class
   * @param probability the probability of the most likely class
   * @param truthProbability the probability of the true class
   * @param probabilities those of all classes; empty if there are more than {@link #MAX_CURVES}, or
   *     for all images more than 256 MB
   */
  @SuppressWarnings("ArrayRecordComponent") // one of many
  public record Outcome(
      int image,
      int truth,
      int predicted,
      double probability,
      double truthProbability,
      float[] probabilities) {
    /** Whether the most likely class is the true one. */
    public boolean isCorrect() {
      return predicted == truth;
    }
  }

  /** The image of an outcome. */
  public Example example(Outcome outcome) {
    return examples.get(outcome.image);
  }

  static SingleLabelEvaluation empty(Model model, List<Example> examples) {
    int classes = model.labels().size();
    return new SingleLabelEvaluation(
        model.labels(), new long[classes][classes], new long[classes], examples, new ArrayList<>());
  }

  /**
   * Adds an image. Of equally likely classes the first counts as more likely.
   *
   * @param image its index
   * @param truth the index of its class
   */
  void add(int image, int truth, float[] probabilities) {
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
    boolean keeps =
        probabilities.length <= MAX_CURVES
            && (long) probabilities.length * examples.size() <= MAX_PROBABILITIES;
    outcomes.add(
        new Outcome(
            image,
            truth,
            best,
            probabilities[best],
            probabilities[truth],
            keeps ? probabilities.clone() : NONE));
  }

  /**
   * Adds an image with several right classes, of which the most likely one counts as the true one.
   */
  void add(int image, List<Integer> right, float[] probabilities) {
    int truth = right.getFirst();
    for (int k : right) {
      truth = probabilities[k] > probabilities[truth] ? k : truth;
    }
    add(image, truth, probabilities);
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
      differences[bin(outcome, bins)] +=
          outcome.probability - (outcome.predicted == outcome.truth() ? 1 : 0);
    }
    return Arrays.stream(differences).map(Math::abs).sum() / outcomes.size();
  }

  /**
   * Images whose most likely class has a similar probability.
   *
   * @param confidence the mean of this probability
   * @param accuracy the fraction of these images that are predicted correctly
   * @param count the number of images
   */
  public record ReliabilityBin(double confidence, double accuracy, int count) {}

  /** The groups of {@link #calibrationError} that have images, by increasing probability. */
  public List<ReliabilityBin> reliability(int bins) {
    double[] confidence = new double[bins];
    int[] correct = new int[bins];
    int[] counts = new int[bins];
    for (Outcome outcome : outcomes) {
      int bin = bin(outcome, bins);
      confidence[bin] += outcome.probability;
      correct[bin] += outcome.isCorrect() ? 1 : 0;
      counts[bin]++;
    }
    return IntStream.range(0, bins)
        .filter(bin -> counts[bin] > 0)
        .mapToObj(bin ->
            new ReliabilityBin(
                confidence[bin] / counts[bin], (double) correct[bin] / counts[bin], counts[bin]))
        .toList();
  }

  private static int bin(Outcome outcome, int bins) {
    int bin = (int) Math.ceil(outcome.probability * bins) - 1; // upper ends belong to a bin
    return Math.clamp(bin, 0, bins - 1);
  }

  /** Whether the probabilities of all classes are known, for {@link #rocCurve}. */
  public boolean hasCurves() {
    return !outcomes.isEmpty() && outcomes.getFirst().probabilities.length == classes.size();
  }

  /** The {@link Metrics#rocCurve} of a class against all others. */
  public Metrics.RocCurve rocCurve(int label) {
    return Metrics.rocCurve(probabilities(label), truths(label));
  }

  /** The {@link Metrics#rocAuc} of a class against all others; NaN without its images. */
  public double rocAuc(int label) {
    return Metrics.rocAuc(probabilities(label), truths(label));
  }

  private double[] probabilities(int label) {
    return outcomes.stream().mapToDouble(outcome -> outcome.probabilities[label]).toArray();
  }

  private boolean[] truths(int label) {
    boolean[] truths = new boolean[outcomes.size()];
    for (int i = 0; i < truths.length; i++) {
      truths[i] = outcomes.get(i).truth == label;
    }
    return truths;
  }

  /**
   * Correct and incorrect predictions of the classes that occur or are predicted: those of
   * scikit-learn's macro averages.
   */
  public List<Counts> counts() {
    return IntStream.range(0, classes.size())
        .mapToObj(this::counts)
        .filter(counts -> counts.support() + counts.falsePositives() > 0)
        .toList();
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
