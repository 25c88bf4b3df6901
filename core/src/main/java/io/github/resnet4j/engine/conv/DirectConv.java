package io.github.resnet4j.engine.conv;

import io.github.resnet4j.engine.graph.Activation;
import io.github.resnet4j.engine.graph.Cache;
import io.github.resnet4j.engine.graph.Convolution;
import io.github.resnet4j.engine.step.Frame;
import io.github.resnet4j.engine.step.Step;
import io.github.resnet4j.kernel.ConvKernels;
import io.github.resnet4j.kernel.ConvTile;
import io.github.resnet4j.kernel.Floats;
import io.github.resnet4j.kernel.Format;
import io.github.resnet4j.kernel.Ints;
import io.github.resnet4j.kernel.Kernels;
import io.github.resnet4j.nn.Layer.Conv2d;
import io.github.resnet4j.nn.StateDict;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * Convolution as the sum it is defined by: for every tile of output pixels and every block of
 * output channels one micro-kernel call over all taps of the window. A 1×1 window makes it a matrix
 * product, and then the pixels of an image are one long row.
 */
public final class DirectConv implements Step {
  private final Convolution conv;
  private final Weights weights;

  /** Tiles of one image, those of a size together, for each size. */
  private final List<Sized> sizes;

  /** Tiles of an image, of all sizes. */
  private final int allTiles;

  /** How much is done for one block of output channels before the next one's turn. */
  private final int groupTiles;

  private final int groupImages;

  /** What is added up, for each block of output channels. */
  private final ConvTile.Reduction[] sums;

  /**
   * The tiles that have as many pixels as each other.
   *
   * @param before how many of them come before a tile, counted over all sizes
   */
  private record Sized(ConvTile kernel, int[] before) {}

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
  public record Weights(
      Floats data,
      int channels,
      int run,
      int[] firstRun,
      int[] endRun,
      int[] at,
      int[] channel,
      int panel,
      int biasAt,
      int constants) {}

  public DirectConv(Convolution conv, Weights weights, Kernels kernels) {
    this.conv = conv;
    this.weights = weights;
    Conv2d layer = conv.layer();
    Activation in = conv.in();
    Activation out = conv.out();
    Activation residual = conv.residual();

    boolean oneRow = isOneRow(conv);
    int rows = oneRow ? 1 : out.height;
    int width = oneRow ? out.height * out.width : out.width;
    Tiling tiling = tiling(conv, kernels);
    int perRow = tiling.tiles(width);
    allTiles = rows * perRow;
    Ints runs = Ints.of(conv.isInterleaved() ? NarrowGroups.runs(conv, kernels) : runs(conv));
    sizes = new ArrayList<>();
    for (int pixels = 1; pixels <= tiling.pixels(); pixels++) {
      int[] inAt = new int[allTiles];
      int[] outAt = new int[allTiles];
      int[] residualAt = new int[allTiles];
      int[] before = new int[allTiles + 1];
      int count = 0;
      for (int t = 0; t < allTiles; t++) {
        int y = t / perRow;
        int x = Tiling.start(width, perRow, t % perRow);
        if (Tiling.start(width, perRow, t % perRow + 1) - x == pixels) {
          inAt[count] =
              in.pixel(y * layer.stride() - layer.padding(), -layer.padding())
                  + x * layer.stride() * in.block();
          outAt[count] = out.pixel(y, 0) + x * out.block();
          residualAt[count] = residual == null ? 0 : residual.pixel(y, 0) + x * residual.block();
          count++;
        }
        before[t + 1] = count;
      }
      if (count > 0) {
        ConvTile kernel =
            kernels
                .conv()
                .tile(
                    shape(conv, weights, pixels, kernels),
                    new ConvTile.Tiles(
                        Ints.of(Arrays.copyOf(inAt, count)),
                        Ints.of(Arrays.copyOf(outAt, count)),
                        Ints.of(Arrays.copyOf(residualAt, count))),
                    runs);
        sizes.add(new Sized(kernel, before));
      }
    }
    sums = new ConvTile.Reduction[weights.at.length];
    Arrays.setAll(
        sums,
        b ->
            new ConvTile.Reduction(
                weights.firstRun[b],
                weights.endRun[b],
                weights.biasAt + weights.channel[b] * weights.constants));
    // What a group reads stays in the cache while all blocks of output channels pass over it.
    long panel = (long) weights.panel * Float.BYTES;
    long room = Math.max(Cache.BYTES / 4, Cache.BYTES - Cache.BYTES / 8 - panel);
    long image = (long) in.imageSize() * Float.BYTES;
    groupImages = (int) Math.max(1, room / image);
    groupTiles = (int) Math.clamp(room * allTiles / image, 1, allTiles);
  }

  private static ConvTile.Shape shape(
      Convolution conv, Weights weights, int pixels, Kernels kernels) {
    Activation residual = conv.residual();
    int pixelStride = conv.layer().stride() * conv.in().block();
    var in = new ConvTile.Input(conv.in().format(), pixelStride, weights.run);
    var out =
        new ConvTile.Output(
            conv.out().format(),
            conv.out().block(),
            residual == null ? null : residual.format(),
            conv.relu());
    return conv.isInterleaved()
        ? ConvTile.Shape.ofGroups(pixels, weights.channels, in, out, kernels.lanes())
        : new ConvTile.Shape(pixels, weights.channels, in, out);
  }

  /** Whether the pixels of an image are one long row for it. */
  private static boolean isOneRow(Convolution conv) {
    Conv2d layer = conv.layer();
    Activation residual = conv.residual();
    return layer.kernel() == 1
        && layer.stride() == 1
        && layer.padding() == 0
        && !conv.in().hasBorder()
        && !conv.out().hasBorder()
        && (residual == null || !residual.hasBorder());
  }

  /** The tiles to cut the output into; borders must be settled before. */
  public static Tiling tiling(Convolution conv, Kernels kernels) {
    Activation out = conv.out();
    int most = out.blockChannels;
    if (conv.isInterleaved()) {
      most = Math.min(most, conv.layer().inChannels() / conv.layer().groups() * kernels.lanes());
    } else if (conv.layer().groups() > 1) {
      // A tile that spans few groups wastes few products on the zeros between them.
      most = Math.min(most, Math.max(16, runWords(conv) * conv.in().format().perWord()));
    }
    return Tiling.of(isOneRow(conv) ? out.height * out.width : out.width, most, kernels);
  }

  /** Where the runs of a dense convolution begin, relative to the window's corner. */
  private static int[] runs(Convolution conv) {
    Conv2d layer = conv.layer();
    Activation in = conv.in();
    if (readsRows(conv)) {
      int[] runs = new int[layer.kernel()];
      for (int ky = 0; ky < runs.length; ky++) {
        runs[ky] = ky * in.rowStride();
      }
      return runs;
    }
    int run = runWords(conv);
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

  /** Where all channels of a pixel are neighbours, so are those of a whole row of the window. */
  public static boolean readsRows(Convolution conv) {
    return conv.in().blocks() == 1
        && conv.in().blockChannels == conv.in().channels
        && conv.in().channels < 16
        && conv.layer().dilation() == 1;
  }

  /** The words of a run: a block of channels, less where a group has fewer. */
  public static int runWords(Convolution conv) {
    Conv2d layer = conv.layer();
    int block = conv.in().block();
    if (readsRows(conv)) {
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

  /**
   * How a convolution's weights are packed. In a grouped convolution a block of output channels
   * reads the runs of its own groups only; where a run holds channels of other groups, their
   * weights are zero.
   */
  public static Packing<Weights> packing(Convolution conv, Kernels kernels) {
    if (conv.isInterleaved()) {
      return NarrowGroups.packing(conv, kernels);
    }
    Conv2d layer = conv.layer();
    int k = layer.kernel();
    int groupInputs = layer.inChannels() / layer.groups();
    int groupOutputs = layer.outChannels() / layer.groups();
    Format format = conv.in().format();
    int constants = ConvTile.Shape.constants(format);
    int run = runWords(conv);
    int runChannels = run * format.perWord();
    boolean rows = readsRows(conv);
    int runsPerStep = rows ? k : k * k; // of one range of input channels
    int channels = tiling(conv, kernels).channels();
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
            .formatted(layer.name(), channels, conv.out().blockChannels, format);
      }

      @Override
      public int size() {
        return weights + blocks * channels * constants;
      }

      @Override
      public Weights pack(StateDict state, Floats data, int start) {
        Convolution.Folded folded = conv.fold(state);
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
        return new Weights(
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

  @Override
  public String name() {
    return conv.layer().name();
  }

  @Override
  public String algorithm() {
    return "%s %dx%d"
        .formatted(
            conv.isInterleaved() ? "grouped" : "direct",
            conv.layer().kernel(),
            conv.layer().kernel());
  }

  @Override
  public Activation out() {
    return conv.out();
  }

  @Override
  public long flops() {
    return conv.flops();
  }

  @Override
  public void run(Frame frame, int first, int count, int phase, int part, int parts) {
    int blocks = weights.at.length;
    // Where weights are few, a part stays with the rows that it wrote itself in the step before.
    boolean splitChannels =
        blocks % parts == 0
            && (long) weights.panel * blocks > conv.in().imageSize() + conv.out().imageSize();
    int firstBlock = splitChannels ? blocks * part / parts : 0;
    int endBlock = splitChannels ? blocks * (part + 1) / parts : blocks;
    int firstTile = splitChannels ? 0 : allTiles * part / parts;
    int endTile = splitChannels ? allTiles : allTiles * (part + 1) / parts;
    if (part == 0) {
      for (int n = first; n < first + count; n++) {
        conv.out().clearBorder(frame.arena(), n);
      }
    }
    for (int n = first; n < first + count; n += groupImages) {
      int endImage = Math.min(first + count, n + groupImages);
      for (int t = firstTile; t < endTile; t += groupTiles) {
        int groupEnd = Math.min(endTile, t + groupTiles);
        for (int b = firstBlock; b < endBlock; b++) {
          for (int i = n; i < endImage; i++) {
            group(frame.memory(), i, b, t, groupEnd);
          }
        }
      }
    }
  }

  /** Some tiles of one image, for one block of output channels. */
  private void group(Floats arena, int n, int b, int firstTile, int endTile) {
    Activation out = conv.out();
    Activation residual = conv.residual();
    int channel = weights.channel[b];
    int in = conv.in().image(n);
    int to = out.word(n, channel);
    int start = residual == null ? 0 : residual.word(n, channel);
    for (Sized size : sizes) {
      int first = size.before[firstTile];
      int end = size.before[endTile];
      if (first < end) {
        size.kernel.run(arena, first, end, in, to, start, weights.data, weights.at[b], sums[b]);
      }
    }
  }
}
