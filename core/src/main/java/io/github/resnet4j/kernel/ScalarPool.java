package io.github.resnet4j.kernel;

import java.util.Arrays;

/** Pooling as plain loops. */
final class ScalarPool implements PoolKernels {
  @Override
  public MaxRow max(Windows windows, Plane in, Plane out) {
    return (memory, from, to) -> max(memory.values, windows, in, out.columns(), from, to);
  }

  private static void max(float[] arena, Windows windows, Plane in, int count, int from, int to) {
    int block = in.block();
    Format format = in.format();
    for (int x = 0; x < count; x++) {
      int window = from + x * windows.stride() * block;
      for (int c = 0; c < block * format.perWord(); c++) {
        float max = Float.NEGATIVE_INFINITY;
        for (int i = 0; i < windows.size(); i++) {
          for (int j = 0; j < windows.size(); j++) {
            max = Math.max(max, format.get(arena, window + i * in.rowStride() + j * block, c));
          }
        }
        format.put(arena, to + x * block, c, max);
      }
    }
  }

  @Override
  public MaxGradientRow maxGradient(Windows windows, Plane in, Plane out, Plane gradient) {
    Plane.checkAlike(in, gradient);
    if (in.format() == Format.BF16) {
      return (memory, from, maxima, ofMaxima, to) ->
          maxGradientOfHalves(
              memory.values, windows, in, out.columns(), gradient, from, maxima, ofMaxima, to);
    }
    return (memory, from, maxima, ofMaxima, to) -> {
      for (int x = 0; x < out.columns(); x++) {
        for (int c = 0; c < in.block(); c++) {
          int window = x * windows.stride() * in.block() + c;
          int result = x * in.block() + c;
          int pixel = first(memory.values, windows, in, from + window, maxima + result);
          if (pixel >= 0) {
            int row = pixel / windows.size() * gradient.rowStride();
            int column = pixel % windows.size() * in.block();
            memory.values[to + window + row + column] += memory.values[ofMaxima + result];
          }
        }
      }
    };
  }

  private static void maxGradientOfHalves(
      float[] arena,
      Windows windows,
      Plane in,
      int count,
      Plane gradient,
      int from,
      int maxima,
      int ofMaxima,
      int to) {
    Format format = Format.BF16;
    int block = in.block();
    for (int x = 0; x < count; x++) {
      int window = x * windows.stride() * block;
      for (int c = 0; c < in.channels(); c++) {
        float maximum = format.get(arena, maxima + x * block, c);
        for (int p = 0; p < windows.size() * windows.size(); p++) {
          int column = p % windows.size() * block;
          int pixel = from + window + p / windows.size() * in.rowStride() + column;
          if (format.get(arena, pixel, c) == maximum) {
            int at = to + window + p / windows.size() * gradient.rowStride() + column;
            float sum = format.get(arena, at, c) + format.get(arena, ofMaxima + x * block, c);
            format.put(arena, at, c, sum);
            break;
          }
        }
      }
    }
  }

  /** The first pixel of a window that is the maximum, or -1 if none equals it. */
  private static int first(float[] arena, Windows windows, Plane in, int from, int maximum) {
    int size = windows.size();
    for (int p = 0; p < size * size; p++) {
      if (arena[from + p / size * in.rowStride() + p % size * in.block()] == arena[maximum]) {
        return p;
      }
    }
    return -1;
  }

  @Override
  public Average average(Plane in) {
    return (memory, from, to) -> average(memory.values, in, from, to);
  }

  @Override
  public WeightedRow weighted(Axis rows, Axis columns, Plane in, Plane out, boolean adds) {
    checkWeighted(rows, columns, in, out);
    return (memory, from, row, to) -> {
      float[] arena = memory.values;
      for (int x = 0; x < columns.results(); x++) {
        int result = to + x * out.block();
        for (int c = 0; c < in.channels(); c++) {
          float sum = adds ? out.get(arena, result, c) : 0;
          for (int i = 0; i < rows.taps(); i++) {
            for (int j = 0; j < columns.taps(); j++) {
              int pixel =
                  from
                      + rows.position(row, i) * in.rowStride()
                      + columns.position(x, j) * in.block();
              float weight = rows.weight(row, i) * columns.weight(x, j);
              sum = Math.fma(in.get(arena, pixel, c), weight, sum);
            }
          }
          out.put(arena, result, c, sum);
        }
      }
    };
  }

  static void checkWeighted(Axis rows, Axis columns, Plane in, Plane out) {
    if (in.channels() != out.channels()
        || columns.results() > out.columns()
        || rows.positions().max >= in.rows()
        || columns.positions().max >= in.columns()
        || Math.min(rows.positions().min, columns.positions().min) < 0) {
      throw new IllegalArgumentException(
          "sums of %d to %d rows and %d to %d columns of %s in %s"
              .formatted(
                  rows.positions().min,
                  rows.positions().max,
                  columns.positions().min,
                  columns.positions().max,
                  in,
                  out));
    }
  }

  private static void average(float[] arena, Plane in, int from, int to) {
    int channels = in.channels();
    Arrays.fill(arena, to, to + channels, 0);
    for (int y = 0; y < in.rows(); y++) {
      for (int x = 0; x < in.columns(); x++) {
        int pixel = from + y * in.rowStride() + x * in.block();
        for (int c = 0; c < channels; c++) {
          arena[to + c] += in.format().get(arena, pixel, c);
        }
      }
    }
    float factor = 1f / (in.rows() * in.columns());
    for (int c = 0; c < channels; c++) {
      arena[to + c] *= factor;
    }
  }
}
