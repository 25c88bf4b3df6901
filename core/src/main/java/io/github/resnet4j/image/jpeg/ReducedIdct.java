package io.github.resnet4j.image.jpeg;

/** The inverse DCT to 4 × 4, 2 × 2 or 1 × 1 samples, with which libjpeg reduces images. */
final class ReducedIdct {
  private static final int F_0_211 = 1730;
  private static final int F_0_509 = 4176;
  private static final int F_0_601 = 4926;
  private static final int F_0_720 = 5906;
  private static final int F_0_765 = 6270;
  private static final int F_0_850 = 6967;
  private static final int F_0_899 = 7373;
  private static final int F_1_061 = 8697;
  private static final int F_1_272 = 10426;
  private static final int F_1_451 = 11893;
  private static final int F_1_847 = 15137;
  private static final int F_2_172 = 17799;
  private static final int F_2_562 = 20995;
  private static final int F_3_624 = 29692;

  private ReducedIdct() {}

  /**
   * Transforms one block.
   *
   * @param block dequantized coefficients by position, 16 bits each
   * @param size the number of samples in each direction: 4, 2 or 1
   */
  static void transform(int[] block, int size, byte[] samples, int at, int stride) {
    switch (size) {
      case 4 -> four(block, samples, at, stride);
      case 2 -> two(block, samples, at, stride);
      default -> samples[at] = clamp(block[0] + 4 >> 3);
    }
  }

  private static void four(int[] block, byte[] samples, int at, int stride) {
    int[] columns = new int[32];
    int[] line = new int[8];
    for (int c = 0; c < 8; c++) {
      if (c == 4) {
        continue; // the rows do not use it
      }
      for (int r = 0; r < 8; r++) {
        line[r] = block[8 * r + c];
      }
      four(line, 12);
      for (int r = 0; r < 4; r++) {
        columns[8 * r + c] = line[r];
      }
    }
    for (int r = 0; r < 4; r++) {
      System.arraycopy(columns, 8 * r, line, 0, 8);
      four(line, 19);
      for (int c = 0; c < 4; c++) {
        samples[at + r * stride + c] = clamp(line[c]);
      }
    }
  }

  private static void four(int[] x, int shift) {
    int half = 1 << (shift - 1);
    int even = (x[0] << 14) + half;
    int even2 = x[2] * F_1_847 - x[6] * F_0_765;
    int odd0 = -x[7] * F_0_211 + x[5] * F_1_451 - x[3] * F_2_172 + x[1] * F_1_061;
    int odd2 = -x[7] * F_0_509 - x[5] * F_0_601 + x[3] * F_0_899 + x[1] * F_2_562;
    x[0] = clip16(even + even2 + odd2 >> shift);
    x[3] = clip16(even + even2 - odd2 >> shift);
    x[1] = clip16(even - even2 + odd0 >> shift);
    x[2] = clip16(even - even2 - odd0 >> shift);
  }

  private static void two(int[] block, byte[] samples, int at, int stride) {
    int[] upper = new int[8];
    int[] lower = new int[8];
    for (int c = 0; c < 8; c++) {
      if (c != 0 && c % 2 == 0) {
        continue; // the rows do not use it
      }
      int odd = odd(block[8 + c], block[24 + c], block[40 + c], block[56 + c]);
      int even = (block[c] << 15) + (1 << 12);
      upper[c] = even + odd >> 13;
      lower[c] = even - odd >> 13;
    }
    twoRow(upper, samples, at);
    twoRow(lower, samples, at + stride);
  }

  private static void twoRow(int[] x, byte[] samples, int at) {
    int odd = odd(x[1], x[3], x[5], x[7]);
    int even = (x[0] << 15) + (1 << 19);
    samples[at] = clamp(even + odd >> 20);
    samples[at + 1] = clamp(even - odd >> 20);
  }

  private static int odd(int x1, int x3, int x5, int x7) {
    return -x7 * F_0_720 + x5 * F_0_850 - x3 * F_1_272 + x1 * F_3_624;
  }

  /** A sample minus 128, clamped. */
  private static byte clamp(int centered) {
    return (byte) Math.max(-128, Math.min(centered, 127));
  }

  private static int clip16(int value) {
    return Math.max(Short.MIN_VALUE, Math.min(value, Short.MAX_VALUE));
  }
}
