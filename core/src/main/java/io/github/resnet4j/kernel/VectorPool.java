package io.github.resnet4j.kernel;

import static io.github.resnet4j.kernel.VectorKernels.SPECIES;

import java.util.Arrays;
import jdk.incubator.vector.FloatVector;

/** Pooling of floats with vectors; other formats use plain loops. */
final class VectorPool implements PoolKernels {
  private static final int LANES = SPECIES.length();
  private final PoolKernels scalar = new ScalarPool();

  // A vector that is carried through a loop may be allocated on the heap; memory is used instead.

  @Override
  public MaxRow max(Windows windows, Plane in, Plane out) {
    return in.format().isFloat()
        ? (memory, from, to) -> max(memory.values, windows, in, out.columns(), from, to)
        : scalar.max(windows, in, out);
  }

  private static void max(float[] arena, Windows windows, Plane in, int count, int from, int to) {
    int block = in.block();
    for (int x = 0; x < count; x++) {
      int window = from + x * windows.stride() * block;
      int result = to + x * block;
      System.arraycopy(arena, window, arena, result, block);
      for (int i = 0; i < windows.size(); i++) {
        int row = window + i * in.rowStride();
        if (windows.size() == 3) {
          max(arena, result, row, row + block, row + 2 * block, block);
        } else {
          for (int j = 0; j < windows.size(); j++) {
            int pixel = row + j * block;
            max(arena, result, pixel, pixel, pixel, block);
          }
        }
      }
    }
  }

  /** {@code a[to..] = max(a[to..], a[p0..], a[p1..], a[p2..])}. */
  private static void max(float[] a, int to, int p0, int p1, int p2, int count) {
    for (int i = 0; i < count; i += LANES) {
      FloatVector.fromArray(SPECIES, a, to + i)
          .max(FloatVector.fromArray(SPECIES, a, p0 + i))
          .max(FloatVector.fromArray(SPECIES, a, p1 + i))
          .max(FloatVector.fromArray(SPECIES, a, p2 + i))
          .intoArray(a, to + i);
    }
  }

  @Override
  public MaxGradientRow maxGradient(Windows windows, Plane in, Plane out, Plane gradient) {
    return scalar.maxGradient(windows, in, out, gradient);
  }

  @Override
  public Average average(Plane in) {
    if (!in.format().isFloat()) {
      return scalar.average(in);
    }
    return (memory, from, to) -> average(memory.values, in, from, to);
  }

  private static void average(float[] arena, Plane in, int from, int to) {
    int block = in.block();
    Arrays.fill(arena, to, to + block, 0);
    for (int y = 0; y < in.rows(); y++) {
      for (int x = 0; x < in.columns(); x++) {
        add(arena, to, from + y * in.rowStride() + x * block, block);
      }
    }
    float share = 1f / (in.rows() * in.columns());
    for (int i = 0; i < block; i++) {
      arena[to + i] *= share;
    }
  }

  @Override
  public WeightedRow weighted(Axis rows, Axis columns, Plane in, Plane out, boolean adds) {
    if (!in.format().isFloat() || !out.format().isFloat()) {
      return scalar.weighted(rows, columns, in, out, adds);
    }
    ScalarPool.checkWeighted(rows, columns, in, out);
    int block = in.block();
    return (memory, from, row, to) -> {
      float[] arena = memory.values;
      int end = to + columns.results() * block;
      if (!adds) {
        Arrays.fill(arena, to, end, 0);
      }
      for (int x = 0; x < columns.results(); x++) {
        for (int i = 0; i < rows.taps(); i++) {
          int start = from + rows.position(row, i) * in.rowStride();
          for (int j = 0; j < columns.taps(); j++) {
            float weight = rows.weight(row, i) * columns.weight(x, j);
            add(arena, to + x * block, start + columns.position(x, j) * block, block, weight);
          }
        }
      }
      if (out.format() == Format.ROUNDED) {
        for (int i = to; i < end; i++) {
          arena[i] = Format.rounded(arena[i]);
        }
      }
    };
  }

  private static void add(float[] a, int to, int from, int count, float weight) {
    FloatVector factor = FloatVector.broadcast(SPECIES, weight);
    for (int i = 0; i < count; i += LANES) {
      FloatVector.fromArray(SPECIES, a, from + i)
          .fma(factor, FloatVector.fromArray(SPECIES, a, to + i))
          .intoArray(a, to + i);
    }
  }

  private static void add(float[] a, int to, int from, int count) {
    for (int i = 0; i < count; i += LANES) {
      FloatVector.fromArray(SPECIES, a, to + i)
          .add(FloatVector.fromArray(SPECIES, a, from + i))
          .intoArray(a, to + i);
    }
  }
}
