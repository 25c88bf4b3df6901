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
 * How well a model does on images whose classes are known.
 *
 * @param classes the model's labels
 * @param confusion {@code [truth][prediction]}: how many images
 * @param topFive how many images of each class had it among the five most likely
 * @param outcomes each image's
 */
public record Evaluation(
    List<String> classes, long[][] confusion, long[] topFive, List<Outcome> outcomes) {
  private static final int BATCH = 16;
  private static final int TOP = 5;

  /**
   * What an image was taken for.
   *
   * @param predicted the index of the most likely class
   * @param probability of that class
   * @param truthProbability of the image's own class
   */
  public record Outcome(
      Example example, int predicted, double probability, double truthProbability) {}

  /**
   * Runs a model on images, on all cores; what cannot be read is left out.
   *
   * @param examples their labels are indices into the model's
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
   * The same with news of the progress.
   *
   * @param progress hears how many are done
   * @param unreadable hears what could not be read
   * @throws IllegalArgumentException if the network has no head
   */
  public static Evaluation of(
      Classifier classifier,
      List<Example> examples,
      IntConsumer progress,
      Consumer<IOException> unreadable) {
    Model model = classifier.model().requireHead();
    int classes = model.labels().size();
    var found =
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
        found.confusion[truth][best.index()]++;
        found.topFive[truth] += rank < TOP ? 1 : 0;
        found.outcomes.add(
            new Outcome(
                some.get(n), best.index(), best.probability(), all.get(rank).probability()));
      }
      progress.accept(i + some.size());
    }
    return found;
  }

  /** Images of a class. */
  public long count(int label) {
    return Arrays.stream(confusion[label]).sum();
  }

  /** All images. */
  public long count() {
    return IntStream.range(0, confusion.length).mapToLong(this::count).sum();
  }

  /** The part of the images whose most likely class was right, 0 to 1. */
  public double accuracy() {
    return (double) IntStream.range(0, confusion.length).mapToLong(k -> confusion[k][k]).sum()
        / count();
  }

  /** The part of the images whose class was among the five most likely, 0 to 1. */
  public double topFiveAccuracy() {
    return (double) Arrays.stream(topFive).sum() / count();
  }

  /** Of the images of a class, the part that was found, 0 to 1; NaN without any. */
  public double recall(int label) {
    return (double) confusion[label][label] / count(label);
  }

  /** Of the images that were taken for a class, the part that is of it, 0 to 1; NaN without any. */
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
        100 * topFiveAccuracy());
  }
}
