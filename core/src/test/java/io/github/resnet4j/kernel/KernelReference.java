package io.github.resnet4j.kernel;

import io.github.resnet4j.kernel.Truth.Sum;
import java.util.List;
import java.util.Random;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Tag;

/**
 * What the tests of each family have in common that compare every provider with what a kernel's
 * description says, computed in double precision one number after the other, on random shapes,
 * strides and operands. {@link Truth} has the tolerances. Some operands are not finite where a
 * kernel says what becomes of them.
 */
@Tag("kernels")
abstract class KernelReference {
  static final List<Kernels> ALL = KernelsTest.everyProvider();

  static IntStream seeds() {
    return IntStream.range(0, 60);
  }

  interface Case {
    void run(Kernels kernels, Random random);
  }

  /** The same draws for each provider. */
  static void forEach(int seed, Case some) {
    ALL.forEach(kernels -> some.run(kernels, new Random(seed)));
  }

  /** Of a normal distribution. */
  static float[] normal(Random random, int size) {
    float[] values = new float[size];
    for (int i = 0; i < size; i++) {
      values[i] = (float) random.nextGaussian();
    }
    return values;
  }

  /** Now and then something else than a finite number. */
  static float[] sometimesNotFinite(Random random, int size) {
    float[] values = normal(random, size);
    float[] others = {Float.NaN, Float.POSITIVE_INFINITY, Float.NEGATIVE_INFINITY, -0f};
    for (int i = 0; random.nextInt(4) > 0 && i < 3; i++) {
      values[random.nextInt(size)] = others[random.nextInt(others.length)];
    }
    return values;
  }

  /** A block that is whole vectors. */
  static int anyBlock(Kernels kernels, Random random) {
    return Math.min(64, kernels.lanes() << random.nextInt(3));
  }

  /** What becomes of a sum in a format: half a unit of its last place is lost. */
  static void stored(Sum sum, Format format) {
    switch (format) {
      case FP32 -> {}
      case BF16, ROUNDED -> sum.offBy(0x1p-8 * (Math.abs(sum.value) + sum.tolerance()));
      case U8 -> {
        sum.value = Math.clamp(sum.value, 0, 255);
        sum.offBy(0.5);
      }
      case S8 -> {
        sum.value = Math.clamp(sum.value, -128, 127);
        sum.offBy(0.5);
      }
    }
  }

  /** Rows may lie apart. */
  static Plane plane(Random random, int rows, int columns, int block) {
    return Plane.ofFloats(rows, columns, block, (columns + random.nextInt(3)) * block);
  }

  /** Where the pixel of a plane lies, counted row by row. */
  static int pixel(Plane plane, int at, int index) {
    return at
        + index / plane.columns() * plane.rowStride()
        + index % plane.columns() * plane.block();
  }
}
