package io.github.resnet4j.image;

/** VP8's arithmetic decoder of bits with known probabilities (RFC 6386, section 7). */
final class BoolDecoder {
  private final byte[] data;
  private final int end;
  private int at;

  /** The bits that are read ahead: {@code unused} of them, below the eight current ones. */
  private long value;

  private int unused = -8;

  /** The range less one: 127 to 254. */
  private int range = 254;

  private boolean exhausted;

  BoolDecoder(byte[] data, int start, int end) {
    this.data = data;
    this.at = start;
    this.end = end;
  }

  /** Whether the decoder read beyond the end of the data. */
  boolean isExhausted() {
    return exhausted;
  }

  /**
   * Reads a bit.
   *
   * @param probability the probability of 0, in 256ths
   */
  int bit(int probability) {
    if (unused < 0) {
      load();
    }
    int split = range * probability >> 8;
    int bit;
    int left;
    if ((int) (value >>> unused) > split) {
      bit = 1;
      left = range - split;
      value -= (long) (split + 1) << unused;
    } else {
      bit = 0;
      left = split + 1;
    }
    int shift = Integer.numberOfLeadingZeros(left) - 24;
    range = (left << shift) - 1;
    unused -= shift;
    return bit;
  }

  private void load() {
    if (at + 6 <= end) {
      long next = 0;
      for (int i = 0; i < 6; i++) {
        next = next << 8 | data[at + i] & 0xff;
      }
      at += 6;
      value = value << 48 | next;
      unused += 48;
    } else if (at < end) {
      value = value << 8 | data[at++] & 0xff;
      unused += 8;
    } else if (!exhausted) {
      value <<= 8;
      unused += 8;
      exhausted = true;
    } else {
      unused = 0;
    }
  }

  boolean flag() {
    return bit(128) != 0;
  }

  /** An unsigned number with the given number of bits, the highest first. */
  int number(int bits) {
    int number = 0;
    for (int i = 0; i < bits; i++) {
      number = number << 1 | bit(128);
    }
    return number;
  }

  /** A number and its sign. */
  int signed(int bits) {
    int number = number(bits);
    return flag() ? -number : number;
  }

  /** A signed number if a flag is set, else 0. */
  int optional(int bits) {
    return flag() ? signed(bits) : 0;
  }
}
