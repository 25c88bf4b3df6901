package io.github.resnet4j.engine.conv;

import io.github.resnet4j.engine.graph.ArenaPlanner;
import io.github.resnet4j.engine.graph.Convolution;
import io.github.resnet4j.kernel.Floats;
import io.github.resnet4j.kernel.Format;
import io.github.resnet4j.kernel.Kernels;
import java.util.Arrays;

/**
 * The weights of a convolution in training, rounded to bfloat16 before each step, in the order in
 * which a {@link DirectConv} of bfloat16 reads them. The weights themselves stay floats.
 */
public final class PairedWeights {
  /** The index of the first weight in the scratch array; before it are zeros, the bias. */
  private static final int AT = ArenaPlanner.ALIGNMENT + 64;

  private final ConvWeights weights;
  private final Floats scratch;
  private final Kernels kernels;
  private final DirectWeights direct;

  /**
   * @param conv the convolution in bfloat16
   * @param scratch receives the weights
   */
  public PairedWeights(ConvWeights weights, Convolution conv, Floats scratch, Kernels kernels) {
    this.weights = weights;
    this.scratch = scratch;
    this.kernels = kernels;
    int segment = WindowSegments.words(conv);
    var blocks = new DirectWeights.Block[weights.direct.blocks().length];
    int at = AT;
    for (int b = 0; b < blocks.length; b++) {
      DirectWeights.Block own = weights.direct.blocks()[b];
      blocks[b] = new DirectWeights.Block(own.firstSegment(), own.endSegment(), at, own.channel());
      at += (own.endSegment() - own.firstSegment()) * segment * weights.direct.channels();
    }
    // No constants for each output channel: all have the same zeros as bias.
    this.direct =
        new DirectWeights(
            scratch,
            weights.direct.channels(),
            weights.direct.channels(),
            segment,
            blocks,
            ArenaPlanner.ALIGNMENT,
            0);
  }

  /** The number of floats of the scratch array that the weights of a convolution need. */
  public static int scratchSize(ConvWeights weights, Convolution conv) {
    int words = WindowSegments.words(conv) * weights.direct.channels();
    return AT
        + Arrays.stream(weights.direct.blocks())
            .mapToInt(block -> (block.endSegment() - block.firstSegment()) * words)
            .sum();
  }

  public DirectWeights direct() {
    return direct;
  }

  /** The number of blocks that {@link #prepare} processes. */
  public int parts() {
    return direct.blocks().length;
  }

  /** Rounds the weights of a block of output channels. */
  public void prepare(int b) {
    Arrays.fill(scratch.values(), ArenaPlanner.ALIGNMENT, AT, 0);
    DirectWeights.Block from = weights.direct.blocks()[b];
    DirectWeights.Block to = direct.blocks()[b];
    int segments = to.endSegment() - to.firstSegment();
    if (weights.readsRows()) {
      for (int r = 0; r < segments; r++) {
        row(from.at() + r * weights.direct.segment() * direct.channels(), to, r);
      }
    } else {
      kernels
          .pairs()
          .pairRows(
              weights.direct.data(),
              from.at(),
              segments * direct.segment(),
              direct.channels(),
              scratch,
              to.at());
    }
  }

  /** A row of the window with few channels: the last word of a pixel may have only one. */
  private void row(int from, DirectWeights.Block block, int r) {
    int inputs = weights.rowChannels();
    int wordsOfPixel = Math.ceilDiv(inputs, 2);
    float[] values = weights.direct.data().values();
    int channels = direct.channels();
    for (int i = 0; i < direct.segment(); i++) {
      int c = i % wordsOfPixel * 2;
      int first = from + (i / wordsOfPixel * inputs + c) * channels;
      int to = block.at() + (r * direct.segment() + i) * channels;
      for (int o = 0; o < channels; o++) {
        float second = c + 1 < inputs ? values[first + channels + o] : 0;
        Format.BF16.put(scratch.values(), to + o, 0, values[first + o]);
        Format.BF16.put(scratch.values(), to + o, 1, second);
      }
    }
  }
}
