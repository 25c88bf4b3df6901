package io.github.resnet4j.kernel;

import org.jspecify.annotations.Nullable;

/**
 * Kernels of batch norm and its gradient, over one block of channels of an image. The planes of one
 * kernel have the same rows, columns and block. Coefficients are {@code block} numbers each, one
 * behind the other.
 */
public interface NormKernels {
  /** A kernel of the sums that mean and variance follow from. */
  Moments moments(Plane x);

  /**
   * A kernel of batch norm and ReLU.
   *
   * @param residual what is added, or null
   */
  Normalize normalize(Plane x, @Nullable Plane residual, Plane y);

  /**
   * A kernel of the sums that the gradient of batch norm follows from.
   *
   * @param g the gradient of the output
   * @param y the output, which only {@link Mask#OUTPUT} reads; else null
   */
  GradientMoments gradientMoments(Mask mask, Plane g, Plane x, @Nullable Plane y);

  /**
   * A kernel of the gradient of batch norm's input.
   *
   * @param masked whether g counts only where {@code x * a + b} is positive
   */
  Gradient gradient(boolean masked, Plane g, Plane x, Plane out);

  /** Which gradients a ReLU lets pass. */
  enum Mask {
    /** All. */
    NONE,
    /** Those where {@code x * a + b} is positive. */
    INPUT,
    /** Those where the output is positive; the others become zero in their place. */
    OUTPUT
  }

  /** Sums of a plane. */
  interface Moments {
    /**
     * Adds to {@code to[0, block)} the sum of {@code x - pivot} and to {@code to[block, 2 * block)}
     * that of its square, row sums first.
     *
     * @param pivot {@code block} numbers near the mean, so that nothing cancels
     * @throws IndexOutOfBoundsException if anything lies outside the arena
     */
    void run(Floats arena, int x, int pivot, int to);
  }

  /** Batch norm and ReLU. */
  interface Normalize {
    /**
     * {@code y = max(0, x * a + b)}, or with a residual {@code max(0, x * a + (r * c + b))}; NaN
     * and -0 stay what they are.
     *
     * @param coefficients a, b and c
     * @param residual the first pixel of what is added; unused without residual
     * @throws IndexOutOfBoundsException if anything lies outside the arena
     */
    void run(Floats arena, int x, int coefficients, int residual, int y);
  }

  /** Sums of a gradient. */
  interface GradientMoments {
    /**
     * Adds to {@code to[0, block)} the sum of the gradients {@code g} that the mask lets pass, and
     * to {@code to[block, 2 * block)} that of {@code g * (x - mean)}, row sums first.
     *
     * @param y the first pixel of the output; unused if the mask does not ask for it
     * @param coefficients mean, a and b
     * @throws IndexOutOfBoundsException if anything lies outside the arena
     */
    void run(Floats arena, int g, int x, int y, int coefficients, int to);
  }

  /** The gradient of batch norm's input. */
  interface Gradient {
    /**
     * {@code out = g * p + (x * q + r)}.
     *
     * @param coefficients p, q, r and, if masked, a and b
     * @param out may be where g is
     * @throws IndexOutOfBoundsException if anything lies outside the arena
     */
    void run(Floats arena, int g, int x, int coefficients, int out);
  }
}
