package io.github.resnet4j.image.jpeg;

import java.nio.ByteBuffer;

/**
 * The bits between two markers, without the zero bytes that are stuffed after 0xff, and the
 * position in the file.
 *
 * <p>Readers copy the fields to local variables and back: {@link #window} has the next bits from
 * the highest, {@link #held} is the number of valid ones, {@link #next} is the index of the
 * following byte. After the last bit come zeros, as many as an MCU can read.
 */
final class EntropyData {
  /** More than the bits of an MCU of 10 blocks, whose 64 coefficients have at most 32 bits. */
  private static final int PADDING = 10 * 64 * 4 + 16;

  private final byte[] file;

  /** The next unread byte of the file. */
  int position;

  /** The marker that ended the data, before {@link #position}; 0 if none is pending. */
  int marker;

  /** Whether the data ended because the file ended. */
  boolean atEnd;

  byte[] bytes = {};

  /** The same bytes, for reading eight at once: in the interpreter faster than a VarHandle. */
  ByteBuffer words = ByteBuffer.wrap(bytes);

  int length;
  long window;
  int held;
  int next;

  EntropyData(byte[] file) {
    this.file = file;
  }

  /** Reads the data up to the next marker; none if a marker is pending already. */
  void open() {
    length = 0;
    window = 0;
    held = 0;
    next = 0;
    atEnd = false;
    if (marker == 0) {
      unstuff();
    }
    reserve(length);
    java.util.Arrays.fill(bytes, length, length + PADDING, (byte) 0);
  }

  private void reserve(int count) {
    if (bytes.length < count + PADDING) {
      bytes = java.util.Arrays.copyOf(bytes, Math.max(count + PADDING, 2 * bytes.length));
      words = ByteBuffer.wrap(bytes);
    }
  }

  private void unstuff() {
    int at = position;
    while (true) {
      int run = at;
      at = nextFf(at);
      int count = at - run;
      reserve(length + count + 1);
      System.arraycopy(file, run, bytes, length, count);
      length += count;
      while (at < file.length && file[at] == (byte) 0xff) { // a marker may be padded with 0xff
        at++;
      }
      if (at >= file.length) {
        atEnd = true;
        position = file.length;
        return;
      }
      int code = file[at++] & 0xff;
      if (code != 0) {
        marker = code;
        position = at;
        return;
      }
      bytes[length++] = (byte) 0xff;
    }
  }

  private int nextFf(int from) {
    ByteBuffer words = ByteBuffer.wrap(file);
    int at = from;
    for (; at <= file.length - 8; at += 8) {
      long inverted = ~words.getLong(at);
      if ((inverted - 0x0101010101010101L & ~inverted & 0x8080808080808080L) != 0) {
        break; // one of these eight bytes is 0xff
      }
    }
    while (at < file.length && file[at] != (byte) 0xff) {
      at++;
    }
    return at;
  }

  /** Whether more bits were read than there are. */
  boolean overrun() {
    return bitsLeft() < 0;
  }

  long bitsLeft() {
    return 8L * (length - next) + held;
  }

  /**
   * Moves past the next marker, skipping anything before it. Returns it, or 0 at the end of the
   * file.
   */
  int nextMarker() {
    int found = marker;
    if (found != 0) {
      marker = 0;
      return found;
    }
    int at = position;
    while (true) {
      while (at < file.length && file[at] != (byte) 0xff) {
        at++;
      }
      while (at < file.length && file[at] == (byte) 0xff) {
        at++;
      }
      if (at >= file.length) {
        position = file.length;
        return 0;
      }
      if (file[at++] != 0) {
        position = at;
        return file[at - 1] & 0xff;
      }
    }
  }
}
