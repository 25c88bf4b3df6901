package io.github.resnet4j.engine.conv;

import io.github.resnet4j.engine.graph.Convolution;
import io.github.resnet4j.engine.graph.Layout;
import io.github.resnet4j.kernel.Kernels;
import io.github.resnet4j.nn.Layer.Conv2d;

/**
 * How a row of output pixels and a block of output channels are cut into micro-kernel tiles: the
 * shape that costs least, by a small model of the processor.
 *
 * @param channels output channels of a tile
 * @param pixels the most pixels of a tile
 */
record Tiling(int channels, int pixels) {
  /** Bytes of weights that a core draws from its second-level cache in a cycle; measured. */
  private static final double WEIGHT_BYTES_PER_CYCLE = 25;

  private static final int MOST_PIXELS = 14;

  /**
   * @param width pixels of a row
   * @param most the most channels a tile may have
   */
  static Tiling of(int width, int most, Kernels kernels) {
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

  /** For the output of a direct convolution. */
  static Tiling of(Convolution conv, Kernels kernels) {
    Layout out = conv.out();
    int most = out.blockChannels();
    if (conv.isInterleaved()) {
      most = Math.min(most, conv.layer().inChannels() / conv.layer().groups() * kernels.lanes());
    } else if (conv.layer().groups() > 1) {
      // A tile that spans few groups wastes few products on the zeros between them.
      most = Math.min(most, Math.max(16, Runs.words(conv) * conv.in().format().perWord()));
    }
    return of(isOneRow(conv) ? out.height() * out.width() : out.width(), most, kernels);
  }

  /** Whether the pixels of an image are one long row for it. */
  static boolean isOneRow(Convolution conv) {
    Conv2d layer = conv.layer();
    Layout residual = conv.residual();
    return layer.kernel() == 1
        && layer.stride() == 1
        && layer.padding() == 0
        && conv.in().border().isNone()
        && conv.out().border().isNone()
        && (residual == null || residual.border().isNone());
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
  int tiles(int width) {
    return Math.ceilDiv(width, pixels);
  }

  /** Where tile {@code i} of so many begins; they are as even as can be. */
  static int start(int width, int tiles, int i) {
    return width * i / tiles;
  }
}
