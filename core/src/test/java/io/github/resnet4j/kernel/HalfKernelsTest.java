package io.github.resnet4j.kernel;

import static org.junit.jupiter.api.Assertions.assertEquals;

import io.github.resnet4j.kernel.NormKernels.Mask;
import java.util.Random;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * The kernels of training on bfloat16 have the bits of the plain loops on floats, which {@link
 * NormReferenceTest} and {@link PoolReferenceTest} compare with double precision, applied to the
 * same values and rounded once.
 */
class HalfKernelsTest extends KernelReference {
  /** Four planes one after the other, then coefficients and sums: as floats and as bfloat16. */
  private static final class Operands {
    final int rows;
    final int columns;
    final int block;
    final Plane[] floats = new Plane[4];
    final Plane[] halves = new Plane[4];
    final int[] floatsAt = new int[4];
    final int[] halvesAt = new int[4];
    final int floatNumbers;
    final int halfNumbers;
    final float[] expected;
    final float[] actual;

    Operands(Kernels kernels, Random random, int rows, int columns) {
      this.rows = rows;
      this.columns = columns;
      this.block = anyBlock(kernels, random);
      int floatEnd = 4;
      int halfEnd = 4;
      for (int i = 0; i < 4; i++) {
        int gap = random.nextInt(3);
        floats[i] = new Plane(Format.FP32, rows, columns, block, (columns + gap) * block);
        halves[i] = new Plane(Format.BF16, rows, columns, block / 2, (columns + gap) * block / 2);
        floatsAt[i] = floatEnd;
        halvesAt[i] = halfEnd;
        floatEnd += (int) floats[i].span() + 1;
        halfEnd += (int) halves[i].span() + 1;
      }
      this.floatNumbers = floatEnd;
      this.halfNumbers = halfEnd;
      int numbers = 8 * block;
      this.expected = new float[floatEnd + numbers];
      this.actual = new float[halfEnd + numbers];
      float[] given = sometimesNotFinite(random, numbers);
      System.arraycopy(given, 0, expected, floatEnd, numbers);
      System.arraycopy(given, 0, actual, halfEnd, numbers);
      for (int i = 0; i < 4; i++) {
        float[] values = sometimesNotFinite(random, rows * columns * block);
        for (int k = 0; k < values.length; k++) {
          float value = Format.rounded(values[k]);
          expected[pixel(floats[i], floatsAt[i], k / block) + k % block] = value;
          Format.BF16.put(actual, pixel(halves[i], halvesAt[i], k / block), k % block, value);
        }
      }
    }

    /** Rounds a plane of the expected values. */
    void round(int plane) {
      for (int k = 0; k < rows * columns * block; k++) {
        int at = pixel(floats[plane], floatsAt[plane], k / block) + k % block;
        expected[at] = Format.rounded(expected[at]);
      }
    }

    void check(String what) {
      for (int i = 0; i < 4; i++) {
        for (int k = 0; k < rows * columns * block; k++) {
          float wanted = expected[pixel(floats[i], floatsAt[i], k / block) + k % block];
          float found =
              Format.BF16.get(actual, pixel(halves[i], halvesAt[i], k / block), k % block);
          assertEquals(wanted + 0f, found + 0f, what + ", plane " + i); // -0 is 0
        }
      }
      for (int k = 0; k < expected.length - floatNumbers; k++) {
        assertEquals(expected[floatNumbers + k], actual[halfNumbers + k], what + ", numbers");
      }
    }
  }

  private static Operands operands(Kernels kernels, Random random) {
    return new Operands(kernels, random, 1 + random.nextInt(6), 1 + random.nextInt(9));
  }

  private static final NormKernels PLAIN = Kernels.scalar().norm();

  @ParameterizedTest
  @MethodSource("seeds")
  void norms(int seed) {
    forEach(
        seed,
        (kernels, random) -> {
          Operands o = operands(kernels, random);
          NormKernels norm = kernels.norm();
          int to = 6 * o.block;
          int[] f = o.floatsAt;
          int[] h = o.halvesAt;
          int fk = o.floatNumbers;
          int hk = o.halfNumbers;
          PLAIN.moments(o.floats[0]).run(Floats.of(o.expected), f[0], fk, fk + to);
          norm.moments(o.halves[0]).run(Floats.of(o.actual), h[0], hk, hk + to);
          o.check(kernels.name() + ", moments");
          boolean residual = random.nextBoolean();
          PLAIN
              .normalize(o.floats[0], residual ? o.floats[1] : null, o.floats[2])
              .run(Floats.of(o.expected), f[0], fk, f[1], f[2]);
          o.round(2);
          norm.normalize(o.halves[0], residual ? o.halves[1] : null, o.halves[2])
              .run(Floats.of(o.actual), h[0], hk, h[1], h[2]);
          o.check(kernels.name() + ", normalize");
          Mask mask = Mask.values()[random.nextInt(3)];
          PLAIN
              .gradientMoments(mask, o.floats[0], o.floats[1], o.floats[2])
              .run(Floats.of(o.expected), f[0], f[1], f[2], fk, fk + to);
          norm.gradientMoments(mask, o.halves[0], o.halves[1], o.halves[2])
              .run(Floats.of(o.actual), h[0], h[1], h[2], hk, hk + to);
          o.check(kernels.name() + ", moments of gradients, " + mask);
          boolean masked = random.nextBoolean();
          int out = random.nextBoolean() ? 0 : 3;
          PLAIN
              .gradient(masked, o.floats[0], o.floats[1], o.floats[out])
              .run(Floats.of(o.expected), f[0], f[1], fk, f[out]);
          o.round(out);
          norm.gradient(masked, o.halves[0], o.halves[1], o.halves[out])
              .run(Floats.of(o.actual), h[0], h[1], hk, h[out]);
          o.check(kernels.name() + ", gradient");
        });
  }

  /** Planes 0 and 3 hold the pixels and their gradient, 1 and 2 the maxima and theirs. */
  @ParameterizedTest
  @MethodSource("seeds")
  void gradientsOfMaxima(int seed) {
    forEach(
        seed,
        (kernels, random) -> {
          int size = 1 + random.nextInt(3);
          var windows = new PoolKernels.Windows(size, 1 + random.nextInt(2));
          Operands o = new Operands(kernels, random, size, 1 + size + random.nextInt(6));
          int count = (o.columns - size) / windows.stride() + 1;
          for (int x = 0; x < count; x++) { // many are equal to one of their pixels
            for (int c = 0; c < o.block; c++) {
              int of = random.nextInt(size * size);
              int pixel = of / size * o.columns + x * windows.stride() + of % size;
              float value = o.expected[pixel(o.floats[0], o.floatsAt[0], pixel) + c];
              o.expected[o.floatsAt[1] + x * o.block + c] = value;
              Format.BF16.put(o.actual, o.halvesAt[1] + x * o.block / 2, c, value);
            }
          }
          PoolKernels one = Kernels.scalar().pool();
          Plane single = new Plane(Format.FP32, 1, 1, o.block, o.block);
          for (int x = 0; x < count; x++) { // each sum is rounded
            int window = x * windows.stride() * o.block;
            one.maxGradient(windows, o.floats[0], single, o.floats[3])
                .run(
                    Floats.of(o.expected),
                    o.floatsAt[0] + window,
                    o.floatsAt[1] + x * o.block,
                    o.floatsAt[2] + x * o.block,
                    o.floatsAt[3] + window);
            o.round(3);
          }
          kernels
              .pool()
              .maxGradient(windows, o.halves[0], o.halves[1].part(1, count), o.halves[3])
              .run(Floats.of(o.actual), o.halvesAt[0], o.halvesAt[1], o.halvesAt[2], o.halvesAt[3]);
          o.check(kernels.name() + " " + windows);
        });
  }

  @ParameterizedTest
  @MethodSource("seeds")
  void means(int seed) {
    forEach(
        seed,
        (kernels, random) -> {
          Operands o = operands(kernels, random);
          Kernels.scalar()
              .pool()
              .average(o.floats[0])
              .run(Floats.of(o.expected), o.floatsAt[0], o.floatNumbers);
          kernels
              .pool()
              .average(o.halves[0])
              .run(Floats.of(o.actual), o.halvesAt[0], o.halfNumbers);
          o.check(kernels.name());
        });
  }
}
