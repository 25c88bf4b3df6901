package io.github.resnet4j.kernel;

import io.github.resnet4j.kernel.NormKernels.Mask;
import io.github.resnet4j.kernel.Truth.Sum;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * Every kernel of every provider against what its description says, computed in double precision
 * one number after the other, on random shapes, strides and operands. {@link Truth} has the
 * tolerances. Some operands are not finite where a kernel says what becomes of them.
 */
@Tag("kernels")
class KernelReferenceTest {
  private static final List<Kernels> ALL = KernelsTest.everyProvider();

  static IntStream seeds() {
    return IntStream.range(0, 60);
  }

  private interface Case {
    void run(Kernels kernels, Random random);
  }

  /** The same draws for each provider. */
  private static void forEach(int seed, Case some) {
    ALL.forEach(kernels -> some.run(kernels, new Random(seed)));
  }

  private static float[] normal(Random random, int size) {
    float[] values = new float[size];
    for (int i = 0; i < size; i++) {
      values[i] = (float) random.nextGaussian();
    }
    return values;
  }

  /** Now and then something else than a finite number. */
  private static float[] sometimesNotFinite(Random random, int size) {
    float[] values = normal(random, size);
    float[] others = {Float.NaN, Float.POSITIVE_INFINITY, Float.NEGATIVE_INFINITY, -0f};
    for (int i = 0; random.nextInt(4) > 0 && i < 3; i++) {
      values[random.nextInt(size)] = others[random.nextInt(others.length)];
    }
    return values;
  }

  private static int anyBlock(Kernels kernels, Random random) {
    return Math.min(64, kernels.lanes() << random.nextInt(3));
  }

  // --- convolutions -----------------------------------------------------------------------------

  @ParameterizedTest
  @MethodSource("seeds")
  void tilesOfFloats(int seed) {
    forEach(
        seed,
        (kernels, random) -> {
          int lanes = kernels.lanes();
          int vectors = 1 + random.nextInt(kernels.mostVectors());
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
          int vectors = 1 + random.nextInt(kernels.mostVectors());
          int inputs = 1 + random.nextInt(kernels.accumulators() / vectors);
          int block = 64 + 16 * random.nextInt(2);
          int columns = 1 + random.nextInt(12);
          Plane gradient = Plane.ofFloats(4, columns, block, (columns + random.nextInt(3)) * block);
          int channels = vectors * kernels.lanes();
          int step = 1 + random.nextInt(130);
          tiles(kernels, random, ConvTile.Shape.ofWeightGradient(inputs, channels, step, gradient));
        });
  }

  /** {@code out = bias + residual + Σ in · weight}, as {@link ConvTile} has it. */
  private static void tiles(Kernels kernels, Random random, ConvTile.Shape shape) {
    ConvTile.Input in = shape.in();
    ConvTile.Output out = shape.out();
    int lanes = kernels.lanes();
    int[] runs = random.ints(1 + random.nextInt(4), 0, 500).toArray();
    var sums = new ConvTile.Reduction(random.nextInt(runs.length), runs.length, 3);
    int room = shape.pixels() * Math.max(out.pixelStride(), 4 * ConvTile.GROUP_STRIDE) + 64;
    var tiles =
        new ConvTile.Tiles(Ints.of(9, 2, 30), Ints.of(0, room + 5, 1), Ints.of(4, 0, room + 1));
    int inputs = 600 + (int) shape.inputSpan(lanes);
    float[] arena = sometimesNotFinite(random, inputs + 4 * room);
    int weightAt = 70;
    float[] weights = sometimesNotFinite(random, weightAt + (int) shape.weightSpan(runs.length));
    var truth = new Truth(arena);
    int residual = inputs;
    int to = inputs + 2 * room;
    for (int t = 0; t < 2; t++) {
      for (int p = 0; p < shape.pixels(); p++) {
        for (int c = 0; c < shape.channels(); c++) {
          int lane = c / lanes * shape.spacing(lanes) + c % lanes;
          int pixel = p * out.pixelStride() + lane;
          Sum sum = Truth.sum().add(weights[sums.biasAt() + lane]);
          if (out.residual() != null) {
            sum.add(arena[residual + tiles.residual().get(t) + pixel]);
          }
          for (int r = sums.firstRun(); r < sums.endRun(); r++) {
            for (int i = 0; i < in.run(); i++) {
              int x = tiles.in().get(t) + runs[r] + p * in.pixelStride() + i * shape.walk().step();
              int rows = (r - sums.firstRun()) * in.run() + i;
              int gaps = (r - sums.firstRun()) * shape.walk().gap();
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
        .tile(shape, tiles, Ints.of(runs))
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
          Format[] residuals = {null, format, format.isWhole() ? Format.S8 : Format.FP32};
          Format result = Format.values()[random.nextInt(5)];
          int vectors = 1 + random.nextInt(kernels.mostVectors());
          int pixels = 1 + random.nextInt(kernels.accumulators() / vectors);
          boolean relu = result == Format.U8 || random.nextBoolean();
          var in = new ConvTile.Input(format, random.nextInt(40), 1 + random.nextInt(30));
          int stride = 64 / result.perWord() + 16 * random.nextInt(2);
          var out = new ConvTile.Output(result, stride, residuals[random.nextInt(3)], relu);
          narrowTile(
              kernels, random, new ConvTile.Shape(pixels, vectors * kernels.lanes(), in, out));
        });
  }

  private static float[] words(Random random, Format format, int size) {
    float[] words = new float[size];
    for (int i = 0; i < size * format.perWord(); i++) {
      format.put(words, 0, i, (float) random.nextGaussian() * (format.isWhole() ? 90 : 1));
    }
    return words;
  }

  private static void narrowTile(Kernels kernels, Random random, ConvTile.Shape shape) {
    Format format = shape.in().format();
    ConvTile.Output out = shape.out();
    int channels = shape.channels();
    int run = shape.in().run();
    int[] runs = random.ints(1 + random.nextInt(3), 0, 300).toArray();
    int count = runs.length * run * channels;
    int inputs = 300 + (int) shape.inputSpan(kernels.lanes());
    int room = 6 * shape.pixels() * 320;
    Format added = out.residual() == null ? Format.FP32 : out.residual();
    float[] arena = Arrays.copyOf(words(random, format, inputs), inputs + 2 * room);
    System.arraycopy(words(random, added, room), 0, arena, inputs, room);
    Format ofWeights = format.isWhole() ? Format.S8 : format;
    float[] weights = Arrays.copyOf(words(random, ofWeights, count), count + 3 * channels);
    for (int i = count; i < weights.length; i++) {
      boolean factor = format.isWhole() && i >= count + channels;
      weights[i] = (float) random.nextGaussian() * (factor ? 0.01f : 1);
    }
    float[] before = arena.clone();
    int to = inputs + room;
    kernels
        .conv()
        .tile(shape, ConvTile.Tiles.ONE, Ints.of(runs))
        .run(
            Floats.of(arena),
            0,
            1,
            0,
            to,
            inputs,
            Floats.of(weights),
            0,
            new ConvTile.Reduction(0, runs.length, count));
    for (int p = 0; p < shape.pixels(); p++) {
      for (int c = 0; c < channels; c++) {
        Sum products = Truth.sum();
        for (int i = 0; i < runs.length * run; i++) {
          int x = runs[i / run] + p * shape.in().pixelStride() + i % run;
          for (int k = 0; k < format.perWord(); k++) {
            products.addProduct(
                format.get(before, x, k), ofWeights.get(weights, i * channels + c, k));
          }
        }
        double residual = added.get(before, inputs + p * out.residualStride(), c);
        Sum sum = Truth.sum().add(weights[count + c]);
        if (format.isWhole()) { // the products' sum is exact
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

  /** What becomes of a sum in a format: half a unit of its last place is lost. */
  private static void stored(Sum sum, Format format) {
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
              float product = (float) (weight * scales[3 + c]); // exact before it is rounded
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

  // --- Winograd ---------------------------------------------------------------------------------

  private static float[][] magnitudes(float[][] matrix) {
    float[][] magnitudes = new float[matrix.length][];
    for (int i = 0; i < matrix.length; i++) {
      magnitudes[i] = new float[matrix[i].length];
      for (int j = 0; j < matrix[i].length; j++) {
        magnitudes[i][j] = Math.abs(matrix[i][j]);
      }
    }
    return magnitudes;
  }

  /** {@code M x Mᵀ}. */
  private static double[][] bothSides(float[][] m, double[][] x) {
    double[][] result = new double[m.length][m.length];
    for (int i = 0; i < m.length; i++) {
      for (int j = 0; j < m.length; j++) {
        for (int k = 0; k < x.length; k++) {
          for (int l = 0; l < x.length; l++) {
            result[i][j] += m[i][k] * x[k][l] * m[j][l];
          }
        }
      }
    }
    return result;
  }

  private static float[][] transposed(float[][] matrix) {
    float[][] result = new float[matrix[0].length][matrix.length];
    for (int i = 0; i < matrix.length; i++) {
      for (int j = 0; j < matrix[0].length; j++) {
        result[j][i] = matrix[i][j];
      }
    }
    return result;
  }

  /**
   * How large the numbers are that a convolution in this form adds up: the same algorithm on
   * magnitudes. Each of its numbers is rounded at most {@link #ROUNDINGS} times on the way.
   */
  private static double[][] magnitudes(Winograd form, double[][] in, double[][] window) {
    double[][] d = bothSides(magnitudes(form.inputTransform()), in);
    double[][] g = bothSides(magnitudes(form.weightTransform()), window);
    for (int i = 0; i < d.length; i++) {
      for (int j = 0; j < d.length; j++) {
        d[i][j] *= g[i][j];
      }
    }
    return bothSides(magnitudes(form.outputTransform()), d);
  }

  /**
   * Two transforms of two passes, each of at most six products and as many sums; the transformed
   * weight, the product, and bias, residual and what is stored.
   */
  private static final int ROUNDINGS = 4 * 12 + 5;

  private static double[][] square(float[] values, int at, Plane plane, int size) {
    double[][] square = new double[size][size];
    for (int y = 0; y < size; y++) {
      for (int x = 0; x < size; x++) {
        square[y][x] = values[at + y * plane.rowStride() + x * plane.block()];
      }
    }
    return square;
  }

  private static double[][] magnitudes(double[][] values) {
    double[][] magnitudes = new double[values.length][values.length];
    for (int i = 0; i < values.length; i++) {
      for (int j = 0; j < values.length; j++) {
        magnitudes[i][j] = Math.abs(values[i][j]);
      }
    }
    return magnitudes;
  }

  @ParameterizedTest
  @MethodSource("seeds")
  void winogradIsConvolution(int seed) {
    for (Winograd form : Winograd.values()) {
      forEach(seed, (kernels, random) -> winogradIsConvolution(kernels, random, form));
    }
  }

  /** A 3×3 window over tiles: transformed, multiplied and transformed back. */
  private static void winogradIsConvolution(Kernels kernels, Random random, Winograd form) {
    int m = form.outputs();
    int t = form.inputs();
    int block = anyBlock(kernels, random);
    Plane in = Plane.ofFloats(t, 3 * t, block, (3 * t + random.nextInt(3)) * block);
    // A block of output channels may be a part of a pixel.
    int pixel = random.nextBoolean() ? block : 64;
    Format format = random.nextBoolean() ? Format.FP32 : Format.ROUNDED;
    Plane out = new Plane(format, m, 3 * m, pixel, (3 * m + random.nextInt(3)) * pixel);
    Plane residual =
        random.nextBoolean()
            ? null
            : Plane.ofFloats(m, 3 * m, pixel, (3 * m + random.nextInt(3)) * pixel);
    boolean relu = random.nextBoolean();
    Ints inputs = Ints.of(0, 2 * t * block, t * block);
    Ints outputs = Ints.of(2 * m * pixel, 0, m * pixel);
    Ints residuals = Ints.of(0, m * pixel, 2 * m * pixel);
    int[] rows = random.ints(3, 1, m + 1).toArray();
    int[] columns = random.ints(3, 1, m + 1).toArray();
    int step = 3 * block + 16 * random.nextInt(2);
    int products = 5 + (int) in.span();
    int scratch = products + form.products() * step;
    int added = scratch + form.products() * block;
    int to = added + (int) out.span() + 3 * 64 * m;
    float[] arena = normal(random, to + (int) out.span() + 64);
    float[] biases = normal(random, 3 + block);
    float[] window = normal(random, 9);
    float[] input = arena.clone();
    Floats memory = Floats.of(arena);
    kernels.winograd().input(form, in, inputs, step).run(memory, 1, 3, 5, products, scratch);
    float[] transformed = new float[form.products()];
    form.transformWeights(window, transformed);
    for (int i = 0; i < form.products(); i++) {
      for (int c = 0; c < 2 * block; c++) {
        arena[products + i * step + c] *= transformed[i];
      }
    }
    var epilogue = new WinogradKernels.Epilogue(Floats.of(biases), out, residual, relu);
    var places = new WinogradKernels.Places(outputs, residuals, Ints.of(rows), Ints.of(columns));
    float[] before = arena.clone();
    kernels
        .winograd()
        .output(form, block, step, places, epilogue)
        .run(memory, 1, 3, products, 3, to, added, scratch);
    var truth = new Truth(before);
    double[][] weights = square(window, 0, Plane.ofFloats(3, 3, 1, 3), 3);
    for (int tile = 1; tile < 3; tile++) {
      for (int c = 0; c < block; c++) {
        double[][] d = square(input, 5 + inputs.get(tile) + c, in, t);
        double[][] magnitudes = magnitudes(form, magnitudes(d), magnitudes(weights));
        for (int y = 0; y < rows[tile]; y++) {
          for (int x = 0; x < columns[tile]; x++) {
            Sum sum = Truth.sum().add(biases[3 + c]);
            if (residual != null) {
              int place = residuals.get(tile) + y * residual.rowStride() + x * pixel + c;
              sum.add(before[added + place]);
            }
            for (int k = 0; k < 9; k++) {
              sum.value += d[y + k / 3][x + k % 3] * weights[k / 3][k % 3];
            }
            sum.magnitude += magnitudes[y][x];
            sum.round(ROUNDINGS).relu(relu);
            stored(sum, format);
            truth.expect(to + outputs.get(tile) + y * out.rowStride() + x * pixel + c, sum);
          }
        }
      }
    }
    // The scratch is the kernel's own.
    System.arraycopy(before, scratch, arena, scratch, form.products() * block);
    truth.check(arena, "%s %s, blocks of %d".formatted(kernels.name(), form, block));
  }

  @ParameterizedTest
  @MethodSource("seeds")
  void winogradGradientsAreWeightGradients(int seed) {
    for (Winograd form : Winograd.values()) {
      forEach(seed, (kernels, random) -> winogradGradient(kernels, random, form));
    }
  }

  /** {@code dW = Gᵀ [(Bᵀ d B) ⊙ (A dY Aᵀ)] G}, whose definition is a sum over the outputs. */
  private static void winogradGradient(Kernels kernels, Random random, Winograd form) {
    int m = form.outputs();
    int t = form.inputs();
    int block = anyBlock(kernels, random);
    Plane in = Plane.ofFloats(t, t, block, (t + random.nextInt(3)) * block);
    Plane gradient = Plane.ofFloats(m, m, block, (m + random.nextInt(3)) * block);
    int step = block + 16 * random.nextInt(2);
    int dys = 7 + (int) in.span();
    int factors = dys + (int) gradient.span();
    int others = factors + form.products() * step;
    int scratch = others + form.products() * step;
    float[] arena = normal(random, scratch + form.products() * block);
    float[] before = arena.clone();
    Floats memory = Floats.of(arena);
    Ints at = Ints.of(0);
    kernels.winograd().input(form, in, at, step).run(memory, 0, 1, 7, factors, scratch);
    kernels.winograd().gradient(form, gradient, at, step).run(memory, 0, 1, dys, others, scratch);
    for (int c = 0; c < block; c++) {
      double[][] d = square(before, 7 + c, in, t);
      double[][] dy = square(before, dys + c, gradient, m);
      double[][] products = new double[t][t];
      for (int i = 0; i < form.products(); i++) {
        products[i / t][i % t] =
            (double) arena[factors + i * step + c] * arena[others + i * step + c];
      }
      float[][] g = transposed(form.weightTransform());
      double[][] actual = bothSides(g, products);
      double[][] ofInput = bothSides(magnitudes(form.inputTransform()), magnitudes(d));
      float[][] a = transposed(magnitudes(form.outputTransform()));
      double[][] ofGradient = bothSides(a, magnitudes(dy));
      for (int i = 0; i < form.products(); i++) {
        ofInput[i / t][i % t] *= ofGradient[i / t][i % t];
      }
      double[][] magnitudes = bothSides(magnitudes(g), ofInput);
      for (int k = 0; k < 9; k++) {
        Sum sum = Truth.sum();
        for (int i = 0; i < m * m; i++) {
          sum.value += d[i / m + k / 3][i % m + k % 3] * dy[i / m][i % m];
        }
        sum.magnitude = magnitudes[k / 3][k % 3];
        sum.round(ROUNDINGS);
        Truth.check(sum, actual[k / 3][k % 3], kernels.name() + " gradient, " + form, k);
      }
    }
  }

  // --- pooling ----------------------------------------------------------------------------------

  @ParameterizedTest
  @MethodSource("seeds")
  void maxima(int seed) {
    forEach(
        seed,
        (kernels, random) -> {
          Format format = List.of(Format.FP32, Format.BF16, Format.U8).get(random.nextInt(3));
          int block = format.isFloat() ? anyBlock(kernels, random) : 4 << random.nextInt(4);
          var windows = new PoolKernels.Windows(1 + random.nextInt(4), 1 + random.nextInt(3));
          int count = 1 + random.nextInt(6);
          int columns = count * windows.stride() + windows.size();
          var in = new Plane(format, windows.size(), columns, block, (columns + 1) * block);
          var out = new Plane(format, 1, count, block, count * block);
          int to = 3 + (int) in.span();
          float[] arena = sometimesNotFinite(random, to + count * block + 5);
          if (!format.isFloat()) {
            for (int i = 0; i < arena.length * format.perWord(); i++) {
              format.put(arena, 0, i, Math.abs((float) random.nextGaussian() * 90));
            }
          }
          float[] before = arena.clone();
          kernels.pool().max(windows, in, out).run(Floats.of(arena), 3, to);
          for (int x = 0; x < count; x++) {
            for (int c = 0; c < block * format.perWord(); c++) {
              float most = Float.NEGATIVE_INFINITY;
              for (int i = 0; i < windows.size() * windows.size(); i++) {
                int row = i / windows.size() * in.rowStride();
                int column = (x * windows.stride() + i % windows.size()) * block;
                most = Math.max(most, format.get(before, 3 + row + column, c));
              }
              double actual = format.get(arena, to + x * block, c);
              Truth.check(Truth.exactly(most), actual, kernels.name() + " " + windows, x);
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
            arena[i] = random.nextInt(3); // the same maximum often occurs twice
          }
          arena[random.nextInt(maxima)] = Float.NaN; // of which nothing is the maximum
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
              plane(random, 1 + random.nextInt(9), 1 + random.nextInt(9), anyBlock(kernels, random));
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

  // --- batch norm -------------------------------------------------------------------------------

  private static Plane plane(Random random, int rows, int columns, int block) {
    return Plane.ofFloats(rows, columns, block, (columns + random.nextInt(3)) * block);
  }

  /** Where the pixel of a plane lies, counted row by row. */
  private static int pixel(Plane plane, int at, int index) {
    return at
        + index / plane.columns() * plane.rowStride()
        + index % plane.columns() * plane.block();
  }

  /** Three operands one behind the other, then coefficients, then sums. */
  private record Operands(Plane[] planes, int[] at, int coefficients, int to, float[] arena) {
    static Operands random(Kernels kernels, Random random) {
      int rows = 1 + random.nextInt(6);
      int columns = 1 + random.nextInt(9);
      int block = anyBlock(kernels, random);
      var planes = new Plane[3];
      Arrays.setAll(planes, _ -> plane(random, rows, columns, block));
      int[] at = new int[3];
      int end = 5;
      for (int i = 0; i < 3; i++) {
        at[i] = end;
        end += (int) planes[i].span() + random.nextInt(20);
      }
      return new Operands(
          planes, at, end, end + 5 * block, sometimesNotFinite(random, end + 7 * block + 3));
    }

    int block() {
      return planes[0].block();
    }

    int pixels() {
      return planes[0].rows() * planes[0].columns();
    }

    double get(int operand, int pixel, int channel) {
      return arena[place(operand, pixel, channel)];
    }

    int place(int operand, int pixel, int channel) {
      return pixel(planes[operand], at[operand], pixel) + channel;
    }

    double coefficient(int row, int channel) {
      return arena[coefficients + row * block() + channel];
    }
  }

  @ParameterizedTest
  @MethodSource("seeds")
  void moments(int seed) {
    forEach(
        seed,
        (kernels, random) -> {
          Operands o = Operands.random(kernels, random);
          var truth = new Truth(o.arena);
          for (int c = 0; c < o.block(); c++) {
            for (int i = 0; i < o.pixels(); i++) {
              double d = o.get(0, i, c) - o.coefficient(0, c);
              truth.more(o.to + c).add(d);
              truth.more(o.to + o.block() + c).addProduct(d, d);
            }
            truth.more(o.to + c).round(1 + o.planes[0].rows());
            truth.more(o.to + o.block() + c).round(2 + o.planes[0].rows());
          }
          kernels
              .norm()
              .moments(o.planes[0])
              .run(Floats.of(o.arena), o.at[0], o.coefficients, o.to);
          truth.check(o.arena, kernels.name() + " " + o.planes[0]);
        });
  }

  @ParameterizedTest
  @MethodSource("seeds")
  void normalized(int seed) {
    forEach(
        seed,
        (kernels, random) -> {
          Operands o = Operands.random(kernels, random);
          boolean residual = random.nextBoolean();
          var truth = new Truth(o.arena);
          for (int c = 0; c < o.block(); c++) {
            for (int i = 0; i < o.pixels(); i++) {
              Sum sum = Truth.sum().add(o.coefficient(1, c));
              if (residual) {
                sum.addProduct(o.get(1, i, c), o.coefficient(2, c));
              }
              sum.addProduct(o.get(0, i, c), o.coefficient(0, c)).relu(true);
              truth.expect(o.place(2, i, c), sum);
            }
          }
          kernels
              .norm()
              .normalize(o.planes[0], residual ? o.planes[1] : null, o.planes[2])
              .run(Floats.of(o.arena), o.at[0], o.coefficients, o.at[1], o.at[2]);
          truth.check(o.arena, kernels.name() + " " + o.planes[0]);
        });
  }

  @ParameterizedTest
  @MethodSource("seeds")
  void momentsOfGradients(int seed) {
    forEach(
        seed,
        (kernels, random) -> {
          Operands o = Operands.random(kernels, random); // g, x and y
          Mask mask = Mask.values()[random.nextInt(3)];
          var truth = new Truth(o.arena);
          for (int c = 0; c < o.block(); c++) {
            for (int i = 0; i < o.pixels(); i++) {
              double x = o.get(1, i, c);
              boolean passes =
                  switch (mask) {
                    case NONE -> true;
                    case INPUT -> x * o.coefficient(1, c) + o.coefficient(2, c) > 0;
                    case OUTPUT -> o.get(2, i, c) > 0;
                  };
              double g = passes ? o.get(0, i, c) : 0;
              truth.more(o.to + c).add(g);
              truth.more(o.to + o.block() + c).addProduct(g, x - o.coefficient(0, c));
              if (mask == Mask.OUTPUT) {
                truth.expect(o.place(0, i, c), Truth.sum().add(g));
              }
            }
            truth.more(o.to + c).round(o.planes[0].rows());
            truth.more(o.to + o.block() + c).round(1 + o.planes[0].rows());
          }
          kernels
              .norm()
              .gradientMoments(mask, o.planes[0], o.planes[1], o.planes[2])
              .run(Floats.of(o.arena), o.at[0], o.at[1], o.at[2], o.coefficients, o.to);
          truth.check(o.arena, "%s %s %s".formatted(kernels.name(), mask, o.planes[0]));
        });
  }

  @ParameterizedTest
  @MethodSource("seeds")
  void gradientsOfNorms(int seed) {
    forEach(
        seed,
        (kernels, random) -> {
          Operands o = Operands.random(kernels, random); // g, x and out
          boolean masked = random.nextBoolean();
          boolean inPlace = random.nextBoolean();
          int out = inPlace ? 0 : 2;
          var truth = new Truth(o.arena);
          for (int c = 0; c < o.block(); c++) {
            for (int i = 0; i < o.pixels(); i++) {
              double x = o.get(1, i, c);
              boolean passes = !masked || x * o.coefficient(3, c) + o.coefficient(4, c) > 0;
              Sum sum = Truth.sum().add(o.coefficient(2, c));
              sum.addProduct(x, o.coefficient(1, c));
              sum.addProduct(passes ? o.get(0, i, c) : 0, o.coefficient(0, c));
              truth.expect(o.place(out, i, c), sum);
            }
          }
          kernels
              .norm()
              .gradient(masked, o.planes[0], o.planes[1], o.planes[out])
              .run(Floats.of(o.arena), o.at[0], o.at[1], o.coefficients, o.at[out]);
          truth.check(o.arena, kernels.name() + " " + o.planes[0]);
        });
  }
}
