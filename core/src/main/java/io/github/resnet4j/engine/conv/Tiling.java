package io.github.resnet4j.engine.conv;

import io.github.resnet4j.engine.graph.Convolution;
import io.github.resnet4j.engine.graph.Layout;
import io.github.resnet4j.kernel.ConvTile;
import io.github.resnet4j.kernel.Format;
import io.github.resnet4j.kernel.Kernels;
import io.github.resnet4j.nn.Layer.Conv2d;

/**
 * How rows of output pixels and a block of output channels are divided into micro-kernel tiles: the
 * shape with the lowest cost by a simple model of the processor.
 *
 * @param channels the number of output channels of a tile
 * @param pixels the largest number of pixels of a row of a tile
 * @param rows the largest number of rows of a tile
 */
record Tiling(int channels, int pixels, int rows) {
  /** Bytes of weights that a core reads from its L2 cache per cycle; measured. */
  private static final double WEIGHT_BYTES_PER_CYCLE = 25;

  private static final int MAX_PIXELS = 14;

  private static final int MAX_VECTORS_OF_BYTES = 4;

  /** The number of pixels of a matrix. A tile has two of them, which share the weights. */
  private static final int MATRIX_PIXELS = 16;

  /** The channels of two matrices; measured faster than 64, since their weights are contiguous. */
  private static final int MATRIX_CHANNELS = 32;

  /**
   * @param width the number of pixels of a row
   * @param maxChannels the largest number of channels of a tile
   */
  static Tiling of(int width, int max, Kernels kernels) {
    Tiling best = null;
    double least = Double.MAX_VALUE;
    for (int vectors = Math.min(kernels.maxVectors(), max / kernels.lanes());
        vectors >= 1;
        vectors /= 2) {
      int pixels = Math.min(MAX_PIXELS, kernels.accumulators() / vectors);
      int tiles = Math.ceilDiv(width, pixels);
      double cycles = 0;
      for (int i = 0; i < tiles; i++) {
        cycles += cycles(start(width, tiles, i + 1) - start(width, tiles, i), vectors, kernels);
      }
      cycles /= vectors;
      if (best == null || cycles < 0.98 * least) {
        best = new Tiling(vectors * kernels.lanes(), pixels, 1);
        least = cycles;
      }
    }
    if (best == null) {
      throw new IllegalArgumentException(
          "%d channels are less than a vector of %d".formatted(max, kernels.lanes()));
    }
    return best;
  }

  /**
   * The same for bytes and weights of 16 bits, which are read from memory for every pixel: the more
   * channels, the fewer instructions that separate the bytes.
   */
  private static Tiling ofBytes(int max, Kernels kernels) {
    int vectors = Math.min(MAX_VECTORS_OF_BYTES, max / kernels.lanes());
    return new Tiling(vectors * kernels.lanes(), kernels.accumulators() / vectors, 1);
  }

  /** The tiling of the output of a direct convolution. */
  static Tiling of(Convolution conv, Kernels kernels) {
    Layout out = conv.out();
    int max = out.blockChannels();
    if (conv.isInterleaved()) {
      max = Math.min(max, conv.layer().inChannels() / conv.layer().groups() * kernels.lanes());
    } else if (conv.layer().groups() > 1) {
      // A tile with few groups computes fewer products with the zeros between groups.
      max = Math.min(max, Math.max(16, WindowSegments.words(conv) * conv.in().format().perWord()));
    }
    if (kernels.conv().weights(conv.in().format()) == Format.S16) {
      return ofBytes(max, kernels);
    }
    return multipliesMatrices(conv, kernels)
        ? ofMatrices(
            conv.out().width(), isOneRow(conv), conv.in().rowStride() / conv.in().block(), max)
        : of(isOneRow(conv) ? out.height() * out.width() : out.width(), max, kernels);
  }

  /** Whether the tiles of a direct convolution multiply matrices. */
  static boolean multipliesMatrices(Convolution conv, Kernels kernels) {
    int pixelStride = conv.layer().stride() * conv.in().block();
    var in = new ConvTile.Input(conv.in().format(), pixelStride, WindowSegments.words(conv));
    return !conv.isInterleaved() && kernels.conv().multiplyMatrices(in);
  }

  /**
   * A tile is two matrices: half a row each, or as many rows as fit into a matrix.
   *
   * @param width the number of pixels of a row
   * @param oneRow whether all pixels of an image form one row
   * @param distance pixels from one row of the input to the next
   * @param max the largest number of output channels of a tile
   */
  static Tiling ofMatrices(int width, boolean oneRow, int distance, int max) {
    int channels = Math.min(MATRIX_CHANNELS, max);
    if (oneRow || width > MATRIX_PIXELS) {
      return new Tiling(channels, 2 * MATRIX_PIXELS, 1);
    }
    // The pixels between two rows take up places of a matrix.
    int rows = 1 + (MATRIX_PIXELS - width) / distance;
    return new Tiling(channels, width, 2 * rows);
  }

  /** The number of pixels of a tile of matrices. */
  static int matrixPixels() {
    return 2 * MATRIX_PIXELS;
  }

  /** Whether all pixels of an image form one row. */
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

  /** Cycles per float of each pixel: limited by products, by loads, or by weights. */
  private static double cycles(int pixels, int vectors, Kernels kernels) {
    double products = pixels * vectors / 2.0;
    double loads = (pixels + vectors) / 2.0;
    double weights = vectors * kernels.lanes() * Float.BYTES / WEIGHT_BYTES_PER_CYCLE;
    double latency = 4;
    return Math.max(Math.max(products, loads), Math.max(weights, latency));
  }

  /** The number of tiles of a row. */
  int tiles(int width) {
    return Math.ceilDiv(width, pixels);
  }

  /** The first pixel of tile {@code i}; tile sizes differ by at most one. */
  static int start(int width, int tiles, int i) {
    return width * i / tiles;
  }
}
