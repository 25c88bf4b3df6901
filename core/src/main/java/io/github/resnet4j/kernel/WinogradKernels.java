package io.github.resnet4j.kernel;

import org.jspecify.annotations.Nullable;

/**
 * The transforms of Winograd's algorithm: of inputs and gradients to the factors of products, and
 * of products to outputs. Each is created for the positions of its tiles and processes a range of
 * them per call, for one block of channels.
 */
public interface WinogradKernels {
  /**
   * A kernel of {@code Bᵀ d B}, computed in floats.
   *
   * @param in the plane that it reads, of floats or bfloat16; only the distances between pixels and
   *     rows matter
   * @param offsets the first input of each tile, relative to an index given to each call
   * @param step words from one factor of a tile to the next; tiles are a block of channels apart
   * @param to the format of the factors: floats or bfloat16
   */
  Transform input(Winograd form, Plane in, Ints offsets, int step, Format to);

  /**
   * A kernel of {@code A dY Aᵀ}: like {@link #input} with factors of floats, but a tile has as many
   * rows and columns as it has outputs.
   */
  Transform gradient(Winograd form, Plane in, Ints offsets, int step);

  /**
   * A kernel of {@code Aᵀ m A}, plus bias, residual and ReLU.
   *
   * @param channels the number of channels of a tile's products, which are floats: a block of
   *     output channels or a part of it, which is also the distance from one tile to the next
   * @param step words from one product of a tile to the next
   */
  Output output(Winograd form, int channels, int step, TileOffsets offsets, Epilogue epilogue);

  /**
   * A kernel of {@code G g Gᵀ}, for windows whose output channels are adjacent.
   *
   * @param to the format of the factors: floats or bfloat16, whose words hold the factors of two
   *     input channels
   */
  Rows weights(Winograd form, WindowRows windows, Format to);

  /** A kernel of {@code Gᵀ m G}, which adds the results to the gradients of windows. */
  Rows weightGradient(Winograd form, WindowRows windows);

  /** Transforms inputs or gradients. */
  interface Transform {
    /**
     * Transforms the tiles {@code [first, end)}.
     *
     * @param in the index to which the tiles' inputs are relative
     * @param to the index of the first result
     * @param scratch the index of {@code form.products() * in.channels()} floats of scratch memory
     * @throws IndexOutOfBoundsException if an access is outside the arena
     */
    void run(Floats arena, int first, int end, int in, int to, int scratch);
  }

  /**
   * Transforms windows to products, or products to windows. May have memory of its own: threads do
   * not share it.
   */
  interface Rows {
    /**
     * Transforms the windows of some input channels.
     *
     * @param window the index of the first weight of the first input channel
     * @param product the index of its first product
     * @param inputs the number of input channels; even if a word holds the factors of two
     * @throws IndexOutOfBoundsException if an access is outside its array
     */
    void run(Floats windows, int window, Floats products, int product, int inputs);
  }

  /** Transforms products. */
  interface Output {
    /**
     * Transforms the tiles {@code [first, end)}.
     *
     * @param from the index of the first product
     * @param bias the index of the bias of the block's first channel among the biases
     * @param out the index to which the outputs are relative
     * @param residual the index to which the residuals are relative; unused without residual
     * @param scratch the index of {@code form.products() * channels} floats of scratch memory
     * @throws IndexOutOfBoundsException if an access is outside its array
     */
    void run(
        Floats arena, int first, int end, int from, int bias, int out, int residual, int scratch);
  }

  /**
   * Where 3×3 windows and their products are. A row consists of the weights of adjacent output
   * channels; the row of the next input channel follows.
   *
   * @param channels the number of output channels of a row
   * @param tapStride words from one window position to the next
   * @param step words from one product to the next
   * @param rowStride words from one row of a product to the next
   */
  record WindowRows(int channels, int tapStride, int step, int rowStride) {
    /**
     * @throws IllegalArgumentException if a stride is negative
     */
    public WindowRows {
      if (tapStride < 0 || step < 0 || rowStride < 0) {
        throw new IllegalArgumentException(
            "negative strides: %d, %d, %d".formatted(tapStride, step, rowStride));
      }
    }

    /** The number of words from the first weight to after the last one. */
    long windowSpan(int inputs) {
      return 8L * tapStride + (long) inputs * channels;
    }

    /** The number of words from the first product to after the last one. */
    long productSpan(Winograd form, int rows) {
      return (form.products() - 1L) * step + (rows - 1L) * rowStride + channels;
    }
  }

  /**
   * The positions of the tiles' outputs, relative to indices given to each call.
   *
   * @param out the tile's first output
   * @param residual the tile's first residual; unused without residual
   * @param rows the number of rows of outputs that exist, from the top
   * @param columns the number of columns of outputs that exist, from the left
   */
  record TileOffsets(Ints out, Ints residual, Ints rows, Ints columns) {}

  /**
   * What is applied to a tile's results.
   *
   * @param biases the bias of each channel
   * @param out the output plane, of floats or bfloat16
   * @param residual what is added, or null; its pixels have as many channels as those of out
   * @param relu whether a ReLU is applied
   */
  record Epilogue(Floats biases, Plane out, @Nullable Plane residual, boolean relu) {
    /**
     * @throws IllegalArgumentException if the pixels of out and residual differ in size
     */
    public Epilogue {
      if (residual != null && residual.channels() != out.channels()) {
        throw new IllegalArgumentException("%s added to %s".formatted(residual, out));
      }
    }
  }
}
