package io.github.resnet4j.train;

import io.github.resnet4j.Classifier;
import io.github.resnet4j.Model;
import io.github.resnet4j.Prediction;
import io.github.resnet4j.image.Image;
import io.github.resnet4j.tensor.Tensor;
import io.github.resnet4j.train.Dataset.Example;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.function.Consumer;
import java.util.function.IntConsumer;
import java.util.stream.IntStream;

/**
 * The quality of a model on images with known classes.
 *
 * @param classes the model's labels
 * @param confusion the confusion matrix {@code [true class][predicted class]}: numbers of images
 * @param top5Correct for each class the number of images whose class is among the five most likely
 *     ones
 * @param outcomes the result of each image
 */
public record Evaluation(
    List<String> classes, long[][] confusion, long[] top5Correct, List<Outcome> outcomes) {
  private static final int BATCH = 16;
  private static final int TOP = 5;

  /**
   * The prediction for an image.
   *
   * @param predicted the index of the most likely class
   * @param probability the probability of the most likely class
   * @param truthProbability the probability of the true class
   */
  public record Outcome(
      Example example, int predicted, double probability, double truthProbability) {}

  /**
   * Evaluates a model on images, on all cores; unreadable images are skipped.
   *
   * @param examples the images; their labels are indices into the model's labels
   */
  public static Evaluation of(Model model, List<Example> examples) {
    try (var classifier = Classifier.of(model)) {
      return of(classifier, examples);
    }
  }

  /** The same for a classifier. */
  public static Evaluation of(Classifier classifier, List<Example> examples) {
    return of(classifier, examples, _ -> {}, _ -> {});
  }

  /**
   * The same with reports of the progress.
   *
   * @param progress receives the number of processed images
   * @param unreadable receives the errors of unreadable images
   * @throws IllegalArgumentException if the network has no head
   */
  public static Evaluation of(
      Classifier classifier,
      List<Example> examples,
      IntConsumer progress,
      Consumer<IOException> unreadable) {
    Model model = classifier.model().requireHead();
    int classes = model.labels().size();
    var evaluation =
        new Evaluation(
            model.labels(), new long[classes][classes], new long[classes], new ArrayList<>());
    for (int i = 0; i < examples.size(); i += BATCH) {
      List<Example> some = examples.subList(i, Math.min(examples.size(), i + BATCH));
      Classifier.Batch batch =
          classifier.prepare(
              some.stream()
                  .map(example -> Image.of(example.name(), _ -> example.source().read()))
                  .toList());
      Tensor logits = classifier.run(batch.input()).logits().orElseThrow();
      List<List<Prediction>> predictions = model.top(logits, classes);
      for (int n = 0; n < some.size(); n++) {
        if (batch.errors().get(n).isPresent()) {
          unreadable.accept(batch.errors().get(n).get());
          continue;
        }
        int truth = some.get(n).label();
        List<Prediction> all = predictions.get(n);
        int rank = 0;
        while (all.get(rank).index() != truth) {
          rank++;
        }
        Prediction best = all.getFirst();
        evaluation.confusion[truth][best.index()]++;
        evaluation.top5Correct[truth] += rank < TOP ? 1 : 0;
        evaluation.outcomes.add(
            new Outcome(
                some.get(n), best.index(), best.probability(), all.get(rank).probability()));
      }
      progress.accept(i + some.size());
    }
    return evaluation;
  }

  /** The number of images of a class. */
  public long count(int label) {
    return Arrays.stream(confusion[label]).sum();
  }

  /** The number of images. */
  public long count() {
    return IntStream.range(0, confusion.length).mapToLong(this::count).sum();
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
    long taken = IntStream.range(0, confusion.length).mapToLong(k -> confusion[k][label]).sum();
    return (double) confusion[label][label] / taken;
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
