package io.github.resnet4j.kernel;

import io.github.resnet4j.kernel.Truth.Sum;
import java.util.List;
import java.util.Random;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Tag;

/**
 * The common part of the tests that compare every provider with a kernel's specification, computed
 * in double precision one number after the other, on random shapes, strides and operands. {@link
 * Truth} has the tolerances. Some operands are not finite if a kernel specifies the result.
 */
@Tag("kernels")
abstract class KernelReference {
  static final List<Kernels> ALL = KernelsTest.everyProvider();

  /** The formats of activations. */
  static final List<Format> FORMATS =
      List.of(Format.FP32, Format.ROUNDED, Format.BF16, Format.U8, Format.S8);

  static IntStream seeds() {
    return IntStream.range(0, 60);
  }

  interface Case {
    void run(Kernels kernels, Random random);
  }

  /** The same random numbers for each provider. */
  static void forEach(int seed, Case some) {
    ALL.forEach(kernels -> some.run(kernels, new Random(seed)));
  }

  /** Normally distributed numbers. */
  static float[] normal(Random random, int size) {
    float[] values = new float[size];
    for (int i = 0; i < size; i++) {
      values[i] = (float) random.nextGaussian();
    }
    return values;
  }

  /** Occasionally NaN or infinity. */
  static float[] sometimesNotFinite(Random random, int size) {
    float[] values = normal(random, size);
    float[] others = {Float.NaN, Float.POSITIVE_INFINITY, Float.NEGATIVE_INFINITY, -0f};
    for (int i = 0; random.nextInt(4) > 0 && i < 3; i++) {
      values[random.nextInt(size)] = others[random.nextInt(others.length)];
    }
    return values;
  }

  /** A block of whole vectors. */
  static int anyBlock(Kernels kernels, Random random) {
    return Math.min(64, kernels.lanes() << random.nextInt(3));
  }

  /** The rounding error of a sum in a format: half a unit in the last place. */
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

  /** Rows may have gaps. */
  static Plane plane(Random random, int rows, int columns, int block) {
    return Plane.ofFloats(rows, columns, block, (columns + random.nextInt(3)) * block);
  }

  /** The index of a pixel of a plane, counted row by row. */
  static int pixel(Plane plane, int at, int index) {
    return at
        + index / plane.columns() * plane.rowStride()
        + index % plane.columns() * plane.block();
  }
}
