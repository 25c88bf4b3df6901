package io.github.resnet4j.engine.conv;

import io.github.resnet4j.kernel.Kernels;

/**
 * How a row of output pixels and a block of output channels are cut into micro-kernel tiles: the
 * shape that costs least, by a small model of the processor.
 *
 * @param channels output channels of a tile
 * @param pixels the most pixels of a tile
 */
public record Tiling(int channels, int pixels) {
  /** Bytes of weights that a core draws from its second-level cache in a cycle; measured. */
  private static final double WEIGHT_BYTES_PER_CYCLE = 25;

  private static final int MOST_PIXELS = 14;

  /**
   * @param width pixels of a row
   * @param most the most channels a tile may have
   */
  public static Tiling of(int width, int most, Kernels kernels) {
    Tiling best = null;
    double least = Double.MAX_VALUE;
    for (int vectors = Math.min(kernels.mostVectors(), most / kernels.lanes());
        vectors >= 1;
        vectors /= 2) {
      int pixels = Math.min(MOST_PIXELS, kernels.accumulators() / vectors);
      int tiles = Math.ceilDiv(width, pixels);
      double cycles = 0;
      for (int i = 0; i < tiles; i++) {
        cycles += cycles(start(width, tiles, i + 1) - start(width, tiles, i), vectors, kernels);
      }
      cycles /= vectors;
      if (best == null || cycles < 0.98 * least) {
        best = new Tiling(vectors * kernels.lanes(), pixels);
        least = cycles;
      }
    }
    if (best == null) {
      throw new IllegalArgumentException(
          "%d channels are less than a vector of %d".formatted(most, kernels.lanes()));
    }
    return best;
  }

  /** Cycles for one float of each pixel: bound by products, by loads, or by weights. */
  private static double cycles(int pixels, int vectors, Kernels kernels) {
    double products = pixels * vectors / 2.0;
    double loads = (pixels + vectors) / 2.0;
    double weights = vectors * kernels.lanes() * Float.BYTES / WEIGHT_BYTES_PER_CYCLE;
    double latency = 4;
    return Math.max(Math.max(products, loads), Math.max(weights, latency));
  }

  /** Tiles of a row. */
  public int tiles(int width) {
    return Math.ceilDiv(width, pixels);
  }

  /** Where tile {@code i} of so many begins; they are as even as can be. */
  public static int start(int width, int tiles, int i) {
    return width * i / tiles;
  }
}
