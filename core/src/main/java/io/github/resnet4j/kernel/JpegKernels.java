package io.github.resnet4j.kernel;

/**
 * The loops of a JPEG decoder over samples, with the integer arithmetic of libjpeg-turbo, bit for
 * bit. Samples are bytes less 128. An instance decodes one image at a time.
 */
public interface JpegKernels {
  /**
   * The fastest implementation for this JVM and processor: machine code, else plain loops. Plain
   * loops are also used for the first pixels in a JVM that has not used machine code yet.
   *
   * @param pixels the number of pixels of the image
   */
  static JpegKernels create(long pixels) {
    return MachineJpeg.isUsable(pixels) ? new MachineJpeg() : new ScalarJpeg();
  }

  /**
   * The inverse DCT ("islow") of consecutive blocks, with 16-bit products where a damaged file's
   * coefficients overflow.
   *
   * @param coefficients 64 for each block, by position
   * @param nonZero for each block a bit for the k-th coefficient of its {@linkplain ZigZag order},
   *     from k = 1 on, that is not zero
   * @param from the first block
   * @param steps the 64 quantization steps by position
   * @param samples receives the samples: the blocks side by side
   * @param at the index of the first block's upper left sample
   * @param stride from a row of samples to the next
   */
  void idct(
      short[] coefficients,
      long[] nonZero,
      int from,
      int blocks,
      short[] steps,
      byte[] samples,
      int at,
      int stride);

  /**
   * Doubles the number of samples of a row with a triangle filter: each sample becomes two, ¾ of it
   * and ¼ of its neighbor on that side.
   *
   * @param to receives {@code 2 · width} samples from index 0 on
   */
  void upsample(byte[] samples, int at, int width, byte[] to);

  /**
   * The same for a row between two rows, ¾ of the nearer and ¼ of the farther one, rounded once.
   */
  void upsample(byte[] samples, int near, int far, int width, byte[] to);

  /**
   * Converts YCbCr to RGB with 16 fraction bits.
   *
   * @param width the number of pixels
   * @param rgb receives three bytes for each pixel, from {@code to} on
   */
  void rgb(
      byte[] y, int yAt, byte[] cb, int cbAt, byte[] cr, int crAt, int width, byte[] rgb, int to);

  /** Interleaves three planes to RGB without conversion. */
  void interleave(
      byte[] r, int rAt, byte[] g, int gAt, byte[] b, int bAt, int width, byte[] rgb, int to);
}
