package io.github.resnet4j.kernel;

/** Kernels of convolutions and matrix products. */
public interface ConvKernels {
  /**
   * The micro-kernel of a shape, for tiles and runs that are known.
   *
   * @param tiles where the tiles lie that it may be given
   * @param runs where each run begins, relative to a tile's input
   * @throws IllegalArgumentException if there are no vectors for the shape
   */
  ConvTile tile(ConvTile.Shape shape, ConvTile.Tiles tiles, Ints runs);

  /**
   * A kernel that brings weights into the order in which tiles read them.
   *
   * @param from where each row of weights begins in the source
   * @param stride words of the source from one channel's weight to the next one's
   * @param channels of a row, a multiple of four
   */
  Gather gather(Ints from, int stride, int channels);

  /** Brings weights into another order and scales them. */
  interface Gather {
    /**
     * {@code to[at + i * channels + c] = source[start + from[i] + c * stride] * scales[first + c]}.
     *
     * @throws IndexOutOfBoundsException if anything lies outside its array
     */
    void run(Floats source, int start, Floats scales, int first, Floats to, int at);
  }
}
