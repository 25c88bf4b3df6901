package io.github.resnet4j.kernel;

import java.util.Arrays;

/**
 * The inverse DCT of libjpeg's "islow" method: integers with 13 fraction bits, columns first, rows
 * second.
 */
final class Idct {
  // Factors with 13 fraction bits, as jidctint.c has them.
  static final int F_0_298 = 2446;
  static final int F_0_390 = 3196;
  static final int F_0_541 = 4433;
  static final int F_0_765 = 6270;
  static final int F_0_899 = 7373;
  static final int F_1_175 = 9633;
  static final int F_1_501 = 12299;
  static final int F_1_847 = 15137;
  static final int F_1_961 = 16069;
  static final int F_2_053 = 16819;
  static final int F_2_562 = 20995;
  static final int F_3_072 = 25172;

  /**
   * Up to this sum of a block's absolute coefficients no value exceeds 16 bits after the columns (4
   * · 1.39 · 5,800 = 32,249), so that the 16-bit arithmetic of libjpeg-turbo's SIMD code has the
   * same result. Typical images reach about a quarter of it.
   */
  private static final int MAX_SUM = 5800;

  private static final int COLUMN_ROUNDING = 1 << 10;

  /** Keeps the lower half of a pair positive, so that it does not borrow from the upper half. */
  private static final int OFFSET = 1 << 30;

  private static final long BIAS = (OFFSET + (1L << 17)) * 0x1_0000_0001L;

  /** Samples by the upper 14 bits of a result with {@link #OFFSET}. */
  private static final byte[] LIMIT = new byte[1 << 14];

  static {
    int center = OFFSET >> 18;
    for (int i = 0; i < 256; i++) {
      LIMIT[center - 128 + i] = (byte) (i - 128);
    }
    Arrays.fill(LIMIT, 0, center - 128, (byte) -128);
    Arrays.fill(LIMIT, center + 128, LIMIT.length, (byte) 127);
  }

  /**
   * Two rows of the result of the columns in each element: row r in the lower half, 7 − r in the
   * upper half.
   */
  private final long[] pairs = new long[32];

  /** A sample minus 128, clamped. */
  static byte clamp(int centered) {
    return (byte) Math.max(-128, Math.min(centered, 127));
  }

  /**
   * Transforms one block.
   *
   * @param block dequantized coefficients by position, 16 bits each
   * @param mask a bit for every coefficient except DC that was not zero before dequantization
   * @param sum at least the sum of the coefficients' absolute values
   */
  void transform(int[] block, long mask, int sum, byte[] samples, int at, int stride) {
    if (mask == 0) {
      int column = (short) (block[0] << 2);
      byte sample = clamp(column + 16 >> 5);
      for (int row = 0, to = at; row < 8; row++, to += stride) {
        Arrays.fill(samples, to, to + 8, sample);
      }
    } else if (sum > MAX_SUM) {
      exact(block, (mask >>> 8) == 0, samples, at, stride);
    } else {
      columns(block, mask);
      if ((mask & 0xf0f0f0f0f0f0f0f0L) == 0) {
        leftRows(samples, at, stride);
      } else {
        rows(samples, at, stride);
      }
    }
  }

  private void columns(int[] block, long mask) {
    long folded = mask | mask >>> 32 | 1;
    folded |= folded >>> 16;
    int used = (int) (folded | folded >>> 8);
    int last = (used & 0xf0) == 0 ? 4 : 8;
    for (int c = 0; c < last; c++) {
      if ((used >> c & 1) == 0) {
        pairs[c] = 0;
        pairs[8 + c] = 0;
        pairs[16 + c] = 0;
        pairs[24 + c] = 0;
      } else {
        column(block, c);
      }
    }
  }

  private void column(int[] block, int c) {
    int z2 = block[c + 16];
    int z3 = block[c + 48];
    int z1 = (z2 + z3) * F_0_541;
    int even2 = z1 - z3 * F_1_847;
    int even3 = z1 + z2 * F_0_765;
    int even0 = (block[c] + block[c + 32] << 13) + COLUMN_ROUNDING;
    int even1 = (block[c] - block[c + 32] << 13) + COLUMN_ROUNDING;
    int t0 = block[c + 56];
    int t1 = block[c + 40];
    int t2 = block[c + 24];
    int t3 = block[c + 8];
    int y3 = t0 + t2;
    int y4 = t1 + t3;
    int y5 = (y3 + y4) * F_1_175;
    int y1 = -(t0 + t3) * F_0_899;
    int y2 = -(t1 + t2) * F_2_562;
    y3 = y5 - y3 * F_1_961;
    y4 = y5 - y4 * F_0_390;
    t0 = t0 * F_0_298 + y1 + y3;
    t1 = t1 * F_2_053 + y2 + y4;
    t2 = t2 * F_3_072 + y2 + y3;
    t3 = t3 * F_1_501 + y1 + y4;
    pairs[c] = pair(even0 + even3 + t3 >> 11, even0 + even3 - t3 >> 11);
    pairs[8 + c] = pair(even1 + even2 + t2 >> 11, even1 + even2 - t2 >> 11);
    pairs[16 + c] = pair(even1 - even2 + t1 >> 11, even1 - even2 - t1 >> 11);
    pairs[24 + c] = pair(even0 - even3 + t0 >> 11, even0 - even3 - t0 >> 11);
  }

  private static long pair(int lower, int upper) {
    return ((long) upper << 32) + lower;
  }

  /** The rows, two at a time: sums and products of pairs are pairs of sums and products. */
  private void rows(byte[] samples, int at, int stride) {
    for (int r = 0; r < 4; r++) {
      int p = 8 * r;
      long z2 = pairs[p + 2];
      long z3 = pairs[p + 6];
      long z1 = (z2 + z3) * F_0_541;
      long even2 = z1 - z3 * F_1_847;
      long even3 = z1 + z2 * F_0_765;
      long even0 = (pairs[p] + pairs[p + 4] << 13) + BIAS;
      long even1 = (pairs[p] - pairs[p + 4] << 13) + BIAS;
      long t0 = pairs[p + 7];
      long t1 = pairs[p + 5];
      long t2 = pairs[p + 3];
      long t3 = pairs[p + 1];
      long y3 = t0 + t2;
      long y4 = t1 + t3;
      long y5 = (y3 + y4) * F_1_175;
      long y1 = -(t0 + t3) * F_0_899;
      long y2 = -(t1 + t2) * F_2_562;
      y3 = y5 - y3 * F_1_961;
      y4 = y5 - y4 * F_0_390;
      t0 = t0 * F_0_298 + y1 + y3;
      t1 = t1 * F_2_053 + y2 + y4;
      t2 = t2 * F_3_072 + y2 + y3;
      t3 = t3 * F_1_501 + y1 + y4;
      store(
          samples,
          at + r * stride,
          at + (7 - r) * stride,
          even0 + even3,
          even1 + even2,
          even1 - even2,
          even0 - even3,
          t3,
          t2,
          t1,
          t0);
    }
  }

  /** The rows of a block that has coefficients only in its left half. */
  private void leftRows(byte[] samples, int at, int stride) {
    for (int r = 0; r < 4; r++) {
      int p = 8 * r;
      long z2 = pairs[p + 2];
      long even2 = z2 * F_0_541;
      long even3 = z2 * (F_0_541 + F_0_765);
      long even0 = (pairs[p] << 13) + BIAS;
      long i1 = pairs[p + 1];
      long i3 = pairs[p + 3];
      long t0 = i1 * (F_1_175 - F_0_899) + i3 * (F_1_175 - F_1_961);
      long t1 = i1 * (F_1_175 - F_0_390) + i3 * (F_1_175 - F_2_562);
      long t2 = i1 * F_1_175 + i3 * (F_3_072 - F_2_562 + F_1_175 - F_1_961);
      long t3 = i1 * (F_1_501 - F_0_899 + F_1_175 - F_0_390) + i3 * F_1_175;
      store(
          samples,
          at + r * stride,
          at + (7 - r) * stride,
          even0 + even3,
          even0 + even2,
          even0 - even2,
          even0 - even3,
          t3,
          t2,
          t1,
          t0);
    }
  }

  private static void store(
      byte[] samples,
      int lower,
      int upper,
      long e0,
      long e1,
      long e2,
      long e3,
      long o0,
      long o1,
      long o2,
      long o3) {
    long s0 = e0 + o0;
    long s1 = e1 + o1;
    long s2 = e2 + o2;
    long s3 = e3 + o3;
    long s4 = e3 - o3;
    long s5 = e2 - o2;
    long s6 = e1 - o1;
    long s7 = e0 - o0;
    samples[lower] = LIMIT[(int) s0 >>> 18];
    samples[lower + 1] = LIMIT[(int) s1 >>> 18];
    samples[lower + 2] = LIMIT[(int) s2 >>> 18];
    samples[lower + 3] = LIMIT[(int) s3 >>> 18];
    samples[lower + 4] = LIMIT[(int) s4 >>> 18];
    samples[lower + 5] = LIMIT[(int) s5 >>> 18];
    samples[lower + 6] = LIMIT[(int) s6 >>> 18];
    samples[lower + 7] = LIMIT[(int) s7 >>> 18];
    samples[upper] = LIMIT[(int) (s0 >>> 50)];
    samples[upper + 1] = LIMIT[(int) (s1 >>> 50)];
    samples[upper + 2] = LIMIT[(int) (s2 >>> 50)];
    samples[upper + 3] = LIMIT[(int) (s3 >>> 50)];
    samples[upper + 4] = LIMIT[(int) (s4 >>> 50)];
    samples[upper + 5] = LIMIT[(int) (s5 >>> 50)];
    samples[upper + 6] = LIMIT[(int) (s6 >>> 50)];
    samples[upper + 7] = LIMIT[(int) (s7 >>> 50)];
  }

  /**
   * Blocks of damaged files: the result of libjpeg-turbo's SIMD code if 16 bits overflow. Sums of
   * inputs wrap around, results are clipped.
   */
  private static void exact(int[] block, boolean onlyFirstRow, byte[] samples, int at, int stride) {
    int[] columns = new int[64];
    int[] line = new int[8];
    for (int c = 0; c < 8; c++) {
      if (onlyFirstRow) {
        Arrays.fill(line, (short) (block[c] << 2));
      } else {
        for (int r = 0; r < 8; r++) {
          line[r] = block[8 * r + c];
        }
        exactLine(line, 11);
      }
      for (int r = 0; r < 8; r++) {
        columns[8 * r + c] = line[r];
      }
    }
    for (int r = 0; r < 8; r++) {
      System.arraycopy(columns, 8 * r, line, 0, 8);
      exactLine(line, 18);
      for (int c = 0; c < 8; c++) {
        samples[at + r * stride + c] = clamp(line[c]);
      }
    }
  }

  private static void exactLine(int[] x, int shift) {
    int half = 1 << (shift - 1);
    int even3 = x[2] * (F_0_541 + F_0_765) + x[6] * F_0_541;
    int even2 = x[2] * F_0_541 + x[6] * (F_0_541 - F_1_847);
    int even0 = ((short) (x[0] + x[4]) << 13) + half;
    int even1 = ((short) (x[0] - x[4]) << 13) + half;
    int z3 = (short) (x[7] + x[3]);
    int z4 = (short) (x[5] + x[1]);
    int y3 = z3 * (F_1_175 - F_1_961) + z4 * F_1_175;
    int y4 = z3 * F_1_175 + z4 * (F_1_175 - F_0_390);
    int t0 = x[7] * (F_0_298 - F_0_899) - x[1] * F_0_899 + y3;
    int t1 = x[5] * (F_2_053 - F_2_562) - x[3] * F_2_562 + y4;
    int t2 = x[3] * (F_3_072 - F_2_562) - x[5] * F_2_562 + y3;
    int t3 = x[1] * (F_1_501 - F_0_899) - x[7] * F_0_899 + y4;
    x[0] = clip16(even0 + even3 + t3 >> shift);
    x[7] = clip16(even0 + even3 - t3 >> shift);
    x[1] = clip16(even1 + even2 + t2 >> shift);
    x[6] = clip16(even1 + even2 - t2 >> shift);
    x[2] = clip16(even1 - even2 + t1 >> shift);
    x[5] = clip16(even1 - even2 - t1 >> shift);
    x[3] = clip16(even0 - even3 + t0 >> shift);
    x[4] = clip16(even0 - even3 - t0 >> shift);
  }

  private static int clip16(int value) {
    return Math.max(Short.MIN_VALUE, Math.min(value, Short.MAX_VALUE));
  }
}
