package io.github.resnet4j.engine.conv;

import io.github.resnet4j.engine.graph.Activation;
import io.github.resnet4j.engine.graph.ArenaPlanner;
import io.github.resnet4j.engine.graph.Border;
import io.github.resnet4j.engine.graph.Layout;
import io.github.resnet4j.kernel.ConvKernels.Gather;
import io.github.resnet4j.kernel.ConvTile;
import io.github.resnet4j.kernel.Floats;
import io.github.resnet4j.kernel.Format;
import io.github.resnet4j.kernel.Ints;
import io.github.resnet4j.kernel.Kernels;
import io.github.resnet4j.nn.Layer.Conv2d;
import java.util.ArrayList;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/**
 * The gradient of a convolution's input: a convolution of the output's gradient with the window
 * rotated by 180°, inputs and outputs exchanged. With a stride it consists of {@code stride²}
 * convolutions, one for each position modulo the stride, each with the weights that contribute to
 * that position.
 */
public final class InputGradient {
  /** The index of the first weight in the scratch array for {@link #run}. */
  public static final int START = ArenaPlanner.ALIGNMENT;

  private final ConvWeights weights;
  private final Layout gradient;
  private final Layout to;
  private final boolean add;
  private final Kernels kernels;
  private final int channels;
  private final int segment;
  private final int tiles;
  private final int scratchSize;
  private final Floats ones;
  private final Phase[] phases;

  /**
   * The input's pixels at one position modulo the stride.
   *
   * @param taps the window positions that contribute, in the order of the addresses that they read
   * @param sums the segments of each block of input channels
   * @param at the index of each block's weights in the scratch array
   * @param gather for a dense convolution, copies weights into this order
   */
  private record Phase(
      int[] taps,
      TileSchedule tiles,
      ConvTile.Reduction[] sums,
      int[] at,
      @Nullable Gather gather) {
    /** The number of words of a block's weights. */
    int size(int b, int segmentWords) {
      return (sums[b].endSegment() - sums[b].firstSegment()) * segmentWords;
    }
  }

  /**
   * @param gradient the layout of the gradient of the convolution's result, with its border
   * @param to the layout of the gradient of its input
   * @param add whether the result is added to the existing gradient
   */
  public InputGradient(
      ConvWeights weights, Layout gradient, Layout to, boolean add, Kernels kernels) {
    this.weights = weights;
    this.gradient = gradient;
    this.to = to;
    this.add = add;
    this.kernels = kernels;
    Conv2d layer = weights.layer;
    int s = layer.stride();
    int max = to.blockChannels();
    int groupOutputs = layer.outChannels() / layer.groups();
    int segments = gradient.blockChannels();
    if (layer.groups() > 1) {
      segments = 16;
      while (2 * segments <= gradient.blockChannels() && groupOutputs % (2 * segments) == 0) {
        segments *= 2;
      }
      max = Math.min(max, Math.max(16, segments));
    }
    this.segment = segments;
    int widest = Math.ceilDiv(to.width(), s);
    Tiling tiling =
        kernels.conv().multiplyMatrices(input())
            ? Tiling.ofMatrices(widest, isOneRow(), gradient.rowStride() / gradient.block(), max)
            : Tiling.of(widest, max, kernels);
    this.channels = tiling.channels();
    this.tiles = to.paddedChannels() / channels;
    float[] factors = new float[to.paddedChannels()];
    Arrays.fill(factors, 1);
    this.ones = Floats.of(factors);
    int size = channels; // first a bias of zeros
    var all = new ArrayList<Phase>();
    for (int py = 0; py < Math.min(s, to.height()); py++) {
      for (int px = 0; px < Math.min(s, to.width()); px++) {
        Phase phase = phase(py, px, tiling, size);
        all.add(phase);
        for (int b = 0; b < tiles; b++) {
          size += phase.size(b, segment * channels);
        }
      }
    }
    this.phases = all.toArray(Phase[]::new);
    this.scratchSize = size;
  }

  /** The border of the gradient that is read. */
  public static Border border(Conv2d layer, Layout gradient, Layout to) {
    int s = layer.stride();
    int before = 0;
    int after = 0;
    for (int p = 0; p < s; p++) {
      for (int k = 0; k < layer.kernel(); k++) {
        int distance = p + layer.padding() - k * layer.dilation();
        if (Math.floorMod(distance, s) == 0) {
          int offset = Math.floorDiv(distance, s);
          before = Math.max(before, -offset);
          after = Math.max(after, Math.ceilDiv(to.height() - p, s) + offset - gradient.height());
          after = Math.max(after, Math.ceilDiv(to.width() - p, s) + offset - gradient.width());
        }
      }
    }
    return new Border(before, after);
  }

  private Phase phase(int py, int px, Tiling tiling, int start) {
    Conv2d layer = weights.layer;
    int s = layer.stride();
    var taps = new ArrayList<Integer>();
    var places = new ArrayList<Integer>();
    for (int ky = layer.kernel() - 1; ky >= 0; ky--) {
      for (int kx = layer.kernel() - 1; kx >= 0; kx--) {
        int dy = py + layer.padding() - ky * layer.dilation();
        int dx = px + layer.padding() - kx * layer.dilation();
        if (Math.floorMod(dy, s) == 0 && Math.floorMod(dx, s) == 0) {
          taps.add(ky * layer.kernel() + kx);
          places.add(
              Math.floorDiv(dy, s) * gradient.rowStride()
                  + Math.floorDiv(dx, s) * gradient.block());
        }
      }
    }
    int[] segments = new int[gradient.paddedChannels() / segment * taps.size()];
    for (int r = 0; r < segments.length; r++) {
      int channel = r / taps.size() * segment;
      segments[r] =
          channel / gradient.blockChannels() * gradient.plane()
              + channel % gradient.blockChannels() / gradient.format().perWord()
              + places.get(r % taps.size());
    }
    int groupInputs = layer.inChannels() / layer.groups();
    int groupOutputs = layer.outChannels() / layer.groups();
    var sums = new ConvTile.Reduction[tiles];
    int[] at = new int[tiles];
    int size = start;
    for (int b = 0; b < tiles; b++) {
      int lastInput = Math.min(layer.inChannels(), (b + 1) * channels) - 1;
      int firstGroup = Math.min(b * channels / groupInputs, layer.groups() - 1);
      int lastGroup = Math.max(firstGroup, lastInput / groupInputs);
      int firstSegment = firstGroup * groupOutputs / segment * taps.size();
      int endSegment = Math.ceilDiv((lastGroup + 1) * groupOutputs, segment) * taps.size();
      sums[b] = new ConvTile.Reduction(firstSegment, endSegment, START);
      at[b] = size;
      size += (endSegment - firstSegment) * segment * channels;
    }
    Gather gather = null;
    if (layer.groups() == 1) {
      int[] from = new int[segments.length * segment];
      for (int i = 0; i < from.length; i++) {
        int r = i / segment;
        int o = r / taps.size() * segment + i % segment;
        from[i] = weights.index(o, 0, taps.get(r % taps.size())) - weights.index(0, 0, 0);
      }
      if (channels > weights.direct.segment()) {
        throw new IllegalStateException(
            "a block of %d channels is wider than a segment".formatted(channels));
      }
      // Consecutive input channels of a segment are one row of output channels apart.
      gather = kernels.conv().gather(Ints.of(from), weights.direct.channels(), channels);
    }
    return new Phase(
        taps.stream().mapToInt(Integer::intValue).toArray(),
        tiles(py, px, tiling, Ints.of(segments)),
        sums,
        at,
        gather);
  }

  /** The tiles of an image's pixels at one position modulo the stride. */
  private TileSchedule tiles(int py, int px, Tiling tiling, Ints segments) {
    int s = weights.layer.stride();
    int height = Math.ceilDiv(to.height() - py, s);
    int width = Math.ceilDiv(to.width() - px, s);
    int rows = isOneRow() ? 1 : height;
    int columns = isOneRow() ? height * width : width;
    int perRow = tiling.tiles(columns);
    var all = new ArrayList<TileSchedule.Tile>();
    for (int y = 0; y < rows; y += tiling.rows()) {
      int count = Math.min(tiling.rows(), rows - y);
      for (int i = 0; i < perRow; i++) {
        int x = Tiling.start(columns, perRow, i);
        int out = to.pixel(s * y + py, px) + s * x * to.block();
        all.add(
            new TileSchedule.Tile(
                count * (Tiling.start(columns, perRow, i + 1) - x),
                count,
                gradient.pixel(y, 0) + x * gradient.block(),
                out,
                out));
      }
    }
    var output = new ConvTile.Output(to.format(), s * to.block(), add ? to.format() : null, false);
    int rowStride = s * to.rowStride();
    TileSchedule.Shapes shapes =
        (pixels, count) ->
            new ConvTile.Shape(
                pixels,
                channels,
                input(),
                output,
                count == 1
                    ? ConvTile.Rows.ONE
                    : new ConvTile.Rows(
                        count, gradient.rowStride(), rowStride, add ? rowStride : 0));
    return new TileSchedule(all, shapes, segments, kernels);
  }

  private ConvTile.Input input() {
    Format format = gradient.format();
    return new ConvTile.Input(format, gradient.block(), segment / format.perWord());
  }

  /** Whether all pixels of an image form one row. */
  private boolean isOneRow() {
    return weights.layer.stride() == 1
        && weights.taps() == 1
        && gradient.border().isNone()
        && to.border().isNone();
  }

  /** The number of floats of the scratch array for the weights in this order. */
  public int scratchSize() {
    return scratchSize;
  }

  /** The number of blocks that {@link #prepare} processes. */
  public int parts() {
    return tiles;
  }

  /** The index in the scratch array of the rows of a block of input channels; for stride 1. */
  public int at(int start, int b) {
    return start + phases[0].at[b];
  }

  /** The number of input channels of a block. */
  public int channels() {
    return channels;
  }

  /** The number of output channels of a segment. */
  public int segment() {
    return segment;
  }

  /** Copies the weights of one block of input channels into this order. */
  public void prepare(Floats scratch, int start, int b) {
    Conv2d layer = weights.layer;
    float[] values = scratch.values();
    for (Phase phase : phases) {
      int at = start + phase.at[b];
      if (phase.gather != null) {
        int first = weights.index(0, b * channels, 0);
        phase.gather.run(weights.direct.data(), first, ones, 0, scratch, at);
        pair(phase, scratch, at, b);
        continue;
      }
      Arrays.fill(values, at, at + phase.size(b, segment * channels), 0);
      int inputs = layer.inChannels() / layer.groups();
      int outputs = layer.outChannels() / layer.groups();
      for (int i = 0; i < channels && b * channels + i < layer.inChannels(); i++) {
        int c = b * channels + i;
        for (int o = c / inputs * outputs; o < (c / inputs + 1) * outputs; o++) {
          for (int t = 0; t < phase.taps.length; t++) {
            int r = o / segment * phase.taps.length + t - phase.sums[b].firstSegment();
            values[at + (r * segment + o % segment) * channels + i] =
                weights.direct.data().values()[weights.index(o, c, phase.taps[t])];
          }
        }
      }
      pair(phase, scratch, at, b);
    }
    Arrays.fill(values, start, start + channels, 0);
  }

  /** In bfloat16, a word holds the weights of two output channels. */
  private void pair(Phase phase, Floats scratch, int at, int b) {
    if (gradient.format() == Format.BF16) {
      int rows = phase.size(b, segment);
      kernels.pairs().pairRows(scratch, at, rows / 2, channels, scratch, at);
    }
  }

  /**
   * Computes some images, with weights prepared at {@link #START}.
   *
   * @param from the gradient of the convolution's result
   * @param result the gradient of its input
   */
  public void run(
      Floats arena, Floats scratch, Activation from, Activation result, int first, int count) {
    for (int n = first; n < first + count; n++) {
      result.clearBorder(arena.values(), n);
      for (Phase phase : phases) {
        if (phase.taps.length == 0 && add) {
          continue;
        }
        for (int b = 0; b < tiles; b++) {
          int out = result.word(n, b * channels);
          phase.tiles.run(
              arena,
              0,
              phase.tiles.tiles(),
              from.image(n),
              out,
              out,
              scratch,
              START + phase.at[b],
              phase.sums[b]);
        }
      }
    }
  }
}
