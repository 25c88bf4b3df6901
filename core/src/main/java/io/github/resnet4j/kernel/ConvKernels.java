package io.github.resnet4j.kernel;

/** Kernels of convolutions and matrix products. */
public interface ConvKernels {
  /**
   * The micro-kernel of a shape, for given tiles and segments.
   *
   * @param tiles the positions of the tiles that it can compute
   * @param segments the offset of each segment, relative to a tile's input
   * @throws IllegalArgumentException if there is no vector length for the shape
   */
  ConvTile tile(ConvTile.Shape shape, ConvTile.Tiles tiles, Ints segments);

  /**
   * Whether tiles that read such an input multiply matrices: up to 32 pixels in one row or several,
   * for any multiple of 16 output channels. All bfloat16 products of a sum are then added in
   * another order.
   */
  default boolean multiplyMatrices(ConvTile.Input in) {
    return false;
  }

  /**
   * The format of the weights with which tiles multiply such an input fastest: {@link Format#S16}
   * for bytes if the processor has no instruction for sums of their products.
   */
  default Format weights(Format in) {
    return in == Format.U8 ? Format.S8 : in;
  }

  /**
   * A kernel that copies weights to the order in which tiles read them.
   *
   * @param from the index in the source of each row of weights
   * @param stride words in the source from one channel's weight to the next
   * @param channels the number of channels of a row, a multiple of four
   */
  Gather gather(Ints from, int stride, int channels);

  /** Copies weights to another order and scales them. */
  interface Gather {
    /**
     * {@code to[at + i * channels + c] = source[start + from[i] + c * stride] * scales[first + c]}.
     *
     * @throws IndexOutOfBoundsException if an access is outside its array
     */
    void run(Floats source, int start, Floats scales, int first, Floats to, int at);
  }
}
