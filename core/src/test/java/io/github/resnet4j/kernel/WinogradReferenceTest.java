package io.github.resnet4j.kernel;

import io.github.resnet4j.kernel.Truth.Sum;
import java.util.Random;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * Compares Winograd's transforms with convolution and its weight gradient, as sums in double
 * precision.
 */
class WinogradReferenceTest extends KernelReference {
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
   * The magnitudes that a convolution in this form adds up: the same algorithm on magnitudes. Each
   * of its numbers is rounded at most {@link #ROUNDINGS} times.
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
   * Two transforms of two passes, each with at most six products and as many sums; the transformed
   * weight, the product, and bias, residual and the stored result.
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
    kernels
        .winograd()
        .input(form, in, inputs, step, Format.FP32)
        .run(memory, 1, 3, 5, products, scratch);
    float[] transformed = new float[form.products()];
    form.transformWeights(window, transformed);
    for (int i = 0; i < form.products(); i++) {
      for (int c = 0; c < 2 * block; c++) {
        arena[products + i * step + c] *= transformed[i];
      }
    }
    var epilogue = new WinogradKernels.Epilogue(Floats.of(biases), out, residual, relu);
    var offsets =
        new WinogradKernels.TileOffsets(outputs, residuals, Ints.of(rows), Ints.of(columns));
    float[] before = arena.clone();
    kernels
        .winograd()
        .output(form, block, step, offsets, epilogue)
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
    // The scratch memory is not compared.
    System.arraycopy(before, scratch, arena, scratch, form.products() * block);
    truth.check(arena, "%s %s, blocks of %d".formatted(kernels.name(), form, block));
  }

  @ParameterizedTest
  @MethodSource("seeds")
  void winogradOfPairsIsConvolution(int seed) {
    for (Winograd form : Winograd.values()) {
      forEach(seed, (kernels, random) -> winogradOfPairs(kernels, random, form));
    }
  }

  /** The same with input, residual and output in bfloat16, and factors in either format. */
  private static void winogradOfPairs(Kernels kernels, Random random, Winograd form) {
    final Format pairs = Format.BF16;
    int m = form.outputs();
    int t = form.inputs();
    int channels = anyBlock(kernels, random);
    int block = channels / 2;
    int pixel = random.nextBoolean() ? block : 32; // a block of output channels may be a part of it
    Format factors = random.nextBoolean() ? Format.FP32 : pairs;
    Plane in = new Plane(pairs, t, 2 * t, block, (2 * t + random.nextInt(3)) * block);
    Plane out = new Plane(pairs, m, 2 * m, pixel, (2 * m + random.nextInt(3)) * pixel);
    Plane residual = random.nextBoolean() ? out : null;
    boolean relu = random.nextBoolean();
    Ints inputs = Ints.of(0, t * block);
    Ints outputs = Ints.of(m * pixel, 0);
    int[] rows = random.ints(2, 1, m + 1).toArray();
    int[] columns = random.ints(2, 1, m + 1).toArray();
    int tile = channels / factors.perWord();
    int step = 2 * tile + 16 * random.nextInt(2);
    int from = 5 + (int) in.span();
    int products = from + form.products() * step;
    int productStep = 2 * channels + 16;
    int scratch = products + form.products() * productStep;
    int added = scratch + form.products() * channels;
    int to = added + (int) out.span() + 64 * m;
    float[] arena = new float[to + (int) out.span() + 64 * m];
    for (int i = 0; i < arena.length; i++) {
      pairs.put(arena, i, 0, (float) random.nextGaussian());
      pairs.put(arena, i, 1, (float) random.nextGaussian());
    }
    float[] before = arena.clone();
    float[] biases = normal(random, 3 + channels);
    float[] window = normal(random, 9);
    Floats memory = Floats.of(arena);
    kernels.winograd().input(form, in, inputs, step, factors).run(memory, 0, 2, 5, from, scratch);
    float[] transformed = new float[form.products()];
    form.transformWeights(window, transformed);
    for (int i = 0; i < form.products(); i++) {
      for (int c = 0; c < 2 * channels; c++) {
        arena[products + i * productStep + c] =
            factors.get(arena, from + i * step, c) * transformed[i];
      }
    }
    var epilogue = new WinogradKernels.Epilogue(Floats.of(biases), out, residual, relu);
    var offsets =
        new WinogradKernels.TileOffsets(outputs, outputs, Ints.of(rows), Ints.of(columns));
    kernels
        .winograd()
        .output(form, channels, productStep, offsets, epilogue)
        .run(memory, 0, 2, products, 3, to, added, scratch);

    String what = "%s %s of %s, %d channels".formatted(kernels.name(), form, factors, channels);
    double[][] weights = square(window, 0, Plane.ofFloats(3, 3, 1, 3), 3);
    // A factor that is rounded to 8 bits has 2^16 times the error of one of 24 bits.
    int roundings = ROUNDINGS + (factors == pairs ? 1 << 16 : 0);
    for (int n = 0; n < 2; n++) {
      for (int c = 0; c < channels; c++) {
        double[][] d = new double[t][t];
        for (int i = 0; i < t * t; i++) {
          int place = 5 + inputs.get(n) + i / t * in.rowStride() + i % t * block;
          d[i / t][i % t] = pairs.get(before, place, c);
        }
        double[][] magnitudes = magnitudes(form, magnitudes(d), magnitudes(weights));
        for (int i = 0; i < rows[n] * columns[n]; i++) {
          int y = i / columns[n];
          int x = i % columns[n];
          int place = outputs.get(n) + y * out.rowStride() + x * pixel;
          Sum sum = Truth.sum().add(biases[3 + c]);
          if (residual != null) {
            sum.add(pairs.get(before, added + place, c));
          }
          for (int k = 0; k < 9; k++) {
            sum.value += d[y + k / 3][x + k % 3] * weights[k / 3][k % 3];
          }
          sum.magnitude += magnitudes[y][x];
          sum.round(roundings).relu(relu);
          stored(sum, pairs);
          Truth.check(sum, pairs.get(arena, to + place, c), what, to + place);
          pairs.put(before, to + place, c, pairs.get(arena, to + place, c)); // checked
        }
      }
    }
    // Nothing else was written.
    System.arraycopy(arena, from, before, from, added - from);
    new Truth(before).check(arena, what);
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
    kernels
        .winograd()
        .input(form, in, at, step, Format.FP32)
        .run(memory, 0, 1, 7, factors, scratch);
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

  @ParameterizedTest
  @MethodSource("seeds")
  void windowsAreTransformed(int seed) {
    for (Winograd form : Winograd.values()) {
      forEach(seed, (kernels, random) -> windows(kernels, random, form));
    }
  }

  private static WinogradKernels.WindowRows windowRows(
      Random random, int channels, int inputs, int rows) {
    int rowStride = channels * (1 + random.nextInt(2));
    return new WinogradKernels.WindowRows(
        channels,
        (inputs + random.nextInt(3)) * channels,
        rows * rowStride + 16 * random.nextInt(2),
        rowStride);
  }

  /** {@code G g Gᵀ} for rows of output channels, with factors in either format. */
  private static void windows(Kernels kernels, Random random, Winograd form) {
    int channels = anyBlock(kernels, random);
    Format factors = random.nextBoolean() ? Format.FP32 : Format.BF16;
    int inputs = 2 + 2 * random.nextInt(3);
    var windows = windowRows(random, channels, inputs, inputs / factors.perWord());
    float[] weights = normal(random, 3 + (int) windows.windowSpan(inputs));
    int size = (int) windows.productSpan(form, inputs / factors.perWord());
    float[] products = normal(random, 5 + size + 7);
    float[] before = products.clone();
    kernels
        .winograd()
        .weights(form, windows, factors)
        .run(Floats.of(weights), 3, Floats.of(products), 5, inputs);
    String what = "%s %s to %s, %d channels".formatted(kernels.name(), form, factors, channels);
    for (int c = 0; c < inputs; c++) {
      for (int o = 0; o < channels; o++) {
        int at = 3 + c * channels + o;
        double[][] window = square(weights, at, tapsOf(windows), 3);
        double[][] expected = bothSides(form.weightTransform(), window);
        double[][] magnitudes = bothSides(magnitudes(form.weightTransform()), magnitudes(window));
        for (int x = 0; x < form.products(); x++) {
          int row = x / form.inputs();
          int column = x % form.inputs();
          Sum sum = Truth.sum();
          sum.value = expected[row][column];
          sum.magnitude = magnitudes[row][column];
          sum.round(WINDOW_ROUNDINGS);
          stored(sum, factors);
          int to = 5 + x * windows.step() + c / factors.perWord() * windows.rowStride() + o;
          Truth.check(sum, factors.get(products, to, c % factors.perWord()), what, to);
          before[to] = products[to]; // checked
        }
      }
    }
    new Truth(before).check(products, what); // nothing else was written
  }

  /**
   * Two passes, each with three products and as many sums (six for the gradient), and constants
   * that are rounded.
   */
  private static final int WINDOW_ROUNDINGS = 2 * (6 + 6 + 1);

  private static Plane tapsOf(WinogradKernels.WindowRows windows) {
    return Plane.ofFloats(3, 3, windows.tapStride(), 3 * windows.tapStride());
  }

  @ParameterizedTest
  @MethodSource("seeds")
  void productsAreTransformedToWindows(int seed) {
    for (Winograd form : Winograd.values()) {
      forEach(seed, (kernels, random) -> windowGradients(kernels, random, form));
    }
  }

  /** {@code Gᵀ m G} for rows of output channels, in one array as in training. */
  private static void windowGradients(Kernels kernels, Random random, Winograd form) {
    int channels = anyBlock(kernels, random);
    int inputs = 1 + random.nextInt(4);
    var windows = windowRows(random, channels, inputs, inputs);
    int products = 3 + (int) windows.windowSpan(inputs);
    float[] arena = normal(random, products + (int) windows.productSpan(form, inputs));
    var truth = new Truth(arena);
    int t = form.inputs();
    float[][] g = transposed(form.weightTransform());
    for (int c = 0; c < inputs; c++) {
      for (int o = 0; o < channels; o++) {
        int at = products + c * windows.rowStride() + o;
        Plane of = Plane.ofFloats(t, t, windows.step(), t * windows.step());
        double[][] m = square(arena, at, of, t);
        double[][] results = bothSides(g, m);
        double[][] magnitudes = bothSides(magnitudes(g), magnitudes(m));
        for (int tap = 0; tap < 9; tap++) {
          Sum sum = truth.more(3 + tap * windows.tapStride() + c * channels + o);
          sum.value += results[tap / 3][tap % 3];
          sum.magnitude += magnitudes[tap / 3][tap % 3];
          sum.round(WINDOW_ROUNDINGS);
        }
      }
    }
    Floats memory = Floats.of(arena);
    kernels.winograd().weightGradient(form, windows).run(memory, 3, memory, products, inputs);
    truth.check(arena, "%s %s, %d channels".formatted(kernels.name(), form, channels));
  }
}
