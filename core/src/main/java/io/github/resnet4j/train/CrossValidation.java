package io.github.resnet4j.train;

import io.github.resnet4j.Task;
import io.github.resnet4j.tensor.TorchRandom;
import io.github.resnet4j.train.Dataset.Example;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;

/**
 * Divides training images into folds, each of which is held out once. The folds are those of
 * scikit-learn's {@code StratifiedKFold} for images of one class each, so that each fold has the
 * same fraction of each class, and of {@code KFold} for others; both with {@code shuffle=True} and
 * the seed as {@code random_state}.
 */
public final class CrossValidation {
  private CrossValidation() {}

  /**
   * The data sets of a cross-validation: one for each fold, which is its validation images; its
   * training images are those of the other folds.
   *
   * @param data its training images are divided; its validation images are not used
   * @param count the number of folds, at least 2
   * @throws IllegalArgumentException if a class has fewer images than there are folds
   */
  public static List<Dataset> folds(Dataset data, int count, long seed) {
    List<Example> images = data.train();
    if (count < 2 || count > images.size()) {
      throw new IllegalArgumentException(
          "%d folds of %,d images: there must be at least 2 folds, with at least one image each"
              .formatted(count, images.size()));
    }
    int[] fold;
    if (data.task() instanceof Task.SingleLabel) {
      long[] counts = data.counts(images);
      for (int k = 0; k < counts.length; k++) {
        if (counts[k] < count) {
          throw new IllegalArgumentException(
              "class '%s' has %d images, fewer than the %d folds"
                  .formatted(data.classes().get(k), counts[k], count));
        }
      }
      fold = stratified(images.stream().map(Example::label).toList(), count, seed);
    } else {
      fold = plain(images.size(), count, seed);
    }
    return IntStream.range(0, count)
        .mapToObj(each ->
            new Dataset(
                data.classes(), part(images, fold, each, false), part(images, fold, each, true)))
        .toList();
  }

  private static List<Example> part(List<Example> all, int[] fold, int which, boolean held) {
    return IntStream.range(0, all.size())
        .filter(i -> (fold[i] == which) == held)
        .mapToObj(all::get)
        .toList();
  }

  /** The fold of each image. */
  static int[] stratified(List<Integer> labels, int count, long seed) {
    var classes = new LinkedHashMap<Integer, List<Integer>>(); // by the first image of each
    for (int i = 0; i < labels.size(); i++) {
      classes.computeIfAbsent(labels.get(i), _ -> new ArrayList<>()).add(i);
    }
    TorchRandom random = TorchRandom.manualSeed(seed);
    int[] fold = new int[labels.size()];
    int before = 0; // images of earlier classes
    for (Map.Entry<Integer, List<Integer>> entry : classes.entrySet()) {
      List<Integer> images = entry.getValue();
      // Sorted by class, every count-th image belongs to the same fold.
      int[] sizes = new int[count];
      for (int i = 0; i < images.size(); i++) {
        sizes[(before + i) % count]++;
      }
      before += images.size();
      int[] folds =
          IntStream.range(0, count)
              .flatMap(each -> IntStream.generate(() -> each).limit(sizes[each]))
              .toArray();
      shuffle(folds, random);
      for (int i = 0; i < folds.length; i++) {
        fold[images.get(i)] = folds[i];
      }
    }
    return fold;
  }

  /** The fold of each image. */
  static int[] plain(int size, int count, long seed) {
    int[] order = IntStream.range(0, size).toArray();
    shuffle(order, TorchRandom.manualSeed(seed));
    int[] fold = new int[size];
    int at = 0;
    for (int each = 0; each < count; each++) {
      int end = at + size / count + (each < size % count ? 1 : 0);
      while (at < end) {
        fold[order[at++]] = each;
      }
    }
    return fold;
  }

  /** The shuffle of numpy's {@code RandomState}, whose generator is PyTorch's, too. */
  private static void shuffle(int[] values, TorchRandom random) {
    for (int i = values.length - 1; i > 0; i--) {
      int mask = (Integer.highestOneBit(i) << 1) - 1;
      int j = random.nextBits() & mask;
      while (j > i) {
        j = random.nextBits() & mask;
      }
      int value = values[i];
      values[i] = values[j];
      values[j] = value;
    }
  }
}
