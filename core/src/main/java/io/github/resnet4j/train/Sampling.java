package io.github.resnet4j.train;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Random;
import java.util.function.IntToDoubleFunction;
import org.jspecify.annotations.Nullable;

/** Which training images an epoch has, and in which order. */
public enum Sampling {
  /** Every image once. */
  UNIFORM,

  /**
   * As many images as there are, drawn with replacement so that all classes are equally frequent
   * (PyTorch's {@code WeightedRandomSampler} with one over the number of images of the class). An
   * image with several labels is drawn as often as its rarest class asks for; images without labels
   * are a class of their own.
   */
  BALANCED,

  /**
   * As many images as there are, drawn with replacement, each as often as its {@linkplain
   * Dataset.Example#weight weight} says (PyTorch's {@code WeightedRandomSampler}).
   */
  WEIGHTED;

  /**
   * The indices of an epoch's images. Of {@linkplain ShardedExamples shards}, images are shuffled
   * or drawn within windows.
   *
   * @param seed the random seed of the epoch
   */
  List<Integer> order(Dataset data, long seed) {
    @Nullable IntToDoubleFunction weight =
        switch (this) {
          case UNIFORM -> null;
          case BALANCED -> weights(data);
          case WEIGHTED -> i -> data.train().get(i).weight();
        };
    if (data.train() instanceof ShardedExamples shards) {
      return new WindowOrder(shards, seed, weight);
    }
    int count = data.train().size();
    var order = new ArrayList<Integer>();
    var random = new Random(seed);
    if (weight == null) {
      for (int i = 0; i < count; i++) {
        order.add(i);
      }
      Collections.shuffle(order, random);
      return order;
    }
    double[] sums = sums(count, weight);
    for (int i = 0; i < count; i++) {
      order.add(draw(sums, random.nextDouble()));
    }
    return order;
  }

  /** One over the number of images of the rarest class of an image. */
  private static IntToDoubleFunction weights(Dataset data) {
    long[] counts = data.counts(data.train());
    long unlabelled =
        data.train().stream().filter(each -> each.target().classes().isEmpty()).count();
    return i ->
        1.0
            / data.train().get(i).target().classes().stream()
                .mapToLong(label -> counts[label])
                .min()
                .orElse(unlabelled);
  }

  /** For each image the sum of the weights up to it. */
  static double[] sums(int count, IntToDoubleFunction weight) {
    double[] sums = new double[count];
    double sum = 0;
    for (int i = 0; i < count; i++) {
      sum += weight.applyAsDouble(i);
      sums[i] = sum;
    }
    return sums;
  }

  /**
   * The image at a random place.
   *
   * @param place in [0, 1)
   */
  static int draw(double[] sums, double place) {
    int at = Arrays.binarySearch(sums, place * sums[sums.length - 1]);
    return Math.min(sums.length - 1, at < 0 ? -at - 1 : at + 1);
  }
}
