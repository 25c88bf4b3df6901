package io.github.resnet4j.kernel;

/** Kernels of pooling over one block of channels. */
public interface PoolKernels {
  /**
   * Windows of pooling.
   *
   * @param size pixels of a side, at least 1
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
   * A kernel of max pooling; NaN wins. In formats narrower than a float no number may be negative.
   *
   * @param in what it reads, as far as windows reach
   * @param out has as many columns as there are windows in a row
   */
  MaxRow max(Windows windows, Plane in, Plane out);

  /**
   * A kernel of the gradient of max pooling of floats.
   *
   * @param in as {@link #max} has it
   * @param out as {@link #max} has it
   * @param gradient of {@code in}
   */
  MaxGradientRow maxGradient(Windows windows, Plane in, Plane out, Plane gradient);

  /** A kernel of the mean over all pixels of a plane of floats. */
  Average average(Plane in);

  /** Max pooling of one row of windows. */
  interface MaxRow {
    /**
     * @param from the first window's first pixel
     * @param to where as many consecutive pixels go as there are windows
     * @throws IndexOutOfBoundsException if anything lies outside the arena
     */
    void run(Floats arena, int from, int to);
  }

  /** The gradient of max pooling of one row of windows. */
  interface MaxGradientRow {
    /**
     * What a window's maximum contributed goes to the first pixel that has it: {@code to += x == y
     * ? gradient : 0}.
     *
     * @param from the first window's first pixel
     * @param maxima the windows' maxima, consecutive pixels
     * @param gradient of the maxima, consecutive pixels
     * @param to the gradient of the first window's first pixel
     * @throws IndexOutOfBoundsException if anything lies outside the arena
     */
    void run(Floats arena, int from, int maxima, int gradient, int to);
  }

  /** The mean over pixels. */
  interface Average {
    /**
     * @param from the first pixel
     * @param to where the mean of each channel goes
     * @throws IndexOutOfBoundsException if anything lies outside the arena
     */
    void run(Floats arena, int from, int to);
  }
}
