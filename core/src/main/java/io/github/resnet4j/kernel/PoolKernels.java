package io.github.resnet4j.kernel;

/** Kernels of pooling for one block of channels. */
public interface PoolKernels {
  /**
   * The windows of pooling.
   *
   * @param size the size of a window in pixels, at least 1
   * @param stride pixels from one window to the next, at least 1
   */
  record Windows(int size, int stride) {
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
   * A kernel of max pooling; the maximum of a window with NaN is NaN. In formats narrower than a
   * float no value may be negative.
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

  /** A kernel of the means of all pixels, floats, of a plane of floats or {@link Format#BF16}. */
  Average average(Plane in);

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
