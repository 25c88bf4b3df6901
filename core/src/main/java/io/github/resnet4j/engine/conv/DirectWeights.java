package io.github.resnet4j.engine.conv;

import io.github.resnet4j.engine.graph.Convolution;
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
 * A convolution's weights in the order in which the micro-kernel reads them: for each block of
 * output channels, for each run, for each float of a run, one row of weights; then the bias.
 *
 * @param channels output channels of a block
 * @param run words of a run
 * @param firstRun of each block of output channels, in the list of all runs
 * @param endRun the index after each block's last run
 * @param at where each block's weights begin
 * @param channel each block's first output channel
 * @param panel floats of the largest block
 * @param biasAt where the bias of the first output channel lies
 * @param constants floats that belong to an output channel beside its weights
 */
@SuppressWarnings("ArrayRecordComponent")
public record DirectWeights(
    Floats data,
    int channels,
    int run,
    int[] firstRun,
    int[] endRun,
    int[] at,
    int[] channel,
    int panel,
    int biasAt,
    int constants) {

  /** Blocks of output channels. */
  public int blocks() {
    return at.length;
  }

  /** The same weights with a bias that lies elsewhere. */
  public DirectWeights withBiasAt(int place) {
    return new DirectWeights(
        data, channels, run, firstRun, endRun, at, channel, panel, place, constants);
  }

  /**
   * How a convolution's weights are packed. In a grouped convolution a block of output channels
   * reads the runs of its own groups only; where a run holds channels of other groups, their
   * weights are zero.
   */
  static Packing<DirectWeights> packing(Convolution conv, Kernels kernels) {
    Conv2d layer = conv.layer();
    int k = layer.kernel();
    int groupInputs = layer.inChannels() / layer.groups();
    int groupOutputs = layer.outChannels() / layer.groups();
    Format format = conv.in().format();
    int constants = ConvTile.Shape.constants(format);
    int run = Runs.words(conv);
    int runChannels = run * format.perWord();
    boolean rows = Runs.areRows(conv);
    int runsPerStep = rows ? k : k * k; // of one range of input channels
    int channels = Tiling.of(conv, kernels).channels();
    int blocks = conv.out().paddedChannels() / channels;
    int[] firstRun = new int[blocks];
    int[] endRun = new int[blocks];
    int[] from = new int[blocks];
    int size = 0;
    int largest = 0;
    for (int b = 0; b < blocks; b++) {
      int lastOutput = Math.min(layer.outChannels(), (b + 1) * channels) - 1;
      int firstGroup = Math.min(b * channels / groupOutputs, layer.groups() - 1);
      int lastGroup = Math.max(firstGroup, lastOutput / groupOutputs);
      int firstInput = firstGroup * groupInputs;
      int endInput = (lastGroup + 1) * groupInputs;
      firstRun[b] = rows ? 0 : firstInput / runChannels * runsPerStep;
      endRun[b] = rows ? k : Math.ceilDiv(endInput, runChannels) * runsPerStep;
      from[b] = size;
      int panel = Math.multiplyExact((endRun[b] - firstRun[b]) * run, channels);
      largest = Math.max(largest, panel);
      size = Math.addExact(size, panel);
    }
    int weights = size;
    int panel = largest;
    return new Packing<>() {
      @Override
      public String key() {
        return "%s, direct, %d channels of %d, %s"
            .formatted(layer.name(), channels, conv.out().blockChannels(), format);
      }

      @Override
      public int size() {
        return weights + blocks * channels * constants;
      }

      @Override
      public DirectWeights pack(StateDict state, Floats data, int start) {
        FoldedWeights folded = FoldedWeights.of(conv, state);
        int[] at = new int[blocks];
        Arrays.setAll(at, b -> start + from[b]);
        int biasAt = start + weights;
        boolean regular =
            format.isFloat()
                && layer.groups() == 1
                && !conv.out().isInterleaved()
                && layer.outChannels() == conv.out().paddedChannels()
                && (rows || layer.inChannels() == conv.in().paddedChannels());
        int[] order = conv.in().channelOrder();
        if (regular) {
          Ints list = Ints.of(indices(layer, rows, run, order));
          int each = layer.inChannels() * k * k;
          Floats source = Floats.of(folded.weights());
          Floats scales = Floats.of(folded.scale());
          ConvKernels.Gather gather = kernels.conv().gather(list, each, channels);
          for (int b = 0; b < blocks; b++) {
            int o = b * channels;
            gather.run(source, o * each, scales, o, data, at[b]);
          }
        }
        for (int o = 0; o < layer.outChannels(); o++) {
          int to = conv.out().position(o);
          int b = to / channels;
          var ofOutput = new OutputWeights(conv, folded, o);
          int constantsAt = biasAt + b * channels * constants + to % channels;
          ofOutput.placeConstants(data.values(), constantsAt, channels);
          int place = at[b] + to % channels;
          for (int r = firstRun[b]; !regular && r < endRun[b]; r++) {
            int tap = rows ? r * k : r % (k * k);
            int c = rows ? 0 : r / (k * k) * runChannels;
            for (int i = 0; i < run; i++, place += channels) {
              // A row of the window goes on to the next tap when all channels have had a turn.
              int word = rows ? i % conv.in().block() : i;
              data.values()[place] =
                  ofOutput.word(
                      order,
                      c + word * format.perWord(),
                      o / groupOutputs * groupInputs,
                      groupInputs,
                      rows ? tap + i / conv.in().block() : tap);
            }
          }
        }
        int[] channel = new int[blocks];
        Arrays.setAll(channel, b -> b * channels);
        return new DirectWeights(
            data, channels, run, firstRun, endRun, at, channel, panel, biasAt, constants);
      }
    };
  }

  /** Which of an output's weights {@code [C, K, K]} each word of its runs is. */
  private static int[] indices(Conv2d layer, boolean rows, int run, int[] order) {
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
}
