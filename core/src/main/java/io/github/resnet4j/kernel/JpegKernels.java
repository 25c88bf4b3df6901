package io.github.resnet4j.kernel;

/**
 * The loops of a JPEG decoder over samples, with the integers of libjpeg-turbo, bit for bit.
 * Samples are bytes less 128. An object serves one decoding at a time.
 */
public interface JpegKernels {
  /**
   * The best that this JVM and processor have: machine code, else plain loops, and these too for
   * the first pixels of a JVM that has not used machine code yet.
   *
   * @param pixels what is to be decoded
   */
  static JpegKernels create(long pixels) {
    return MachineJpeg.isUsable(pixels) ? new MachineJpeg() : new ScalarJpeg();
  }

  /**
   * The inverse DCT ("islow") of blocks that follow each other, with 16-bit products where a
   * damaged file's coefficients overflow.
   *
   * @param coefficients 64 for each block, by position
   * @param nonZero for each block a bit for the k-th coefficient of its {@linkplain ZigZag order},
   *     from k = 1 on, that is not zero
   * @param from the first block
   * @param steps the 64 quantization steps by position
   * @param samples what becomes of them: the blocks side by side
   * @param at where the first block's upper left sample is
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
   * Twice as many samples along a row, by a triangle filter: each becomes two, ¾ of it and ¼ of its
   * neighbour on that side.
   *
   * @param to {@code 2 · width} samples from index 0 on
   */
  void widen(byte[] samples, int at, int width, byte[] to);

  /**
   * The same of a row that lies between two, ¾ of the nearer and ¼ of the farther one, rounded
   * once.
   */
  void widen(byte[] samples, int near, int far, int width, byte[] to);

  /**
   * YCbCr to RGB with fractions of 16 bits.
   *
   * @param width pixels
   * @param rgb three bytes for each pixel, from {@code to} on
   */
  void rgb(
      byte[] y, int yAt, byte[] cb, int cbAt, byte[] cr, int crAt, int width, byte[] rgb, int to);

  /** Three planes to RGB as they are. */
  void interleave(
      byte[] r, int rAt, byte[] g, int gAt, byte[] b, int bAt, int width, byte[] rgb, int to);
}
