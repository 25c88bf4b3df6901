package io.github.resnet4j.kernel;

/**
 * Kernels that prepare operands of products in {@link Format#BF16}, whose words hold two numbers
 * that are multiplied and summed together: pairs of weights, or of pixels.
 */
public interface PairKernels {
  /**
   * Rounds rows of floats to bfloat16 and pairs them: {@code to[at + i * channels + c]} holds
   * {@code source[from + 2 i * channels + c]} and {@code source[from + (2 i + 1) * channels + c]}.
   * The result may replace its source.
   *
   * @param pairs the number of rows of the result
   * @param channels the number of words of a row
   * @throws IndexOutOfBoundsException if an access is outside its array
   */
  void pairRows(Floats source, int from, int pairs, int channels, Floats to, int at);

  /**
   * A kernel that pairs adjacent pixels and keeps the order of channels: {@code to[(row * pitch +
   * i) * channels + c]} holds channel c of the row's pixels {@code 2 i} and {@code 2 i + 1}; pixels
   * beyond the row are zero.
   *
   * @param in pixels of bfloat16
   * @param channels the number of channels that are read, from the first of a pixel on
   * @param pitch the number of pairs of a row of the result
   */
  Pairing pairPixels(Plane in, int channels, int pitch);

  /**
   * A kernel that pairs pixels and stores channel by channel: {@code to[c * channelStride + row *
   * pitch + i]} holds channel c of the row's pixels {@code 2 i * step} and {@code (2 i + 1) *
   * step}; pixels beyond the row are zero. Up to {@link #OVERHANG} words after a channel's last row
   * may become zero too.
   *
   * @param in pixels of bfloat16; the number of columns counts those that are read
   * @param step the distance of the pixels that are read
   * @param pitch the number of pairs of a row of the result
   * @param channelStride words from one channel's result to the next
   */
  Pairing transpose(Plane in, int step, int pitch, int channelStride);

  /** The number of words after a channel that {@link #transpose} may set to zero. */
  int OVERHANG = 15;

  /**
   * Pairs each number with the other neighbour: {@code to[i]} holds the second number of {@code
   * from[i - 1]} and the first of {@code from[i]}.
   *
   * @throws IndexOutOfBoundsException if an access is outside the arena
   */
  void shift(Floats arena, int from, int to, int count);

  /** Pairs pixels of a channel block. */
  interface Pairing {
    /**
     * @param from the index of the first pixel
     * @throws IndexOutOfBoundsException if an access is outside the arena
     */
    void run(Floats arena, int from, int to);
  }
}
