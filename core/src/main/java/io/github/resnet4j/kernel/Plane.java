package io.github.resnet4j.kernel;

import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/**
 * How one block of channels of an image lies in an array: rows of pixels, each of which is {@code
 * block} consecutive words. Made with a plan, once; where the first pixel lies, a kernel is told at
 * each run.
 *
 * @param format of the numbers; a word holds one, two or four channels
 * @param rows pixels of a column, at least 1
 * @param columns pixels of a row, at least 1
 * @param block words of a pixel, at least 1, and the distance to the next one
 * @param rowStride words from one row to the next
 */
public record Plane(Format format, int rows, int columns, int block, int rowStride) {
  /**
   * @throws IllegalArgumentException if an extent is not positive or the stride is negative
   */
  public Plane {
    if (rows < 1 || columns < 1 || block < 1 || rowStride < 0) {
      throw new IllegalArgumentException(
          "%d×%d pixels of %d words, rows %d apart".formatted(rows, columns, block, rowStride));
    }
  }

  /** A plane of floats. */
  public static Plane ofFloats(int rows, int columns, int block, int rowStride) {
    return new Plane(Format.FP32, rows, columns, block, rowStride);
  }

  /** A smaller part of it. */
  public Plane part(int partRows, int partColumns) {
    return new Plane(format, partRows, partColumns, block, rowStride);
  }

  /** Words from the first to the last. */
  long span() {
    return (rows - 1L) * rowStride + (long) columns * block;
  }

  /** Words of a square of pixels that does not have to lie within the plane. */
  long span(int size) {
    return (size - 1L) * rowStride + (long) size * block;
  }

  /**
   * Refuses planes that a kernel could not walk through side by side.
   *
   * @throws IllegalArgumentException if their extents differ or a number is no float
   */
  static void checkAlike(Plane first, @Nullable Plane... others) {
    boolean alike = first.format.isFloat();
    for (Plane other : others) {
      alike &=
          other == null
              || (other.format.isFloat()
                  && other.rows == first.rows
                  && other.columns == first.columns
                  && other.block == first.block);
    }
    if (!alike) {
      throw new IllegalArgumentException(
          "not planes of floats of one size: " + first + ", " + Arrays.toString(others));
    }
  }
}
