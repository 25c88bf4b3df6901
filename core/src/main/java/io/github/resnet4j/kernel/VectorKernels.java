package io.github.resnet4j.kernel;

import static jdk.incubator.vector.VectorOperators.LT;

import java.util.Arrays;
import java.util.concurrent.ConcurrentHashMap;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorSpecies;

/**
 * The kernels on {@code jdk.incubator.vector}, in the longest vectors of this machine. The
 * micro-kernels are generated ({@link TileGenerator}); the rest is written out here.
 *
 * <p>C2 makes good code of this only as long as methods are small and lengths are constants:
 * docs/engine.md tells what was measured.
 */
final class VectorKernels extends TileByTile {
  static final VectorSpecies<Float> SPECIES = FloatVector.SPECIES_PREFERRED;
  private static final int LANES = SPECIES.length();

  /** AVX-512 and arm64 have 32 vector registers, AVX2 has 16. */
  private static final boolean HAS_32_REGISTERS =
      LANES >= 16 || System.getProperty("os.arch").equals("aarch64");

  private final ConcurrentHashMap<ConvTile.Shape, ConvTile> tiles = new ConcurrentHashMap<>();

  /** For the formats that the Vector API has no products of. */
  private final ScalarKernels scalar = new ScalarKernels();

  @Override
  public String name() {
    return "vector, %d bit".formatted(SPECIES.vectorBitSize());
  }

  @Override
  public int lanes() {
    return LANES;
  }

  @Override
  public int mostVectors() {
    return HAS_32_REGISTERS ? 4 : 2;
  }

  @Override
  public int accumulators() {
    return HAS_32_REGISTERS ? 24 : 12; // the other registers hold weights and the input
  }

  @Override
  public boolean isFast() {
    return true;
  }

  @Override
  public boolean has(Format format) {
    return format == Format.FP32;
  }

  @Override
  public boolean gainsBy(Format in) {
    return false;
  }

  @Override
  public ConvTile tile(ConvTile.Shape shape) {
    return tiles.computeIfAbsent(
        shape, s -> s.isFloat() ? manyTiles(TileGenerator.generate(s)) : scalar.tile(s));
  }

  @Override
  void transform(
      Winograd form,
      float[] arena,
      int from,
      int rowStride,
      int block,
      int to,
      int step,
      int scratch) {
    int row = form.inputs() * block;
    switch (form) {
      case F2 -> inputF2(arena, from, rowStride, scratch, row, row);
      case F4 -> inputF4(arena, from, rowStride, scratch, row, row);
    }
    for (int i = 0; i < form.inputs(); i++) {
      int at = scratch + i * row;
      int products = to + i * form.inputs() * step;
      switch (form) {
        case F2 -> inputF2(arena, at, block, products, step, block);
        case F4 -> inputF4(arena, at, block, products, step, block);
      }
    }
  }

  // C2 inlines the vector API without limit, but not our own methods: once a method has grown, a
  // call to one of ours would return its vector on the heap. Hence no short-hands below.

  /** Bᵀ applied to six rows of {@code count} floats, {@code stride} apart. */
  private static void inputF4(float[] a, int at, int stride, int to, int step, int count) {
    FloatVector two = FloatVector.broadcast(SPECIES, 2);
    FloatVector four = FloatVector.broadcast(SPECIES, 4);
    FloatVector five = FloatVector.broadcast(SPECIES, -5);
    for (int i = 0; i < count; i += LANES) {
      FloatVector d0 = FloatVector.fromArray(SPECIES, a, at + i);
      FloatVector d1 = FloatVector.fromArray(SPECIES, a, at + stride + i);
      FloatVector d2 = FloatVector.fromArray(SPECIES, a, at + 2 * stride + i);
      FloatVector d3 = FloatVector.fromArray(SPECIES, a, at + 3 * stride + i);
      FloatVector d4 = FloatVector.fromArray(SPECIES, a, at + 4 * stride + i);
      FloatVector d5 = FloatVector.fromArray(SPECIES, a, at + 5 * stride + i);
      FloatVector even = d4.sub(d2.mul(four));
      FloatVector odd = d3.sub(d1.mul(four));
      FloatVector difference = d4.sub(d2);
      FloatVector twice = d3.sub(d1).mul(two);
      d0.fma(four, d2.fma(five, d4)).intoArray(a, to + i);
      even.add(odd).intoArray(a, to + step + i);
      even.sub(odd).intoArray(a, to + 2 * step + i);
      difference.add(twice).intoArray(a, to + 3 * step + i);
      difference.sub(twice).intoArray(a, to + 4 * step + i);
      d1.fma(four, d3.fma(five, d5)).intoArray(a, to + 5 * step + i);
    }
  }

  private static void inputF2(float[] a, int at, int stride, int to, int step, int count) {
    for (int i = 0; i < count; i += LANES) {
      FloatVector d0 = FloatVector.fromArray(SPECIES, a, at + i);
      FloatVector d1 = FloatVector.fromArray(SPECIES, a, at + stride + i);
      FloatVector d2 = FloatVector.fromArray(SPECIES, a, at + 2 * stride + i);
      FloatVector d3 = FloatVector.fromArray(SPECIES, a, at + 3 * stride + i);
      d0.sub(d2).intoArray(a, to + i);
      d1.add(d2).intoArray(a, to + step + i);
      d2.sub(d1).intoArray(a, to + 2 * step + i);
      d1.sub(d3).intoArray(a, to + 3 * step + i);
    }
  }

  @Override
  void transformBack(
      Winograd form,
      float[] arena,
      int from,
      int step,
      int block,
      float[] weights,
      int biasAt,
      int to,
      int rowStride,
      int pixelStride,
      int rows,
      int columns,
      int residualAt,
      int residualRowStride,
      Epilogue epilogue,
      int scratch) {
    int t = form.inputs();
    for (int j = 0; j < t; j++) {
      int column = from + j * step;
      int half = scratch + j * block;
      switch (form) {
        case F2 -> outputF2(arena, column, t * step, half, t * block, block);
        case F4 -> outputF4(arena, column, t * step, half, t * block, block);
      }
    }
    float floor = epilogue.relu() ? 0 : Float.NEGATIVE_INFINITY;
    for (int i = 0; i < rows; i++) {
      // The second pass leaves the pixels of its row where it found its input.
      int row = scratch + i * t * block;
      switch (form) {
        case F2 -> outputF2(arena, row, block, row, block, block);
        case F4 -> outputF4(arena, row, block, row, block, block);
      }
      for (int j = 0; j < columns; j++) {
        int pixel = row + j * block;
        int out = to + i * rowStride + j * pixelStride;
        if (epilogue.residual()) {
          int residual = residualAt + i * residualRowStride + j * pixelStride;
          finishWithResidual(arena, pixel, weights, biasAt, residual, floor, out, block);
        } else {
          finish(arena, pixel, weights, biasAt, floor, out, block);
        }
        if (epilogue.rounded()) {
          round(arena, out, block);
        }
      }
    }
  }

  /** Aᵀ applied to six rows of {@code count} floats, {@code stride} apart. */
  private static void outputF4(float[] a, int at, int stride, int to, int step, int count) {
    FloatVector two = FloatVector.broadcast(SPECIES, 2);
    FloatVector four = FloatVector.broadcast(SPECIES, 4);
    FloatVector eight = FloatVector.broadcast(SPECIES, 8);
    for (int i = 0; i < count; i += LANES) {
      FloatVector m0 = FloatVector.fromArray(SPECIES, a, at + i);
      FloatVector m1 = FloatVector.fromArray(SPECIES, a, at + stride + i);
      FloatVector m2 = FloatVector.fromArray(SPECIES, a, at + 2 * stride + i);
      FloatVector m3 = FloatVector.fromArray(SPECIES, a, at + 3 * stride + i);
      FloatVector m4 = FloatVector.fromArray(SPECIES, a, at + 4 * stride + i);
      FloatVector m5 = FloatVector.fromArray(SPECIES, a, at + 5 * stride + i);
      FloatVector p = m1.add(m2);
      FloatVector q = m1.sub(m2);
      FloatVector r = m3.add(m4);
      FloatVector s = m3.sub(m4);
      m0.add(p).add(r).intoArray(a, to + i);
      s.fma(two, q).intoArray(a, to + step + i);
      r.fma(four, p).intoArray(a, to + 2 * step + i);
      s.fma(eight, q).add(m5).intoArray(a, to + 3 * step + i);
    }
  }

  private static void outputF2(float[] a, int at, int stride, int to, int step, int count) {
    for (int i = 0; i < count; i += LANES) {
      FloatVector m0 = FloatVector.fromArray(SPECIES, a, at + i);
      FloatVector m1 = FloatVector.fromArray(SPECIES, a, at + stride + i);
      FloatVector m2 = FloatVector.fromArray(SPECIES, a, at + 2 * stride + i);
      FloatVector m3 = FloatVector.fromArray(SPECIES, a, at + 3 * stride + i);
      m0.add(m1).add(m2).intoArray(a, to + i);
      m1.sub(m2).sub(m3).intoArray(a, to + step + i);
    }
  }

  private static void finish(
      float[] a, int at, float[] weights, int bias, float floor, int to, int count) {
    for (int i = 0; i < count; i += LANES) {
      FloatVector x =
          FloatVector.fromArray(SPECIES, a, at + i)
              .add(FloatVector.fromArray(SPECIES, weights, bias + i));
      x.blend(floor, x.compare(LT, floor)).intoArray(a, to + i);
    }
  }

  private static void finishWithResidual(
      float[] a, int at, float[] weights, int bias, int residual, float floor, int to, int count) {
    for (int i = 0; i < count; i += LANES) {
      FloatVector x =
          FloatVector.fromArray(SPECIES, a, at + i)
              .add(FloatVector.fromArray(SPECIES, weights, bias + i))
              .add(FloatVector.fromArray(SPECIES, a, residual + i));
      x.blend(floor, x.compare(LT, floor)).intoArray(a, to + i);
    }
  }

  private static void round(float[] a, int at, int count) {
    for (int i = at; i < at + count; i++) {
      a[i] = Format.rounded(a[i]);
    }
  }

  // A vector that a loop carries round may end up on the heap too; memory carries it here.

  @Override
  public void maxPoolRow(
      Floats memory,
      Format format,
      int from,
      int rowStride,
      int block,
      int size,
      int stride,
      int to,
      int count) {
    if (!format.isFloat()) {
      scalar.maxPoolRow(memory, format, from, rowStride, block, size, stride, to, count);
      return;
    }
    float[] arena = memory.values;
    for (int x = 0; x < count; x++) {
      int window = from + x * stride * block;
      int out = to + x * block;
      System.arraycopy(arena, window, arena, out, block);
      for (int i = 0; i < size; i++) {
        int row = window + i * rowStride;
        if (size == 3) {
          max(arena, out, row, row + block, row + 2 * block, block);
        } else {
          for (int j = 0; j < size; j++) {
            int pixel = row + j * block;
            max(arena, out, pixel, pixel, pixel, block);
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
  public void average(
      Floats memory, int from, int rowStride, int block, int rows, int columns, int to) {
    float[] arena = memory.values;
    Arrays.fill(arena, to, to + block, 0);
    for (int y = 0; y < rows; y++) {
      for (int x = 0; x < columns; x++) {
        add(arena, to, from + y * rowStride + x * block, block);
      }
    }
    float scale = 1f / (rows * columns);
    for (int i = 0; i < block; i++) {
      arena[to + i] *= scale;
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
