package io.github.resnet4j.train;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Random;

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
  BALANCED;

  /**
   * The indices of an epoch's images.
   *
   * @param seed the random seed of the epoch
   */
  List<Integer> order(Dataset data, long seed) {
    int count = data.train().size();
    var order = new ArrayList<Integer>();
    var random = new Random(seed);
    if (this == UNIFORM) {
      for (int i = 0; i < count; i++) {
        order.add(i);
      }
      Collections.shuffle(order, random);
      return order;
    }
    double[] ends = weightSums(data);
    for (int i = 0; i < count; i++) {
      int at = Arrays.binarySearch(ends, random.nextDouble() * ends[count - 1]);
      order.add(Math.min(count - 1, at < 0 ? -at - 1 : at + 1));
    }
    return order;
  }

  /** For each image the sum of the weights up to it. */
  private static double[] weightSums(Dataset data) {
    long[] counts = data.counts(data.train());
    long unlabelled =
        data.train().stream().filter(each -> each.target().classes().isEmpty()).count();
    double[] sums = new double[data.train().size()];
    double sum = 0;
    for (int i = 0; i < sums.length; i++) {
      long rarest =
          data.train().get(i).target().classes().stream()
              .mapToLong(label -> counts[label])
              .min()
              .orElse(unlabelled);
      sum += 1.0 / rarest;
      sums[i] = sum;
    }
    return sums;
  }
}
