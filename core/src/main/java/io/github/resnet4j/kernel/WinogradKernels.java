package io.github.resnet4j.kernel;

import org.jspecify.annotations.Nullable;

/**
 * The transforms of Winograd's algorithm: of inputs and gradients into products' factors, and of
 * products into outputs. Each knows where its tiles lie and takes some of them at each run, for one
 * block of channels.
 */
public interface WinogradKernels {
  /**
   * A kernel of {@code Bᵀ d B}.
   *
   * @param in what it reads; only how far pixels and rows are apart matters
   * @param places where each tile's first input lies, relative to a place given at each run
   * @param step words from one factor of a tile to its next one; tiles are {@code in.block()} apart
   */
  Transform input(Winograd form, Plane in, Ints places, int step);

  /**
   * A kernel of {@code A dY Aᵀ}: as {@link #input}, but a tile has as many rows and columns as it
   * has outputs.
   */
  Transform gradient(Winograd form, Plane in, Ints places, int step);

  /**
   * A kernel of {@code Aᵀ m A}, plus bias, residual and ReLU.
   *
   * @param channels of a tile's products: a block of output channels or a part of it, which is also
   *     the distance from one tile to the next
   * @param step words from one product of a tile to its next one
   */
  Output output(Winograd form, int channels, int step, Places places, Epilogue epilogue);

  /** Transforms inputs or gradients. */
  interface Transform {
    /**
     * Transforms the tiles {@code [first, end)}.
     *
     * @param in what the tiles' places are relative to
     * @param to where the first of them goes
     * @param scratch room for {@code form.products() * block} floats
     * @throws IndexOutOfBoundsException if anything lies outside the arena
     */
    void run(Floats arena, int first, int end, int in, int to, int scratch);
  }

  /** Transforms products. */
  interface Output {
    /**
     * Transforms the tiles {@code [first, end)}.
     *
     * @param from the first of them
     * @param bias where the bias of the block's first channel lies among the biases
     * @param out what the outputs' places are relative to
     * @param residual what the residuals' places are relative to; unused without residual
     * @param scratch room for {@code form.products() * channels} floats
     * @throws IndexOutOfBoundsException if anything lies outside its array
     */
    void run(
        Floats arena, int first, int end, int from, int bias, int out, int residual, int scratch);
  }

  /**
   * Where the outputs of tiles lie, each relative to a place that is given at each run.
   *
   * @param out the tile's first output
   * @param residual the tile's first residual; unused without residual
   * @param rows outputs of the tile that exist, from the top
   * @param columns outputs of the tile that exist, from the left
   */
  record Places(Ints out, Ints residual, Ints rows, Ints columns) {}

  /**
   * What becomes of a tile's results.
   *
   * @param biases what is added to each channel
   * @param out where they go; they are rounded if it says so
   * @param residual what is added to each of them, or null; its pixels are as far apart as out's
   * @param relu whether negative results become zero
   */
  record Epilogue(Floats biases, Plane out, @Nullable Plane residual, boolean relu) {
    /**
     * @throws IllegalArgumentException if the pixels of out and residual are not equally far apart
     */
    public Epilogue {
      if (residual != null && residual.block() != out.block()) {
        throw new IllegalArgumentException("%s added to %s".formatted(residual, out));
      }
    }

    boolean rounded() {
      return out.format() == Format.ROUNDED;
    }
  }
}
