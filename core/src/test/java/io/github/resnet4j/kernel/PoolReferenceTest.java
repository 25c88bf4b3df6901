package io.github.resnet4j.kernel;

import io.github.resnet4j.kernel.Truth.Sum;
import java.util.List;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Compares pooling with sums in double precision. */
class PoolReferenceTest extends KernelReference {
  @ParameterizedTest
  @MethodSource("seeds")
  void maxima(int seed) {
    forEach(
        seed,
        (kernels, random) -> {
          Format format = List.of(Format.FP32, Format.BF16, Format.U8).get(random.nextInt(3));
          int block = format.isFloat() ? anyBlock(kernels, random) : 4 << random.nextInt(4);
          boolean signed = format == Format.BF16 && random.nextBoolean();
          block = signed ? anyBlock(kernels, random) / 2 : block;
          var windows =
              new PoolKernels.Windows(1 + random.nextInt(4), 1 + random.nextInt(3), signed);
          int count = 1 + random.nextInt(6);
          int columns = count * windows.stride() + windows.size();
          var in = new Plane(format, windows.size(), columns, block, (columns + 1) * block);
          var out = new Plane(format, 1, count, block, count * block);
          int to = 3 + (int) in.span();
          float[] arena = sometimesNotFinite(random, to + count * block + 5);
          if (!format.isFloat()) {
            for (int i = 0; i < arena.length * format.perWord(); i++) {
              float number = (float) random.nextGaussian() * 90;
              format.put(arena, 0, i, signed ? number : Math.abs(number));
            }
            if (signed) { // the sign of NaN does not matter
              format.put(arena, 3, random.nextInt(block), random.nextBoolean() ? Float.NaN : -0f);
              format.put(arena, 3, random.nextInt(block), Float.intBitsToFloat(0xFFC00000));
            }
          }
          float[] before = arena.clone();
          kernels.pool().max(windows, in, out).run(Floats.of(arena), 3, to);
          for (int x = 0; x < count; x++) {
            for (int c = 0; c < block * format.perWord(); c++) {
              float largest = Float.NEGATIVE_INFINITY;
              for (int i = 0; i < windows.size() * windows.size(); i++) {
                int row = i / windows.size() * in.rowStride();
                int column = (x * windows.stride() + i % windows.size()) * block;
                largest = Math.max(largest, format.get(before, 3 + row + column, c));
              }
              double actual = format.get(arena, to + x * block, c);
              Truth.check(Truth.exactly(largest), actual, kernels.name() + " " + windows, x);
              format.put(before, to + x * block, c, (float) actual);
            }
          }
          new Truth(before).check(arena, kernels.name() + " beside its maxima");
        });
  }

  @ParameterizedTest
  @MethodSource("seeds")
  void gradientsOfMaxima(int seed) {
    forEach(
        seed,
        (kernels, random) -> {
          int block = anyBlock(kernels, random);
          var windows = new PoolKernels.Windows(1 + random.nextInt(4), 1 + random.nextInt(3));
          int count = 1 + random.nextInt(6);
          int columns = count * windows.stride() + windows.size();
          Plane in = Plane.ofFloats(windows.size(), columns, block, (columns + 1) * block);
          Plane out = Plane.ofFloats(1, count, block, count * block);
          Plane gradient = Plane.ofFloats(in.rows(), columns, block, (columns + 2) * block);
          int maxima = (int) in.span();
          int given = maxima + count * block;
          int to = given + count * block;
          float[] arena = normal(random, to + (int) gradient.span());
          for (int i = 0; i < maxima; i++) {
            arena[i] = random.nextInt(3); // ties are frequent
          }
          arena[random.nextInt(maxima)] = Float.NaN; // no pixel is equal to it
          kernels.pool().max(windows, in, out).run(Floats.of(arena), 0, maxima);
          var truth = new Truth(arena);
          for (int x = 0; x < count; x++) {
            for (int c = 0; c < block; c++) {
              int result = x * block + c;
              boolean found = false;
              for (int i = 0; i < windows.size() * windows.size() && !found; i++) {
                int row = i / windows.size();
                int column = (x * windows.stride() + i % windows.size()) * block + c;
                found = arena[row * in.rowStride() + column] == arena[maxima + result];
                if (found) {
                  truth.more(to + row * gradient.rowStride() + column).add(arena[given + result]);
                }
              }
            }
          }
          kernels
              .pool()
              .maxGradient(windows, in, out, gradient)
              .run(Floats.of(arena), 0, maxima, given, to);
          truth.check(arena, kernels.name() + " " + windows);
        });
  }

  @ParameterizedTest
  @MethodSource("seeds")
  void means(int seed) {
    forEach(
        seed,
        (kernels, random) -> {
          Plane in =
              plane(
                  random, 1 + random.nextInt(9), 1 + random.nextInt(9), anyBlock(kernels, random));
          int to = 3 + (int) in.span();
          float[] arena = sometimesNotFinite(random, to + in.block() + 2);
          var truth = new Truth(arena);
          for (int c = 0; c < in.block(); c++) {
            Sum sum = Truth.sum().round(2);
            for (int i = 0; i < in.rows() * in.columns(); i++) {
              sum.add(truth.get(pixel(in, 3, i) + c) / (in.rows() * in.columns()));
            }
            truth.expect(to + c, sum);
          }
          kernels.pool().average(in).run(Floats.of(arena), 3, to);
          truth.check(arena, kernels.name() + " " + in);
        });
  }
}
