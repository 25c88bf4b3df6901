package io.github.resnet4j.kernel;

/** Kernels of pooling for one block of channels. */
public interface PoolKernels {
  /**
   * The windows of pooling.
   *
   * @param size the size of a window in pixels, at least 1
   * @param stride pixels from one window to the next, at least 1
   * @param signed whether pixels of bfloat16 may be negative; those of floats always may
   */
  record Windows(int size, int stride, boolean signed) {
    /** Windows of floats, or of numbers that are not negative. */
    public Windows(int size, int stride) {
      this(size, stride, false);
    }

    /**
     * @throws IllegalArgumentException if one is not positive
     */
    public Windows {
      if (size < 1 || stride < 1) {
        throw new IllegalArgumentException("windows of %d, %d apart".formatted(size, stride));
      }
    }
  }

  /**
   * A kernel of max pooling; the maximum of a window with NaN is NaN. Bytes are unsigned; numbers
   * of bfloat16 may only be negative if the windows say so.
   *
   * @param in the input, as far as windows extend
   * @param out has as many columns as there are windows in a row
   */
  MaxRow max(Windows windows, Plane in, Plane out);

  /**
   * A kernel of the gradient of max pooling; all planes are floats or all are {@link Format#BF16},
   * in which each sum is rounded.
   *
   * @param in as for {@link #max}
   * @param out as for {@link #max}
   * @param gradient the plane of the gradient of {@code in}
   */
  MaxGradientRow maxGradient(Windows windows, Plane in, Plane out, Plane gradient);

  /**
   * A kernel of the means of all pixels, which are floats. The numbers of integer formats are used
   * as they are stored.
   */
  Average average(Plane in);

  /**
   * A kernel of weighted sums of pixels: means of windows, low-pass filters, and their gradients.
   *
   * @param rows the rows of the input that each row of the result is computed from
   * @param columns the same for columns
   * @param in the input
   * @param out the result; as many columns as {@code columns} has results
   * @param adds whether a sum starts with the existing value instead of zero
   */
  WeightedRow weighted(Axis rows, Axis columns, Plane in, Plane out, boolean adds);

  /** Max pooling of one row of windows. */
  interface MaxRow {
    /**
     * @param from the index of the first window's first pixel
     * @param to the index of the result, which has one pixel per window
     * @throws IndexOutOfBoundsException if an access is outside the arena
     */
    void run(Floats arena, int from, int to);
  }

  /** The gradient of max pooling of one row of windows. */
  interface MaxGradientRow {
    /**
     * Adds the gradient of a window's maximum to the first pixel that is equal to it: {@code to +=
     * x == y ? gradient : 0}.
     *
     * @param from the index of the first window's first pixel
     * @param maxima the index of the windows' maxima, consecutive pixels
     * @param gradient the index of the gradient of the maxima, consecutive pixels
     * @param to the index of the gradient of the first window's first pixel
     * @throws IndexOutOfBoundsException if an access is outside the arena
     */
    void run(Floats arena, int from, int maxima, int gradient, int to);
  }

  /** Weighted sums of one row. */
  interface WeightedRow {
    /**
     * Adds the products of pixels and weights, row by row, with fused operations; a weight is the
     * product of the row's and the column's. The sum is rounded to the format of the result, half
     * to even, and clamped.
     *
     * @param from the index of the input's first pixel
     * @param row the number of the row of results
     * @param to the index of the row's first pixel
     * @throws IndexOutOfBoundsException if an access is outside the arena
     */
    void run(Floats arena, int from, int row, int to);
  }

  /** The mean of pixels. */
  interface Average {
    /**
     * @param from the index of the first pixel
     * @param to the index of the means of the channels
     * @throws IndexOutOfBoundsException if an access is outside the arena
     */
    void run(Floats arena, int from, int to);
  }
}
