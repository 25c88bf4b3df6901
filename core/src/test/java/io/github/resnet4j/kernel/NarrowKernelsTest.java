package io.github.resnet4j.kernel;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import io.github.resnet4j.kernel.Truth.Sum;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * The kernels of gates, means and filters, whose operands may have any formats: compared with sums
 * in double precision, and bit for bit with the plain loops.
 */
class NarrowKernelsTest extends KernelReference {
  /** Planes one after the other, each with its own format and gaps between its rows. */
  private static final class Operands {
    final Plane[] planes;
    final int[] at;
    final int numbers;
    final float[] arena;

    /**
     * @param count floats after the planes
     */
    Operands(Random random, int rows, int columns, int channels, List<Format> formats, int count) {
      this.planes = new Plane[formats.size()];
      this.at = new int[planes.length];
      int end = 3;
      for (int i = 0; i < planes.length; i++) {
        int block = channels / formats.get(i).perWord();
        int row = (columns + random.nextInt(3)) * block;
        planes[i] = new Plane(formats.get(i), rows, columns, block, row);
        at[i] = end;
        end += (int) planes[i].span() + random.nextInt(3);
      }
      this.numbers = end;
      this.arena = normal(random, end + count + 2);
      for (int i = 0; i < planes.length; i++) {
        Format format = formats.get(i);
        int words = (int) planes[i].span();
        for (int k = 0; k < words * format.perWord(); k++) {
          float number = (float) random.nextGaussian();
          format.put(arena, at[i], k, format.isInteger() ? 90 * number : number);
        }
      }
    }

    int pixel(int plane, int row, int column) {
      return at[plane] + row * planes[plane].rowStride() + column * planes[plane].block();
    }

    float get(float[] words, int plane, int row, int column, int channel) {
      return planes[plane].format().get(words, pixel(plane, row, column), channel);
    }
  }

  private static Format any(Random random) {
    return FORMATS.get(random.nextInt(FORMATS.size()));
  }

  interface Run {
    void on(Kernels kernels, Floats arena);
  }

  /** Runs a provider and the plain loops, which must write the same bits. */
  private static float[] run(Kernels kernels, float[] arena, Run run, String what) {
    float[] actual = arena.clone();
    float[] plain = arena.clone();
    run.on(kernels, Floats.of(actual));
    run.on(Kernels.scalar(), Floats.of(plain));
    for (int i = 0; i < plain.length; i++) {
      assertEquals(
          Float.floatToRawIntBits(plain[i]),
          Float.floatToRawIntBits(actual[i]),
          "%s of %s at %d".formatted(what, kernels.name(), i));
    }
    return actual;
  }

  @ParameterizedTest
  @MethodSource("seeds")
  void normalized(int seed) {
    forEach(
        seed,
        (kernels, random) -> {
          int channels = anyBlock(kernels, random);
          List<Format> formats = List.of(any(random), any(random), any(random));
          var o =
              new Operands(
                  random,
                  1 + random.nextInt(5),
                  1 + random.nextInt(9),
                  channels,
                  formats,
                  3 * channels);
          boolean residual = random.nextBoolean();
          Plane x = o.planes[0];
          float[] actual =
              run(
                  kernels,
                  o.arena,
                  (each, arena) ->
                      each.norm()
                          .normalize(x, residual ? o.planes[1] : null, o.planes[2])
                          .run(arena, o.at[0], o.numbers, o.at[1], o.at[2]),
                  formats.toString());
          for (int i = 0; i < x.rows(); i++) {
            for (int j = 0; j < x.columns(); j++) {
              for (int c = 0; c < channels; c++) {
                int k = o.numbers + c;
                Sum sum = Truth.sum().add(o.arena[k + channels]);
                if (residual) {
                  sum.addProduct(o.get(o.arena, 1, i, j, c), o.arena[k + 2 * channels]);
                }
                sum.addProduct(o.get(o.arena, 0, i, j, c), o.arena[k]).relu(true);
                stored(sum, formats.get(2));
                Truth.check(sum, o.get(actual, 2, i, j, c), kernels.name() + formats, c);
              }
            }
          }
        });
  }

  /** Positions and weights at random: that of a row and a column are multiplied. */
  private static Axis axis(Random random, int results, int pixels) {
    int taps = 1 + random.nextInt(Axis.MAX_TAPS);
    int[] positions = random.ints(results * taps, 0, pixels).toArray();
    int[] weights = new int[positions.length];
    Arrays.setAll(weights, _ -> Float.floatToRawIntBits(random.nextInt(5) / 8f));
    return new Axis(taps, Ints.of(positions), Ints.of(weights));
  }

  @ParameterizedTest
  @MethodSource("seeds")
  void weighted(int seed) {
    forEach(
        seed,
        (kernels, random) -> {
          int channels = anyBlock(kernels, random);
          List<Format> formats = List.of(any(random), any(random));
          int height = 1 + random.nextInt(5);
          int width = 1 + random.nextInt(9);
          var o = new Operands(random, height, width, channels, formats, 0);
          Axis rows = axis(random, height, height);
          Axis columns = axis(random, width, width);
          boolean adds = random.nextBoolean();
          int y = random.nextInt(height);
          float[] actual =
              run(
                  kernels,
                  o.arena,
                  (each, arena) ->
                      each.pool()
                          .weighted(rows, columns, o.planes[0], o.planes[1], adds)
                          .run(arena, o.at[0], y, o.pixel(1, y, 0)),
                  formats.toString());
          for (int x = 0; x < width; x++) {
            for (int c = 0; c < channels; c++) {
              Sum sum = Truth.sum().add(adds ? o.get(o.arena, 1, y, x, c) : 0);
              for (int i = 0; i < rows.taps(); i++) {
                for (int j = 0; j < columns.taps(); j++) {
                  float pixel = o.get(o.arena, 0, rows.position(y, i), columns.position(x, j), c);
                  sum.addProduct(pixel, rows.weight(y, i) * columns.weight(x, j));
                }
              }
              stored(sum, formats.get(1));
              Truth.check(sum, o.get(actual, 1, y, x, c), kernels.name() + formats, c);
            }
          }
        });
  }

  @ParameterizedTest
  @MethodSource("seeds")
  void means(int seed) {
    forEach(
        seed,
        (kernels, random) -> {
          int channels = anyBlock(kernels, random);
          int height = 1 + random.nextInt(9);
          int width = 1 + random.nextInt(9);
          List<Format> format = List.of(any(random));
          var o = new Operands(random, height, width, channels, format, channels);
          float[] actual =
              run(
                  kernels,
                  o.arena,
                  (each, arena) -> each.pool().average(o.planes[0]).run(arena, o.at[0], o.numbers),
                  format.toString());
          for (int c = 0; c < channels; c++) {
            Sum sum = Truth.sum().round(2);
            for (int i = 0; i < height * width; i++) {
              sum.add((double) o.get(o.arena, 0, i / width, i % width, c) / (height * width));
            }
            Truth.check(sum, actual[o.numbers + c], kernels.name() + format, c);
          }
        });
  }

  /** A transposed filter has the weights of the filter, and nothing else. */
  @Test
  void transposeExchangesPixelsAndResults() {
    for (int pixels = 2; pixels < 9; pixels++) {
      int extent = pixels;
      int results = (pixels - 1) / 2 + 1;
      Axis axis =
          Axis.of(
              results, (result, tap) -> reflected(2 * result + tap - 1, extent), .25f, .5f, .25f);
      Axis back = axis.transposed(pixels);
      assertEquals(pixels, back.results());
      for (int i = 0; i < pixels; i++) {
        for (int r = 0; r < results; r++) {
          float forward = 0;
          for (int tap = 0; tap < axis.taps(); tap++) {
            forward += axis.position(r, tap) == i ? axis.weight(r, tap) : 0;
          }
          float backward = 0;
          for (int tap = 0; tap < back.taps(); tap++) {
            backward += back.position(i, tap) == r ? back.weight(i, tap) : 0;
          }
          assertEquals(forward, backward);
        }
      }
    }
  }

  private static int reflected(int at, int extent) {
    return at < 0 ? -at : at < extent ? at : 2 * extent - 2 - at;
  }

  @Test
  void positionsBeyondThePlaneAreRejected() {
    Plane plane = Plane.ofFloats(2, 3, 16, 48);
    Axis rows = Axis.of(2, (result, _) -> result, 1);
    Axis columns = Axis.of(3, (result, _) -> result + 1, 1);
    for (Kernels kernels : ALL) {
      assertThrows(
          IllegalArgumentException.class,
          () -> kernels.pool().weighted(rows, columns, plane, plane, false),
          kernels.name());
      PoolKernels.WeightedRow kernel =
          kernels.pool().weighted(rows, Axis.of(3, (result, _) -> result, 1), plane, plane, false);
      assertThrows(
          IndexOutOfBoundsException.class,
          () -> kernel.run(Floats.of(new float[2 * 96 + 1]), 0, 2, 96),
          kernels.name());
    }
  }
}
