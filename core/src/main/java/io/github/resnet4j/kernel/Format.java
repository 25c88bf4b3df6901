package io.github.resnet4j.kernel;

/**
 * The format of values in an array of floats, whose elements are then words of four bytes: a word
 * holds one, two or four consecutive channels, the first in its lowest bits.
 */
public enum Format {
  /** Single precision. */
  FP32(1),

  /** Single precision with a value that {@link #BF16} represents exactly. */
  ROUNDED(1),

  /** The upper half of a float (bfloat16): its range, and 8 bits of precision. */
  BF16(2),

  /** An integer from 0 to 255. */
  U8(4),

  /** An integer from -128 to 127. */
  S8(4),

  /** An integer from -32,768 to 32,767; only of weights. */
  S16(2);

  private final int perWord;

  Format(int perWord) {
    this.perWord = perWord;
  }

  /** The number of values per word. */
  public int perWord() {
    return perWord;
  }

  /** Whether a value is a float in a word of its own. */
  public boolean isFloat() {
    return perWord == 1;
  }

  /** Whether values are integers, which have a scale. */
  public boolean isInteger() {
    return this == U8 || this == S8 || this == S16;
  }

  /**
   * Reads a value.
   *
   * @param at the index of the word that holds the first value
   * @param index the index of the value
   */
  public float get(float[] words, int at, int index) {
    float word = words[at + index / perWord];
    if (isFloat()) {
      return word;
    }
    int bits = Float.floatToRawIntBits(word) >>> index % perWord * (32 / perWord);
    return switch (this) {
      case FP32, ROUNDED -> word;
      case BF16 -> Float.intBitsToFloat(bits << 16);
      case U8 -> bits & 0xFF;
      case S8 -> (byte) bits;
      case S16 -> (short) bits;
    };
  }

  /** Writes a value, rounded half to even. */
  public void put(float[] words, int at, int index, float value) {
    int place = at + index / perWord;
    if (isFloat()) {
      words[place] = this == ROUNDED ? rounded(value) : value;
      return;
    }
    int width = 32 / perWord;
    int shift = index % perWord * width;
    int mask = (1 << width) - 1 << shift;
    int others = Float.floatToRawIntBits(words[place]) & ~mask;
    words[place] = Float.intBitsToFloat(others | bits(value) << shift & mask);
  }

  private int bits(float value) {
    return switch (this) {
      case FP32, ROUNDED -> Float.floatToRawIntBits(value);
      case BF16 -> Float.floatToRawIntBits(rounded(value)) >>> 16;
      case U8 -> (int) Math.clamp(Math.rint(value), 0, 255);
      case S8 -> (int) Math.clamp(Math.rint(value), -128, 127);
      case S16 -> (int) Math.clamp(Math.rint(value), Short.MIN_VALUE, Short.MAX_VALUE);
    };
  }

  /** The nearest bfloat16 value, rounded half to even. */
  public static float rounded(float value) {
    int bits = Float.floatToRawIntBits(value);
    if (Float.isNaN(value)) {
      return Float.intBitsToFloat(bits & 0xFFFF0000 | 0x00400000);
    }
    return Float.intBitsToFloat(bits + 0x7FFF + (bits >>> 16 & 1) & 0xFFFF0000);
  }
}
