package io.github.resnet4j.kernel;

import java.util.Arrays;
import java.util.Optional;

/**
 * Runs every family of kernels once on small operands and compares the results with the scalar
 * kernels.
 */
final class SelfTest {
  /** Winograd's sums are in another order; relative to the largest result. */
  private static final float TOLERANCE = 1e-5f;

  private static final PoolKernels.Windows WINDOWS = new PoolKernels.Windows(3, 2);

  /** Three results of two pixels each. */
  private static final Axis SMOOTHED = Axis.of(3, (result, tap) -> (result + tap) % 3, 0.5f, 0.25f);

  private SelfTest() {}

  /** The reason of a failure, or empty. */
  static Optional<String> failure(Kernels kernels) {
    var scalar = new ScalarKernels();
    int lanes = kernels.lanes();
    for (int vectors = 1; vectors <= kernels.maxVectors(); vectors *= 2) {
      for (boolean grouped : new boolean[] {false, true}) {
        int pixels = Math.min(14, kernels.accumulators() / vectors);
        var in = new ConvTile.Input(Format.FP32, 16, 7);
        var out = new ConvTile.Output(Format.FP32, 64, grouped ? null : Format.FP32, true);
        var shape =
            grouped
                ? ConvTile.Shape.ofGroups(pixels, vectors * lanes, in, out, lanes)
                : new ConvTile.Shape(pixels, vectors * lanes, in, out);
        float[] expected = values();
        float[] actual = values();
        tile(scalar.conv()::tile, shape, expected, values());
        tile(kernels.conv()::tile, shape, actual, values());
        if (!Arrays.equals(expected, actual)) {
          return Optional.of("the self-test of convolution failed: " + shape);
        }
      }
    }
    for (Winograd form : Winograd.values()) {
      float[] expected = values();
      float[] actual = values();
      winograd(scalar.winograd(), form, expected);
      winograd(kernels.winograd(), form, actual);
      // The transforms' scratch memory is not compared.
      float largest = 0;
      for (int i = 0; i < 8192; i++) {
        largest = Math.max(largest, Math.abs(expected[i]));
      }
      for (int i = 0; i < 8192; i++) {
        if (!(Math.abs(expected[i] - actual[i]) <= TOLERANCE * largest)) {
          return Optional.of("the self-test of Winograd's algorithm failed: " + form);
        }
      }
    }
    float[] expected = values();
    float[] actual = values();
    for (Kernels each : new Kernels[] {scalar, kernels}) {
      Floats arena = Floats.of(each == scalar ? expected : actual);
      Plane in = Plane.ofFloats(3, 4, 64, 10 * 64);
      each.pool().max(WINDOWS, in, in).run(arena, 16, 8192);
      each.pool().average(in).run(arena, 16, 12288);
      each.pool().weighted(SMOOTHED, SMOOTHED, in, in, false).run(arena, 16, 1, 13312);
    }
    return Arrays.equals(expected, actual)
        ? Optional.empty()
        : Optional.of("the self-test of pooling failed");
  }

  /**
   * The reason of a failure of the kernels that training uses, or empty.
   *
   * @param format that of the activations: floats or bfloat16
   */
  static Optional<String> trainingFailure(Kernels kernels, Format format) {
    float[] expected = words(format);
    System.arraycopy(values(), 1000, expected, 1000, 320); // coefficients are floats
    float[] actual = expected.clone();
    for (Kernels each : new Kernels[] {new ScalarKernels(), kernels}) {
      float[] values = each == kernels ? actual : expected;
      Floats arena = Floats.of(values);
      norms(each, format, arena);
      if (format == Format.BF16) {
        pairs(each, arena);
      } else {
        Plane gradient = Plane.ofFloats(1, 5, 64, 6 * 64);
        var shape = ConvTile.Shape.ofWeightGradient(3, kernels.lanes(), 64, gradient);
        tile(each.conv()::tile, shape, values, values());
      }
    }
    return haveSameBits(expected, actual)
        ? Optional.empty()
        : Optional.of("the self-test of training failed: " + format);
  }

  /** The kernels on activations; coefficients are at 1000. */
  private static void norms(Kernels kernels, Format format, Floats arena) {
    int block = 64 / format.perWord();
    var x = new Plane(format, 2, 3, block, 4 * block);
    var y = new Plane(format, 2, 3, block, 3 * block);
    var wide = new Plane(format, 3, 4, block, 10 * block);
    NormKernels norm = kernels.norm();
    norm.moments(x).run(arena, 16, 1000, 8192);
    norm.normalize(x, y, y).run(arena, 16, 1000, 2000, 9000);
    for (NormKernels.Mask mask : NormKernels.Mask.values()) {
      int sums = 10600 + mask.ordinal() * 128;
      norm.gradientMoments(mask, y, x, y).run(arena, 10000, 16, 2000, 1000, sums);
    }
    norm.gradient(true, y, x, y).run(arena, 2000, 16, 1000, 11200);
    norm.gradient(false, y, x, y).run(arena, 2000, 16, 1000, 11600);
    PoolKernels pool = kernels.pool();
    pool.maxGradient(WINDOWS, wide, wide, wide).run(arena, 16, 16 + block, 3000, 12100);
    pool.average(x).run(arena, 16, 13300);
    pool.weighted(SMOOTHED, SMOOTHED, wide, wide, true).run(arena, 16, 1, 13400);
  }

  /** The operands of products in bfloat16. */
  private static void pairs(Kernels kernels, Floats arena) {
    var row = new Plane(Format.BF16, 1, 3, 32, 128);
    kernels.pairs().pairRows(arena, 1000, 2, 64, arena, 14000);
    kernels.pairs().pairPixels(row, 64, 3).run(arena, 16, 14200);
    kernels.pairs().transpose(row, 1, 16, 16).run(arena, 16, 14400);
    kernels.pairs().shift(arena, 2001, 15500, 70);
  }

  /** Creates tiles, as {@link ConvKernels#tile} does. */
  interface Tiles {
    ConvTile tile(ConvTile.Shape shape, ConvTile.Tiles tiles, Ints segments);
  }

  /**
   * Whether tiles of a format narrower than floats have bit-identical results with the scalar
   * kernels.
   *
   * @param tiles creates them
   * @param ofWeights the format of the weights
   */
  static boolean agree(Tiles tiles, int lanes, Format in, Format ofWeights) {
    float[] words = words(in);
    float[] weights = words(ofWeights);
    System.arraycopy(values(), 0, weights, 8192, 1024); // bias, scale and factor are floats
    for (int vectors = 1; vectors <= 2; vectors++) {
      Format residual = in.isInteger() ? Format.S8 : in;
      var shape =
          new ConvTile.Shape(
              3,
              vectors * lanes,
              new ConvTile.Input(in, ofWeights, 16, 7),
              new ConvTile.Output(in, 64, residual, true));
      float[] expected = words.clone();
      float[] actual = words.clone();
      tile(new ScalarConv()::tile, shape, expected, weights);
      tile(tiles, shape, actual, weights);
      if (!haveSameBits(expected, actual)) {
        return false;
      }
    }
    return true;
  }

  private static boolean haveSameBits(float[] expected, float[] actual) {
    for (int i = 0; i < expected.length; i++) {
      if (Float.floatToRawIntBits(expected[i]) != Float.floatToRawIntBits(actual[i])) {
        return false;
      }
    }
    return true;
  }

  /**
   * Whether tiles of matrices have bit-identical results with the scalar kernels.
   *
   * @param tiles creates them
   */
  static boolean matricesAgree(Tiles tiles, Format in) {
    float[] words = words(in);
    float[] weights = words(in.isInteger() ? Format.S8 : in);
    System.arraycopy(values(), 0, weights, 8192, 1024); // bias, scale and factor are floats
    for (int segment : new int[] {7, 32}) {
      for (int rows = 1; rows <= 2; rows++) {
        var shape =
            new ConvTile.Shape(
                10 * rows,
                32,
                new ConvTile.Input(in, 16, segment),
                new ConvTile.Output(Format.FP32, 64, null, true),
                new ConvTile.Rows(rows, 192, 1024, 0));
        float[] expected = words.clone();
        float[] actual = words.clone();
        tile(ScalarConv::matrixTile, shape, expected, weights);
        tile(tiles, shape, actual, weights);
        if (!haveSameBits(expected, actual)) {
          return false;
        }
      }
    }
    return true;
  }

  /** Small numbers of a format. */
  private static float[] words(Format format) {
    float[] words = new float[16384];
    for (int i = 0; i < 255 * format.perWord(); i++) {
      float number = (i * 31 % 255) / 127f - 1;
      format.put(words, 0, i, format.isInteger() ? 127 * number : number);
    }
    for (int known = 255; known < words.length; known *= 2) {
      System.arraycopy(words, 0, words, known, Math.min(known, words.length - known));
    }
    return words;
  }

  private static float[] values() {
    float[] values = new float[16384];
    for (int i = 0; i < 255; i++) {
      values[i] = (i * 31 % 255) / 127f - 1;
    }
    // Copying is fast even in a JVM that has compiled nothing yet.
    for (int known = 255; known < values.length; known *= 2) {
      System.arraycopy(values, 0, values, known, Math.min(known, values.length - known));
    }
    return values;
  }

  private static void tile(Tiles kernels, ConvTile.Shape shape, float[] arena, float[] weights) {
    var tiles = new ConvTile.Tiles(Ints.of(0, 5), Ints.of(0, 2048), Ints.of(0, 1024));
    var sum = new ConvTile.Reduction(0, 3, 8192);
    kernels
        .tile(shape, tiles, Ints.of(3, 40, 17))
        .run(Floats.of(arena), 0, 2, 16, 8192, 4096, Floats.of(weights), 16, sum);
  }

  private static void winograd(WinogradKernels kernels, Winograd form, float[] values) {
    Floats arena = Floats.of(values);
    int m = form.outputs();
    int block = 16;
    Plane plane = Plane.ofFloats(2, 2, block, 12 * block);
    Ints at = Ints.of(0, m * block);
    var offsets =
        new WinogradKernels.TileOffsets(at, Ints.of(0, 5), Ints.of(m, m - 1), Ints.of(m - 1, m));
    var epilogue = new WinogradKernels.Epilogue(Floats.of(values()), plane, plane, true);
    kernels.input(form, plane, at, 48, Format.FP32).run(arena, 0, 2, 16, 8192, 12000);
    kernels
        .output(form, block, 48, offsets, epilogue)
        .run(arena, 0, 2, 8192, 16, 4096, 2048, 12000);
    var windows = new WinogradKernels.WindowRows(block, 2 * block, 48, block);
    kernels.weights(form, windows, Format.FP32).run(arena, 100, arena, 6000, 2);
    kernels.weightGradient(form, windows).run(arena, 5000, arena, 6000, 2);
  }
}
