package io.github.resnet4j.kernel;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import io.github.resnet4j.tensor.Tensor;
import io.github.resnet4j.tensor.TorchRandom;
import java.util.SplittableRandom;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.random.RandomGenerator;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.RepeatedTest;
import org.junit.jupiter.api.RepetitionInfo;
import org.junit.jupiter.api.Test;

/**
 * Compares kernels with their definition, index by index in doubles, over random shapes. The golden
 * files of networks compare the same kernels with PyTorch.
 */
class ScalarTest {
  private static final Team TEAM = new Team(3);

  @AfterAll
  static void close() {
    TEAM.close();
  }

  @RepeatedTest(60)
  void convolutionMatchesDefinition(RepetitionInfo repetition) {
    var random = new SplittableRandom(repetition.getCurrentRepetition());
    int groups = pick(random, 1, 1, 2, 3);
    int c = groups * pick(random, 1, 2, 5);
    int o = groups * pick(random, 1, 3, 4, 7);
    int k = pick(random, 1, 2, 3, 7);
    var window =
        new Scalar.Window(
            pick(random, 1, 2, 3), random.nextInt(0, k + 1), pick(random, 1, 1, 2), groups);
    int h = window.dilation() * (k - 1) + 1 + random.nextInt(0, 9);
    int w = window.dilation() * (k - 1) + 1 + random.nextInt(0, 9);
    var values = TorchRandom.manualSeed(repetition.getCurrentRepetition());
    Tensor x = values.randn(pick(random, 1, 2, 3), c, h, w);
    Tensor weight = values.randn(o, c / groups, k, k);

    Tensor y = Scalar.conv2d(x, weight, window, TEAM);

    Tensor expected = Tensor.zeros(y.shape());
    int at = 0;
    for (int n = 0; n < y.dim(0); n++) {
      for (int out = 0; out < o; out++) {
        for (int row = 0; row < y.dim(2); row++) {
          for (int column = 0; column < y.dim(3); column++) {
            expected.data()[at++] = (float) pixel(x, weight, window, n, out, row, column);
          }
        }
      }
    }
    assertEquals(
        (h + 2 * window.padding() - window.dilation() * (k - 1) - 1) / window.stride() + 1,
        y.dim(2));
    // Sums of up to 245 products of standard normals, in float compared with double.
    assertArrayEquals(expected.data(), y.data(), 1e-4f);
    // The order of the sums does not depend on the number of threads.
    try (var alone = new Team(1)) {
      assertArrayEquals(y.data(), Scalar.conv2d(x, weight, window, alone).data());
    }
  }

  private static double pixel(
      Tensor x, Tensor weight, Scalar.Window window, int n, int out, int row, int column) {
    int groupChannels = weight.dim(1);
    int group = out / (weight.dim(0) / window.groups());
    double sum = 0;
    for (int c = 0; c < groupChannels; c++) {
      for (int i = 0; i < weight.dim(2); i++) {
        for (int j = 0; j < weight.dim(3); j++) {
          int y = row * window.stride() - window.padding() + i * window.dilation();
          int z = column * window.stride() - window.padding() + j * window.dilation();
          if (y >= 0 && y < x.dim(2) && z >= 0 && z < x.dim(3)) {
            int channel = group * groupChannels + c;
            sum +=
                (double) x.data()[((n * x.dim(1) + channel) * x.dim(2) + y) * x.dim(3) + z]
                    * weight
                        .data()[
                        ((out * groupChannels + c) * weight.dim(2) + i) * weight.dim(3) + j];
          }
        }
      }
    }
    return sum;
  }

  private static int pick(RandomGenerator random, int... choices) {
    return choices[random.nextInt(choices.length)];
  }

  @Test
  void maxPoolIgnoresPadding() {
    Tensor x = Tensor.filled(-3, 1, 1, 2, 2);
    assertArrayEquals(new float[] {-3}, Scalar.maxPool(x, 3, 2, 1).data());
  }

  @Test
  void optionAPadsChannelsOnBothSides() {
    Tensor x = Tensor.of(new float[] {1, 2, 3, 4, 5, 6, 7, 8, 9}, 1, 1, 3, 3);
    Tensor y = Scalar.subsampleAndPad(x, 3, 2);
    assertEquals("[1, 3, 2, 2]", y.toString());
    assertArrayEquals(new float[] {0, 0, 0, 0, 1, 3, 7, 9, 0, 0, 0, 0}, y.data());
  }

  @Test
  void windowLargerThanInputIsRejected() {
    var x = Tensor.zeros(1, 1, 2, 2);
    assertThrows(IllegalArgumentException.class, () -> Scalar.maxPool(x, 5, 1, 1));
    assertThrows(IllegalArgumentException.class, () -> Scalar.add(x, Tensor.zeros(1, 1, 2, 3)));
  }

  @Test
  void teamRethrowsFailuresAndStaysUsable() {
    assertThrows(
        IllegalStateException.class,
        () ->
            TEAM.forEach(
                100,
                i -> {
                  if (i == 50) {
                    throw new IllegalStateException("50");
                  }
                }));
    var sum = new AtomicInteger();
    TEAM.forEach(100, sum::addAndGet);
    assertEquals(4950, sum.get());
    assertThrows(IllegalArgumentException.class, () -> new Team(0));
  }
}
