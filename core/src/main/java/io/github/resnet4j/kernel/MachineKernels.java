package io.github.resnet4j.kernel;

import static io.github.resnet4j.kernel.MachineCode.check;
import static io.github.resnet4j.kernel.MachineCode.unexpected;

import io.github.resnet4j.kernel.MachineCode.Feature;
import java.lang.System.Logger.Level;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;
import java.util.Objects;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicReferenceArray;
import org.jspecify.annotations.Nullable;

/**
 * The kernels as x86-64 machine code that Java writes itself: as fast in their first call as ever
 * after. {@link Assembler} knows the instructions, {@link MachineCode} memory and calls, and each
 * family has a generator. What a kernel will read and write is checked here, before the call.
 */
final class MachineKernels implements Kernels {
  /** Floats of the shorter vectors. */
  private static final int HALF_LANES = 8;

  /** Where no block of whole vectors is, up to 64 floats. */
  private static final int HALF_BLOCK = 7;

  private static final MethodHandle WINOGRAD_INPUT = MachineCode.caller(3, 6);
  private static final MethodHandle WINOGRAD_OUTPUT = MachineCode.caller(6, 9);
  private static final MethodHandle MAX_POOL = MachineCode.caller(2, 4);
  private static final MethodHandle AVERAGE = MachineCode.caller(2, 6);
  private static final MethodHandle GATHER_CALLER = MachineCode.caller(4, 7);
  private static final MethodHandle NORM_CALLER = MachineCode.caller(1, MachineNorm.NUMBERS);
  private static final MethodHandle MAX_GRADIENT_CALLER = MachineCode.caller(1, 8);

  /** Tiles of a call: some 20 µs, since the garbage collector waits for it. */
  private static final int TILES_OF_A_CALL = 32;

  /** Floats that a call brings to their place: some 20 µs. */
  private static final int FLOATS_OF_A_CALL = 16_384;

  // Where the code of each kind begins in the list of all; below it, nine bits say which.
  private static final int INPUT = 0;
  private static final int OUTPUT = 1 << 9;
  private static final int MAX = 2 << 9;
  private static final int MEAN = 3 << 9;
  private static final int ROUNDED_OUTPUT = 4 << 9;
  private static final int MAX_OF_HALVES = 5 << 9;
  private static final int MAX_OF_BYTES = 6 << 9;
  private static final int NORM = 7 << 9;
  private static final int MAX_GRADIENT = 8 << 9;
  private static final int GRADIENT = 9 << 9;
  private static final int GATHER = 10 << 9;

  private static final int MOST_WINDOW = 7;

  /** Floats of a call of batch norm's kernels: some 20 µs where they come from memory. */
  private static final int FLOATS_OF_A_NORM = 65_536;

  private final boolean wide;
  private final boolean hasBytes;
  private final boolean hasHalves;
  private final ConcurrentHashMap<ConvTile.Shape, ConvTile> tiles = new ConcurrentHashMap<>();

  /** An array and not a map: looking up must not allocate, not even a key. */
  private final AtomicReferenceArray<@Nullable MemorySegment> codes =
      new AtomicReferenceArray<>(GATHER + 1);

  /** For the formats that this processor has no products of. */
  private final ScalarKernels scalar = new ScalarKernels();

  /** Which formats passed their self-test. */
  private final ConcurrentHashMap<Format, Boolean> passed = new ConcurrentHashMap<>();

  /** Whether bfloat16 is fast; measured when first asked. */
  private @Nullable Boolean gainsByHalves;

  /**
   * @param wide vectors of 512 bits, else of 256; the processor must have them
   * @param features what else it has
   */
  MachineKernels(boolean wide, Set<Feature> features) {
    this.wide = wide;
    this.hasBytes = features.contains(wide ? Feature.AVX512_VNNI : Feature.AVX_VNNI);
    this.hasHalves = wide && features.contains(Feature.AVX512_BF16);
  }

  @Override
  public String name() {
    return "machine, %d bit".formatted(wide ? 512 : 256);
  }

  @Override
  public int lanes() {
    return wide ? 16 : 8;
  }

  @Override
  public int mostVectors() {
    return wide ? 4 : 2;
  }

  @Override
  public int accumulators() {
    return wide ? 28 : 12;
  }

  @Override
  public boolean isFast() {
    return true;
  }

  @Override
  public ConvTile tile(ConvTile.Shape shape) {
    return tiles.computeIfAbsent(
        shape, s -> has(s.in()) && has(s.out()) ? new MachineTile(s, wide) : scalar.tile(s));
  }

  @Override
  public boolean has(Format format) {
    return switch (format) {
      case FP32, ROUNDED -> true;
      case BF16 -> hasHalves && passes(Format.BF16);
      case U8, S8 -> hasBytes && passes(Format.U8);
    };
  }

  /** Whether a format passes its self-test, which waits until somebody asks for the format. */
  private boolean passes(Format in) {
    return passed.computeIfAbsent(
        in,
        format -> {
          boolean agree = SelfTest.agree(shape -> new MachineTile(shape, wide), lanes(), format);
          if (!agree) {
            System.getLogger("io.github.resnet4j")
                .log(Level.WARNING, "the self-test of {0} failed: plain loops instead", format);
          }
          return agree;
        });
  }

  @Override
  public boolean gainsBy(Format in) {
    return switch (in) {
      case FP32, ROUNDED, S8 -> false;
      case U8 -> has(in);
      case BF16 -> has(in) && gainsByHalves();
    };
  }

  /** Some processors have the products, but take several times as long for them. */
  private synchronized boolean gainsByHalves() {
    if (gainsByHalves == null) {
      gainsByHalves = fastest(Format.BF16) < 1.5 * fastest(Format.FP32);
    }
    return gainsByHalves;
  }

  /** Nanoseconds of some calls that take as many instructions in every format. */
  private long fastest(Format format) {
    int run = 256;
    int channels = 4 * lanes() / (wide ? 1 : 2);
    int pixels = accumulators() * lanes() / channels;
    ConvTile tile =
        tile(
            new ConvTile.Shape(
                pixels, channels, run, run, channels, true, 0, format, Format.FP32, null));
    Floats arena = Floats.of(new float[pixels * (run + channels)]);
    Floats weights = Floats.of(new float[(run + 1) * channels]);
    Ints runs = Ints.of(0, 0, 0, 0);
    long fastest = Long.MAX_VALUE;
    for (int i = 0; i < 8; i++) {
      long start = System.nanoTime();
      for (int r = 0; r < runs.size(); r++) {
        tile.run(
            arena,
            ConvTile.Tiles.ONE,
            0,
            1,
            0,
            pixels * run,
            0,
            runs,
            r,
            r + 1,
            weights,
            0,
            run * channels);
      }
      fastest = Math.min(fastest, System.nanoTime() - start);
    }
    return fastest;
  }

  private MemorySegment install(int index, byte[] code) {
    MemorySegment installed = MachineCode.install(code);
    MemorySegment earlier = codes.compareAndExchange(index, null, installed);
    return earlier == null ? installed : earlier;
  }

  /** Which of eight a block is, in three bits. */
  private int block(int floats) {
    if (floats < lanes() || floats % lanes() != 0 || floats > 8 * lanes() || floats > 64) {
      throw new IllegalArgumentException("not for blocks of " + floats);
    }
    return floats / lanes() - 1;
  }

  private static void checkNotNegative(int rowStride, int step) {
    if (rowStride < 0 || step < 0) {
      throw new IllegalArgumentException("strides of %d and %d".formatted(rowStride, step));
    }
  }

  @Override
  public void gather(
      Floats source,
      int start,
      int stride,
      Ints from,
      Floats scales,
      int first,
      int channels,
      Floats to,
      int at) {
    checkNotNegative(stride, channels);
    if (channels == 0 || channels % 4 != 0) {
      throw new IllegalArgumentException("channels must be a multiple of 4, was " + channels);
    }
    check(source, (long) start + from.least, start + from.most + (channels - 1L) * stride + 1);
    check(scales, first, (long) first + channels);
    check(to, at, at + (long) from.size() * channels);
    MemorySegment code = codes.get(GATHER);
    if (code == null) {
      code = install(GATHER, MachineGather.code());
    }
    int atOnce = Math.max(1, FLOATS_OF_A_CALL / channels);
    MemorySegment list = from.segment;
    MemorySegment input = source.enter();
    MemorySegment factors = scales.enter();
    MemorySegment result = to.enter();
    for (int i = 0; i < from.size(); i += atOnce) {
      try {
        GATHER_CALLER.invokeExact(
            code,
            input,
            list,
            factors,
            result,
            4L * start,
            4L * first,
            4L * (at + i * channels),
            (long) Math.min(atOnce, from.size() - i),
            4L * stride,
            (long) channels,
            4L * i);
      } catch (Throwable e) {
        throw unexpected(e);
      }
    }
    to.leave();
  }

  @Override
  public void winogradInput(
      Winograd form,
      Floats arena,
      WinogradTiles tiles,
      int first,
      int end,
      int in,
      int rowStride,
      int block,
      int to,
      int step,
      int scratch) {
    winogradTransform(true, form, arena, tiles, first, end, in, rowStride, block, to, step);
  }

  @Override
  public void winogradGradient(
      Winograd form,
      Floats arena,
      WinogradTiles tiles,
      int first,
      int end,
      int in,
      int rowStride,
      int block,
      int to,
      int step,
      int scratch) {
    winogradTransform(false, form, arena, tiles, first, end, in, rowStride, block, to, step);
  }

  private void winogradTransform(
      boolean input,
      Winograd form,
      Floats arena,
      WinogradTiles tiles,
      int first,
      int end,
      int in,
      int rowStride,
      int block,
      int to,
      int step) {
    checkNotNegative(rowStride, step);
    Objects.checkFromToIndex(first, end, tiles.in().size());
    int t = input ? form.inputs() : form.outputs();
    check(
        arena,
        (long) in + tiles.in().least,
        (long) in + tiles.in().most + (t - 1L) * rowStride + (long) t * block);
    check(arena, to, to + (form.products() - 1L) * step + (long) (end - first) * block);
    int index = (input ? INPUT : GRADIENT) | form.ordinal() << 3 | block(block);
    MemorySegment code = codes.get(index);
    if (code == null) {
      code =
          install(
              index,
              input
                  ? MachineWinograd.input(form, block, wide)
                  : MachineWinograd.gradient(form, block, wide));
    }
    MemorySegment memory = arena.enter();
    for (int i = first; i < end; i += TILES_OF_A_CALL) {
      try {
        WINOGRAD_INPUT.invokeExact(
            code,
            memory,
            memory,
            tiles.in().segment,
            4L * in,
            4L * (to + (i - first) * block),
            4L * i,
            (long) Math.min(TILES_OF_A_CALL, end - i),
            4L * rowStride,
            4L * step);
      } catch (Throwable e) {
        throw unexpected(e);
      }
    }
    arena.leave();
  }

  @Override
  public void winogradOutput(
      Winograd form,
      Floats arena,
      WinogradTiles tiles,
      int first,
      int end,
      int from,
      int step,
      int block,
      Floats weights,
      int biasAt,
      int out,
      int rowStride,
      int pixelStride,
      int residual,
      int residualRowStride,
      Epilogue epilogue,
      int scratch) {
    checkNotNegative(rowStride, step);
    checkNotNegative(residualRowStride, pixelStride);
    Objects.checkFromToIndex(first, end, tiles.out().size());
    Objects.checkFromToIndex(first, end, tiles.rows().size());
    Objects.checkFromToIndex(first, end, tiles.columns().size());
    if (tiles.rows().most > form.outputs() || tiles.columns().most > form.outputs()) {
      throw new IllegalArgumentException("more outputs than a tile has");
    }
    check(arena, from, from + (form.products() - 1L) * step + (long) (end - first) * block);
    check(weights, biasAt, (long) biasAt + block);
    check(arena, (long) out + tiles.out().least, 0);
    check(
        arena, 0, out + lastOutput(tiles, tiles.out(), first, end, rowStride, pixelStride, block));
    if (epilogue.residual()) {
      Objects.checkFromToIndex(first, end, tiles.residual().size());
      check(arena, (long) residual + tiles.residual().least, 0);
      check(
          arena,
          0,
          residual
              + lastOutput(
                  tiles, tiles.residual(), first, end, residualRowStride, pixelStride, block));
    }
    int index =
        (epilogue.rounded() ? ROUNDED_OUTPUT : OUTPUT)
            | (epilogue.relu() ? 1 : 0) << 8
            | (epilogue.residual() ? 1 : 0) << 7
            | form.ordinal() << 6
            | block(pixelStride) << 3
            | block(block);
    MemorySegment code = codes.get(index);
    if (code == null) {
      code = install(index, MachineWinograd.output(form, block, pixelStride, epilogue, wide));
    }
    MemorySegment memory = arena.enter();
    for (int i = first; i < end; i += TILES_OF_A_CALL) {
      try {
        WINOGRAD_OUTPUT.invokeExact(
            code,
            memory,
            weights.enter(),
            tiles.out().segment,
            tiles.residual().segment,
            tiles.rows().segment,
            tiles.columns().segment,
            4L * (from + (i - first) * block),
            4L * out,
            4L * residual,
            4L * biasAt,
            4L * i,
            (long) Math.min(TILES_OF_A_CALL, end - i),
            4L * step,
            4L * rowStride,
            4L * residualRowStride);
      } catch (Throwable e) {
        throw unexpected(e);
      }
    }
    arena.leave();
  }

  /** The end of the outputs (or residuals) that exist: a tile may overhang its image. */
  private static long lastOutput(
      WinogradTiles tiles,
      Ints places,
      int first,
      int end,
      int rowStride,
      int pixelStride,
      int block) {
    long last = 0;
    for (int t = first; t < end; t++) {
      // The first row and column are always written.
      long rows = Math.max(1, tiles.rows().values[t]) - 1;
      long columns = Math.max(1, tiles.columns().values[t]) - 1;
      last = Math.max(last, places.values[t] + rows * rowStride + columns * pixelStride + block);
    }
    return last;
  }

  @Override
  public void maxPoolRow(
      Floats arena,
      Format format,
      int from,
      int rowStride,
      int block,
      int size,
      int stride,
      int to,
      int count) {
    if (!format.isFloat() && block != HALF_LANES && block % lanes() != 0) { // of few channels
      scalar.maxPoolRow(arena, format, from, rowStride, block, size, stride, to, count);
      return;
    }
    checkNotNegative(rowStride, stride);
    if (size < 1 || size > MOST_WINDOW || stride > MOST_WINDOW) {
      throw new IllegalArgumentException("not for windows of %d by %d".formatted(size, stride));
    }
    if (count <= 0) {
      return;
    }
    long pixels = (count - 1L) * stride + size;
    check(arena, from, from + (size - 1L) * rowStride + pixels * block);
    check(arena, to, to + (long) count * block);
    int kind =
        switch (format) {
          case FP32, ROUNDED -> MAX;
          case BF16 -> MAX_OF_HALVES;
          case U8, S8 -> MAX_OF_BYTES;
        };
    // Half a long vector, the bytes of 32 channels, is one of the shorter ones.
    boolean half = wide && block == HALF_LANES;
    int index = kind | size << 6 | stride << 3 | (half ? HALF_BLOCK : block(block));
    MemorySegment code = codes.get(index);
    if (code == null) {
      code = install(index, MachinePool.max(format, block, size, stride, wide && !half));
    }
    MemorySegment memory = arena.enter();
    try {
      MAX_POOL.invokeExact(code, memory, memory, 4L * from, 4L * to, 4L * rowStride, (long) count);
    } catch (Throwable e) {
      throw unexpected(e);
    }
    arena.leave();
  }

  @Override
  public void average(
      Floats arena, int from, int rowStride, int block, int rows, int columns, int to) {
    checkNotNegative(rowStride, 0);
    if (rows < 1 || columns < 1) {
      throw new IllegalArgumentException("the mean of %d×%d pixels".formatted(rows, columns));
    }
    check(arena, from, from + (rows - 1L) * rowStride + (long) columns * block);
    check(arena, to, (long) to + block);
    int index = MEAN | block(block);
    MemorySegment code = codes.get(index);
    if (code == null) {
      code = install(index, MachinePool.average(block, wide));
    }
    MemorySegment memory = arena.enter();
    try {
      AVERAGE.invokeExact(
          code,
          memory,
          memory,
          4L * from,
          4L * to,
          4L * rowStride,
          (long) rows,
          (long) columns,
          (long) Float.floatToRawIntBits(1f / (rows * columns)));
    } catch (Throwable e) {
      throw unexpected(e);
    }
    arena.leave();
  }

  @Override
  public void maxPoolGradientRow(
      Floats arena,
      int from,
      int rowStride,
      int block,
      int size,
      int stride,
      int maxima,
      int gradient,
      int to,
      int toRowStride,
      int count) {
    checkNotNegative(rowStride, stride);
    checkNotNegative(toRowStride, 0);
    if (size < 1 || size > MOST_WINDOW || stride > MOST_WINDOW) {
      throw new IllegalArgumentException("not for windows of %d by %d".formatted(size, stride));
    }
    if (count <= 0) {
      return;
    }
    long pixels = (count - 1L) * stride + size;
    check(arena, from, from + (size - 1L) * rowStride + pixels * block);
    check(arena, to, to + (size - 1L) * toRowStride + pixels * block);
    check(arena, maxima, maxima + (long) count * block);
    check(arena, gradient, gradient + (long) count * block);
    int index = MAX_GRADIENT | size << 6 | stride << 3 | block(block);
    MemorySegment code = codes.get(index);
    if (code == null) {
      code = install(index, MachinePool.maxGradient(block, size, stride, wide));
    }
    try {
      MAX_GRADIENT_CALLER.invokeExact(
          code,
          arena.enter(),
          4L * from,
          4L * to,
          4L * maxima,
          4L * gradient,
          4L * rowStride,
          4L * toRowStride,
          (long) count,
          0L);
    } catch (Throwable e) {
      throw unexpected(e);
    }
    arena.leave();
  }

  @Override
  public void moments(Floats arena, Region region, int x, int xRow, int pivot, int to) {
    checkRegion(arena, region, x, xRow);
    check(arena, pivot, (long) pivot + region.block());
    check(arena, to, to + 2L * region.block());
    norm(MachineNorm.Kind.MOMENTS, arena, region, x, xRow, 0, 0, 0, 0, pivot, to);
  }

  @Override
  public void normalize(
      Floats arena,
      Region region,
      int x,
      int xRow,
      int coefficients,
      int residual,
      int residualRow,
      int y,
      int yRow) {
    checkRegion(arena, region, x, xRow);
    checkRegion(arena, region, y, yRow);
    check(arena, coefficients, coefficients + 3L * region.block());
    if (residual < 0) {
      norm(MachineNorm.Kind.NORMALIZE, arena, region, x, xRow, 0, 0, y, yRow, coefficients, 0);
      return;
    }
    checkRegion(arena, region, residual, residualRow);
    norm(
        MachineNorm.Kind.NORMALIZE_SUM,
        arena,
        region,
        x,
        xRow,
        residual,
        residualRow,
        y,
        yRow,
        coefficients,
        0);
  }

  @Override
  public void gradientMoments(
      Floats arena,
      Region region,
      Mask mask,
      int g,
      int gRow,
      int x,
      int xRow,
      int y,
      int yRow,
      int coefficients,
      int to) {
    checkRegion(arena, region, g, gRow);
    checkRegion(arena, region, x, xRow);
    check(arena, coefficients, coefficients + 3L * region.block());
    check(arena, to, to + 2L * region.block());
    if (mask == Mask.OUTPUT) {
      checkRegion(arena, region, y, yRow);
    }
    MachineNorm.Kind kind =
        switch (mask) {
          case NONE -> MachineNorm.Kind.GRADIENT_MOMENTS;
          case INPUT -> MachineNorm.Kind.GRADIENT_MOMENTS_BY_INPUT;
          case OUTPUT -> MachineNorm.Kind.GRADIENT_MOMENTS_BY_OUTPUT;
        };
    norm(kind, arena, region, x, xRow, g, gRow, y, yRow, coefficients, to);
  }

  @Override
  public void normGradient(
      Floats arena,
      Region region,
      boolean masked,
      int g,
      int gRow,
      int x,
      int xRow,
      int coefficients,
      int out,
      int outRow) {
    checkRegion(arena, region, g, gRow);
    checkRegion(arena, region, x, xRow);
    checkRegion(arena, region, out, outRow);
    check(arena, coefficients, coefficients + (masked ? 5L : 3L) * region.block());
    norm(
        masked ? MachineNorm.Kind.GRADIENT_BY_INPUT : MachineNorm.Kind.GRADIENT,
        arena,
        region,
        x,
        xRow,
        g,
        gRow,
        out,
        outRow,
        coefficients,
        0);
  }

  private static void checkRegion(Floats arena, Region region, int at, int rowStride) {
    checkNotNegative(rowStride, 0);
    check(
        arena,
        at,
        at + (region.rows() - 1L) * rowStride + (long) region.columns() * region.block());
  }

  /** Calls a kernel of batch norm for some rows and as many channels as its registers hold. */
  private void norm(
      MachineNorm.Kind kind,
      Floats arena,
      Region region,
      int x,
      int xRow,
      int second,
      int secondRow,
      int third,
      int thirdRow,
      int coefficients,
      int to) {
    int block = region.block();
    int index = NORM | kind.ordinal() << 3 | block(block);
    MemorySegment code = codes.get(index);
    if (code == null) {
      code = install(index, MachineNorm.code(kind, block, wide));
    }
    int channels = MachineNorm.channels(block, wide);
    int atOnce = Math.max(1, FLOATS_OF_A_NORM / (region.columns() * channels));
    MemorySegment memory = arena.enter();
    for (int c = 0; c < block; c += channels) {
      for (int row = 0; row < region.rows(); row += atOnce) {
        try {
          NORM_CALLER.invokeExact(
              code,
              memory,
              4L * (x + row * xRow + c),
              4L * (second + row * secondRow + c),
              4L * (third + row * thirdRow + c),
              4L * (coefficients + c),
              4L * (to + c),
              4L * xRow,
              4L * secondRow,
              4L * thirdRow,
              (long) Math.min(atOnce, region.rows() - row),
              (long) region.columns());
        } catch (Throwable e) {
          throw unexpected(e);
        }
      }
    }
    arena.leave();
  }
}
