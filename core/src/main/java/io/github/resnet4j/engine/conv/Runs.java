package io.github.resnet4j.engine.conv;

import io.github.resnet4j.engine.graph.Convolution;
import io.github.resnet4j.engine.graph.Layout;
import io.github.resnet4j.nn.Layer.Conv2d;

/**
 * The window of a convolution as the micro-kernel walks through it: a list of runs, each of words
 * that follow each other in memory.
 */
final class Runs {
  private Runs() {}

  /** Where all channels of a pixel are neighbours, so are those of a whole row of the window. */
  static boolean areRows(Convolution conv) {
    return conv.in().blocks() == 1
        && conv.in().blockChannels() == conv.in().channels()
        && conv.in().channels() < 16
        && conv.layer().dilation() == 1;
  }

  /** The words of a run: a block of channels, less where a group has fewer. */
  static int words(Convolution conv) {
    Conv2d layer = conv.layer();
    int block = conv.in().block();
    if (areRows(conv)) {
      return layer.kernel() * block;
    }
    if (layer.groups() == 1) {
      return block;
    }
    int perWord = conv.in().format().perWord();
    int groupInputs = layer.inChannels() / layer.groups();
    int run = Math.max(1, 16 / perWord);
    while (2 * run <= block && groupInputs % (2 * run * perWord) == 0) {
      run *= 2;
    }
    return Math.min(run, block);
  }

  /** Where the runs of a dense convolution begin, relative to the window's corner. */
  static int[] of(Convolution conv) {
    Conv2d layer = conv.layer();
    Layout in = conv.in();
    if (areRows(conv)) {
      int[] runs = new int[layer.kernel()];
      for (int ky = 0; ky < runs.length; ky++) {
        runs[ky] = ky * in.rowStride();
      }
      return runs;
    }
    int run = words(conv);
    int words = in.blocks() * in.block();
    int[] runs = new int[words / run * layer.kernel() * layer.kernel()];
    int r = 0;
    for (int word = 0; word < words; word += run) {
      for (int ky = 0; ky < layer.kernel(); ky++) {
        for (int kx = 0; kx < layer.kernel(); kx++) {
          runs[r++] =
              word / in.block() * in.plane()
                  + word % in.block()
                  + ky * layer.dilation() * in.rowStride()
                  + kx * layer.dilation() * in.block();
        }
      }
    }
    return runs;
  }
}
