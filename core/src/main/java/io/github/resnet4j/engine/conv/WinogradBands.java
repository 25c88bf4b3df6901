package io.github.resnet4j.engine.conv;

import io.github.resnet4j.engine.graph.Convolution;
import io.github.resnet4j.engine.graph.L2Cache;
import io.github.resnet4j.kernel.Kernels;
import io.github.resnet4j.kernel.Winograd;

/**
 * How the work of a {@link WinogradConv} is divided, and the size of its workspace.
 *
 * @param form the form of the algorithm
 * @param images the largest number of images processed together
 * @param parts the number of threads among which the work of one step is split
 * @param channels the number of output channels of a block
 * @param down the number of tiles along an image's height
 * @param across the number of tiles along its width
 * @param splitChannels whether parts get blocks of output channels; else they get bands of tiles
 * @param shared whether all parts multiply the same transformed input; else each has its own
 * @param band the number of tiles that are transformed before they are multiplied
 * @param perPart the number of words from a part's own workspace to that of the next part
 */
public record WinogradBands(
    Winograd form,
    int images,
    int parts,
    int channels,
    int down,
    int across,
    boolean splitChannels,
    boolean shared,
    int band,
    int perPart) {
  /** The bytes of transformed input and products that stay in the L2 cache. */
  private static final int BAND_BYTES = L2Cache.BYTES / 16 * 7;

  /**
   * The largest number of parts that each transform the whole input for themselves if channels are
   * split. That takes as long as to transform a part of it and to read the rest from the cache of
   * another core, and a fifth of that time if the two cores share no cache.
   */
  private static final int MAX_PARTS_WITH_OWN_INPUT = 2;

  /** Words between the planes of products, so that they do not map to the same cache sets. */
  private static final int PADDING = 16;

  /**
   * @param images the largest number of images processed together
   * @param parts the number of threads among which the work of one step is split
   */
  public static WinogradBands of(
      Convolution conv, Winograd form, int images, int parts, Kernels kernels) {
    int channels = channels(conv, kernels);
    int down = Math.ceilDiv(conv.out().height(), form.outputs());
    int across = Math.ceilDiv(conv.out().width(), form.outputs());
    int all = images * down * across;
    int outputs = conv.out().paddedChannels();
    int inputs = conv.in().paddedChannels() / conv.winogradFactors(form).perWord();
    int weights = form.products() * inputs * outputs + outputs;
    // If there are few weights, a part computes the tiles whose input it wrote itself.
    boolean splitChannels =
        parts > 1
            && outputs / channels % parts == 0
            && weights > 2 * images * (conv.in().imageSize() + conv.out().imageSize());
    int maxPixels = kernels.accumulators() * kernels.lanes() / channels;
    int band = splitChannels ? all : band(conv, form, Math.ceilDiv(all, parts), maxPixels);
    boolean shared = splitChannels && parts > MAX_PARTS_WITH_OWN_INPUT;
    var bands =
        new WinogradBands(
            form, images, parts, channels, down, across, splitChannels, shared, band, 0);
    return bands.withPartsApart(
        (shared ? 0 : bands.transformedSize(conv)) + bands.productsSize(conv));
  }

  /**
   * The same with other distances between the workspaces of the parts. Steps with the same distance
   * can use the same memory so that each part always has the same part of it, which then stays in
   * the cache of its core.
   *
   * @param words at least {@link #perPart}
   */
  public WinogradBands withPartsApart(int words) {
    return new WinogradBands(
        form, images, parts, channels, down, across, splitChannels, shared, band, words);
  }

  /** The number of output channels that are multiplied together. */
  static int channels(Convolution conv, Kernels kernels) {
    return Math.min(conv.out().blockChannels(), kernels.maxVectors() * kernels.lanes());
  }

  /**
   * The number of tiles of a band. Each band reads all weights again: if they are small, a band's
   * transformed input and products should stay in the L2 cache; if they are large, reading them
   * seldom matters more.
   */
  private static int band(Convolution conv, Winograd form, int tilesPerPart, int maxPixels) {
    long inputs = conv.in().paddedChannels() / conv.winogradFactors(form).perWord();
    long outputs = conv.out().paddedChannels();
    long perTile = form.products() * (inputs + outputs) * Float.BYTES;
    long weightBytes = form.products() * inputs * outputs * Float.BYTES;
    int fitting = (int) Math.min(tilesPerPart, Math.max(maxPixels, BAND_BYTES / perTile));
    long whenFitting = weightBytes / fitting;
    long whenLarge = weightBytes / tilesPerPart + 2 * perTile;
    if (whenLarge < whenFitting) {
      return tilesPerPart;
    }
    int bands = Math.ceilDiv(tilesPerPart, fitting);
    int even = Math.ceilDiv(tilesPerPart, bands);
    return Math.min(tilesPerPart, Math.ceilDiv(even, maxPixels) * maxPixels);
  }

  /** The number of tiles of an image. */
  int tiles() {
    return down * across;
  }

  /** The number of words from one transformed plane of a tile to the next. */
  int transformedStep(Convolution conv) {
    return conv.in().paddedChannels() / conv.winogradFactors(form).perWord() * band + PADDING;
  }

  /**
   * The number of words from one product of a tile to the next: those of all output channels that a
   * part computes.
   */
  int productsStep(Convolution conv) {
    return conv.out().paddedChannels() / (splitChannels ? parts : 1) * band + PADDING;
  }

  /** The number of words of the transformed input of a part (or, if it is shared, of all parts). */
  private int transformedSize(Convolution conv) {
    return form.products() * (transformedStep(conv) + conv.in().blockChannels());
  }

  private int productsSize(Convolution conv) {
    // The products, then a scratch square of the transforms.
    int block = Math.max(conv.in().blockChannels(), conv.out().blockChannels());
    return form.products() * (productsStep(conv) + block);
  }

  /** The index of a part's transformed input in the workspace. */
  int transformedAt(int part) {
    return shared ? 0 : part * perPart;
  }

  /** The index of a part's products in the workspace. */
  int productsAt(Convolution conv, int part) {
    return transformedSize(conv) + part * perPart;
  }

  /** The number of words of the workspace for transformed inputs and products. */
  public int workspace(Convolution conv) {
    return (shared ? transformedSize(conv) : 0) + parts * perPart;
  }
}
