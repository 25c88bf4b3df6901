package io.github.resnet4j.train;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.resnet4j.image.Pixels;
import io.github.resnet4j.train.Dataset.Example;
import java.util.ArrayList;
import java.util.List;
import java.util.function.IntFunction;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

class SamplingTest {
  private static Dataset data(int count, IntFunction<Target> target) {
    var examples = new ArrayList<Example>();
    for (int i = 0; i < count; i++) {
      examples.add(new Example("i" + i, target.apply(i), () -> new Pixels(1, 1, 3, new byte[3])));
    }
    return new Dataset(List.of("a", "b", "c"), examples, List.of());
  }

  @Test
  void uniformSamplingHasEveryImageOnce() {
    Dataset data = data(100, i -> new Target.Label(i % 3));
    List<Integer> order = Sampling.UNIFORM.order(data, 5);
    assertEquals(IntStream.range(0, 100).boxed().toList(), order.stream().sorted().toList());
    assertNotEquals(order, Sampling.UNIFORM.order(data, 6));
  }

  @Test
  void balancedSamplingDrawsClassesEquallyOften() {
    // 1 % a, 9 % b, 90 % c
    Dataset data = data(3000, i -> new Target.Label(i % 100 == 0 ? 0 : i % 100 < 10 ? 1 : 2));
    List<Integer> order = Sampling.BALANCED.order(data, 5);
    assertEquals(3000, order.size());
    long[] drawn = data.counts(order.stream().map(data.train()::get).toList());
    for (long count : drawn) {
      // Five standard deviations of a binomial distribution.
      assertEquals(1000, count, 5 * Math.sqrt(3000 * (1.0 / 3) * (2.0 / 3)));
    }
    assertEquals(order, Sampling.BALANCED.order(data, 5));
  }

  /** Images with a, with b and c, with c, and without labels: the rarest class of each decides. */
  @Test
  void rarestLabelOfAnImageDecides() {
    Dataset data =
        data(
            4000,
            i ->
                new Target.Labels(
                    i < 40
                        ? List.of(0)
                        : i < 400 ? List.of(1, 2) : i < 3600 ? List.of(2) : List.of()));
    List<Integer> order = Sampling.BALANCED.order(data, 1);
    double c = 3200 / 3560.0; // class c has 3,560 images, of which 360 count as b
    double all = 1 + 1 + c + 1;
    assertEquals(4000 / all, order.stream().filter(i -> i < 40).count(), 150);
    assertEquals(4000 * c / all, order.stream().filter(i -> i >= 400 && i < 3600).count(), 150);
    assertEquals(4000 / all, order.stream().filter(i -> i >= 3600).count(), 150);
  }

  @Test
  void weightedSamplingDrawsImagesAsOftenAsTheirWeightsSay() {
    var examples = new ArrayList<Example>();
    for (int i = 0; i < 4000; i++) {
      examples.add(
          new Example(
              "i" + i,
              new Target.Values(List.of(1f)),
              () -> new Pixels(1, 1, 3, new byte[3]),
              i % 4)); // 0, 1, 2, 3
    }
    var data = new Dataset(List.of("x"), examples, List.of());
    List<Integer> order = Sampling.WEIGHTED.order(data, 7);
    assertEquals(4000, order.size());
    for (int k = 0; k < 4; k++) {
      int weight = k;
      double p = k / 6.0;
      long count = order.stream().filter(i -> i % 4 == weight).count();
      // Five standard deviations of a binomial distribution.
      assertEquals(4000 * p, count, 5 * Math.sqrt(4000 * p * (1 - p)));
    }
    assertEquals(order, Sampling.WEIGHTED.order(data, 7));
    assertNotEquals(order, Sampling.WEIGHTED.order(data, 8));
  }

  /** Shards of 40, 0, 25 and 35 images. */
  private static Dataset shards(int window) {
    List<Example> all = data(100, i -> new Target.Label(i % 10 == 0 ? 0 : 1)).train();
    var shards =
        new ShardedExamples() {
          @Override
          public int[] starts() {
            return new int[] {0, 40, 40, 65};
          }

          @Override
          public int window() {
            return window;
          }

          @Override
          public Example get(int index) {
            return all.get(index);
          }

          @Override
          public int size() {
            return 100;
          }
        };
    return new Dataset(List.of("a", "b"), shards, List.of());
  }

  @Test
  void shardsAreShuffledWithinWindows() {
    Dataset data = shards(8);
    List<Integer> order = Sampling.UNIFORM.order(data, 5);
    assertEquals(IntStream.range(0, 100).boxed().toList(), order.stream().sorted().toList());
    // Each window has the images of a part of one or two shards, in another order.
    var unshuffled = new ArrayList<Integer>();
    for (int from = 0; from < 100; from += 8) {
      List<Integer> window = order.subList(from, Math.min(100, from + 8));
      assertNotEquals(window.stream().sorted().toList(), window);
      unshuffled.addAll(window.stream().sorted().toList());
    }
    int breaks = 0;
    for (int i = 1; i < 100; i++) {
      breaks += unshuffled.get(i) == unshuffled.get(i - 1) + 1 ? 0 : 1;
    }
    // A window at the border of two shards has up to three breaks.
    assertTrue(breaks <= 9, () -> "shards are read from front to back: " + unshuffled);
    assertNotEquals(order, Sampling.UNIFORM.order(data, 6));
    // The order can be asked for in any order, as when a training is resumed.
    List<Integer> again = Sampling.UNIFORM.order(data, 5);
    for (int i = 99; i >= 0; i--) {
      assertEquals(order.get(i), again.get(i));
    }
    assertEquals(List.copyOf(order), List.copyOf(again));
  }

  @Test
  void balancedSamplingOfShardsStaysInTheWindow() {
    List<Integer> order = Sampling.BALANCED.order(shards(50), 5);
    assertEquals(100, order.size());
    long rare = order.stream().filter(i -> i % 10 == 0).count();
    assertEquals(50, rare, 5 * Math.sqrt(100 * 0.25)); // five standard deviations
    assertEquals(List.copyOf(order), List.copyOf(Sampling.BALANCED.order(shards(50), 5)));
  }
}
