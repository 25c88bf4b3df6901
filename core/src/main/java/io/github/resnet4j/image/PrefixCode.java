package io.github.resnet4j.image;

import org.jspecify.annotations.Nullable;

/**
 * A canonical prefix code of lossless WebP: it is defined by code lengths; shorter codes and
 * smaller symbols come first.
 */
final class PrefixCode {
  static final int MAX_LENGTH = 15;
  private static final int TABLE_BITS = 8;

  /**
   * By the next bits a symbol and, in the low four bits, the length of its code; 0 for longer
   * codes.
   */
  private final char[] table;

  private final int mask;

  /** The number of codes of each length. */
  private final int[] counts = new int[MAX_LENGTH + 1];

  /** The symbols in the order of their codes. */
  private final char[] symbols;

  /**
   * @param lengths the length of each symbol's code; 0 for symbols without code
   * @param size the number of lengths that are used
   * @return null if the code is not complete and unambiguous
   */
  static @Nullable PrefixCode of(byte[] lengths, int size) {
    int used = 0;
    int space = 0;
    for (int i = 0; i < size; i++) {
      if (lengths[i] > 0) {
        used++;
        space += 1 << (MAX_LENGTH - lengths[i]);
      }
    }
    boolean complete = space == 1 << MAX_LENGTH;
    return used == 1 || used > 1 && complete ? new PrefixCode(lengths, size, used) : null;
  }

  private PrefixCode(byte[] lengths, int size, int used) {
    symbols = new char[used];
    int longest = 0;
    int[] place = new int[MAX_LENGTH + 2];
    for (int i = 0; i < size; i++) {
      counts[lengths[i]]++;
      longest = Math.max(longest, lengths[i]);
    }
    counts[0] = 0;
    for (int length = 1; length <= MAX_LENGTH; length++) {
      place[length + 1] = place[length] + counts[length];
    }
    for (int i = 0; i < size; i++) {
      if (lengths[i] > 0) {
        symbols[place[lengths[i]]++] = (char) i;
      }
    }
    if (used == 1) { // its code has no bits
      table = new char[] {(char) (symbols[0] << 4)};
      mask = 0;
      return;
    }
    int bits = Math.min(longest, TABLE_BITS);
    table = new char[1 << bits];
    mask = table.length - 1;
    for (int length = 1, code = 0, index = 0; length <= bits; length++, code <<= 1) {
      for (int i = 0; i < counts[length]; i++, code++, index++) {
        int reversed = Integer.reverse(code) >>> (32 - length);
        for (int to = reversed; to < table.length; to += 1 << length) {
          table[to] = (char) (symbols[index] << 4 | length);
        }
      }
    }
  }

  int read(LosslessBits in) {
    int bits = in.peek();
    char entry = table[bits & mask];
    if (entry != 0 || mask == 0) {
      in.skip(entry & 15);
      return entry >> 4;
    }
    return readLong(in, bits);
  }

  /** Reads bit by bit a code that is longer than those of the table. */
  private int readLong(LosslessBits in, int bits) {
    int code = 0;
    int first = 0;
    int index = 0;
    for (int length = 1; length <= MAX_LENGTH; length++) {
      code |= bits >> (length - 1) & 1;
      if (code - first < counts[length]) {
        in.skip(length);
        return symbols[index + code - first];
      }
      index += counts[length];
      first = (first + counts[length]) << 1;
      code <<= 1;
    }
    throw new IllegalStateException("no code in a complete prefix code"); // unreachable
  }
}
