package io.github.resnet4j.engine.conv;

import io.github.resnet4j.engine.graph.Convolution;
import io.github.resnet4j.engine.graph.Layout;
import io.github.resnet4j.kernel.ConvKernels;
import io.github.resnet4j.kernel.ConvTile;
import io.github.resnet4j.kernel.Floats;
import io.github.resnet4j.kernel.Format;
import io.github.resnet4j.kernel.Ints;
import io.github.resnet4j.kernel.Kernels;
import io.github.resnet4j.nn.Layer.Conv2d;
import io.github.resnet4j.nn.StateDict;
import java.util.Arrays;

/**
 * Packs the weights of a {@link DirectConv}. In a grouped convolution a block of output channels
 * reads only the segments of its own groups; weights for channels of other groups in a segment are
 * zero.
 */
final class DirectPacking implements Packing<DirectWeights> {
  private final Convolution conv;
  private final Conv2d layer;
  private final Kernels kernels;
  private final Format format;

  /** Whether a segment is a row of the window. */
  private final boolean rows;

  private final int segment;
  private final int channels;
  private final int constants;

  /** The format of the weights. */
  private final Format ofWeights;

  /** The number of words that a word of the input is multiplied with. */
  private final int row;

  /** The blocks of output channels, with indices relative to the first weight. */
  private final DirectWeights.Block[] blocks;

  /** The number of floats of all weights. */
  private final int weights;

  DirectPacking(Convolution conv, Kernels kernels) {
    this(conv, kernels, Tiling.of(conv, kernels).channels());
  }

  /**
   * @param channels the number of output channels of a block
   */
  DirectPacking(Convolution conv, Kernels kernels, int channels) {
    this.conv = conv;
    this.layer = conv.layer();
    this.kernels = kernels;
    this.format = conv.in().format();
    this.rows = WindowSegments.areRows(conv);
    this.segment = WindowSegments.words(conv);
    this.channels = channels;
    this.constants = ConvTile.Shape.constants(format);
    this.ofWeights = kernels.conv().weights(format);
    this.row = channels * (format.perWord() / ofWeights.perWord());
    this.blocks = new DirectWeights.Block[conv.out().paddedChannels() / channels];
    int size = 0;
    for (int b = 0; b < blocks.length; b++) {
      blocks[b] = block(b, size);
      int segments = blocks[b].endSegment() - blocks[b].firstSegment();
      size = Math.addExact(size, Math.multiplyExact(segments * segment, row));
    }
    this.weights = size;
  }

  private DirectWeights.Block block(int b, int at) {
    int k = layer.kernel();
    if (rows) {
      return new DirectWeights.Block(0, k, at, b * channels);
    }
    int groupOutputs = layer.outChannels() / layer.groups();
    int lastOutput = Math.min(layer.outChannels(), (b + 1) * channels) - 1;
    int firstGroup = Math.min(b * channels / groupOutputs, layer.groups() - 1);
    int lastGroup = Math.max(firstGroup, lastOutput / groupOutputs);
    int groupInputs = layer.inChannels() / layer.groups();
    int segmentChannels = segment * format.perWord();
    return new DirectWeights.Block(
        firstGroup * groupInputs / segmentChannels * k * k,
        Math.ceilDiv((lastGroup + 1) * groupInputs, segmentChannels) * k * k,
        at,
        b * channels);
  }

  @Override
  public String key() {
    return "%s, direct, %d channels of %d, %s"
        .formatted(layer.name(), channels, conv.out().blockChannels(), ofWeights);
  }

  @Override
  public int size() {
    return weights + blocks.length * channels * constants;
  }

  @Override
  public DirectWeights pack(StateDict state, Floats data, int start) {
    var placed = new DirectWeights.Block[blocks.length];
    Arrays.setAll(
        placed,
        b ->
            new DirectWeights.Block(
                blocks[b].firstSegment(),
                blocks[b].endSegment(),
                start + blocks[b].at(),
                blocks[b].channel()));
    int biasAt = start + weights;
    FoldedWeights folded = FoldedWeights.of(conv, state);
    int[] order = conv.in().channelOrder();
    boolean regular = isRegular();
    if (regular) {
      gather(folded, order, data, placed);
    }
    for (int o = 0; o < layer.outChannels(); o++) {
      int to = conv.out().position(o);
      int b = to / channels;
      var ofOutput = new OutputWeights(conv, folded, o);
      int constantsAt = biasAt + b * channels * constants + to % channels;
      ofOutput.placeConstants(data.values(), constantsAt, channels);
      if (!regular) {
        place(ofOutput, o, order, placed[b], data.values());
      }
    }
    return new DirectWeights(data, channels, row, segment, placed, biasAt, constants);
  }

  /**
   * Whether every weight is a float, and every row of packed weights is a row of the layer's
   * weights.
   */
  private boolean isRegular() {
    Layout in = conv.in();
    Layout out = conv.out();
    return format.isFloat()
        && layer.groups() == 1
        && !out.isInterleaved()
        && layer.outChannels() == out.paddedChannels()
        && (rows || layer.inChannels() == in.paddedChannels());
  }

  private void gather(
      FoldedWeights folded, int[] order, Floats data, DirectWeights.Block[] placed) {
    int each = layer.inChannels() * layer.kernel() * layer.kernel();
    Floats source = Floats.of(folded.weights());
    Floats scales = Floats.of(folded.scale());
    ConvKernels.Gather gather = kernels.conv().gather(Ints.of(indices(order)), each, channels);
    for (DirectWeights.Block block : placed) {
      int o = block.channel();
      gather.run(source, o * each, scales, o, data, block.at());
    }
  }

  /** For each word of an output channel's segments the index of its weight in {@code [C, K, K]}. */
  private int[] indices(int[] order) {
    int k = layer.kernel();
    int[] indices = new int[layer.inChannels() * k * k];
    for (int i = 0; i < indices.length; i++) {
      int r = i / segment;
      int word = i % segment;
      indices[i] =
          rows
              ? (word % layer.inChannels() * k + r) * k + word / layer.inChannels()
              : order[r / (k * k) * segment + word] * k * k + r % (k * k);
    }
    return indices;
  }

  /** Writes the weights of one output channel, word by word. */
  private void place(
      OutputWeights weightsOf, int o, int[] order, DirectWeights.Block block, float[] data) {
    int taps = layer.kernel() * layer.kernel();
    int groupInputs = layer.inChannels() / layer.groups();
    int firstInput = o / (layer.outChannels() / layer.groups()) * groupInputs;
    int inBlock = conv.in().block();
    int place = block.at() + conv.out().position(o) % channels;
    for (int r = block.firstSegment(); r < block.endSegment(); r++) {
      int tap = rows ? r * layer.kernel() : r % taps;
      int c = rows ? 0 : r / taps * segment * format.perWord();
      for (int i = 0; i < segment; i++, place += row) {
        // In a row of the window the next tap follows after the last channel.
        int word = rows ? i % inBlock : i;
        int from = c + word * format.perWord();
        int ofTap = rows ? tap + i / inBlock : tap;
        for (int part = 0; part < row / channels; part++) {
          data[place + part * channels] =
              weightsOf.word(
                  ofWeights, order, from + part, row / channels, firstInput, groupInputs, ofTap);
        }
      }
    }
  }
}
