package io.github.resnet4j.kernel;

/**
 * How numbers lie in an array of floats, which is then an array of words of four bytes: a word
 * holds one, two or four consecutive channels, the first in its lowest bits.
 */
public enum Format {
  /** A float. */
  FP32(1),

  /** A float that has been rounded to what {@link #BF16} can hold. */
  ROUNDED(1),

  /** The upper half of a float (bfloat16): its range, and 8 bits of precision. */
  BF16(2),

  /** A whole number from 0 to 255. */
  U8(4),

  /** A whole number from -128 to 127. */
  S8(4);

  private final int perWord;

  Format(int perWord) {
    this.perWord = perWord;
  }

  /** Numbers of a word. */
  public int perWord() {
    return perWord;
  }

  /** Whether a number is a float in a word of its own. */
  public boolean isFloat() {
    return perWord == 1;
  }

  /** Whether numbers are whole, and mean something by a scale only. */
  public boolean isWhole() {
    return perWord == 4;
  }

  /**
   * Reads a number.
   *
   * @param at the word that holds the first of the numbers
   * @param index which of them
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
    };
  }

  /** Writes a number, rounded to the nearest that the format has (of two the even one). */
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
    };
  }

  /** The nearest number of bfloat16, of two the even one. */
  public static float rounded(float value) {
    int bits = Float.floatToRawIntBits(value);
    if (Float.isNaN(value)) {
      return Float.intBitsToFloat(bits & 0xFFFF0000 | 0x00400000);
    }
    return Float.intBitsToFloat(bits + 0x7FFF + (bits >>> 16 & 1) & 0xFFFF0000);
  }
}
