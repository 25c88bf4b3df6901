package io.github.resnet4j.engine.conv;

import io.github.resnet4j.engine.graph.Convolution;
import io.github.resnet4j.nn.Layer.Conv2d;

/**
 * The weights of a convolution that is trained: they stay in the order in which the forward pass
 * reads them, and so do their gradients and whatever an optimizer keeps for each.
 */
public final class ConvWeights {
  public final Conv2d layer;
  public final DirectWeights direct;

  /** Channels that a word of a row belongs to in turn, or 0 where runs are not rows. */
  private final int rowChannels;

  public ConvWeights(Convolution conv, DirectWeights direct) {
    this.layer = conv.layer();
    this.direct = direct;
    this.rowChannels = Runs.areRows(conv) ? conv.in().block() : 0;
  }

  /** True where a run is a row of the window with all its channels. */
  public boolean readsRows() {
    return rowChannels > 0;
  }

  /** Positions of the window. */
  public int taps() {
    return layer.kernel() * layer.kernel();
  }

  /** How often a run's channels come again: at each position of the window. */
  public int runsPerStep() {
    return readsRows() ? layer.kernel() : taps();
  }

  /** Where the weight lies that leads from channel c at a position of the window to output o. */
  public int index(int o, int c, int tap) {
    int b = o / direct.channels();
    int run;
    int word;
    if (readsRows()) {
      run = tap / layer.kernel();
      word = tap % layer.kernel() * rowChannels + c;
    } else {
      run = c / direct.run() * taps() + tap - direct.blocks()[b].firstRun();
      word = c % direct.run();
    }
    return direct.blocks()[b].at()
        + (run * direct.run() + word) * direct.channels()
        + o % direct.channels();
  }

  /** Copies {@code [O, C/groups, K, K]} to where the weights lie in an array like theirs. */
  public void scatter(float[] weights, float[] to) {
    int i = 0;
    int inputs = layer.inChannels() / layer.groups();
    int outputs = layer.outChannels() / layer.groups();
    for (int o = 0; o < layer.outChannels(); o++) {
      for (int c = 0; c < inputs; c++) {
        for (int tap = 0; tap < taps(); tap++) {
          to[index(o, o / outputs * inputs + c, tap)] = weights[i++];
        }
      }
    }
  }

  /** Copies from an array like the weights' to {@code [O, C/groups, K, K]}. */
  public float[] gather(float[] from) {
    int i = 0;
    int inputs = layer.inChannels() / layer.groups();
    int outputs = layer.outChannels() / layer.groups();
    float[] weights = new float[layer.outChannels() * inputs * taps()];
    for (int o = 0; o < layer.outChannels(); o++) {
      for (int c = 0; c < inputs; c++) {
        for (int tap = 0; tap < taps(); tap++) {
          weights[i++] = from[index(o, o / outputs * inputs + c, tap)];
        }
      }
    }
    return weights;
  }
}
