package io.github.resnet4j.kernel;

import io.github.resnet4j.kernel.Truth.Sum;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Compares convolutions and gathering with sums in double precision. */
class ConvReferenceTest extends KernelReference {
  @ParameterizedTest
  @MethodSource("seeds")
  void tilesOfFloats(int seed) {
    forEach(
        seed,
        (kernels, random) -> {
          int lanes = kernels.lanes();
          int vectors = 1 + random.nextInt(kernels.maxVectors());
          int channels = vectors * lanes;
          int pixels = 1 + random.nextInt(kernels.accumulators() / vectors);
          boolean grouped = random.nextBoolean();
          var in = new ConvTile.Input(Format.FP32, random.nextInt(90), 1 + random.nextInt(40));
          var out =
              new ConvTile.Output(
                  Format.FP32,
                  64 + 16 * random.nextInt(3),
                  random.nextBoolean() ? Format.FP32 : null,
                  random.nextBoolean());
          var shape =
              grouped
                  ? ConvTile.Shape.ofGroups(pixels, channels, in, out, lanes)
                  : new ConvTile.Shape(pixels, channels, in, out);
          tiles(kernels, random, shape);
        });
  }

  @ParameterizedTest
  @MethodSource("seeds")
  void tilesOfWeightGradients(int seed) {
    forEach(
        seed,
        (kernels, random) -> {
          int vectors = 1 + random.nextInt(kernels.maxVectors());
          int inputs = 1 + random.nextInt(kernels.accumulators() / vectors);
          int block = 64 + 16 * random.nextInt(2);
          int columns = 1 + random.nextInt(12);
          Plane gradient = Plane.ofFloats(4, columns, block, (columns + random.nextInt(3)) * block);
          int channels = vectors * kernels.lanes();
          int step = 1 + random.nextInt(130);
          tiles(kernels, random, ConvTile.Shape.ofWeightGradient(inputs, channels, step, gradient));
        });
  }

  /** {@code out = bias + residual + Σ in · weight}, as specified in {@link ConvTile}. */
  private static void tiles(Kernels kernels, Random random, ConvTile.Shape shape) {
    ConvTile.Input in = shape.in();
    ConvTile.Output out = shape.out();
    int lanes = kernels.lanes();
    int[] segments = random.ints(1 + random.nextInt(4), 0, 500).toArray();
    var sums = new ConvTile.Reduction(random.nextInt(segments.length), segments.length, 3);
    int outputWords = shape.pixels() * Math.max(out.pixelStride(), 4 * ConvTile.GROUP_STRIDE) + 64;
    var tiles =
        new ConvTile.Tiles(
            Ints.of(9, 2, 30), Ints.of(0, outputWords + 5, 1), Ints.of(4, 0, outputWords + 1));
    int inputs = 600 + (int) shape.inputSpan(lanes);
    float[] arena = sometimesNotFinite(random, inputs + 4 * outputWords);
    int weightAt = 70;
    float[] weights =
        sometimesNotFinite(random, weightAt + (int) shape.weightSpan(segments.length));
    var truth = new Truth(arena);
    int residual = inputs;
    int to = inputs + 2 * outputWords;
    for (int t = 0; t < 2; t++) {
      for (int p = 0; p < shape.pixels(); p++) {
        for (int c = 0; c < shape.channels(); c++) {
          int lane = c / lanes * shape.spacing(lanes) + c % lanes;
          int pixel = p * out.pixelStride() + lane;
          Sum sum = Truth.sum().add(weights[sums.biasAt() + lane]);
          if (out.residual() != null) {
            sum.add(arena[residual + tiles.residual().get(t) + pixel]);
          }
          for (int r = sums.firstSegment(); r < sums.endSegment(); r++) {
            for (int i = 0; i < in.segment(); i++) {
              int x =
                  tiles.in().get(t) + segments[r] + p * in.pixelStride() + i * shape.walk().step();
              int rows = (r - sums.firstSegment()) * in.segment() + i;
              int gaps = (r - sums.firstSegment()) * shape.walk().gap();
              int w = weightAt + rows * shape.walk().row() + gaps + c;
              sum.addProduct(arena[x + (shape.groups() > 0 ? c % lanes : 0)], weights[w]);
            }
          }
          truth.expect(to + tiles.out().get(t) + pixel, sum.relu(out.relu()));
        }
      }
    }
    kernels
        .conv()
        .tile(shape, tiles, Ints.of(segments))
        .run(Floats.of(arena), 0, 2, 0, to, residual, Floats.of(weights), weightAt, sums);
    truth.check(arena, kernels.name() + " " + shape);
  }

  @ParameterizedTest
  @MethodSource("seeds")
  void tilesOfHalvesAndBytes(int seed) {
    forEach(
        seed,
        (kernels, random) -> {
          Format format = List.of(Format.BF16, Format.U8, Format.ROUNDED).get(random.nextInt(3));
          Format[] residuals = {null, format, format.isInteger() ? Format.S8 : Format.FP32};
          Format result = FORMATS.get(random.nextInt(5));
          int vectors = 1 + random.nextInt(kernels.maxVectors());
          boolean relu = result == Format.U8 || random.nextBoolean();
          int segment = random.nextInt(4) == 0 ? 32 : 1 + random.nextInt(30);
          Format ofWeights = format != Format.U8 ? format : bytesOrWords(random);
          var in = new ConvTile.Input(format, ofWeights, random.nextInt(40), segment);
          int most = kernels.conv().multiplyMatrices(in) ? 32 : kernels.accumulators() / vectors;
          int pixels = 1 + random.nextInt(most);
          int stride = 64 / result.perWord() + 16 * random.nextInt(2);
          var out = new ConvTile.Output(result, stride, residuals[random.nextInt(3)], relu);
          narrowTile(
              kernels, random, new ConvTile.Shape(pixels, vectors * kernels.lanes(), in, out));
        });
  }

  private static Format bytesOrWords(Random random) {
    return random.nextBoolean() ? Format.S8 : Format.S16;
  }

  private static float[] words(Random random, Format format, int size) {
    float[] words = new float[size];
    for (int i = 0; i < size * format.perWord(); i++) {
      format.put(words, 0, i, (float) random.nextGaussian() * (format.isInteger() ? 90 : 1));
    }
    return words;
  }

  private static void narrowTile(Kernels kernels, Random random, ConvTile.Shape shape) {
    Format format = shape.in().format();
    ConvTile.Output out = shape.out();
    int channels = shape.channels();
    int segment = shape.in().segment();
    int[] segments = random.ints(1 + random.nextInt(3), 0, 300).toArray();
    int rows = shape.in().rows();
    int count = segments.length * segment * channels * rows;
    int inputs = 300 + (int) shape.inputSpan(kernels.lanes());
    int outputWords = 6 * shape.pixels() * 320;
    Format added = out.residual() == null ? Format.FP32 : out.residual();
    float[] arena = Arrays.copyOf(words(random, format, inputs), inputs + 2 * outputWords);
    System.arraycopy(words(random, added, outputWords), 0, arena, inputs, outputWords);
    Format ofWeights = shape.in().weights();
    float[] weights = Arrays.copyOf(words(random, ofWeights, count), count + 3 * channels);
    for (int i = count; i < weights.length; i++) {
      boolean factor = format.isInteger() && i >= count + channels;
      weights[i] = (float) random.nextGaussian() * (factor ? 0.01f : 1);
    }
    float[] before = arena.clone();
    int to = inputs + outputWords;
    kernels
        .conv()
        .tile(shape, ConvTile.Tiles.ONE, Ints.of(segments))
        .run(
            Floats.of(arena),
            0,
            1,
            0,
            to,
            inputs,
            Floats.of(weights),
            0,
            new ConvTile.Reduction(0, segments.length, count));
    for (int p = 0; p < shape.pixels(); p++) {
      for (int c = 0; c < channels; c++) {
        Sum products = Truth.sum();
        for (int i = 0; i < segments.length * segment; i++) {
          int x = segments[i / segment] + p * shape.in().pixelStride() + i % segment;
          for (int k = 0; k < format.perWord(); k++) {
            int w = (i * rows + k % rows) * channels + c;
            products.addProduct(format.get(before, x, k), ofWeights.get(weights, w, k / rows));
          }
        }
        double residual = added.get(before, inputs + p * out.residualStride(), c);
        Sum sum = Truth.sum().add(weights[count + c]);
        if (format.isInteger()) { // the sum of products is exact
          sum.addProduct(products.value, weights[count + channels + c]).round(1);
          if (out.residual() != null) {
            sum.addProduct(residual, weights[count + 2 * channels + c]);
          }
        } else {
          sum.add(out.residual() == null ? 0 : residual);
          sum.value += products.value;
          sum.magnitude += products.magnitude;
          sum.round(products.roundings);
        }
        sum.relu(out.relu());
        double actual = out.format().get(arena, to + p * out.pixelStride(), c);
        stored(sum, out.format());
        Truth.check(sum, actual, kernels.name() + " " + shape, p);
      }
    }
    for (int i = 0; i < to; i++) {
      if (Float.floatToRawIntBits(before[i]) != Float.floatToRawIntBits(arena[i])) {
        throw new AssertionError("%s %s wrote its operands".formatted(kernels.name(), shape));
      }
    }
  }

  @ParameterizedTest
  @MethodSource("seeds")
  void gathering(int seed) {
    forEach(
        seed,
        (kernels, random) -> {
          int[] from = random.ints(1 + random.nextInt(40), 0, 900).toArray();
          int channels = 4 * (1 + random.nextInt(16));
          int stride = random.nextInt(60);
          float[] source = sometimesNotFinite(random, 905 + 64 * stride);
          float[] scales = normal(random, 3 + channels);
          float[] to = normal(random, 9 + from.length * channels);
          var truth = new Truth(to);
          for (int i = 0; i < from.length; i++) {
            for (int c = 0; c < channels; c++) {
              double weight = source[5 + from[i] + c * stride];
              float product = (float) (weight * scales[3 + c]); // exact before rounding
              truth.expect(4 + i * channels + c, Truth.exactly(product));
            }
          }
          kernels
              .conv()
              .gather(Ints.of(from), stride, channels)
              .run(Floats.of(source), 5, Floats.of(scales), 3, Floats.of(to), 4);
          truth.check(to, kernels.name());
        });
  }
}
