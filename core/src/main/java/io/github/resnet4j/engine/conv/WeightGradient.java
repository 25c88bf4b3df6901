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
 * The gradient of a convolution's weights: for every position of the window a matrix product over
 * the pixels, {@code dW[c][o] += x[pixel][c] * dy[pixel][o]}, on the same micro-kernel as the
 * forward pass. The sums of a tile stay in registers for some rows of the image.
 */
public final class WeightGradient {
  /** Pixels of input and gradient that a pass over all tiles finds in the first-level cache. */
  private static final int PIXELS = 256;

  private final ConvWeights weights;
  private final Activation in;
  private final Activation gradient;
  private final int rowsAtOnce;
  private final ConvTile.Reduction[] sums; // by the first of the rows at once
  private final TileSchedule schedule;

  /** Tiles of a run. */
  private final int pieces;

  /**
   * @param gradient of the convolution's result
   * @param zerosAt where as many zeros lie in the arena as a block has channels
   */
  public WeightGradient(
      ConvWeights weights, Activation in, Activation gradient, int zerosAt, Kernels kernels) {
    this.weights = weights;
    this.in = in;
    this.gradient = gradient;
    Conv2d layer = weights.layer;
    DirectWeights direct = weights.direct;
    int stride = layer.stride();
    this.rowsAtOnce = Math.clamp(PIXELS / gradient.width(), 1, gradient.height());
    int[] offsets = new int[gradient.height()];
    Arrays.setAll(offsets, y -> y * stride * in.rowStride());
    Ints rows = Ints.of(offsets);
    this.sums = new ConvTile.Reduction[Math.ceilDiv(gradient.height(), rowsAtOnce)];
    Arrays.setAll(
        sums,
        i ->
            new ConvTile.Reduction(
                i * rowsAtOnce, Math.min(gradient.height(), (i + 1) * rowsAtOnce), zerosAt));

    int most = kernels.accumulators() * kernels.lanes() / direct.channels();
    int run = direct.run();
    this.pieces = Math.ceilDiv(run, most);
    int steps = weights.readsRows() ? 1 : in.blocks() * in.block() / run;
    var tiles = new ArrayList<TileSchedule.Tile>();
    for (int q = 0; q < steps; q++) {
      int from = q * run / in.block() * in.layout().plane() + q * run % in.block();
      for (int i = 0; i < pieces; i++) {
        int start = Tiling.start(run, pieces, i);
        int to = (q * weights.runsPerStep() * run + start) * direct.channels();
        tiles.add(
            new TileSchedule.Tile(Tiling.start(run, pieces, i + 1) - start, from + start, to, to));
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
   * Adds what some images contribute.
   *
   * @param start where the gradients begin that belong to the first weight of the network
   * @param firstBlock the first block of output channels
   * @param endBlock the index after the last one
   */
  public void run(Floats arena, int start, int first, int count, int firstBlock, int endBlock) {
    Conv2d layer = weights.layer;
    for (int n = first; n < first + count; n++) {
      for (ConvTile.Reduction some : sums) {
        for (int b = firstBlock; b < endBlock; b++) {
          for (int r = 0; r < weights.runsPerStep(); r++) {
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

  /** Some rows of an image, for a block of output channels and a position of the window. */
  private void run(
      Floats arena, int start, int from, int n, ConvTile.Reduction some, int b, int r) {
    DirectWeights direct = weights.direct;
    int steps = weights.runsPerStep();
    DirectWeights.Block block = direct.blocks()[b];
    int firstStep = block.firstRun() / steps;
    int endStep = block.endRun() / steps;
    int to = start + block.at() + (r - firstStep * steps) * direct.run() * direct.channels();
    schedule.run(
        arena,
        firstStep * pieces,
        endStep * pieces,
        from,
        to,
        to,
        arena,
        gradient.word(n, block.channel()) + gradient.layout().pixel(some.firstRun(), 0),
        some);
  }

  /** Blocks of output channels. */
  public int blocks() {
    return weights.direct.blocks().length;
  }

  /** Where groups share a tile, its other products are no weights: their gradient is zero. */
  public void clearBetweenGroups(float[] gradients, int start) {
    Conv2d layer = weights.layer;
    if (layer.groups() == 1) {
      return;
    }
    DirectWeights direct = weights.direct;
    int inputs = layer.inChannels() / layer.groups();
    int outputs = layer.outChannels() / layer.groups();
    for (int o = 0; o < layer.outChannels(); o++) {
      DirectWeights.Block block = direct.blocks()[o / direct.channels()];
      int firstInput = block.firstRun() / weights.taps() * direct.run();
      int endInput = block.endRun() / weights.taps() * direct.run();
      for (int c = firstInput; c < endInput; c++) {
        if (c / inputs != o / outputs) {
          for (int tap = 0; tap < weights.taps(); tap++) {
            gradients[start + weights.index(o, c, tap)] = 0;
          }
        }
      }
    }
  }
}
