package io.github.resnet4j.kernel;

import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;
import java.util.Arrays;
import java.util.concurrent.atomic.AtomicLong;

/**
 * The loops of a JPEG decoder in machine code for AVX2. Each operand is a slice of exactly the
 * accessed range, so creating the slice is the bounds check. Rows that are too short for vectors
 * are processed by plain loops.
 */
final class MachineJpeg implements JpegKernels {
  /** The number of blocks per call: about 40 µs, since the garbage collector waits for it. */
  private static final int MAX_BLOCKS_PER_CALL = 2048;

  private final ScalarJpeg scalar = new ScalarJpeg();

  /** Loaded only if machine code is used. */
  private static final class Code {
    /**
     * The same number of parameters as another kernel: a new method handle takes 3 ms in a cold
     * JVM.
     */
    static final MethodHandle CALLER = MachineCode.caller(4, 7);

    static final MemorySegment IDCT = MachineCode.install(MachineIdctCode.code());
    static final MemorySegment UPSAMPLE = MachineCode.install(MachineRowsCode.upsample());
    static final MemorySegment RGB = MachineCode.install(MachineRowsCode.rgb());
    static final MemorySegment INTERLEAVE = MachineCode.install(MachineRowsCode.interleave());
    static final boolean MATCHES_SCALAR = matchesScalar();
  }

  /**
   * The number of pixels that a cold JVM decodes with plain loops in less time than machine code
   * needs to initialize.
   */
  private static final long MIN_PIXELS = 1 << 22;

  private static final AtomicLong PIXELS = new AtomicLong();

  /**
   * Whether machine code works here and has the same results as plain loops. It is not tested for
   * the first images, unless another kernel has initialized machine code.
   *
   * @param pixels the number of pixels of the image
   */
  static boolean isUsable(long pixels) {
    return (Providers.expectsMachine() || PIXELS.addAndGet(pixels) > MIN_PIXELS)
        && Providers.hasMachine()
        && MachineSupport.here().isX86()
        && Code.MATCHES_SCALAR;
  }

  @Override
  public void idct(
      short[] coefficients,
      long[] nonZero,
      int from,
      int blocks,
      short[] steps,
      byte[] samples,
      int at,
      int stride) {
    if (blocks < 2) {
      scalar.idct(coefficients, nonZero, from, blocks, steps, samples, at, stride);
      return;
    }
    int even = blocks & ~1;
    for (int i = 0; i < even; i += MAX_BLOCKS_PER_CALL) {
      int count = Math.min(MAX_BLOCKS_PER_CALL, even - i);
      pairs(coefficients, from + i, count, steps, samples, at + 8 * i, stride);
    }
    if (blocks > even) {
      int last = blocks - 2;
      pairs(coefficients, from + last, 2, steps, samples, at + 8 * last, stride);
    }
  }

  private static void pairs(
      short[] coefficients,
      int from,
      int count,
      short[] steps,
      byte[] samples,
      int at,
      int stride) {
    if (stride < 8 * count) {
      throw new IllegalArgumentException("a stride of %d samples".formatted(stride));
    }
    MemorySegment input = slice(coefficients, 64L * from, 64L * count);
    MemorySegment factors = slice(steps, 0, 64);
    MemorySegment result = slice(samples, at, 7L * stride + 8L * count);
    call(Code.IDCT, input, factors, result, factors, count, stride, 0);
  }

  @Override
  public void upsample(byte[] samples, int at, int width, byte[] to) {
    if (width < MachineRowsCode.SAMPLES_PER_ITERATION + 2) {
      scalar.upsample(samples, at, width, to);
    } else {
      upsample(samples, at, at, width, to, 4, 8);
    }
  }

  @Override
  public void upsample(byte[] samples, int near, int far, int width, byte[] to) {
    if (width < MachineRowsCode.SAMPLES_PER_ITERATION + 2) {
      scalar.upsample(samples, near, far, width, to);
    } else {
      upsample(samples, near, far, width, to, 8, 7);
    }
  }

  private static void upsample(
      byte[] samples, int near, int far, int width, byte[] to, int leftBias, int rightBias) {
    MemorySegment nearRow = slice(samples, near, width);
    MemorySegment farRow = slice(samples, far, width);
    MemorySegment result = slice(to, 0, 2L * width);
    call(
        Code.UPSAMPLE,
        nearRow,
        farRow,
        result,
        nearRow,
        width,
        leftBias * 0x1_0001,
        rightBias * 0x1_0001);
    int first = 3 * samples[near] + samples[far];
    int second = 3 * samples[near + 1] + samples[far + 1];
    to[0] = (byte) (4 * first + leftBias >> 4);
    to[1] = (byte) (3 * first + second + rightBias >> 4);
    int end = width - 1;
    int last = 3 * samples[near + end] + samples[far + end];
    int before = 3 * samples[near + end - 1] + samples[far + end - 1];
    to[2 * end] = (byte) (3 * last + before + leftBias >> 4);
    to[2 * end + 1] = (byte) (4 * last + rightBias >> 4);
  }

  @Override
  public void rgb(
      byte[] y, int yAt, byte[] cb, int cbAt, byte[] cr, int crAt, int width, byte[] rgb, int to) {
    if (width < MachineRowsCode.PIXELS_PER_ITERATION) {
      scalar.rgb(y, yAt, cb, cbAt, cr, crAt, width, rgb, to);
      return;
    }
    pixels(Code.RGB, y, yAt, cb, cbAt, cr, crAt, width, rgb, to);
  }

  @Override
  public void interleave(
      byte[] r, int rAt, byte[] g, int gAt, byte[] b, int bAt, int width, byte[] rgb, int to) {
    if (width < MachineRowsCode.PIXELS_PER_ITERATION) {
      scalar.interleave(r, rAt, g, gAt, b, bAt, width, rgb, to);
      return;
    }
    pixels(Code.INTERLEAVE, r, rAt, g, gAt, b, bAt, width, rgb, to);
  }

  private static void pixels(
      MemorySegment code,
      byte[] a,
      int aAt,
      byte[] b,
      int bAt,
      byte[] c,
      int cAt,
      int width,
      byte[] rgb,
      int to) {
    call(
        code,
        slice(a, aAt, width),
        slice(b, bAt, width),
        slice(c, cAt, width),
        slice(rgb, to, 3L * width),
        width,
        0,
        0);
  }

  private static MemorySegment slice(byte[] array, int from, long count) {
    return MemorySegment.ofArray(array).asSlice(from, count);
  }

  private static MemorySegment slice(short[] array, long from, long count) {
    return MemorySegment.ofArray(array).asSlice(2 * from, 2 * count);
  }

  private static void call(
      MemorySegment code,
      MemorySegment a,
      MemorySegment b,
      MemorySegment c,
      MemorySegment d,
      long first,
      long second,
      long third) {
    try {
      if (Guard.ON) {
        Guard.call(Code.CALLER, code, new MemorySegment[] {a, b, c, d}, first, second, third);
      } else {
        Code.CALLER.invokeExact(code, a, b, c, d, first, second, third, 0L, 0L, 0L, 0L);
      }
    } catch (Throwable e) {
      throw MachineCode.unexpected(e);
    }
  }

  private static boolean matchesScalar() {
    var machine = new MachineJpeg();
    var scalar = new ScalarJpeg();
    return Arrays.equals(results(machine), results(scalar));
  }

  /** The results of all kernels for a self-test, on blocks of all kinds. */
  private static byte[] results(JpegKernels kernels) {
    short[] coefficients = new short[5 * 64];
    short[] steps = new short[64];
    for (int i = 0; i < 64; i++) {
      steps[i] = (short) (1 + i % 7);
      coefficients[i] = (short) (i * 37 % 101 - 50);
      coefficients[2 * 64 + i] = (short) (i < 8 ? 9000 + 100 * i : 0);
      coefficients[3 * 64 + i] = (short) (i * 20_011);
    }
    coefficients[64] = -300;
    coefficients[4 * 64] = 100;
    byte[] positions = ZigZag.positions();
    long[] nonZero = {-1, 0, 0, -1, 0};
    for (int k = 1; k < 64; k++) {
      nonZero[2] |= coefficients[2 * 64 + positions[k]] == 0 ? 0 : 1L << k;
    }
    byte[] samples = new byte[1024];
    kernels.idct(coefficients, nonZero, 0, 5, steps, samples, 0, 40);
    byte[] row = new byte[80];
    kernels.upsample(samples, 40, 0, 40, row);
    System.arraycopy(row, 0, samples, 320, 80);
    kernels.upsample(samples, 80, 40, row);
    kernels.rgb(samples, 0, samples, 320, row, 0, 80, samples, 512);
    kernels.interleave(samples, 512, samples, 0, row, 0, 80, samples, 752);
    return samples;
  }
}
