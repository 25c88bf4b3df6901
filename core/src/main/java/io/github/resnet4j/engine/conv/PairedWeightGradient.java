package io.github.resnet4j.engine.conv;

import io.github.resnet4j.engine.graph.Activation;
import io.github.resnet4j.engine.graph.Layout;
import io.github.resnet4j.kernel.ConvTile;
import io.github.resnet4j.kernel.Floats;
import io.github.resnet4j.kernel.Format;
import io.github.resnet4j.kernel.Ints;
import io.github.resnet4j.kernel.Kernels;
import io.github.resnet4j.kernel.PairKernels;
import io.github.resnet4j.kernel.Plane;
import io.github.resnet4j.nn.Layer.Conv2d;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * The gradient of a convolution's weights from activations in bfloat16, summed in single precision.
 *
 * <p>The sums are over pixels, so the words of both operands must hold two pixels of a channel
 * ({@link PixelPairs}). The input is transposed: for each channel all its pixels. The gradient
 * keeps its order: for each pair of pixels all output channels. Then it is a matrix product like
 * any other, whose pixels are input channels and whose weights are the gradient of the output.
 */
public final class PairedWeightGradient {
  /** The number of words of a segment. */
  private static final int SEGMENT = 16;

  /** The number of segments that are summed in a pass over all weights. */
  private static final int SEGMENTS_PER_PASS = 16;

  private final ConvWeights weights;
  private final Activation in;
  private final Activation gradient;
  private final Shape shape;
  private final int workspaceAt;
  private final TileSchedule schedule;
  private final int pieces;
  private final Copy[] copies;
  private final PairKernels.Pairing[] transposes;
  private final PairKernels.Pairing pairing;
  private final PairKernels pairs;

  /** The offset from the start of the workspace of the first pixel that a window step reads. */
  private final int[] steps;

  /** The offset of the first pixel of each copy, and of the copy of which an odd one is made. */
  private final int[] copiesAt;

  private final int[] evenAt;

  /** The passes over all weights, by the number of images. */
  private final ConvTile.Reduction[][] passes;

  /**
   * The input at a position modulo the stride.
   *
   * @param isOdd whether pixels are paired with their other neighbour
   */
  private record Copy(int row, int column, boolean isOdd) {}

  /**
   * Sizes in words.
   *
   * @param channels the number of channels of a copy of the input
   * @param before the words before a channel's first pixel
   * @param channelStride the words from one channel to the next
   * @param gradientAt the offset of the gradient from the start of the workspace
   * @param rows the number of rows of the gradient's matrix: pairs of pixels
   */
  private record Shape(
      PixelPairs pairs,
      List<Copy> copies,
      int channels,
      int before,
      int channelStride,
      int gradientAt,
      int rows,
      int size) {
    static Shape of(ConvWeights weights, Layout in, Layout gradient, int images) {
      Conv2d layer = weights.layer;
      boolean readsRows = weights.readsRows();
      PixelPairs pairs = PixelPairs.of(layer, in, gradient, readsRows);
      int rows = Math.ceilDiv(pairs.words(images), SEGMENT) * SEGMENT;
      int before = Math.ceilDiv(1 - pairs.firstWord(), SEGMENT) * SEGMENT;
      int after =
          Math.ceilDiv(Math.max(0, pairs.lastWord()) + 1 + PairKernels.OVERHANG, SEGMENT) * SEGMENT;
      // An odd number of cache lines: channels then use different sets of the cache.
      int channelStride = (before + rows + after) / SEGMENT / 2 * 2 * SEGMENT + SEGMENT;
      if (channelStride < before + rows + after) {
        channelStride += 2 * SEGMENT;
      }
      int channels = readsRows ? layer.kernel() * layer.inChannels() : in.paddedChannels();
      List<Copy> copies = copies(layer, readsRows);
      int gradientAt = copies.size() * channels * channelStride;
      int size = Math.addExact(gradientAt, Math.multiplyExact(rows, gradient.paddedChannels()));
      return new Shape(pairs, copies, channels, before, channelStride, gradientAt, rows, size);
    }

    private static List<Copy> copies(Conv2d layer, boolean readsRows) {
      var copies = new ArrayList<Copy>();
      for (int ky = 0; ky < layer.kernel(); ky++) {
        for (int kx = 0; kx < (readsRows ? 1 : layer.kernel()); kx++) {
          Copy copy = copy(layer, ky, kx, readsRows);
          var even = new Copy(copy.row, copy.column, false);
          if (!copies.contains(even)) {
            copies.add(even); // the other one is made of it
          }
          if (!copies.contains(copy)) {
            copies.add(copy);
          }
        }
      }
      return copies;
    }

    static Copy copy(Conv2d layer, int ky, int kx, boolean readsRows) {
      int y = ky * layer.dilation() - layer.padding();
      int x = readsRows ? 0 : kx * layer.dilation() - layer.padding();
      int s = layer.stride();
      return new Copy(
          Math.floorMod(y, s), Math.floorMod(x, s), Math.floorMod(Math.floorDiv(x, s), 2) == 1);
    }

    int copyAt(Copy copy) {
      return copies.indexOf(copy) * channels * channelStride + before;
    }
  }

  /** The number of words of a worker's workspace. */
  public static int workspace(ConvWeights weights, Layout in, Layout gradient, int images) {
    return Shape.of(weights, in, gradient, images).size;
  }

  /**
   * @param gradient the gradient of the convolution's result
   * @param images the number of images that are summed together
   * @param workspaceAt the index of the {@link #workspace}
   * @param zerosAt the index in the arena of as many zeros as a block has channels
   */
  public PairedWeightGradient(
      ConvWeights weights,
      Activation in,
      Activation gradient,
      int images,
      int workspaceAt,
      int zerosAt,
      Kernels kernels) {
    this.weights = weights;
    this.in = in;
    this.gradient = gradient;
    this.shape = Shape.of(weights, in.layout(), gradient.layout(), images);
    this.workspaceAt = workspaceAt;
    this.pairs = kernels.pairs();
    Conv2d layer = weights.layer;
    DirectWeights direct = weights.direct;
    boolean readsRows = weights.readsRows();
    this.copies = shape.copies.toArray(Copy[]::new);
    this.copiesAt = shape.copies.stream().mapToInt(shape::copyAt).toArray();
    this.evenAt =
        shape.copies.stream()
            .mapToInt(copy -> shape.copyAt(new Copy(copy.row, copy.column, false)))
            .toArray();
    this.passes = new ConvTile.Reduction[images + 1][];
    Arrays.setAll(passes, n -> passes(Math.ceilDiv(shape.pairs.words(n), SEGMENT), zerosAt));
    this.transposes = new PairKernels.Pairing[copies.length];
    Arrays.setAll(transposes, i -> copies[i].isOdd || readsRows ? null : transpose(copies[i]));
    Plane ofGradient = gradient.asPlane();
    this.pairing =
        pairs.pairPixels(
            new Plane(
                Format.BF16,
                shape.pairs.height(),
                shape.pairs.width(),
                gradient.block(),
                ofGradient.rowStride()),
            direct.channels(),
            shape.pairs.pitch());
    this.steps = new int[weights.segmentsPerStep()];
    for (int r = 0; r < steps.length; r++) {
      int ky = readsRows ? r : r / layer.kernel();
      int kx = readsRows ? 0 : r % layer.kernel();
      int s = layer.stride();
      int row = Math.floorDiv(ky * layer.dilation() - layer.padding(), s);
      int column = readsRows ? 0 : Math.floorDiv(kx * layer.dilation() - layer.padding(), s);
      steps[r] =
          shape.copyAt(Shape.copy(layer, ky, kx, readsRows)) + shape.pairs.shift(row, column);
    }
    var input = new ConvTile.Input(Format.BF16, shape.channelStride, SEGMENT);
    int max =
        kernels.conv().multiplyMatrices(input)
            ? Tiling.matrixPixels()
            : kernels.accumulators() * kernels.lanes() / direct.channels();
    int segment = direct.segment();
    this.pieces = Math.ceilDiv(segment, max);
    var tiles = new ArrayList<TileSchedule.Tile>();
    for (int q = 0; q < (readsRows ? 1 : shape.channels / segment); q++) {
      for (int i = 0; i < pieces; i++) {
        int start = Tiling.start(segment, pieces, i);
        int to = (q * weights.segmentsPerStep() * segment + start) * direct.channels();
        int from = (q * segment + start) * shape.channelStride;
        tiles.add(
            new TileSchedule.Tile(Tiling.start(segment, pieces, i + 1) - start, from, to, to));
      }
    }
    int[] offsets = new int[shape.rows / SEGMENT];
    Arrays.setAll(offsets, i -> i * SEGMENT);
    var output = new ConvTile.Output(Format.FP32, direct.channels(), Format.FP32, false);
    this.schedule =
        new TileSchedule(
            tiles,
            inputs -> new ConvTile.Shape(inputs, direct.channels(), input, output),
            Ints.of(offsets),
            kernels);
  }

  private static ConvTile.Reduction[] passes(int segments, int zerosAt) {
    var passes = new ConvTile.Reduction[Math.ceilDiv(segments, SEGMENTS_PER_PASS)];
    Arrays.setAll(
        passes,
        i ->
            new ConvTile.Reduction(
                i * SEGMENTS_PER_PASS, Math.min(segments, (i + 1) * SEGMENTS_PER_PASS), zerosAt));
    return passes;
  }

  private PairKernels.Pairing transpose(Copy copy) {
    int s = shape.pairs.stride();
    boolean oneRow = shape.pairs.height() == 1 && shape.pairs.width() > in.width();
    Plane pixels = in.asPlane();
    int rows = oneRow ? 1 : shape.pairs.present(in.height(), copy.row, true);
    int columns =
        oneRow ? shape.pairs.width() : shape.pairs.present(in.width(), copy.column, false);
    return pairs.transpose(
        new Plane(Format.BF16, rows, columns, pixels.block(), s * pixels.rowStride()),
        s,
        shape.pairs.pitch(),
        shape.channelStride);
  }

  /** Sets the workspace to zero, which holds the zeros between rows and images. */
  public void clear(float[] arena) {
    Arrays.fill(arena, workspaceAt, workspaceAt + shape.size, 0);
  }

  /**
   * Adds the contribution of some images, at most as many as are summed together.
   *
   * @param start the index of the gradient of the network's first weight
   */
  public void run(Floats arena, int start, int first, int count) {
    DirectWeights direct = weights.direct;
    for (int i = 0; i < count; i++) {
      int word = shape.pairs.words(i);
      for (int c = 0; c < copies.length; c++) {
        if (weights.readsRows()) {
          pairRows(arena.values(), c, first + i, word);
        } else if (!copies[c].isOdd) {
          for (int b = 0; b < in.blocks(); b++) {
            int channel = b * in.layout().blockChannels();
            transposes[c].run(
                arena,
                in.at(first + i, b, copies[c].row, copies[c].column),
                workspaceAt + copiesAt[c] + channel * shape.channelStride + word);
          }
        }
      }
      for (DirectWeights.Block block : direct.blocks()) {
        pairing.run(
            arena,
            gradient.word(first + i, block.channel()) + gradient.layout().pixel(0, 0),
            matrix(block) + word * direct.channels());
      }
    }
    for (int c = 0; c < copies.length; c++) {
      if (copies[c].isOdd) {
        int size = shape.channels * shape.channelStride - shape.before;
        pairs.shift(arena, workspaceAt + evenAt[c], workspaceAt + copiesAt[c], size);
      }
    }
    int words = shape.pairs.words(count);
    int last = Math.ceilDiv(words, SEGMENT) * SEGMENT;
    for (DirectWeights.Block block : direct.blocks()) {
      int end = matrix(block) + last * direct.channels();
      Arrays.fill(arena.values(), matrix(block) + words * direct.channels(), end, 0);
    }
    for (ConvTile.Reduction some : passes[count]) {
      for (DirectWeights.Block block : direct.blocks()) {
        for (int r = 0; r < steps.length; r++) {
          multiply(arena, start, block, r, some);
        }
      }
    }
  }

  /** The index of the gradient of a block of output channels. */
  private int matrix(DirectWeights.Block block) {
    return workspaceAt + shape.gradientAt + block.channel() * shape.rows;
  }

  private void multiply(
      Floats arena, int start, DirectWeights.Block block, int r, ConvTile.Reduction some) {
    DirectWeights direct = weights.direct;
    int perStep = weights.segmentsPerStep();
    int firstStep = block.firstSegment() / perStep;
    int endStep = block.endSegment() / perStep;
    int to = start + block.at() + (r - firstStep * perStep) * direct.segment() * direct.channels();
    schedule.run(
        arena,
        firstStep * pieces,
        endStep * pieces,
        workspaceAt + steps[r],
        to,
        to,
        arena,
        matrix(block) + some.firstSegment() * SEGMENT * direct.channels(),
        some);
  }

  /**
   * Pairs the pixels of a few input channels, a separate channel for each column of the window: the
   * first of a stem.
   */
  private void pairRows(float[] arena, int index, int image, int word) {
    Copy copy = copies[index];
    Conv2d layer = weights.layer;
    PixelPairs pixels = shape.pairs;
    int s = layer.stride();
    int rows = pixels.present(in.height(), copy.row, true);
    for (int v = 0; v < shape.channels; v++) {
      int column = v / layer.inChannels() * layer.dilation() - layer.padding();
      int channel = v % layer.inChannels();
      int to = workspaceAt + copiesAt[index] + v * shape.channelStride + word;
      for (int y = 0; y < rows; y++) {
        int row = in.at(image, 0, y * s + copy.row, 0) + channel / 2;
        int shift = channel % 2 * 16;
        // Only the first and the last pixels of a row are beyond its edge.
        int words = (pixels.width() + 1) / 2;
        int first = Math.clamp(Math.ceilDiv(-column, 2 * s), 0, words);
        int end = Math.clamp(Math.floorDiv(in.width() - s - column - 1, 2 * s) + 1, first, words);
        end = Math.min(end, pixels.width() / 2);
        int pairsAt = to + y * pixels.pitch();
        edge(arena, row, column, shift, pairsAt, 0, first);
        inside(arena, row + column * in.block(), shift, pairsAt, first, end);
        edge(arena, row, column, shift, pairsAt, end, words);
      }
    }
  }

  /** Pairs of pixels that are all present. */
  private void inside(float[] arena, int row, int shift, int to, int first, int end) {
    int next = shape.pairs.stride() * in.block();
    for (int i = first; i < end; i++) {
      int low = Float.floatToRawIntBits(arena[row + 2 * i * next]) >>> shift & 0xFFFF;
      int high = Float.floatToRawIntBits(arena[row + (2 * i + 1) * next]) >>> shift << 16;
      arena[to + i] = Float.intBitsToFloat(low | high);
    }
  }

  private void edge(float[] arena, int row, int column, int shift, int to, int first, int end) {
    for (int i = first; i < end; i++) {
      int low = pixel(arena, row, 2 * i, column, shift);
      int high = pixel(arena, row, 2 * i + 1, column, shift);
      arena[to + i] = Float.intBitsToFloat(low | high << 16);
    }
  }

  /** The bits of a number of the window, or zero beyond the edge. */
  private int pixel(float[] arena, int row, int x, int column, int shift) {
    int at = x * shape.pairs.stride() + column;
    return at < 0 || at >= in.width() || x >= shape.pairs.width()
        ? 0
        : Float.floatToRawIntBits(arena[row + at * in.block()]) >>> shift & 0xFFFF;
  }
}
