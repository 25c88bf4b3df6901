package io.github.resnet4j.kernel;

import static io.github.resnet4j.kernel.VectorKernels.SPECIES;
import static jdk.incubator.vector.VectorOperators.LT;

import jdk.incubator.vector.FloatVector;

/**
 * Winograd's transforms with vectors, written out without helper methods; the transforms of
 * gradients are scalar.
 */
final class VectorWinograd extends ScalarWinograd {
  private static final int LANES = SPECIES.length();

  @Override
  public Transform input(Winograd form, Plane in, Ints offsets, int step, Format factors) {
    if (!in.format().isFloat() || !factors.isFloat()) {
      return super.input(form, in, offsets, step, factors);
    }
    OneTransform one =
        switch (form) {
          case F2 ->
              (arena, from, to, scratch) -> {
                int block = in.block();
                int row = 4 * block;
                inputF2(arena, from, in.rowStride(), scratch, row, row);
                for (int i = 0; i < 4; i++) {
                  inputF2(arena, scratch + i * row, block, to + i * 4 * step, step, block);
                }
              };
          case F4 ->
              (arena, from, to, scratch) -> {
                int block = in.block();
                int row = 6 * block;
                inputF4(arena, from, in.rowStride(), scratch, row, row);
                for (int i = 0; i < 6; i++) {
                  inputF4(arena, scratch + i * row, block, to + i * 6 * step, step, block);
                }
              };
        };
    return new Transforms(one, offsets, in.block());
  }

  // C2 inlines the Vector API without limit, but not other methods: once a method is large, a
  // called method would return its vector on the heap. Hence no helper methods below.

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
  public Output output(
      Winograd form, int channels, int step, TileOffsets offsets, Epilogue epilogue) {
    Plane residual = epilogue.residual();
    if (!epilogue.out().format().isFloat() || (residual != null && !residual.format().isFloat())) {
      return super.output(form, channels, step, offsets, epilogue);
    }
    return new Outputs(new VectorOutput(form, channels, step, epilogue), offsets, channels);
  }

  private record VectorOutput(Winograd form, int channels, int step, Epilogue epilogue)
      implements OneOutput {
    @Override
    public void run(
        float[] arena,
        int from,
        int bias,
        int out,
        int residual,
        int rows,
        int columns,
        int scratch) {
      int t = form.inputs();
      for (int j = 0; j < t; j++) {
        int column = from + j * step;
        int half = scratch + j * channels;
        switch (form) {
          case F2 -> outputF2(arena, column, t * step, half, t * channels, channels);
          case F4 -> outputF4(arena, column, t * step, half, t * channels, channels);
        }
      }
      for (int i = 0; i < rows; i++) {
        // The second pass stores the pixels of its row in place of its input.
        int row = scratch + i * t * channels;
        switch (form) {
          case F2 -> outputF2(arena, row, channels, row, channels, channels);
          case F4 -> outputF4(arena, row, channels, row, channels, channels);
        }
        finishRow(arena, row, bias, i, out, residual, columns);
      }
    }

    private void finishRow(
        float[] arena, int from, int bias, int row, int out, int residual, int columns) {
      float[] biases = epilogue.biases().values;
      float floor = epilogue.relu() ? 0 : Float.NEGATIVE_INFINITY;
      Plane added = epilogue.residual();
      for (int j = 0; j < columns; j++) {
        int pixel = from + j * channels;
        int to = out + row * epilogue.out().rowStride() + j * epilogue.out().block();
        if (added != null) {
          int with = residual + row * added.rowStride() + j * added.block();
          finishWithResidual(arena, pixel, biases, bias, with, floor, to, channels);
        } else {
          finish(arena, pixel, biases, bias, floor, to, channels);
        }
        if (epilogue.out().format() == Format.ROUNDED) {
          round(arena, to, channels);
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
}
