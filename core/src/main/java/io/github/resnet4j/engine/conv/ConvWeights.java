package io.github.resnet4j.engine.conv;

import io.github.resnet4j.engine.graph.Convolution;
import io.github.resnet4j.nn.Layer.Conv2d;

/**
 * The weights of a convolution in training. They stay in the order in which the forward pass reads
 * them, and so do their gradients and the optimizer's state.
 */
public final class ConvWeights {
  public final Conv2d layer;
  public final DirectWeights direct;

  /** The number of input channels of a row segment, or 0 if segments are not rows. */
  private final int rowChannels;

  public ConvWeights(Convolution conv, DirectWeights direct) {
    this.layer = conv.layer();
    this.direct = direct;
    this.rowChannels = WindowSegments.areRows(conv) ? conv.in().block() : 0;
  }

  /** Whether a segment is a row of the window with all its channels. */
  public boolean readsRows() {
    return rowChannels > 0;
  }

  /** The number of input channels of a row segment, or 0. */
  int rowChannels() {
    return rowChannels;
  }

  /** The number of positions in the window. */
  public int taps() {
    return layer.kernel() * layer.kernel();
  }

  /**
   * How many segments have the same channels: one for each position of the window, or for each of
   * its rows.
   */
  public int segmentsPerStep() {
    return readsRows() ? layer.kernel() : taps();
  }

  /** The index of the weight from input channel c at a window position to output channel o. */
  public int index(int o, int c, int tap) {
    int b = o / direct.channels();
    int segment;
    int word;
    if (readsRows()) {
      segment = tap / layer.kernel();
      word = tap % layer.kernel() * rowChannels + c;
    } else {
      segment = c / direct.segment() * taps() + tap - direct.blocks()[b].firstSegment();
      word = c % direct.segment();
    }
    return direct.blocks()[b].at()
        + (segment * direct.segment() + word) * direct.channels()
        + o % direct.channels();
  }

  /**
   * If groups share a tile, products between groups do not belong to any weight: their gradient is
   * set to zero.
   */
  public void clearBetweenGroups(float[] gradients, int start) {
    if (layer.groups() == 1) {
      return;
    }
    int inputs = layer.inChannels() / layer.groups();
    int outputs = layer.outChannels() / layer.groups();
    for (int o = 0; o < layer.outChannels(); o++) {
      DirectWeights.Block block = direct.blocks()[o / direct.channels()];
      int firstInput = block.firstSegment() / taps() * direct.segment();
      int endInput = block.endSegment() / taps() * direct.segment();
      for (int c = firstInput; c < endInput; c++) {
        if (c / inputs != o / outputs) {
          for (int tap = 0; tap < taps(); tap++) {
            gradients[start + index(o, c, tap)] = 0;
          }
        }
      }
    }
  }

  /** Copies {@code [O, C/groups, K, K]} into an array in the order of the weights. */
  public void scatter(float[] weights, float[] to) {
    scatter(weights, to, 0);
  }

  /**
   * The same for an array that contains the weights behind others.
   *
   * @param offset the index of what is the first element of an array of weights
   */
  public void scatter(float[] weights, float[] to, int offset) {
    int i = 0;
    int inputs = layer.inChannels() / layer.groups();
    int outputs = layer.outChannels() / layer.groups();
    for (int o = 0; o < layer.outChannels(); o++) {
      for (int c = 0; c < inputs; c++) {
        for (int tap = 0; tap < taps(); tap++) {
          to[offset + index(o, o / outputs * inputs + c, tap)] = weights[i++];
        }
      }
    }
  }

  /** Copies from an array in the order of the weights to {@code [O, C/groups, K, K]}. */
  public float[] gather(float[] from) {
    return gather(from, 0);
  }

  /**
   * The same for an array that contains the weights behind others.
   *
   * @param offset the index of what is the first element of an array of weights
   */
  public float[] gather(float[] from, int offset) {
    int i = 0;
    int inputs = layer.inChannels() / layer.groups();
    int outputs = layer.outChannels() / layer.groups();
    float[] weights = new float[layer.outChannels() * inputs * taps()];
    for (int o = 0; o < layer.outChannels(); o++) {
      for (int c = 0; c < inputs; c++) {
        for (int tap = 0; tap < taps(); tap++) {
          weights[i++] = from[offset + index(o, o / outputs * inputs + c, tap)];
        }
      }
    }
    return weights;
  }
}
