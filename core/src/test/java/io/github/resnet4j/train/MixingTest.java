package io.github.resnet4j.train;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.resnet4j.tensor.Tensor;
import java.util.Arrays;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;

/** Mixed images and their targets. */
class MixingTest {
  private static final int SIDE = 16;

  /** All values of image n are n + 1; its target class is n. */
  private static Tensor images() {
    Tensor images = Tensor.filled(0, 3, 2, SIDE, SIDE);
    for (int i = 0; i < images.data().length; i++) {
      images.data()[i] = i / (2 * SIDE * SIDE) + 1;
    }
    return images;
  }

  private static float[] targets() {
    return new float[] {1, 0, 0, 0, 1, 0, 0, 0, 1};
  }

  @Test
  void mixupBlendsEachImageWithThePrevious() {
    for (int seed = 0; seed < 20; seed++) {
      Tensor images = images();
      float[] targets = targets();
      new Mixing(0.4, 0).apply(images, targets, 3, new SplittableRandom(seed));
      float kept = targets[0];
      float[] values = {kept + 3 * (1 - kept), 2 * kept + (1 - kept), 3 * kept + 2 * (1 - kept)};
      for (int i = 0; i < images.data().length; i++) {
        // One rounding of each product and of the sum.
        assertEquals(values[i / (2 * SIDE * SIDE)], images.data()[i], 1e-6);
      }
      assertEquals(1 - kept, targets[2], 1e-7);
      assertEquals(1 - kept, targets[3], 1e-7);
    }
  }

  @Test
  void cutmixMixesTargetsByArea() {
    for (int seed = 0; seed < 20; seed++) {
      Tensor images = images();
      float[] targets = targets();
      new Mixing(0, 1).apply(images, targets, 3, new SplittableRandom(seed));
      for (int n = 0; n < 3; n++) {
        int own = 0;
        for (int i = 0; i < SIDE * SIDE; i++) {
          own += images.data()[n * 2 * SIDE * SIDE + i] == n + 1 ? 1 : 0;
        }
        assertEquals(own / (double) (SIDE * SIDE), targets[3 * n + n], 1e-6);
      }
    }
  }

  @Test
  void mixingRatioIsUniformForAlphaOne() {
    int[] tenths = new int[10];
    var random = new SplittableRandom(7);
    for (int i = 0; i < 20_000; i++) {
      float[] targets = targets();
      new Mixing(1, 0).apply(Tensor.filled(0, 3, 1, 1, 1), targets, 3, random);
      tenths[Math.min(9, (int) (targets[0] * 10))]++;
    }
    // Beta(1, 1) is uniform: 2,000 each, with a standard deviation of 42; tolerance of six.
    assertTrue(
        Arrays.stream(tenths).allMatch(count -> Math.abs(count - 2000) < 255),
        Arrays.toString(tenths));
  }

  @Test
  void withoutAlphasBatchIsUnchanged() {
    Tensor images = images();
    float[] targets = targets();
    Mixing.NONE.apply(images, targets, 3, new SplittableRandom(1));
    assertArrayEquals(images().data(), images.data());
    assertArrayEquals(targets(), targets);
  }
}
