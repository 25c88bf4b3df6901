package io.github.resnet4j.image.jpeg;

/** A Huffman code, as lookup tables indexed by the next bits of the data. */
final class HuffmanTable {
  /** Codes up to this length need one lookup. */
  static final int LOOKAHEAD = 11;

  /**
   * By the next {@link #LOOKAHEAD} bits: {@code length << 8 | symbol}; 0 for longer and invalid
   * codes.
   */
  final int[] symbols = new int[1 << LOOKAHEAD];

  /**
   * By the next bits, for AC coefficients: {@code value << 16 | run << 8 | bits}, if these bits
   * contain both code and value; else 0. {@code bits} is the number of bits of both.
   */
  final int[] coefficients;

  private final int[] values;
  private final int[] maxCode = new int[18];
  private final int[] valueOffset = new int[18];

  /**
   * Creates the tables.
   *
   * @param counts the number of codes of each length, from index 1 to 16
   * @param values the symbols in the order of their codes, 256 entries
   */
  HuffmanTable(int[] counts, int[] values, boolean dc) throws JpegException {
    this.values = values;
    this.coefficients = dc ? new int[0] : new int[1 << LOOKAHEAD];
    int code = 0;
    int next = 0;
    for (int length = 1; length <= 16; length++) {
      int count = counts[length];
      if (next + count > 256) {
        throw new JpegException("is damaged: a Huffman table has more than 256 codes");
      }
      maxCode[length] = -1;
      if (count > 0) {
        valueOffset[length] = next - code;
        for (int i = 0; i < count; i++, code++, next++) {
          if (length <= LOOKAHEAD && code < 1 << length) {
            fill(code, length, values[next]);
          }
          if (dc && values[next] > 15) {
            throw new JpegException(
                "is damaged: a Huffman table for DC coefficients has the symbol " + values[next]);
          }
        }
        maxCode[length] = code - 1;
        if (code >= 1 << length) { // a code of only ones is not allowed
          throw new JpegException("is damaged: a Huffman table has too many codes");
        }
      }
      code <<= 1;
    }
    maxCode[17] = Integer.MAX_VALUE;
  }

  private void fill(int code, int length, int symbol) {
    int shift = LOOKAHEAD - length;
    for (int i = 0; i < 1 << shift; i++) {
      int bits = code << shift | i;
      symbols[bits] = length << 8 | symbol;
      int size = symbol & 15;
      if (coefficients.length > 0 && size > 0 && length + size <= LOOKAHEAD) {
        int magnitude = bits >> (shift - size) & (1 << size) - 1;
        int value = extend(magnitude, size);
        coefficients[bits] = value << 16 | (symbol >> 4) << 8 | length + size;
      }
    }
  }

  /**
   * Reads a code that is longer than the lookup, or invalid.
   *
   * @param bits the data's next bits, from the highest
   * @return {@code length << 8 | symbol}; for an invalid code 17 bits with the value 0, as in
   *     libjpeg
   */
  int longCode(long bits) {
    int length = 1;
    while ((int) (bits >>> (64 - length)) > maxCode[length]) {
      length++;
    }
    if (length > 16) {
      return 17 << 8;
    }
    int code = (int) (bits >>> (64 - length));
    return length << 8 | values[code + valueOffset[length] & 255];
  }

  /** A coefficient of {@code size} bits: those that start with 0 are negative. */
  static int extend(int magnitude, int size) {
    return magnitude < 1 << (size - 1) ? magnitude - (1 << size) + 1 : magnitude;
  }
}
