package io.github.resnet4j.engine.conv;

import io.github.resnet4j.engine.graph.Activation;
import io.github.resnet4j.engine.graph.Layout;
import io.github.resnet4j.kernel.ConvTile;
import io.github.resnet4j.kernel.Floats;
import io.github.resnet4j.kernel.Format;
import io.github.resnet4j.kernel.Ints;
import io.github.resnet4j.kernel.Kernels;
import io.github.resnet4j.kernel.Plane;
import io.github.resnet4j.kernel.Winograd;
import io.github.resnet4j.kernel.WinogradKernels;
import java.util.ArrayList;
import java.util.Arrays;

/**
 * The gradient of a 3×3 convolution's weights by Winograd's algorithm, the transposed form of the
 * forward pass:
 *
 * <pre>{@code
 * dg = Gᵀ [ sum over tiles of (Bᵀ d B) ⊙ (A dY Aᵀ) ] G
 * }</pre>
 *
 * Each product is a matrix product over tiles, with the micro-kernel of {@link WeightGradient}.
 * Every worker has its own instance, which sums over its images and transforms the sums back at the
 * end.
 */
public final class WinogradWeightGradient {
  private static final int TAPS = 9;

  /** Words between planes, so that they do not map to the same cache sets. */
  private static final int PADDING = 16;

  private final ConvWeights weights;
  private final Activation in;
  private final Activation gradient;
  private final Winograd form;
  private final int images;
  private final int channels;

  /** The number of tiles of an image. */
  private final int tiles;

  private final int workspaceAt;
  private final WinogradKernels.Transform inputs;
  private final WinogradKernels.Transform outputs;
  private final ConvTile.Reduction[] sumsOf; // by number of images
  private final TileSchedule schedule;
  private final WinogradKernels.Rows windows;

  /**
   * Whether there are enough tiles that the sums, which are four times as large as the weights, are
   * not max of the memory traffic.
   *
   * @param images the number of images of a worker
   */
  public static boolean isWorthwhile(Layout in, Layout out, Winograd form, int images) {
    long tiles = (long) images * tiles(out, form);
    long c = in.paddedChannels();
    long o = out.paddedChannels();
    return tiles * (c + o) >= 2 * c * o;
  }

  private static int tiles(Layout out, Winograd form) {
    return Math.ceilDiv(out.height(), form.outputs()) * Math.ceilDiv(out.width(), form.outputs());
  }

  /** The number of words of one worker's workspace, for its transformed images and its sums. */
  public static int workspace(Layout in, Layout out, Winograd form, int images) {
    return form.products()
        * (images * tiles(out, form) * (in.paddedChannels() + out.paddedChannels())
            + in.paddedChannels() * out.paddedChannels()
            + 3 * PADDING
            + Math.max(in.blockChannels(), out.blockChannels()));
  }

  /**
   * @param images the largest number of images processed together
   * @param workspaceAt the index in the arena of {@link #workspace} words
   * @param zerosAt the index in the arena of as many zeros as a block has channels
   */
  public WinogradWeightGradient(
      ConvWeights weights,
      Activation in,
      Activation gradient,
      Winograd form,
      int images,
      int workspaceAt,
      int zerosAt,
      Kernels kernels) {
    this.weights = weights;
    this.in = in;
    this.gradient = gradient;
    this.form = form;
    this.images = images;
    this.workspaceAt = workspaceAt;
    this.channels = weights.direct.channels();
    this.tiles = tiles(gradient.layout(), form);
    this.inputs =
        kernels
            .winograd()
            .input(form, in.asPlane(), offsets(in.layout(), -1), inputStep(), Format.FP32);
    this.outputs =
        kernels
            .winograd()
            .gradient(form, gradient.asPlane(), offsets(gradient.layout(), 0), outputStep());
    int[] offsets = new int[images];
    Arrays.setAll(offsets, i -> i * tiles * inBlock());
    this.sumsOf = new ConvTile.Reduction[images + 1];
    Arrays.setAll(sumsOf, count -> new ConvTile.Reduction(0, count, zerosAt));
    this.schedule = schedule(Ints.of(offsets), kernels);
    int tapStride = weights.direct.segment() * channels;
    var rows = new WinogradKernels.WindowRows(channels, tapStride, sumStep(), channels);
    this.windows = kernels.winograd().weightGradient(form, rows);
  }

  private Ints offsets(Layout a, int before) {
    int across = Math.ceilDiv(gradient.width(), form.outputs());
    int[] at = new int[images * tiles];
    for (int i = 0; i < at.length; i++) {
      int y = i % tiles / across * form.outputs();
      int x = i % tiles % across * form.outputs();
      at[i] = i / tiles * a.imageSize() + a.pixel(y + before, x + before);
    }
    return Ints.of(at);
  }

  /** The tiles of the input's channels, block by block. */
  private TileSchedule schedule(Ints rows, Kernels kernels) {
    Plane row = Plane.ofFloats(1, tiles, gradientBlock(), tiles * gradientBlock()); // of an image
    int pieces = Math.ceilDiv(inBlock(), kernels.accumulators() * kernels.lanes() / channels);
    var all = new ArrayList<TileSchedule.Tile>();
    for (int b = 0; b < in.blocks(); b++) {
      for (int i = 0; i < pieces; i++) {
        int start = Tiling.start(inBlock(), pieces, i);
        int to = (b * inBlock() + start) * channels;
        all.add(
            new TileSchedule.Tile(
                Tiling.start(inBlock(), pieces, i + 1) - start,
                b * images * tiles * inBlock() + start,
                to,
                to));
      }
    }
    return new TileSchedule(
        all,
        size -> ConvTile.Shape.ofWeightGradient(size, channels, inBlock(), row),
        rows,
        kernels);
  }

  private int inBlock() {
    return in.layout().blockChannels();
  }

  private int gradientBlock() {
    return gradient.layout().blockChannels();
  }

  private int inputStep() {
    return images * tiles * in.layout().paddedChannels() + PADDING;
  }

  private int outputStep() {
    return images * tiles * gradient.layout().paddedChannels() + PADDING;
  }

  private int sumStep() {
    return in.layout().paddedChannels() * gradient.layout().paddedChannels() + PADDING;
  }

  private int outputsAt() {
    return workspaceAt + form.products() * inputStep();
  }

  private int sumsAt() {
    return outputsAt() + form.products() * outputStep();
  }

  private int scratchAt() {
    return sumsAt() + form.products() * sumStep();
  }

  /** Sets the sums to zero, before the first image. */
  public void clear(float[] arena) {
    Arrays.fill(arena, sumsAt(), scratchAt(), 0);
  }

  /** Adds the contribution of some images. */
  public void run(Floats arena, int first, int count) {
    for (int b = 0; b < in.blocks(); b++) {
      inputs.run(
          arena,
          0,
          count * tiles,
          in.image(first) + b * in.layout().plane(),
          workspaceAt + b * images * tiles * inBlock(),
          scratchAt());
    }
    for (int b = 0; b < gradient.blocks(); b++) {
      outputs.run(
          arena,
          0,
          count * tiles,
          gradient.image(first) + b * gradient.layout().plane(),
          outputsAt() + b * images * tiles * gradientBlock(),
          scratchAt());
    }
    for (int x = 0; x < form.products(); x++) {
      for (int o = 0; o < gradient.layout().paddedChannels(); o += channels) {
        int to = sumsAt() + x * sumStep() + o * in.layout().paddedChannels();
        int from =
            outputsAt()
                + x * outputStep()
                + o / gradientBlock() * images * tiles * gradientBlock()
                + o % gradientBlock();
        schedule.run(
            arena,
            0,
            schedule.tiles(),
            workspaceAt + x * inputStep(),
            to,
            to,
            arena,
            from,
            sumsOf[count]);
      }
    }
  }

  /**
   * Transforms the sums back and adds them to the gradients.
   *
   * @param start the index of the gradient of the network's first weight
   */
  public void finish(Floats arena, int start) {
    DirectWeights direct = weights.direct;
    int segment = direct.segment();
    int inputs = in.layout().paddedChannels();
    for (int b = 0; b < direct.blocks().length; b++) {
      for (int c = 0; c < inputs; c += segment) {
        int window = start + direct.blocks()[b].at() + c * TAPS * channels;
        int from = sumsAt() + (b * inputs + c) * channels;
        windows.run(arena, window, arena, from, Math.min(segment, inputs - c));
      }
    }
  }
}
