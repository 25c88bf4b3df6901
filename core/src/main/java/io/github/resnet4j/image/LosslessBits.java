package io.github.resnet4j.image;

/** Bits of a lossless WebP, the lowest of a byte first. Beyond the end they are 0. */
final class LosslessBits {
  private final byte[] data;
  private final int end;
  private int at;
  private long bits;
  private int count;

  LosslessBits(byte[] data, int start, int end) {
    this.data = data;
    this.at = start;
    this.end = end;
  }

  /** Looks at the next bits, 15 at least, in the low bits of the result. */
  int peek() {
    if (count < 32) {
      fill();
    }
    return (int) bits;
  }

  private void fill() {
    while (count <= 48 && at < end) {
      bits |= (data[at++] & 0xffL) << count;
      count += 8;
    }
  }

  void skip(int n) {
    bits >>>= n;
    count -= n;
  }

  /** Reads an unsigned number of up to 24 bits. */
  int number(int n) {
    int number = peek() & ((1 << n) - 1);
    skip(n);
    return number;
  }

  boolean flag() {
    return number(1) != 0;
  }

  /** Whether more was read than there is. */
  boolean isExhausted() {
    return count < 0;
  }
}
