package io.github.resnet4j.kernel;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.Random;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Compares the operands of products in bfloat16 with their definition, number by number. */
class PairKernelsTest extends KernelReference {
  private static float[] halves(Random random, int words) {
    float[] values = new float[words];
    for (int i = 0; i < 2 * words; i++) {
      Format.BF16.put(values, 0, i, (float) random.nextGaussian());
    }
    return values;
  }

  private static void checkPair(float[] words, int at, float first, float second, String what) {
    assertEquals(first, Format.BF16.get(words, at, 0), () -> what + ", first at " + at);
    assertEquals(second, Format.BF16.get(words, at, 1), () -> what + ", second at " + at);
  }

  private static void checkSame(float[] before, float[] after, int from, int end, String what) {
    for (int i = from; i < end; i++) {
      assertEquals(
          Float.floatToRawIntBits(before[i]), Float.floatToRawIntBits(after[i]), what + " " + i);
    }
  }

  @ParameterizedTest
  @MethodSource("seeds")
  void rows(int seed) {
    forEach(
        seed,
        (kernels, random) -> {
          int channels = anyBlock(kernels, random);
          int pairs = 1 + random.nextInt(5);
          boolean inPlace = random.nextBoolean();
          float[] source = sometimesNotFinite(random, 3 + 2 * pairs * channels + 2);
          float[] before = source.clone();
          float[] to = inPlace ? source : normal(random, source.length);
          Floats from = Floats.of(source);
          kernels.pairs().pairRows(from, 3, pairs, channels, inPlace ? from : Floats.of(to), 3);
          for (int i = 0; i < pairs * channels; i++) {
            int first = 3 + i / channels * 2 * channels + i % channels;
            checkPair(
                to,
                3 + i,
                Format.rounded(before[first]),
                Format.rounded(before[first + channels]),
                kernels.name());
          }
        });
  }

  @ParameterizedTest
  @MethodSource("seeds")
  void pixels(int seed) {
    forEach(
        seed,
        (kernels, random) -> {
          int channels = anyBlock(kernels, random);
          int block = channels / 2 * (1 + random.nextInt(2));
          int columns = 1 + random.nextInt(40);
          int pitch = Math.ceilDiv(columns, 2) + random.nextInt(3);
          int rows = 1 + random.nextInt(3);
          int gap = random.nextInt(2) * block;
          Plane in = new Plane(Format.BF16, rows, columns, block, columns * block + gap);
          int to = 5 + (int) in.span();
          int end = to + rows * pitch * channels;
          float[] arena = halves(random, end + 4);
          float[] before = arena.clone();
          kernels.pairs().pairPixels(in, channels, pitch).run(Floats.of(arena), 5, to);
          for (int i = 0; i < rows * pitch * channels; i++) {
            int row = 5 + i / channels / pitch * in.rowStride();
            int x = 2 * (i / channels % pitch);
            int c = i % channels;
            checkPair(
                arena,
                to + i,
                x < columns ? Format.BF16.get(before, row + x * block, c) : 0,
                x + 1 < columns ? Format.BF16.get(before, row + (x + 1) * block, c) : 0,
                kernels.name() + " " + in);
          }
          checkSame(before, arena, 0, to, "before");
          checkSame(before, arena, end, arena.length, "after");
        });
  }

  @ParameterizedTest
  @MethodSource("seeds")
  void transposes(int seed) {
    forEach(
        seed,
        (kernels, random) -> {
          int channels = Math.max(16, anyBlock(kernels, random));
          int block = channels / 2;
          int step = 1 + random.nextInt(2);
          int columns = 1 + random.nextInt(75);
          int pitch = Math.ceilDiv(columns, 2) + random.nextInt(3);
          int rows = 1 + random.nextInt(3);
          int stride = rows * pitch + PairKernels.OVERHANG + random.nextInt(3);
          int rowStride = (columns * step + random.nextInt(2)) * block;
          Plane in = new Plane(Format.BF16, rows, columns, block, rowStride);
          int to = 5 + rows * rowStride;
          float[] arena = halves(random, to + channels * stride + 4);
          float[] before = arena.clone();
          kernels.pairs().transpose(in, step, pitch, stride).run(Floats.of(arena), 5, to);
          for (int c = 0; c < channels; c++) {
            for (int i = 0; i < rows * pitch; i++) {
              int row = 5 + i / pitch * rowStride;
              int x = 2 * (i % pitch);
              checkPair(
                  arena,
                  to + c * stride + i,
                  x < columns ? Format.BF16.get(before, row + x * step * block, c) : 0,
                  x + 1 < columns ? Format.BF16.get(before, row + (x + 1) * step * block, c) : 0,
                  kernels.name() + " " + in);
            }
            for (int i = rows * pitch; i < stride; i++) {
              int at = to + c * stride + i;
              if (Float.floatToRawIntBits(arena[at]) != 0
                  || i >= rows * pitch + PairKernels.OVERHANG) {
                checkSame(before, arena, at, at + 1, kernels.name() + " beside its result");
              }
            }
          }
          checkSame(before, arena, 0, to, "before");
          checkSame(before, arena, to + channels * stride, arena.length, "after");
        });
  }

  @ParameterizedTest
  @MethodSource("seeds")
  void neighbours(int seed) {
    forEach(
        seed,
        (kernels, random) -> {
          int count = random.nextInt(100);
          float[] arena = halves(random, 2 * count + 5);
          float[] before = arena.clone();
          kernels.pairs().shift(Floats.of(arena), 1, count + 3, count);
          for (int i = 0; i < count; i++) {
            float first = Format.BF16.get(before, i, 1);
            checkPair(
                arena, count + 3 + i, first, Format.BF16.get(before, 1 + i, 0), kernels.name());
          }
          checkSame(before, arena, 0, count + 3, "before");
          checkSame(before, arena, 2 * count + 3, arena.length, "after");
        });
  }
}
