package io.github.resnet4j.engine.conv;

import io.github.resnet4j.engine.graph.Convolution;
import io.github.resnet4j.engine.graph.Layout;
import io.github.resnet4j.nn.Layer.Conv2d;

/**
 * The window of a convolution as the micro-kernel reads it: a list of segments of consecutive words
 * in memory.
 */
final class WindowSegments {
  private WindowSegments() {}

  /** Whether a whole row of the window is one segment: all channels of a pixel are contiguous. */
  static boolean areRows(Convolution conv) {
    return conv.in().blocks() == 1
        && conv.in().blockChannels() == conv.in().channels()
        && conv.in().channels() < 16
        && conv.layer().dilation() == 1;
  }

  /** The number of words of a segment: a block of channels, or fewer if a group has fewer. */
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
    int segment = Math.max(1, 16 / perWord);
    while (2 * segment <= block && groupInputs % (2 * segment * perWord) == 0) {
      segment *= 2;
    }
    return Math.min(segment, block);
  }

  /** The offsets of the segments of a dense convolution, relative to the window's corner. */
  static int[] of(Convolution conv) {
    Conv2d layer = conv.layer();
    Layout in = conv.in();
    if (areRows(conv)) {
      int[] segments = new int[layer.kernel()];
      for (int ky = 0; ky < segments.length; ky++) {
        segments[ky] = ky * in.rowStride();
      }
      return segments;
    }
    int segment = words(conv);
    int words = in.blocks() * in.block();
    int[] segments = new int[words / segment * layer.kernel() * layer.kernel()];
    int r = 0;
    for (int word = 0; word < words; word += segment) {
      for (int ky = 0; ky < layer.kernel(); ky++) {
        for (int kx = 0; kx < layer.kernel(); kx++) {
          segments[r++] =
              word / in.block() * in.plane()
                  + word % in.block()
                  + ky * layer.dilation() * in.rowStride()
                  + kx * layer.dilation() * in.block();
        }
      }
    }
    return segments;
  }
}
