package io.github.resnet4j.engine.conv;

import static io.github.resnet4j.kernel.ConvTile.GROUP_STRIDE;

import io.github.resnet4j.engine.graph.Convolution;
import io.github.resnet4j.engine.graph.Layout;
import io.github.resnet4j.kernel.Floats;
import io.github.resnet4j.kernel.Kernels;
import io.github.resnet4j.nn.Layer.Conv2d;
import io.github.resnet4j.nn.StateDict;

/**
 * Segments and weights of a {@link DirectConv} whose groups are narrower than a vector (ResNeXt's
 * first stages, 4 and 8 channels). Its channels are interleaved: a vector holds one channel of each
 * of many groups, so no product with zero is computed. The convolutions before and after it read
 * and write that order at no cost, since only the order of their weights changes.
 */
final class NarrowGroups {
  private NarrowGroups() {}

  /** The number of vectors for sixteen groups. */
  private static int lists(Conv2d layer, Kernels kernels) {
    return layer.groups() / kernels.lanes();
  }

  /** For each vector of groups the blocks of their channels, window row by row. */
  static int[] segments(Convolution conv, Kernels kernels) {
    Conv2d layer = conv.layer();
    Layout in = conv.in();
    int k = layer.kernel();
    int span = layer.inChannels() / layer.groups() * GROUP_STRIDE;
    int[] segments = new int[lists(layer, kernels) * (span / in.block()) * k * k];
    int r = 0;
    for (int group = 0; group < layer.groups(); group += kernels.lanes()) {
      int first = group / GROUP_STRIDE * (span / in.block());
      for (int b = first; b < first + span / in.block(); b++) {
        for (int ky = 0; ky < k; ky++) {
          for (int kx = 0; kx < k; kx++) {
            segments[r++] =
                b * in.plane()
                    + ky * layer.dilation() * in.rowStride()
                    + kx * layer.dilation() * in.block()
                    + group % GROUP_STRIDE;
          }
        }
      }
    }
    return segments;
  }

  /**
   * Packs weights as {@code [vector of groups][some outputs of a group][segment][input of a group
   * in the segment][output][group]}.
   */
  static Packing<DirectWeights> packing(Convolution conv, Kernels kernels) {
    Conv2d layer = conv.layer();
    int lanes = kernels.lanes();
    int width = layer.inChannels() / layer.groups();
    int taps = layer.kernel() * layer.kernel();
    int segment = conv.in().block() / GROUP_STRIDE;
    int groupSegments = width / segment * taps;
    int channels = Tiling.of(conv, kernels).channels();
    int vectors = channels / lanes;
    int blocks = layer.outChannels() / channels;
    int panel = width * taps * channels;
    return new Packing<>() {
      @Override
      public String key() {
        return "%s, grouped, %d channels of %d"
            .formatted(layer.name(), channels, conv.in().block());
      }

      @Override
      public int size() {
        return blocks * panel + layer.outChannels();
      }

      @Override
      public DirectWeights pack(StateDict state, Floats data, int start) {
        FoldedWeights folded = FoldedWeights.of(conv, state);
        var placed = new DirectWeights.Block[blocks];
        for (int b = 0; b < blocks; b++) {
          int list = b / (width / vectors);
          int group = list * lanes;
          int output = b % (width / vectors) * vectors;
          int at = start + b * panel;
          placed[b] =
              new DirectWeights.Block(
                  list * groupSegments,
                  (list + 1) * groupSegments,
                  at,
                  conv.out().position(group * width + output));
          for (int lane = 0; lane < lanes; lane++) {
            for (int v = 0; v < vectors; v++) {
              int o = (group + lane) * width + output + v;
              for (int i = 0; i < width; i++) {
                for (int tap = 0; tap < taps; tap++) {
                  int row = (i / segment * taps + tap) * segment + i % segment;
                  data.values()[at + row * channels + v * lanes + lane] =
                      folded.weight(o, (o * width + i) * taps + tap);
                }
              }
            }
          }
        }
        int biasAt = start + blocks * panel;
        folded.placeBias(conv.out(), data.values(), biasAt);
        return new DirectWeights(data, channels, channels, segment, placed, biasAt, 1);
      }
    };
  }
}
