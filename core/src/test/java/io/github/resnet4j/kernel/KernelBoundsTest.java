package io.github.resnet4j.kernel;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertThrowsExactly;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.util.Arrays;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * Each operand of each kernel in machine code, at the first and the last index at which it fits
 * into its array, and beyond: machine code has no checks of its own.
 */
class KernelBoundsTest {
  /** Channels of a pixel: several vectors of every length. */
  private static final int BLOCK = 64;

  /** Words for intermediate results of scalar kernels. */
  private static final int SCRATCH = 1 << 16;

  /** A call with the index of each operand. */
  private interface Call {
    void run(Kernels kernels, Floats arena, int scratch, int... at);
  }

  /** The words that an operand occupies before its index, and from there on. */
  private record Operand(int before, long span) {
    Operand(long span) {
      this(0, span);
    }
  }

  private Kernels machine;

  @BeforeEach
  void machineCode() {
    MachineSupport support = MachineSupport.here();
    assumeTrue(support.obstacle().isEmpty(), () -> support.obstacle().orElse(""));
    machine = support.kernels();
  }

  private static void assertOutside(Call call, Kernels kernels, Floats arena, int[] at) {
    // The scalar kernels throw a subclass.
    assertThrowsExactly(
        IndexOutOfBoundsException.class,
        () -> call.run(kernels, arena, 0, at),
        () -> Arrays.toString(at) + " of " + arena.values().length);
  }

  /**
   * Checks a kernel with its operands one after the other, where it computes what the scalar kernel
   * does, and then with each operand in turn at both ends of the array, and beyond.
   */
  private void assertBounds(Call call, Operand... operands) {
    int[] at = new int[operands.length];
    int size = 0;
    for (int i = 0; i < at.length; i++) {
      at[i] = size + operands[i].before;
      size = at[i] + (int) operands[i].span;
    }
    float[] values = new float[size + SCRATCH];
    var random = new Random(1);
    for (int i = 0; i < size; i++) {
      values[i] = (float) random.nextGaussian();
    }
    float[] actual = values.clone();
    call.run(new ScalarKernels(), Floats.of(values), size, at);
    call.run(machine, Floats.of(actual), size, at);
    // The two add in different orders in Winograd's transforms only: a few roundings.
    assertArrayEquals(Arrays.copyOf(values, size), Arrays.copyOf(actual, size), 1e-4f);

    Floats exact = Floats.of(Arrays.copyOf(actual, size));
    for (int i = 0; i < at.length; i++) {
      int first = operands[i].before;
      int last = size - (int) operands[i].span;
      for (int index : new int[] {first, last}) {
        int[] moved = at.clone();
        moved[i] = index;
        call.run(machine, exact, 0, moved);
      }
      for (int index : new int[] {first - 1, last + 1, Integer.MIN_VALUE, Integer.MAX_VALUE}) {
        int[] moved = at.clone();
        moved[i] = index;
        assertOutside(call, machine, exact, moved);
      }
    }
  }

  // --- convolution ----------------------------------------------------------------------------

  @ParameterizedTest
  @ValueSource(booleans = {false, true})
  void tile(boolean added) {
    int channels = 2 * machine.lanes();
    int stride = channels + 16;
    var shape =
        new ConvTile.Shape(
            2,
            channels,
            new ConvTile.Input(Format.FP32, 3, 5),
            new ConvTile.Output(Format.FP32, stride, added ? Format.FP32 : null, true));
    var tiles =
        new ConvTile.Tiles(
            Ints.of(-2, 7, 4), Ints.of(0, 4 * stride, -2 * stride), Ints.of(-1, 2, 3));
    var segments = Ints.of(-3, 6, 11);
    Call call =
        (kernels, arena, _, at) ->
            kernels
                .conv()
                .tile(shape, tiles, segments)
                .run(
                    arena,
                    0,
                    3,
                    at[0],
                    at[1],
                    added ? at[4] : 0,
                    arena,
                    at[2],
                    new ConvTile.Reduction(1, 3, at[3]));
    var input = new Operand(2 + 3, 7 + 11 + 3 + 5);
    var output = new Operand(2 * stride, 4 * stride + stride + channels);
    var weights = new Operand(2 * 5 * channels);
    var bias = new Operand(channels);
    if (added) {
      assertBounds(call, input, output, weights, bias, new Operand(1, 3 + stride + channels));
    } else {
      assertBounds(call, input, output, weights, bias);
    }
  }

  @Test
  void listsOfTilesAndSegments() {
    int channels = machine.lanes();
    var in = new ConvTile.Input(Format.FP32, 1, 1);
    Floats arena = Floats.of(new float[8 * channels]);
    Ints two = Ints.of(0, 0);
    Ints three = Ints.of(0, 0, 0);
    for (Format residual : new Format[] {null, Format.FP32}) {
      var shape =
          new ConvTile.Shape(
              1, channels, in, new ConvTile.Output(Format.FP32, channels, residual, false));
      for (int shorter = 0; shorter < (residual == null ? 2 : 3); shorter++) {
        var tiles =
            new ConvTile.Tiles(
                shorter == 0 ? two : three, shorter == 1 ? two : three, shorter == 2 ? two : three);
        ConvTile tile = machine.conv().tile(shape, tiles, two);
        var all = new ConvTile.Reduction(0, 2, 0);
        tile.run(arena, 0, 2, 0, 0, 0, arena, 0, all);
        for (int[] range : new int[][] {{0, 3}, {-1, 2}, {2, 1}}) {
          assertThrowsExactly(
              IndexOutOfBoundsException.class,
              () -> tile.run(arena, range[0], range[1], 0, 0, 0, arena, 0, all));
          var beyond = new ConvTile.Reduction(range[0], range[1], 0);
          assertThrowsExactly(
              IndexOutOfBoundsException.class,
              () -> tile.run(arena, 0, 2, 0, 0, 0, arena, 0, beyond));
        }
      }
    }
  }

  /** Distances within a tile are constants of 32 bits in bytes. */
  @Test
  void largestTile() {
    int words = Integer.MAX_VALUE / Float.BYTES;
    var out = new ConvTile.Output(Format.FP32, 0, null, false);
    var near = new ConvTile.Input(Format.FP32, words - 5, 5);
    machine
        .conv()
        .tile(new ConvTile.Shape(2, machine.lanes(), near, out), ConvTile.Tiles.ONE, Ints.of(0));
    var far = new ConvTile.Input(Format.FP32, words - 4, 5);
    var shape = new ConvTile.Shape(2, machine.lanes(), far, out);
    var error =
        assertThrows(
            IllegalArgumentException.class,
            () -> machine.conv().tile(shape, ConvTile.Tiles.ONE, Ints.of(0)));
    assertTrue(error.getMessage().contains("is too large"), error.getMessage());
  }

  /** Heavy tiles take one call each. */
  @Test
  void tilesOfSeveralCalls() {
    int channels = machine.lanes();
    int segment = 70_000;
    var shape =
        new ConvTile.Shape(
            2,
            channels,
            new ConvTile.Input(Format.FP32, 1, segment),
            new ConvTile.Output(Format.FP32, channels, null, false));
    var tiles =
        new ConvTile.Tiles(
            Ints.of(0, 1, 2), Ints.of(0, 2 * channels, 4 * channels), Ints.of(0, 0, 0));
    int out = segment + 3;
    float[] expected = new float[out + 6 * channels];
    for (int i = 0; i < out; i++) {
      expected[i] = i % 3 - 1;
    }
    float[] actual = expected.clone();
    float[] weights = new float[segment * channels + channels];
    for (int i = 0; i < weights.length; i++) {
      weights[i] = i % 5 - 2;
    }
    var all = new ConvTile.Reduction(0, 1, segment * channels);
    for (Kernels kernels : List.of(new ScalarKernels(), machine)) {
      Floats arena = Floats.of(kernels == machine ? actual : expected);
      kernels
          .conv()
          .tile(shape, tiles, Ints.of(0))
          .run(arena, 0, 3, 0, out, 0, Floats.of(weights), 0, all);
    }
    assertArrayEquals(expected, actual);
  }

  @Test
  void gather() {
    int[] rows = new int[300]; // more than one call
    Arrays.setAll(rows, i -> i * 7 % 300 - 40);
    assertBounds(
        (kernels, arena, _, at) ->
            kernels
                .conv()
                .gather(Ints.of(rows), 3, BLOCK)
                .run(arena, at[0], arena, at[1], arena, at[2]),
        new Operand(40, 259 + 63 * 3 + 1),
        new Operand(BLOCK),
        new Operand(300 * BLOCK));
    assertThrows(
        IllegalArgumentException.class, () -> machine.conv().gather(Ints.of(0), -1, BLOCK));
    for (int channels : new int[] {-4, 0, 3, 6}) {
      assertThrows(
          IllegalArgumentException.class, () -> machine.conv().gather(Ints.of(0), 1, channels));
    }
    machine.conv().gather(Ints.of(0), 0, 4);
  }

  /** The last index of a list of offsets may be beyond 2^31. */
  @Test
  void sumsOfIndicesDoNotOverflow() {
    int far = Integer.MAX_VALUE - 10;
    Ints offsets = Ints.of(-far, 1000);
    Floats arena = Floats.of(new float[100_000]);
    assertThrowsExactly(
        IndexOutOfBoundsException.class,
        () -> machine.conv().gather(offsets, 1, 4).run(arena, far, arena, 0, arena, 0));
    Plane plane = Plane.ofFloats(1, 1, BLOCK, 0);
    assertThrowsExactly(
        IndexOutOfBoundsException.class,
        () ->
            machine
                .winograd()
                .input(Winograd.F2, plane, offsets, 2 * BLOCK, Format.FP32)
                .run(arena, 0, 2, far, 0, 0));
  }

  @ParameterizedTest
  @ValueSource(booleans = {false, true})
  void prefetch(boolean forWriting) {
    int words = 70_000; // more than one call
    assertBounds(
        (kernels, arena, _, at) -> {
          if (forWriting) {
            kernels.prefetchForWriting(arena, at[0], words);
          } else {
            kernels.prefetch(arena, at[0], words);
          }
        },
        new Operand(words));
  }

  // --- pooling --------------------------------------------------------------------------------

  @Test
  void pooling() {
    int row = 8 * BLOCK;
    Plane in = Plane.ofFloats(4, 3, BLOCK, row);
    var windows = new PoolKernels.Windows(3, 2);
    Plane wider = Plane.ofFloats(4, 3, BLOCK, row + 16);
    int read = 2 * row + 7 * BLOCK;
    assertBounds(
        (kernels, arena, _, at) -> kernels.pool().max(windows, in, in).run(arena, at[0], at[1]),
        new Operand(read),
        new Operand(3 * BLOCK));
    assertBounds(
        (kernels, arena, scratch, at) -> {
          if (scratch > 0) { // gradients of real maxima
            new ScalarKernels().pool().max(windows, in, in).run(arena, at[0], at[1]);
          }
          kernels.pool().maxGradient(windows, in, in, wider).run(arena, at[0], at[1], at[2], at[3]);
        },
        new Operand(read),
        new Operand(3 * BLOCK),
        new Operand(3 * BLOCK),
        new Operand(read + 2 * 16));
    assertBounds(
        (kernels, arena, _, at) -> kernels.pool().average(in).run(arena, at[0], at[1]),
        new Operand(3 * row + 3 * BLOCK),
        new Operand(BLOCK));
    Axis rows = Axis.of(3, (result, tap) -> 2 * result % 3 + tap, 0.5f, 0.25f);
    Axis columns = Axis.of(3, (column, _) -> column, 1);
    assertBounds(
        (kernels, arena, _, at) ->
            kernels.pool().weighted(rows, columns, in, in, true).run(arena, at[0], 1, at[1]),
        new Operand(3 * row + 3 * BLOCK),
        new Operand(3 * BLOCK));
    Floats arena = Floats.of(new float[5 * row]);
    for (int result : new int[] {-1, 3}) {
      assertThrowsExactly(
          IndexOutOfBoundsException.class,
          () ->
              machine.pool().weighted(rows, columns, in, in, true).run(arena, 0, result, 4 * row));
    }
  }

  /** Blocks of bytes, down to a part of a vector. */
  @ParameterizedTest
  @ValueSource(ints = {4, 8, 16, 32})
  void poolingOfBytes(int block) {
    var in = new Plane(Format.U8, 3, 3, block, 8 * block);
    var windows = new PoolKernels.Windows(3, 2);
    Call call =
        (kernels, arena, _, at) -> kernels.pool().max(windows, in, in).run(arena, at[0], at[1]);
    boolean halfOf512Bits = machine.lanes() == 16 && block == 8;
    if (block % machine.lanes() == 0 || halfOf512Bits) {
      assertBounds(call, new Operand(16 * block + 7 * block), new Operand(3 * block));
    } else {
      call.run(machine, Floats.of(new float[100 * block]), 0, 0, 50 * block); // plain loops
    }
  }

  /** A format without instructions is left to plain loops. */
  @Test
  void formatsWithoutInstructions() {
    Target target = MachineCode.ARM64 ? Target.arm64() : Target.x86(Vec.Width.YMM);
    var pool = new MachinePool(target, new MachineCache(), _ -> false);
    var norm = new MachineNorm(target, new MachineCache(), _ -> false);
    var half = new Plane(Format.BF16, 2, 2, BLOCK, 2 * BLOCK);
    Floats none = Floats.of(new float[0]);
    // Java's own checks
    assertThrowsExactly(
        ArrayIndexOutOfBoundsException.class, () -> pool.average(half).run(none, 0, 0));
    assertThrowsExactly(
        ArrayIndexOutOfBoundsException.class, () -> norm.moments(half).run(none, 0, 0, 0));
  }

  @Test
  void channelsAreWholeVectors() {
    Plane odd = Plane.ofFloats(2, 2, 3, 6);
    var windows = new PoolKernels.Windows(2, 1);
    Axis axis = Axis.of(2, (result, _) -> result, 1);
    Plane larger = Plane.ofFloats(2, 3, BLOCK, 3 * BLOCK);
    Plane in = Plane.ofFloats(2, 2, BLOCK, 2 * BLOCK);
    PoolKernels pool = machine.pool();
    NormKernels norm = machine.norm();
    WinogradKernels winograd = machine.winograd();
    Ints zero = Ints.of(0);
    var list = new WinogradKernels.TileOffsets(zero, zero, zero, zero);
    Floats biases = Floats.of(new float[BLOCK]);
    List<Executable> calls =
        List.of(
            () -> pool.max(windows, odd, odd),
            () -> pool.maxGradient(windows, odd, odd, odd),
            () -> pool.maxGradient(windows, in, in, larger),
            () -> pool.average(odd),
            () -> pool.weighted(axis, axis, odd, odd, false),
            () -> pool.weighted(axis, axis, in, odd, false),
            () -> norm.moments(odd),
            () -> norm.moments(new Plane(Format.U8, 2, 2, BLOCK, 2 * BLOCK)),
            () -> norm.normalize(in, null, larger),
            () -> norm.gradientMoments(NormKernels.Mask.NONE, larger, in, null),
            () -> norm.gradient(false, larger, in, in),
            () -> winograd.input(Winograd.F2, odd, zero, 64, Format.FP32),
            () -> winograd.weightGradient(Winograd.F2, new WinogradKernels.WindowRows(3, 9, 9, 3)),
            () ->
                winograd.output(
                    Winograd.F2,
                    3,
                    64,
                    list,
                    new WinogradKernels.Epilogue(biases, in, null, false)),
            () ->
                winograd.output(
                    Winograd.F2,
                    BLOCK,
                    64,
                    list,
                    new WinogradKernels.Epilogue(biases, odd, null, false)));
    for (int i = 0; i < calls.size(); i++) {
      int call = i;
      assertThrows(IllegalArgumentException.class, calls.get(i), () -> "call " + call);
    }
  }

  @Test
  void windowsOfMaxPooling() {
    Plane in = Plane.ofFloats(8, 8, BLOCK, 8 * BLOCK);
    machine.pool().max(new PoolKernels.Windows(7, 7), in, in);
    for (var windows : List.of(new PoolKernels.Windows(8, 1), new PoolKernels.Windows(1, 8))) {
      assertThrows(IllegalArgumentException.class, () -> machine.pool().max(windows, in, in));
      assertThrows(
          IllegalArgumentException.class, () -> machine.pool().maxGradient(windows, in, in, in));
    }
  }

  // --- batch norm -----------------------------------------------------------------------------

  @ParameterizedTest
  @EnumSource
  void norm(NormKernels.Mask mask) {
    // more than one call
    int rows = 4;
    int row = 450 * BLOCK;
    Plane x = Plane.ofFloats(rows, 450, BLOCK, row);
    Plane wider = Plane.ofFloats(rows, 450, BLOCK, row + 16);
    boolean masked = mask == NormKernels.Mask.INPUT;
    var plane = new Operand((rows - 1) * row + 450 * BLOCK);
    var wide = new Operand((rows - 1) * (row + 16) + 450 * BLOCK);
    var two = new Operand(2 * BLOCK);
    var three = new Operand(3 * BLOCK);
    if (mask == NormKernels.Mask.NONE) {
      assertBounds(
          (kernels, arena, _, at) -> kernels.norm().moments(x).run(arena, at[0], at[1], at[2]),
          plane,
          new Operand(BLOCK),
          two);
      assertBounds(
          (kernels, arena, _, at) ->
              kernels.norm().normalize(x, null, wider).run(arena, at[0], at[1], 0, at[2]),
          plane,
          three,
          wide);
      assertBounds(
          (kernels, arena, _, at) ->
              kernels.norm().normalize(x, wider, x).run(arena, at[0], at[1], at[2], at[3]),
          plane,
          three,
          wide,
          plane);
    }
    if (mask == NormKernels.Mask.OUTPUT) {
      assertBounds(
          (kernels, arena, _, at) ->
              kernels
                  .norm()
                  .gradientMoments(mask, wider, x, x)
                  .run(arena, at[0], at[1], at[2], at[3], at[4]),
          wide,
          plane,
          plane,
          three,
          two);
    } else {
      assertBounds(
          (kernels, arena, _, at) ->
              kernels
                  .norm()
                  .gradientMoments(mask, wider, x, null)
                  .run(arena, at[0], at[1], 0, at[2], at[3]),
          wide,
          plane,
          three,
          two);
      assertBounds(
          (kernels, arena, _, at) ->
              kernels.norm().gradient(masked, wider, x, x).run(arena, at[0], at[1], at[2], at[3]),
          wide,
          plane,
          new Operand((masked ? 5 : 3) * BLOCK),
          plane);
    }
  }

  // --- Winograd's transforms ------------------------------------------------------------------

  private static final int TILES = 64; // two calls

  @ParameterizedTest
  @EnumSource
  void winogradTransforms(Winograd form) {
    int row = 3 * BLOCK;
    Plane in = Plane.ofFloats(9, 9, BLOCK, 9 * row);
    int[] offsets = new int[TILES + 1];
    Arrays.setAll(offsets, i -> i * 5 % 41 - 8);
    int step = TILES * BLOCK + 16;
    var products = new Operand((form.products() - 1) * step + TILES * BLOCK);
    for (boolean ofInput : new boolean[] {true, false}) {
      int size = ofInput ? form.inputs() : form.outputs();
      assertBounds(
          (kernels, arena, scratch, at) -> {
            WinogradKernels winograd = kernels.winograd();
            Ints list = Ints.of(offsets);
            (ofInput
                    ? winograd.input(form, in, list, step, Format.FP32)
                    : winograd.gradient(form, in, list, step))
                .run(arena, 1, TILES + 1, at[0], at[1], scratch);
          },
          new Operand(8, 32 + (size - 1) * 9 * row + size * BLOCK),
          products);
    }
    WinogradKernels winograd = machine.winograd();
    winograd.input(form, in, Ints.of(0), 0, Format.FP32);
    assertThrows(
        IllegalArgumentException.class,
        () -> winograd.input(form, in, Ints.of(0), -1, Format.FP32));
    Floats arena = Floats.of(new float[1 << 20]);
    for (int[] range : new int[][] {{-1, 1}, {0, TILES + 2}, {2, 1}}) {
      assertThrowsExactly(
          IndexOutOfBoundsException.class,
          () ->
              winograd
                  .input(form, in, Ints.of(offsets), step, Format.FP32)
                  .run(arena, range[0], range[1], 8, 0, 0));
    }
  }

  @ParameterizedTest
  @EnumSource
  void winogradWeights(Winograd form) {
    int inputs = 128; // two calls
    var rows =
        new WinogradKernels.WindowRows(BLOCK, inputs * BLOCK + 16, inputs * BLOCK + 32, BLOCK);
    for (boolean ofGradient : new boolean[] {false, true}) {
      Call call =
          (kernels, arena, _, at) -> {
            WinogradKernels winograd = kernels.winograd();
            (ofGradient
                    ? winograd.weightGradient(form, rows)
                    : winograd.weights(form, rows, Format.FP32))
                .run(arena, at[0], arena, at[1], inputs);
          };
      assertBounds(
          call,
          new Operand(8 * (inputs * BLOCK + 16) + inputs * BLOCK),
          new Operand(
              (form.products() - 1) * (inputs * BLOCK + 32) + (inputs - 1) * BLOCK + BLOCK));
    }
    Floats arena = Floats.of(new float[1 << 20]);
    assertThrows(
        IllegalArgumentException.class,
        () -> machine.winograd().weightGradient(form, rows).run(arena, 0, arena, 0, 0));
    machine.winograd().weightGradient(form, rows).run(arena, 0, arena, 0, 1);
  }

  @ParameterizedTest
  @EnumSource
  void winogradOutputs(Winograd form) {
    int m = form.outputs();
    int row = m * BLOCK;
    Plane out = Plane.ofFloats(m, m, BLOCK, row);
    Plane wider = Plane.ofFloats(m, m, BLOCK, row + 16);
    int step = TILES * BLOCK;
    int[] places = new int[TILES + 1];
    int[] rows = new int[TILES + 1];
    int[] columns = new int[TILES + 1];
    for (int t = 0; t <= TILES; t++) {
      places[t] = t * m * (row + 16) - 8;
      rows[t] = 1 + t % m; // tiles beyond the edge of the image have fewer
      columns[t] = 1 + (t + 1) % m;
    }
    rows[TILES] = 2;
    columns[TILES] = 2;
    Ints list = Ints.of(places);
    var offsets = new WinogradKernels.TileOffsets(list, list, Ints.of(rows), Ints.of(columns));
    int reach = places[TILES] + row + 2 * BLOCK;
    int wideReach = places[TILES] + row + 16 + 2 * BLOCK;
    var products = new Operand((form.products() - 1) * step + TILES * BLOCK);
    for (boolean added : new boolean[] {true, false}) {
      Call call =
          (kernels, arena, scratch, at) -> {
            var epilogue = new WinogradKernels.Epilogue(arena, out, added ? wider : null, true);
            kernels
                .winograd()
                .output(form, BLOCK, step, offsets, epilogue)
                .run(arena, 1, TILES + 1, at[0], at[1], at[2], added ? at[3] : 0, scratch);
          };
      if (added) {
        assertBounds(
            call, products, new Operand(BLOCK), new Operand(8, reach), new Operand(8, wideReach));
      } else {
        assertBounds(call, products, new Operand(BLOCK), new Operand(8, reach));
      }
    }
  }

  @Test
  void winogradTiles() {
    Plane out = Plane.ofFloats(2, 2, BLOCK, 2 * BLOCK);
    Floats arena = Floats.of(new float[1 << 14]);
    var epilogue = new WinogradKernels.Epilogue(arena, out, out, false);
    Ints two = Ints.of(0, 0);
    Ints three = Ints.of(0, 0, 0);
    for (int shorter = 0; shorter < 4; shorter++) {
      var offsets =
          new WinogradKernels.TileOffsets(
              shorter == 0 ? two : three,
              shorter == 1 ? two : three,
              shorter == 2 ? two : three,
              shorter == 3 ? two : three);
      WinogradKernels.Output output =
          machine.winograd().output(Winograd.F2, BLOCK, 2 * BLOCK, offsets, epilogue);
      output.run(arena, 0, 2, 0, 0, 0, 0, 0);
      for (int[] range : new int[][] {{0, 3}, {-1, 2}, {2, 1}}) {
        assertThrowsExactly(
            IndexOutOfBoundsException.class,
            () -> output.run(arena, range[0], range[1], 0, 0, 0, 0, 0));
      }
    }
    for (int[] size : new int[][] {{3, 2}, {2, 3}}) {
      var offsets = new WinogradKernels.TileOffsets(two, two, Ints.of(size[0]), Ints.of(size[1]));
      assertThrows(
          IllegalArgumentException.class,
          () -> machine.winograd().output(Winograd.F2, BLOCK, BLOCK, offsets, epilogue));
    }
    var offsets = new WinogradKernels.TileOffsets(two, two, two, two);
    assertThrows(
        IllegalArgumentException.class,
        () -> machine.winograd().output(Winograd.F2, BLOCK, -1, offsets, epilogue));
  }
}
