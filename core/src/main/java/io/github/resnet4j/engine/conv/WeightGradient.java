package io.github.resnet4j.engine.conv;

import io.github.resnet4j.engine.graph.Activation;
import io.github.resnet4j.kernel.ConvTile;
import io.github.resnet4j.kernel.Floats;
import io.github.resnet4j.kernel.Ints;
import io.github.resnet4j.kernel.Kernels;
import io.github.resnet4j.nn.Layer.Conv2d;
import java.util.ArrayList;
import java.util.Arrays;

/**
 * The gradient of a convolution's weights: for every window position a matrix product over the
 * pixels, {@code dW[c][o] += x[pixel][c] * dy[pixel][o]}, with the micro-kernel of the forward
 * pass. The sums of a tile stay in registers for several rows of the image.
 */
public final class WeightGradient {
  /**
   * The number of pixels of input and gradient that stay in the L1 cache during a pass over all
   * tiles.
   */
  private static final int PIXELS = 256;

  /**
   * The same for blocks of 16 channels. A pixel is then one cache line of the four that a block of
   * the activation has, and these lines share a quarter of the cache's sets.
   */
  private static final int PIXELS_OF_ONE_LINE = 96;

  private static final int FLOATS_PER_LINE = 16;

  private final ConvWeights weights;
  private final Activation in;
  private final Activation gradient;
  private final int rowsPerPass;
  private final ConvTile.Reduction[] sums; // by the first of the rows that are processed together
  private final TileSchedule schedule;

  /** The number of tiles of a segment. */
  private final int pieces;

  /**
   * @param gradient the gradient of the convolution's result
   * @param zerosAt the index in the arena of as many zeros as a block has channels
   */
  public WeightGradient(
      ConvWeights weights, Activation in, Activation gradient, int zerosAt, Kernels kernels) {
    this.weights = weights;
    this.in = in;
    this.gradient = gradient;
    Conv2d layer = weights.layer;
    DirectWeights direct = weights.direct;
    int stride = layer.stride();
    int pixels = direct.channels() <= FLOATS_PER_LINE ? PIXELS_OF_ONE_LINE : PIXELS;
    this.rowsPerPass = Math.clamp(pixels / gradient.width(), 1, gradient.height());
    int[] offsets = new int[gradient.height()];
    Arrays.setAll(offsets, y -> y * stride * in.rowStride());
    Ints rows = Ints.of(offsets);
    this.sums = new ConvTile.Reduction[Math.ceilDiv(gradient.height(), rowsPerPass)];
    Arrays.setAll(
        sums,
        i ->
            new ConvTile.Reduction(
                i * rowsPerPass, Math.min(gradient.height(), (i + 1) * rowsPerPass), zerosAt));

    int max = kernels.accumulators() * kernels.lanes() / direct.channels();
    int segment = direct.segment();
    this.pieces = Math.ceilDiv(segment, max);
    int steps = weights.readsRows() ? 1 : in.blocks() * in.block() / segment;
    var tiles = new ArrayList<TileSchedule.Tile>();
    for (int q = 0; q < steps; q++) {
      int from = q * segment / in.block() * in.layout().plane() + q * segment % in.block();
      for (int i = 0; i < pieces; i++) {
        int start = Tiling.start(segment, pieces, i);
        int to = (q * weights.segmentsPerStep() * segment + start) * direct.channels();
        tiles.add(
            new TileSchedule.Tile(
                Tiling.start(segment, pieces, i + 1) - start, from + start, to, to));
      }
    }
    this.schedule =
        new TileSchedule(
            tiles,
            inputs ->
                ConvTile.Shape.ofWeightGradient(
                    inputs, direct.channels(), stride * in.block(), gradient.asPlane()),
            rows,
            kernels);
  }

  /**
   * Adds the contribution of some images.
   *
   * @param start the index of the gradient of the network's first weight
   * @param firstBlock the first block of output channels
   * @param endBlock the index after the last block
   */
  public void run(Floats arena, int start, int first, int count, int firstBlock, int endBlock) {
    Conv2d layer = weights.layer;
    for (int n = first; n < first + count; n++) {
      for (ConvTile.Reduction some : sums) {
        for (int b = firstBlock; b < endBlock; b++) {
          for (int r = 0; r < weights.segmentsPerStep(); r++) {
            int ky = weights.readsRows() ? r : r / layer.kernel();
            int kx = weights.readsRows() ? 0 : r % layer.kernel();
            int corner =
                in.at(
                    n,
                    0,
                    ky * layer.dilation() - layer.padding(),
                    kx * layer.dilation() - layer.padding());
            run(arena, start, corner, n, some, b, r);
          }
        }
      }
    }
  }

  /** Processes some rows of an image, for a block of output channels and a window position. */
  private void run(
      Floats arena, int start, int from, int n, ConvTile.Reduction some, int b, int r) {
    DirectWeights direct = weights.direct;
    int steps = weights.segmentsPerStep();
    DirectWeights.Block block = direct.blocks()[b];
    int firstStep = block.firstSegment() / steps;
    int endStep = block.endSegment() / steps;
    int to = start + block.at() + (r - firstStep * steps) * direct.segment() * direct.channels();
    schedule.run(
        arena,
        firstStep * pieces,
        endStep * pieces,
        from,
        to,
        to,
        arena,
        gradient.word(n, block.channel()) + gradient.layout().pixel(some.firstSegment(), 0),
        some);
  }

  /** The number of blocks of output channels. */
  public int blocks() {
    return weights.direct.blocks().length;
  }
}
