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
 * reads the runs of its own groups only; where a run holds channels of other groups, their weights
 * are zero.
 */
final class DirectPacking implements Packing<DirectWeights> {
  private final Convolution conv;
  private final Conv2d layer;
  private final Kernels kernels;
  private final Format format;

  /** Whether a run is a row of the window. */
  private final boolean rows;

  private final int run;
  private final int channels;
  private final int constants;

  /** Blocks of output channels, as if the weights began at 0. */
  private final DirectWeights.Block[] blocks;

  /** Floats of all weights. */
  private final int weights;

  DirectPacking(Convolution conv, Kernels kernels) {
    this.conv = conv;
    this.layer = conv.layer();
    this.kernels = kernels;
    this.format = conv.in().format();
    this.rows = Runs.areRows(conv);
    this.run = Runs.words(conv);
    this.channels = Tiling.of(conv, kernels).channels();
    this.constants = ConvTile.Shape.constants(format);
    this.blocks = new DirectWeights.Block[conv.out().paddedChannels() / channels];
    int size = 0;
    for (int b = 0; b < blocks.length; b++) {
      blocks[b] = block(b, size);
      int runs = blocks[b].endRun() - blocks[b].firstRun();
      size = Math.addExact(size, Math.multiplyExact(runs * run, channels));
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
    int runChannels = run * format.perWord();
    return new DirectWeights.Block(
        firstGroup * groupInputs / runChannels * k * k,
        Math.ceilDiv((lastGroup + 1) * groupInputs, runChannels) * k * k,
        at,
        b * channels);
  }

  @Override
  public String key() {
    return "%s, direct, %d channels of %d, %s"
        .formatted(layer.name(), channels, conv.out().blockChannels(), format);
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
                blocks[b].firstRun(),
                blocks[b].endRun(),
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
    return new DirectWeights(data, channels, run, placed, biasAt, constants);
  }

  /** Whether every weight is a float, and every row of weights a row of the layer's. */
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

  /** Which of an output's weights {@code [C, K, K]} each word of its runs is. */
  private int[] indices(int[] order) {
    int k = layer.kernel();
    int[] indices = new int[layer.inChannels() * k * k];
    for (int i = 0; i < indices.length; i++) {
      int r = i / run;
      int word = i % run;
      indices[i] =
          rows
              ? (word % layer.inChannels() * k + r) * k + word / layer.inChannels()
              : order[r / (k * k) * run + word] * k * k + r % (k * k);
    }
    return indices;
  }

  /** Writes the weights of one output, word by word. */
  private void place(
      OutputWeights weightsOf, int o, int[] order, DirectWeights.Block block, float[] data) {
    int taps = layer.kernel() * layer.kernel();
    int groupInputs = layer.inChannels() / layer.groups();
    int firstInput = o / (layer.outChannels() / layer.groups()) * groupInputs;
    int inBlock = conv.in().block();
    int place = block.at() + conv.out().position(o) % channels;
    for (int r = block.firstRun(); r < block.endRun(); r++) {
      int tap = rows ? r * layer.kernel() : r % taps;
      int c = rows ? 0 : r / taps * run * format.perWord();
      for (int i = 0; i < run; i++, place += channels) {
        // A row of the window goes on to the next tap when all channels have had a turn.
        int word = rows ? i % inBlock : i;
        data[place] =
            weightsOf.word(
                order,
                c + word * format.perWord(),
                firstInput,
                groupInputs,
                rows ? tap + i / inBlock : tap);
      }
    }
  }
}
