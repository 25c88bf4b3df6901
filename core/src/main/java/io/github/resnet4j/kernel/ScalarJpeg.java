package io.github.resnet4j.kernel;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.ShortBuffer;
import java.util.Arrays;

/**
 * The loops of a JPEG decoder in plain Java. The JVM's compiler vectorizes loops that are short and
 * have one input and one output type, so each of these does one thing.
 */
final class ScalarJpeg implements JpegKernels {
  private static final byte[] POSITIONS = ZigZag.positions();
  private static final int HALF = 1 << 15;
  private static final int CR_TO_R = 91_881; // 1.402
  private static final int CB_TO_B = 116_130; // 1.772
  private static final int CB_TO_G = -22_554; // -0.344136286
  private static final int CR_TO_G = -46_802; // -0.714136286

  private final Idct idct = new Idct();
  private final int[] block = new int[64];

  /** Buffers for rows, as long as the longest so far. */
  private int[] first = {};

  private int[] second = {};
  private int[] third = {};

  /** A row with its first and last column repeated. */
  private int[] sums = {};

  private short[] pairs = {};

  /** A row's pixels, red in the lowest byte. */
  private int[] pixels = {};

  private void reserve(int width) {
    if (first.length < width) {
      first = new int[width];
      second = new int[width];
      third = new int[width];
      sums = new int[width + 2];
      pairs = new short[width];
      pixels = new int[width];
    }
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
    for (int b = 0; b < blocks; b++) {
      idct(coefficients, nonZero[from + b], 64 * (from + b), steps, samples, at + 8 * b, stride);
    }
  }

  private void idct(
      short[] coefficients,
      long nonZero,
      int from,
      short[] steps,
      byte[] samples,
      int at,
      int stride) {
    int[] block = this.block;
    block[0] = (short) (coefficients[from] * steps[0]);
    int sum = Math.abs(block[0]);
    long mask = 0;
    for (long left = nonZero; left != 0; left &= left - 1) {
      int position = POSITIONS[Long.numberOfTrailingZeros(left)];
      int value = (short) (coefficients[from + position] * steps[position]);
      block[position] = value;
      sum += Math.abs(value);
      mask |= 1L << position;
    }
    idct.transform(block, mask, sum, samples, at, stride);
    if (mask != 0) {
      Arrays.fill(block, 0);
    }
  }

  @Override
  public void upsample(byte[] samples, int at, int width, byte[] to) {
    reserve(width);
    extend(samples, at, first, width);
    alongRow(first, width, 2, 1, 2, to);
  }

  @Override
  public void upsample(byte[] samples, int near, int far, int width, byte[] to) {
    reserve(width);
    int[] nearRow = first;
    int[] farRow = second;
    extend(samples, near, nearRow, width);
    extend(samples, far, farRow, width);
    for (int i = 0; i < width; i++) {
      farRow[i] += 3 * nearRow[i];
    }
    alongRow(farRow, width, 4, 8, 7, to);
  }

  /**
   * Each column becomes two samples.
   *
   * @param shift the logarithm of the weights' sum
   */
  private void alongRow(
      int[] columns, int width, int shift, int leftBias, int rightBias, byte[] to) {
    int[] sums = this.sums;
    int[] both = third;
    short[] pairs = this.pairs;
    sums[0] = columns[0];
    System.arraycopy(columns, 0, sums, 1, width);
    sums[width + 1] = columns[width - 1];
    for (int i = 0; i < width; i++) {
      both[i] = 3 * sums[i + 1] + sums[i] + leftBias >> shift & 0xff;
    }
    for (int i = 0; i < width; i++) {
      both[i] |= 3 * sums[i + 1] + sums[i + 2] + rightBias >> shift << 8;
    }
    for (int i = 0; i < width; i++) {
      pairs[i] = (short) both[i];
    }
    ShortBuffer words = ByteBuffer.wrap(to).order(ByteOrder.LITTLE_ENDIAN).asShortBuffer();
    words.put(0, pairs, 0, width);
  }

  private static void extend(byte[] from, int at, int[] to, int width) {
    for (int i = 0; i < width; i++) {
      to[i] = from[at + i];
    }
  }

  @Override
  public void rgb(
      byte[] y, int yAt, byte[] cb, int cbAt, byte[] cr, int crAt, int width, byte[] rgb, int to) {
    reserve(width);
    int[] luma = first;
    int[] blue = second;
    int[] red = third;
    int[] pixels = this.pixels;
    extend(y, yAt, luma, width);
    extend(cb, cbAt, blue, width);
    extend(cr, crAt, red, width);
    for (int i = 0; i < width; i++) {
      pixels[i] = clip(luma[i] + 128 + (CR_TO_R * red[i] + HALF >> 16));
    }
    for (int i = 0; i < width; i++) {
      int green = CB_TO_G * blue[i] + CR_TO_G * red[i] + HALF >> 16;
      pixels[i] |= clip(luma[i] + 128 + green) << 8;
    }
    for (int i = 0; i < width; i++) {
      pixels[i] |= clip(luma[i] + 128 + (CB_TO_B * blue[i] + HALF >> 16)) << 16;
    }
    pack(pixels, width, rgb, to);
  }

  @Override
  public void interleave(
      byte[] r, int rAt, byte[] g, int gAt, byte[] b, int bAt, int width, byte[] rgb, int to) {
    reserve(width);
    int[] pixels = this.pixels;
    for (int i = 0; i < width; i++) {
      pixels[i] = r[rAt + i] + 128 | g[gAt + i] + 128 << 8 | b[bAt + i] + 128 << 16;
    }
    pack(pixels, width, rgb, to);
  }

  private static int clip(int value) {
    return Math.max(0, Math.min(value, 255));
  }

  /** Eight pixels are three 64-bit words. */
  private static void pack(int[] pixels, int width, byte[] rgb, int at) {
    ByteBuffer words = ByteBuffer.wrap(rgb).order(ByteOrder.LITTLE_ENDIAN);
    int to = at;
    int i = 0;
    for (; i <= width - 8; i += 8, to += 24) {
      long a = pixels[i] | (long) pixels[i + 1] << 24;
      long b = pixels[i + 2] | (long) pixels[i + 3] << 24;
      long c = pixels[i + 4] | (long) pixels[i + 5] << 24;
      long d = pixels[i + 6] | (long) pixels[i + 7] << 24;
      words.putLong(to, a | b << 48);
      words.putLong(to + 8, b >>> 16 | c << 32);
      words.putLong(to + 16, c >>> 32 | d << 16);
    }
    for (; i < width; i++, to += 3) {
      rgb[to] = (byte) pixels[i];
      rgb[to + 1] = (byte) (pixels[i] >> 8);
      rgb[to + 2] = (byte) (pixels[i] >> 16);
    }
  }
}
