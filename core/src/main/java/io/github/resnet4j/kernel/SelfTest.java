package io.github.resnet4j.kernel;

import java.util.Arrays;
import java.util.Optional;
import java.util.function.Function;

/** Runs every family of kernels once, small, and compares with the scalar twin. */
final class SelfTest {
  /** Winograd's sums are in another order; relative to the largest result. */
  private static final float TOLERANCE = 1e-5f;

  private SelfTest() {}

  /** What differs, or empty. */
  static Optional<String> failure(Kernels kernels) {
    var twin = new ScalarKernels();
    int lanes = kernels.lanes();
    for (int vectors = 1; vectors <= kernels.mostVectors(); vectors *= 2) {
      for (boolean grouped : new boolean[] {false, true}) {
        int pixels = Math.min(14, kernels.accumulators() / vectors);
        var shape =
            new ConvTile.Shape(
                pixels, vectors * lanes, 16, 7, 64, !grouped, true, grouped ? lanes : 0);
        float[] expected = values();
        float[] actual = values();
        tile(twin.tile(shape), expected, values());
        tile(kernels.tile(shape), actual, values());
        if (!Arrays.equals(expected, actual)) {
          return Optional.of("the self-test of convolution failed: " + shape);
        }
      }
    }
    for (Winograd form : Winograd.values()) {
      float[] expected = values();
      float[] actual = values();
      winograd(twin, form, expected);
      winograd(kernels, form, actual);
      // What lies in the transforms' own room is of no interest.
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
    for (Kernels each : new Kernels[] {twin, kernels}) {
      Floats arena = Floats.of(each == twin ? expected : actual);
      each.maxPoolRow(arena, Format.FP32, 16, 10 * 64, 64, 3, 2, 8192, 4);
      each.average(arena, 16, 10 * 64, 64, 3, 4, 12288);
    }
    return Arrays.equals(expected, actual)
        ? Optional.empty()
        : Optional.of("the self-test of pooling failed");
  }

  /** What differs among the kernels that training uses, or empty. */
  static Optional<String> trainingFailure(Kernels kernels) {
    var twin = new ScalarKernels();
    var region = new Kernels.Region(2, 3, 64);
    var shape = ConvTile.Shape.ofWeightGradient(3, kernels.lanes(), 5, 64, 64, 6 * 64);
    float[] expected = values();
    float[] actual = values();
    for (Kernels each : new Kernels[] {twin, kernels}) {
      float[] values = each == twin ? expected : actual;
      Floats arena = Floats.of(values);
      each.moments(arena, region, 16, 4 * 64, 1000, 8192);
      each.normalize(arena, region, 16, 4 * 64, 1000, 2000, 3 * 64, 9000, 3 * 64);
      for (Kernels.Mask mask : Kernels.Mask.values()) {
        each.gradientMoments(
            arena,
            region,
            mask,
            10000,
            192,
            16,
            256,
            2000,
            192,
            1000,
            10600 + mask.ordinal() * 128);
      }
      each.normGradient(arena, region, true, 2000, 3 * 64, 16, 4 * 64, 1000, 11200, 3 * 64);
      each.normGradient(arena, region, false, 2000, 3 * 64, 16, 4 * 64, 1000, 11600, 3 * 64);
      each.maxPoolGradientRow(arena, 16, 10 * 64, 64, 3, 2, 16 + 64, 3000, 12100, 10 * 64, 4);
      tile(each.tile(shape), values, values());
    }
    return Arrays.equals(expected, actual)
        ? Optional.empty()
        : Optional.of("the self-test of training failed");
  }

  /**
   * Whether tiles of a format narrower than floats give what the scalar twin gives, bit for bit.
   *
   * @param tiles makes them
   */
  static boolean agree(Function<ConvTile.Shape, ConvTile> tiles, int lanes, Format in) {
    float[] words = words(in);
    float[] weights = words(in.isWhole() ? Format.S8 : in);
    System.arraycopy(values(), 0, weights, 8192, 1024); // bias, scale and factor are floats
    for (int vectors = 1; vectors <= 2; vectors++) {
      var shape =
          new ConvTile.Shape(
              3, vectors * lanes, 16, 7, 64, true, 0, in, in, in.isWhole() ? Format.S8 : in);
      float[] expected = words.clone();
      float[] actual = words.clone();
      tile(new ScalarKernels().tile(shape), expected, weights);
      tile(tiles.apply(shape), actual, weights);
      for (int i = 0; i < expected.length; i++) {
        if (Float.floatToRawIntBits(expected[i]) != Float.floatToRawIntBits(actual[i])) {
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
      format.put(words, 0, i, format.isWhole() ? 127 * number : number);
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
    // What is copied is copied fast, even in a JVM that has compiled nothing yet.
    for (int known = 255; known < values.length; known *= 2) {
      System.arraycopy(values, 0, values, known, Math.min(known, values.length - known));
    }
    return values;
  }

  private static void tile(ConvTile tile, float[] arena, float[] weights) {
    var tiles = new ConvTile.Tiles(Ints.of(0, 5), Ints.of(0, 2048), Ints.of(0, 1024));
    tile.run(
        Floats.of(arena),
        tiles,
        0,
        2,
        16,
        8192,
        4096,
        Ints.of(3, 40, 17),
        0,
        3,
        Floats.of(weights),
        16,
        8192);
  }

  private static void winograd(Kernels kernels, Winograd form, float[] values) {
    Floats arena = Floats.of(values);
    int m = form.outputs();
    int block = 16;
    var tiles =
        new Kernels.WinogradTiles(
            Ints.of(0, m * block),
            Ints.of(0, m * block),
            Ints.of(0, 5),
            Ints.of(m, m - 1),
            Ints.of(m - 1, m));
    kernels.winogradInput(form, arena, tiles, 0, 2, 16, 12 * block, block, 8192, 48, 12000);
    kernels.winogradOutput(
        form,
        arena,
        tiles,
        0,
        2,
        8192,
        48,
        block,
        Floats.of(values()),
        16,
        4096,
        12 * block,
        block,
        2048,
        12 * block,
        new Kernels.Epilogue(true, true, false),
        12000);
  }
}
