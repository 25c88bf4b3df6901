package io.github.resnet4j.kernel;

import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/**
 * The memory layout of one channel block of an image: rows of pixels, each of which has {@code
 * block} consecutive words. It is created with a plan; the index of the first pixel is a parameter
 * of each call.
 *
 * @param format the format of the values; a word holds one, two or four channels
 * @param rows the number of rows, at least 1
 * @param columns the number of columns, at least 1
 * @param block words of a pixel, at least 1, which is also the distance to the next pixel
 * @param rowStride words from one row to the next
 */
public record Plane(Format format, int rows, int columns, int block, int rowStride) {
  /**
   * @throws IllegalArgumentException if an extent is not positive, the stride is negative, or the
   *     format is that of weights
   */
  public Plane {
    if (rows < 1 || columns < 1 || block < 1 || rowStride < 0 || format == Format.S16) {
      throw new IllegalArgumentException(
          "%d×%d pixels of %d words of %s, rows %d apart"
              .formatted(rows, columns, block, format, rowStride));
    }
  }

  /** A plane of floats. */
  public static Plane ofFloats(int rows, int columns, int block, int rowStride) {
    return new Plane(Format.FP32, rows, columns, block, rowStride);
  }

  /** The plane of fewer rows and columns. */
  public Plane part(int partRows, int partColumns) {
    return new Plane(format, partRows, partColumns, block, rowStride);
  }

  /** The number of channels of a pixel. */
  public int channels() {
    return block * format.perWord();
  }

  /** The number of words from the first to the last. */
  long span() {
    return (rows - 1L) * rowStride + (long) columns * block;
  }

  /** The number of words of a square of pixels, which may extend beyond the plane. */
  long span(int size) {
    return (size - 1L) * rowStride + (long) size * block;
  }

  /**
   * Reads a channel of a pixel.
   *
   * @param pixel the index of the pixel's first word
   */
  float get(float[] words, int pixel, int channel) {
    return format == Format.FP32 ? words[pixel + channel] : format.get(words, pixel, channel);
  }

  /** Writes a channel of a pixel, rounded half to even. */
  void put(float[] words, int pixel, int channel, float value) {
    if (format == Format.FP32) {
      words[pixel + channel] = value;
    } else {
      format.put(words, pixel, channel, value);
    }
  }

  private boolean isAsLargeAs(Plane other) {
    return rows == other.rows && columns == other.columns && channels() == other.channels();
  }

  /**
   * Checks that planes have the same extents; their formats may differ.
   *
   * @throws IllegalArgumentException if they differ
   */
  static void checkExtents(Plane first, @Nullable Plane... others) {
    for (Plane other : others) {
      if (other != null && !first.isAsLargeAs(other)) {
        throw new IllegalArgumentException(
            "planes must be of one size: " + first + ", " + Arrays.toString(others));
      }
    }
  }

  /**
   * Checks that planes have the same extents, and are all floats or all bfloat16.
   *
   * @throws IllegalArgumentException if they differ or a format has integers
   */
  static void checkAlike(Plane first, @Nullable Plane... others) {
    checkExtents(first, others);
    boolean alike = !first.format.isInteger();
    for (Plane other : others) {
      alike &= other == null || other.format.perWord() == first.format.perWord();
    }
    if (!alike) {
      throw new IllegalArgumentException(
          "planes must be all floats or all bfloat16: " + first + ", " + Arrays.toString(others));
    }
  }
}
