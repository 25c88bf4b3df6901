package io.github.resnet4j.kernel;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.github.resnet4j.kernel.MachineCode.Feature;
import java.util.ArrayList;
import java.util.EnumSet;
import java.util.List;
import java.util.Optional;
import java.util.Random;
import java.util.Set;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * Compares vector and machine kernels with the scalar ones, on random operands of random shapes.
 * Runs in JVMs with vectors of 512 (if the machine has them), 256 and 128 bits.
 */
@Tag("kernels")
class KernelsTest {
  private static final Kernels SCALAR = new ScalarKernels();
  private static final List<Kernels> ALL = all();

  private static List<Kernels> all() {
    var all = new ArrayList<Kernels>();
    if (Kernels.hasVector()) {
      all.add(new VectorKernels());
    }
    MachineSupport machine = MachineSupport.here();
    if (machine.obstacle().isEmpty()) {
      all.add(machine.isX86() ? machine.kernels(Vec.Width.YMM) : machine.kernels());
      if (machine.hasAvx512()) {
        all.add(machine.kernels(Vec.Width.ZMM));
        var withoutMatrices = EnumSet.copyOf(machine.features());
        if (withoutMatrices.removeAll(Set.of(Feature.AMX_BF16, Feature.AMX_INT8))) {
          all.add(new MachineKernels(Vec.Width.ZMM, withoutMatrices));
        }
      }
    }
    return all;
  }

  /** All kernels, including the scalar ones. */
  static List<Kernels> everyProvider() {
    return Stream.concat(ALL.stream(), Stream.of(SCALAR)).toList();
  }

  /** Random values, so that an out-of-range index changes the result. */
  private static float[] random(Random random, int size) {
    float[] values = new float[size];
    for (int i = 0; i < size; i++) {
      values[i] = (float) random.nextGaussian();
    }
    return values;
  }

  @Test
  void vectorLengthIsTheRequestedOne() {
    String asked = System.getProperty("expected.vector.bits");
    // Other processors have no vectors of 256 bits.
    assumeTrue(Kernels.hasVector(), "this JVM has no Vector API");
    if (asked != null && (asked.equals("128") || System.getProperty("os.arch").equals("amd64"))) {
      assertEquals("vector, " + asked + " bit", new VectorKernels().name());
    }
  }

  @Test
  void machineCodeIsUsedWhenAllowed() {
    MachineSupport support = MachineSupport.here();
    if (Set.of("amd64", "aarch64").contains(System.getProperty("os.arch"))
        && KernelsTest.class.getModule().isNativeAccessEnabled()) {
      assertEquals(Optional.empty(), support.obstacle());
    } else {
      assertTrue(support.obstacle().isPresent());
    }
  }

  static IntStream seeds() {
    return IntStream.range(0, 200);
  }

  @ParameterizedTest
  @MethodSource("seeds")
  void tilesAreBitIdentical(int seed) {
    ALL.forEach(kernels -> tilesAreBitIdentical(kernels, new Random(seed)));
  }

  private static void tilesAreBitIdentical(Kernels kernels, Random random) {
    int vectors = 1 + random.nextInt(kernels.maxVectors());
    int channels = vectors * kernels.lanes();
    int pixels = 1 + random.nextInt(kernels.accumulators() / vectors);
    int groups = random.nextInt(3) == 0 ? kernels.lanes() : 0;
    int segment = 1 + random.nextInt(groups > 0 ? 5 : 70);
    int pixelStride = 1 + random.nextInt(130);
    int outStride = vectors * Math.max(16, kernels.lanes()) + random.nextInt(3) * 16;
    Format residual = random.nextBoolean() ? Format.FP32 : null;
    var in = new ConvTile.Input(Format.FP32, pixelStride, segment);
    var out = new ConvTile.Output(Format.FP32, outStride, residual, random.nextBoolean());
    var shape =
        groups > 0
            ? ConvTile.Shape.ofGroups(pixels, channels, in, out, groups)
            : new ConvTile.Shape(pixels, channels, in, out);
    int runCount = random.nextInt(5);
    int inputs = 100 + pixels * pixelStride + 2000 + segment * (groups > 0 ? 16 : 1);
    int outputs = 2 * pixels * outStride;
    var tiles =
        new ConvTile.Tiles(
            Ints.of(7, 3, random.nextInt(100)),
            Ints.of(1, pixels * outStride, 0),
            Ints.of(2, 1, pixels * outStride));
    float[] arena = random(random, inputs + 2 * outputs + 7);
    int[] segments = random.ints(runCount + 2, 0, 2000).toArray();
    float[] weights = random(random, 5 + runCount * segment * channels + outStride);
    float[] scalar = arena.clone();

    for (var each : List.of(kernels, SCALAR)) {
      each.conv()
          .tile(shape, tiles, Ints.of(segments))
          .run(
              Floats.of(each == kernels ? arena : scalar),
              1,
              3,
              0,
              inputs + outputs,
              inputs,
              Floats.of(weights),
              5,
              new ConvTile.Reduction(1, 1 + runCount, 5 + runCount * segment * channels));
    }

    assertArrayEquals(
        scalar,
        arena,
        () -> kernels.name() + " " + shape); // every bit, and nothing outside the tile
  }

  @ParameterizedTest
  @MethodSource("seeds")
  void weightGradientsAreBitIdentical(int seed) {
    ALL.forEach(kernels -> weightGradientsAreBitIdentical(kernels, new Random(seed)));
  }

  private static void weightGradientsAreBitIdentical(Kernels kernels, Random random) {
    int vectors = 1 + random.nextInt(kernels.maxVectors());
    int channels = vectors * kernels.lanes();
    int inputs = 1 + random.nextInt(kernels.accumulators() / vectors);
    int columns = 1 + random.nextInt(60);
    int pixel = channels + random.nextInt(2) * 16;
    int row = columns * pixel + random.nextInt(3) * pixel;
    int step = 1 + random.nextInt(130);
    Plane plane = Plane.ofFloats(1, columns, pixel, row);
    var shape = ConvTile.Shape.ofWeightGradient(inputs, channels, step, plane);
    int rows = random.nextInt(4);
    int sums = 3 * inputs * channels;
    int read = inputs + columns * step + 500;
    float[] arena = random(random, sums + read + channels);
    float[] gradient = random(random, 5 + (int) shape.weightSpan(rows));
    float[] operands = new float[gradient.length + channels]; // with a bias of zero
    System.arraycopy(gradient, 0, operands, 0, gradient.length);
    float[] scalar = arena.clone();
    int[] offsets = random.ints(rows + 1, 0, 500).toArray();
    var from = Ints.of(0, 3, 1);
    var to = Ints.of(2 * inputs * channels, 0, inputs * channels);
    for (var each : List.of(kernels, SCALAR)) {
      each.conv()
          .tile(shape, new ConvTile.Tiles(from, to, to), Ints.of(offsets))
          .run(
              Floats.of(each == kernels ? arena : scalar),
              0,
              3,
              sums,
              0,
              0,
              Floats.of(operands),
              5,
              new ConvTile.Reduction(1, 1 + rows, gradient.length));
    }
    assertArrayEquals(scalar, arena, () -> kernels.name() + " " + shape);
  }

  @ParameterizedTest
  @MethodSource("seeds")
  void batchNormIsBitIdentical(int seed) {
    ALL.forEach(kernels -> batchNormIsBitIdentical(kernels, new Random(seed)));
  }

  private static void batchNormIsBitIdentical(Kernels kernels, Random random) {
    int block = kernels.lanes() * (1 << random.nextInt(64 / kernels.lanes() > 4 ? 4 : 3));
    block = Math.min(block, 64);
    int rows = 1 + random.nextInt(9);
    int columns = 1 + random.nextInt(9);
    Plane xs = Plane.ofFloats(rows, columns, block, (columns + random.nextInt(3)) * block);
    Plane others = Plane.ofFloats(rows, columns, block, (columns + random.nextInt(3)) * block);
    int plane = 9 * 11 * 64;
    float[] arena = random(random, 4 * plane + 2048);
    float[] scalar = arena.clone();
    int x = random.nextInt(7);
    int second = plane + random.nextInt(7);
    int third = 2 * plane + random.nextInt(7);
    int coefficients = 4 * plane;
    int sums = 4 * plane + 1024;
    NormKernels.Mask mask = NormKernels.Mask.values()[random.nextInt(3)];
    boolean masked = random.nextBoolean();
    boolean residual = random.nextBoolean();
    boolean inPlace = random.nextBoolean();
    for (var each : List.of(kernels, SCALAR)) {
      Floats memory = Floats.of(each == kernels ? arena : scalar);
      NormKernels norm = each.norm();
      norm.moments(xs).run(memory, x, coefficients, sums);
      norm.normalize(xs, residual ? others : null, others)
          .run(memory, x, coefficients, second, third);
      norm.gradientMoments(mask, others, xs, others)
          .run(memory, second, x, third, coefficients, sums + 512);
      int out = inPlace ? second : 3 * plane;
      norm.gradient(masked, others, xs, others).run(memory, second, x, coefficients, out);
    }
    assertArrayEquals(scalar, arena, () -> "%s %s %s".formatted(kernels.name(), xs, mask));
  }

  @Test
  void batchNormOutOfBoundsIsRejected() {
    Plane x = Plane.ofFloats(2, 3, 64, 3 * 64);
    Floats arena = Floats.of(new float[2 * 3 * 64 + 127]);
    for (Kernels kernels : ALL) {
      assertThrows(
          IndexOutOfBoundsException.class,
          () -> kernels.norm().moments(x).run(arena, 0, 0, 2 * 3 * 64),
          kernels.name());
    }
  }

  @ParameterizedTest
  @MethodSource("seeds")
  void maxPoolGradientsAreBitIdentical(int seed) {
    ALL.forEach(kernels -> maxPoolGradientsAreBitIdentical(kernels, new Random(seed)));
  }

  private static void maxPoolGradientsAreBitIdentical(Kernels kernels, Random random) {
    int block = Math.min(64, kernels.lanes() << random.nextInt(3));
    int size = 1 + random.nextInt(3);
    int stride = 1 + random.nextInt(3);
    int count = 1 + random.nextInt(5);
    int row = (count * stride + size) * block;
    int maxima = size * row;
    int gradient = maxima + count * block;
    int to = gradient + count * block;
    float[] arena = random(random, to + size * row);
    for (int i = 0; i < maxima; i++) {
      arena[i] = random.nextInt(3); // ties are frequent
    }
    var windows = new PoolKernels.Windows(size, stride);
    Plane in = Plane.ofFloats(size, count * stride + size, block, row);
    Plane out = Plane.ofFloats(1, count, block, count * block);
    SCALAR.pool().max(windows, in, out).run(Floats.of(arena), 0, maxima);
    float[] scalar = arena.clone();
    for (var each : List.of(kernels, SCALAR)) {
      each.pool()
          .maxGradient(windows, in, out, in)
          .run(Floats.of(each == kernels ? arena : scalar), 0, maxima, gradient, to);
    }
    assertArrayEquals(scalar, arena, kernels.name());
  }

  static IntStream narrowSeeds() {
    return IntStream.range(0, 300);
  }

  /** Words of any format: typical numbers; for floats no denormals. */
  private static float[] words(Random random, Format format, int size) {
    float[] words = new float[size];
    for (int i = 0; i < size * format.perWord(); i++) {
      float number = (float) random.nextGaussian();
      format.put(words, 0, i, format.isInteger() ? 100 * number : number);
    }
    return words;
  }

  /** Rows whose distance is that of a whole number of pixels, or any; at most two matrices. */
  private static ConvTile.Rows rows(int count, ConvTile.Input in, int perRow, Random random) {
    int distance =
        count > 2
            ? in.pixelStride()
                * (perRow + random.nextInt(17 - 2 * perRow > 0 ? 17 - 2 * perRow : 1))
            : in.pixelStride() * perRow + random.nextInt(100);
    return new ConvTile.Rows(count, distance, 320 * perRow, 320 * perRow);
  }

  @ParameterizedTest
  @MethodSource("narrowSeeds")
  void narrowTilesAreBitIdentical(int seed) {
    ALL.forEach(kernels -> narrowTilesAreBitIdentical(kernels, new Random(seed)));
  }

  private static void narrowTilesAreBitIdentical(Kernels kernels, Random random) {
    var inputFormats = List.of(Format.FP32, Format.ROUNDED, Format.BF16, Format.U8);
    Format in = inputFormats.get(random.nextInt(4));
    Format out = KernelReference.FORMATS.get(random.nextInt(5));
    Format residual =
        switch (random.nextInt(3)) {
          case 0 -> null;
          case 1 -> in.isInteger() ? Format.U8 : Format.BF16;
          default -> in.isInteger() ? Format.S8 : Format.FP32;
        };
    int vectors = 1 + random.nextInt(kernels.maxVectors());
    int channels = vectors * kernels.lanes();
    int segment = random.nextInt(4) == 0 ? 16 << random.nextInt(3) : 1 + random.nextInt(40);
    Format weightFormat = in != Format.U8 ? in : random.nextBoolean() ? Format.S8 : Format.S16;
    var input = new ConvTile.Input(in, weightFormat, 1 + random.nextInt(60), segment);
    boolean matrices = kernels.conv().multiplyMatrices(input);
    int rows = matrices && random.nextBoolean() ? 1 + random.nextInt(4) : 1;
    int pixels = 1 + random.nextInt(matrices ? 32 : kernels.accumulators() / vectors);
    pixels = rows == 1 ? pixels : rows * (1 + random.nextInt(rows > 2 ? 7 : 16));
    int outStride = 64 / out.perWord() + 16 * random.nextInt(2); // strides of residuals must divide
    boolean relu = out == Format.U8 || random.nextBoolean();
    var shape =
        new ConvTile.Shape(
            pixels,
            channels,
            input,
            new ConvTile.Output(out, outStride, residual, relu),
            rows == 1 ? ConvTile.Rows.ONE : rows(rows, input, pixels / rows, random));
    int runCount = random.nextInt(4);
    int outputWords = 4 * pixels * 320;
    int inputs = 2000 + (int) shape.inputSpan(kernels.lanes());
    float[] arena = new float[inputs + 2 * outputWords];
    System.arraycopy(words(random, in, inputs), 0, arena, 0, inputs);
    float[] added = words(random, residual == null ? Format.FP32 : residual, outputWords);
    System.arraycopy(added, 0, arena, inputs, outputWords);
    float[] scalar = arena.clone();
    int count = runCount * segment * channels * input.rows();
    float[] weights = new float[count + 3 * channels];
    System.arraycopy(words(random, weightFormat, count), 0, weights, 0, count);
    for (int i = count; i < weights.length; i++) {
      weights[i] =
          (float) random.nextGaussian() * (in.isInteger() && i >= count + channels ? .01f : 1);
    }
    int[] segments = random.ints(runCount, 0, 1900).toArray();
    var tiles =
        new ConvTile.Tiles(
            Ints.of(7, random.nextInt(100)),
            Ints.of(1, outputWords / 2),
            Ints.of(2, outputWords / 3));

    ConvTile expected =
        matrices
            ? ScalarConv.matrixTile(shape, tiles, Ints.of(segments))
            : SCALAR.conv().tile(shape, tiles, Ints.of(segments));
    ConvTile actual = kernels.conv().tile(shape, tiles, Ints.of(segments));
    for (ConvTile each : List.of(expected, actual)) {
      each.run(
          Floats.of(each == actual ? arena : scalar),
          0,
          2,
          0,
          inputs + outputWords,
          inputs,
          Floats.of(weights),
          0,
          new ConvTile.Reduction(0, runCount, count));
    }

    for (int i = 0; i < arena.length; i++) {
      int index = i;
      assertEquals(
          Float.floatToRawIntBits(scalar[i]),
          Float.floatToRawIntBits(arena[i]),
          () ->
              "%s, %s, at %d of %d".formatted(kernels.name(), shape, index, inputs + outputWords));
    }
  }

  @Test
  void reluKeepsNanAndZeroesNegatives() {
    for (var each : everyProvider()) {
      int channels = each.lanes();
      var shape =
          new ConvTile.Shape(
              1,
              channels,
              new ConvTile.Input(Format.FP32, 1, 1),
              new ConvTile.Output(Format.FP32, channels, null, true));
      float[] arena = new float[channels + 1];
      float[] weights = new float[2 * channels];
      weights[channels] = Float.NaN; // the bias
      weights[channels + 1] = Float.NEGATIVE_INFINITY;
      weights[channels + 2] = Float.POSITIVE_INFINITY;
      weights[channels + 3] = Float.MIN_VALUE;
      each.conv()
          .tile(shape, ConvTile.Tiles.ONE, Ints.of(0))
          .run(
              Floats.of(arena),
              0,
              1,
              0,
              1,
              0,
              Floats.of(weights),
              0,
              new ConvTile.Reduction(0, 1, channels));
      assertTrue(Float.isNaN(arena[1]), each.name());
      assertEquals(0, arena[2], each.name());
      assertEquals(Float.POSITIVE_INFINITY, arena[3], each.name());
      assertEquals(Float.MIN_VALUE, arena[4], each.name());
    }
  }

  /** Sums of six to 36 products, in another order and with fused additions. */
  private static final float TRANSFORM_TOLERANCE = 1e-4f;

  @ParameterizedTest
  @EnumSource
  void winogradTransformsMatchScalar(Winograd form) {
    ALL.forEach(kernels -> winogradTransformsMatchScalar(kernels, form, new Random(1)));
  }

  private static void winogradTransformsMatchScalar(Kernels kernels, Winograd form, Random random) {
    for (int block : new int[] {16, 32, 64}) {
      int t = form.inputs();
      int rowStride = (2 * t + 3) * block;
      int step = 5 * block + 16; // two tiles and a gap
      int scratch = 20000;
      float[] arena = random(random, 90000);
      float[] weights = random(random, block + 3);
      float[] scalar = arena.clone();
      int products = scratch + t * t * block;
      int m = form.outputs();
      Ints at = Ints.of(0, m * block);
      var offsets =
          new WinogradKernels.TileOffsets(
              at, at, Ints.of(1 + random.nextInt(m), m), Ints.of(m, 1 + random.nextInt(m)));
      Plane plane = Plane.ofFloats(t, 2 * t, block, rowStride);
      var epilogue =
          new WinogradKernels.Epilogue(
              Floats.of(weights), plane, block != 32 ? plane : null, block != 16);
      int residual = 60000;
      int to = 70000;
      for (var each : List.of(kernels, SCALAR)) {
        Floats a = Floats.of(each == kernels ? arena : scalar);
        WinogradKernels winograd = each.winograd();
        winograd.input(form, plane, at, step, Format.FP32).run(a, 0, 2, 7, products, scratch);
        int after = products + form.products() * step;
        winograd.gradient(form, plane, at, step).run(a, 0, 2, 9, after, scratch);
        winograd
            .output(form, block, step, offsets, epilogue)
            .run(a, 0, 2, products, 3, to, residual, scratch);
      }
      // The scratch memory is not compared.
      for (int i = 0; i < arena.length; i++) {
        if (i < scratch || i >= products) {
          int index = i;
          assertEquals(
              scalar[i],
              arena[i],
              TRANSFORM_TOLERANCE * Math.max(1, Math.abs(scalar[i])),
              () -> "%s, %s, block %d, at %d".formatted(kernels.name(), form, block, index));
        }
      }
    }
  }

  /** Aᵀ[(G g Gᵀ) ⊙ (Bᵀ d B)]A is the convolution: tests the matrices themselves. */
  @ParameterizedTest
  @EnumSource
  void winogradIsConvolution(Winograd form) {
    var random = new Random(2);
    int t = form.inputs();
    int block = 16;
    float[] window = random(random, 9);
    float[] arena = new float[12000];
    for (int i = 0; i < t * t; i++) {
      arena[i * block] = (float) random.nextGaussian();
    }
    float[] input = arena.clone();
    int products = 1000;
    int scratch = 4000;
    Ints at = Ints.of(0);
    Ints all = Ints.of(form.outputs());
    Plane plane = Plane.ofFloats(t, t, block, t * block);
    SCALAR
        .winograd()
        .input(form, plane, at, block, Format.FP32)
        .run(Floats.of(arena), 0, 1, 0, products, scratch);
    float[] transformed = new float[form.products()];
    form.transformWeights(window, transformed);
    for (int i = 0; i < t * t; i++) {
      arena[products + i * block] *= transformed[i];
    }
    int to = 8000;
    var epilogue = new WinogradKernels.Epilogue(Floats.of(new float[block]), plane, null, false);
    SCALAR
        .winograd()
        .output(form, block, block, new WinogradKernels.TileOffsets(at, at, all, all), epilogue)
        .run(Floats.of(arena), 0, 1, products, 0, to, 0, scratch);
    for (int y = 0; y < form.outputs(); y++) {
      for (int x = 0; x < form.outputs(); x++) {
        double sum = 0;
        for (int ky = 0; ky < 3; ky++) {
          for (int kx = 0; kx < 3; kx++) {
            sum += (double) window[3 * ky + kx] * input[((y + ky) * t + x + kx) * block];
          }
        }
        assertEquals(sum, arena[to + (y * t + x) * block], 1e-5);
      }
    }
  }

  @Test
  void gatheringIsBitIdentical() {
    for (Kernels kernels : ALL) {
      var random = new Random(6);
      float[] source = random(random, 70_000);
      float[] scales = random(random, 80);
      // More than one call, and a stride that is not a multiple of the vector length.
      int[] from = random.ints(700, 0, 900).toArray();
      float[] to = new float[700 * 64 + 9];
      float[] scalar = to.clone();
      for (var each : List.of(kernels, SCALAR)) {
        each.conv()
            .gather(Ints.of(from), 1091, 64)
            .run(
                Floats.of(source),
                5,
                Floats.of(scales),
                3,
                Floats.of(each == kernels ? to : scalar),
                4);
      }
      assertArrayEquals(scalar, to, kernels.name());
    }
  }

  @Test
  void prefetchingChangesNothing() {
    for (Kernels kernels : ALL) {
      float[] memory = random(new Random(7), 100_003); // more than one call of machine code
      float[] before = memory.clone();
      kernels.prefetch(Floats.of(memory), 0, memory.length);
      kernels.prefetchForWriting(Floats.of(memory), 1, memory.length - 1);
      assertArrayEquals(before, memory, kernels.name());
    }
  }

  @Test
  void prefetchingOutOfBoundsIsRejected() {
    Floats memory = Floats.of(new float[100]);
    for (Kernels kernels : ALL) {
      if (kernels.name().startsWith("machine")) {
        assertThrows(IndexOutOfBoundsException.class, () -> kernels.prefetch(memory, 1, 100));
        assertThrows(
            IndexOutOfBoundsException.class, () -> kernels.prefetchForWriting(memory, -1, 100));
      }
    }
  }

  @Test
  void gatheringOutOfBoundsIsRejected() {
    for (Kernels kernels : ALL) {
      assertThrows(
          IndexOutOfBoundsException.class,
          () ->
              kernels
                  .conv()
                  .gather(Ints.of(0, 4), 32, 4)
                  .run(
                      Floats.of(new float[100]),
                      0,
                      Floats.of(new float[4]),
                      0,
                      Floats.of(new float[8]),
                      0));
    }
  }

  @Test
  void maxPoolOfNarrowFormatsMatchesScalar() {
    for (Kernels kernels : ALL) {
      for (Format format : List.of(Format.BF16, Format.U8)) {
        var random = new Random(8);
        float[] arena = new float[9000];
        for (int i = 0; i < arena.length * format.perWord(); i++) {
          format.put(arena, 0, i, Math.abs(100 * (float) random.nextGaussian()));
        }
        if (format == Format.BF16) {
          format.put(arena, 5, 77, Float.NaN);
        }
        float[] scalar = arena.clone();
        for (int block : new int[] {4, 8, 16, 32}) {
          for (var each : List.of(kernels, SCALAR)) {
            Floats a = Floats.of(each == kernels ? arena : scalar);
            var in = new Plane(format, 3, 7, block, 20 * block);
            each.pool().max(new PoolKernels.Windows(3, 2), in, in).run(a, 5, 6000);
          }
        }
        for (int i = 0; i < arena.length; i++) {
          assertEquals(
              Float.floatToRawIntBits(scalar[i]),
              Float.floatToRawIntBits(arena[i]),
              kernels.name());
        }
      }
    }
  }

  @Test
  void poolingMatchesScalar() {
    ALL.forEach(kernels -> poolingMatchesScalar(kernels, new Random(3)));
  }

  private static void poolingMatchesScalar(Kernels kernels, Random random) {
    for (int block : new int[] {16, 64}) {
      float[] arena = random(random, 60000);
      arena[9 * block + 1] = Float.NaN;
      float[] scalar = arena.clone();
      for (var each : List.of(kernels, SCALAR)) {
        Floats a = Floats.of(each == kernels ? arena : scalar);
        Plane in = Plane.ofFloats(6, 7, block, 20 * block);
        each.pool().max(new PoolKernels.Windows(3, 2), in, in).run(a, 5, 30000);
        each.pool().average(in).run(a, 5, 50000);
      }
      assertArrayEquals(scalar, arena, 1e-6f); // a sum of 42 in the same order, then one product
    }
  }
}
