package io.github.resnet4j.kernel;

import org.jspecify.annotations.Nullable;

/**
 * Kernels of batch norm and its gradient, for one block of channels of an image. The planes of one
 * kernel have the same rows, columns and channels, and are all floats or all {@link Format#BF16};
 * those of {@link #normalize} may have any formats. Coefficients and sums are floats, whatever the
 * format: arrays of as many numbers as a pixel has channels, {@code block} below, one after the
 * other. A result in a narrower format is rounded once, half to even, and clamped; in bfloat16
 * denormals become zero on some processors.
 */
public interface NormKernels {
  /** A kernel of the sums from which mean and variance are computed. */
  Moments moments(Plane x);

  /**
   * A kernel of batch norm and ReLU. The numbers of integer formats are used as they are stored:
   * scales are part of the coefficients.
   *
   * @param residual what is added, or null
   */
  Normalize normalize(Plane x, @Nullable Plane residual, Plane y);

  /**
   * A kernel of the sums from which the gradient of batch norm is computed.
   *
   * @param g the gradient of the output
   * @param y the output, which only {@link Mask#OUTPUT} reads; else null
   */
  GradientMoments gradientMoments(Mask mask, Plane g, Plane x, @Nullable Plane y);

  /**
   * A kernel of the gradient of batch norm's input.
   *
   * @param masked whether g is used only where {@code x * a + b} is positive
   */
  Gradient gradient(boolean masked, Plane g, Plane x, Plane out);

  /** The gradients that a ReLU passes. */
  enum Mask {
    /** All. */
    NONE,
    /** Those where {@code x * a + b} is positive. */
    INPUT,
    /** Those where the output is positive; the others are set to zero in place. */
    OUTPUT
  }

  /** Sums of a plane. */
  interface Moments {
    /**
     * Adds to {@code to[0, block)} the sum of {@code x - pivot} and to {@code to[block, 2 * block)}
     * the sum of its square, row by row.
     *
     * @param pivot {@code block} numbers near the mean, which reduce cancellation
     * @throws IndexOutOfBoundsException if an access is outside the arena
     */
    void run(Floats arena, int x, int pivot, int to);
  }

  /** Batch norm and ReLU. */
  interface Normalize {
    /**
     * {@code y = max(0, x * a + b)}, or with a residual {@code max(0, x * a + (r * c + b))}; keeps
     * NaN and -0.
     *
     * @param coefficients a, b and c
     * @param residual the index of the residual's first pixel; unused without residual
     * @throws IndexOutOfBoundsException if an access is outside the arena
     */
    void run(Floats arena, int x, int coefficients, int residual, int y);
  }

  /** Sums of a gradient. */
  interface GradientMoments {
    /**
     * Adds to {@code to[0, block)} the sum of the gradients {@code g} that the mask passes, and to
     * {@code to[block, 2 * block)} the sum of {@code g * (x - mean)}, row by row.
     *
     * @param y the index of the output's first pixel; unused if the mask does not need it
     * @param coefficients mean, a and b
     * @throws IndexOutOfBoundsException if an access is outside the arena
     */
    void run(Floats arena, int g, int x, int y, int coefficients, int to);
  }

  /** The gradient of batch norm's input. */
  interface Gradient {
    /**
     * {@code out = g * p + (x * q + r)}.
     *
     * @param coefficients p, q, r and, if masked, a and b
     * @param out may be equal to g
     * @throws IndexOutOfBoundsException if an access is outside the arena
     */
    void run(Floats arena, int g, int x, int coefficients, int out);
  }
}
