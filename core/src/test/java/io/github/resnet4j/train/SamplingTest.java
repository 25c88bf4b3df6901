package io.github.resnet4j.train;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;

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
}
