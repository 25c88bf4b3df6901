package io.github.resnet4j.image;

/** The bits of a lossless WebP, the lowest of a byte first. Beyond the end they are 0. */
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

  /** Returns the next bits, at least 15, in the low bits of the result, without consuming them. */
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

  /** Whether bits beyond the end were read. */
  boolean isExhausted() {
    return count < 0;
  }
}
