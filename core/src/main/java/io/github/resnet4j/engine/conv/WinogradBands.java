package io.github.resnet4j.engine.conv;

import io.github.resnet4j.engine.graph.Cache;
import io.github.resnet4j.engine.graph.Convolution;
import io.github.resnet4j.kernel.Kernels;
import io.github.resnet4j.kernel.Winograd;

/**
 * How the work of a {@link WinogradConv} is cut, and how much room it needs: known before anything
 * has a place.
 *
 * @param form of the algorithm
 * @param images that are taken at once, at most
 * @param parts among how many threads the work of one step is split
 * @param channels output channels of a block
 * @param down tiles along an image's height
 * @param across tiles along its width
 * @param splitChannels whether parts take blocks of output channels, or else bands of tiles
 * @param band tiles that are transformed before they are multiplied
 */
public record WinogradBands(
    Winograd form,
    int images,
    int parts,
    int channels,
    int down,
    int across,
    boolean splitChannels,
    int band) {
  /** Bytes of transformed input and products that stay in the second-level cache. */
  private static final int BAND_BYTES = Cache.BYTES / 16 * 7;

  /** Between the products' planes, so that they do not all fall into the same sets of a cache. */
  private static final int SKEW = 16;

  /**
   * @param images that are taken at once, at most
   * @param parts among how many threads the work of one step is split
   */
  public static WinogradBands of(
      Convolution conv, Winograd form, int images, int parts, Kernels kernels) {
    int channels = channels(conv, kernels);
    int down = Math.ceilDiv(conv.out().height(), form.outputs());
    int across = Math.ceilDiv(conv.out().width(), form.outputs());
    int all = images * down * across;
    int outputs = conv.out().paddedChannels();
    int weights = form.products() * conv.in().paddedChannels() * outputs + outputs;
    // Where weights are few, a part stays with the tiles whose input it wrote itself.
    boolean splitChannels =
        parts > 1
            && outputs / channels % parts == 0
            && weights > 2 * images * (conv.in().imageSize() + conv.out().imageSize());
    int mostPixels = kernels.accumulators() * kernels.lanes() / channels;
    int band = splitChannels ? all : band(conv, form, Math.ceilDiv(all, parts), mostPixels);
    return new WinogradBands(form, images, parts, channels, down, across, splitChannels, band);
  }

  /** Output channels that are multiplied together. */
  static int channels(Convolution conv, Kernels kernels) {
    return Math.min(conv.out().block(), kernels.mostVectors() * kernels.lanes());
  }

  /**
   * Tiles of a band. Each band reads all weights again: where they are few, a band's transformed
   * input and products should stay in the second-level cache; where they are many, that matters
   * less than reading them seldom.
   */
  private static int band(Convolution conv, Winograd form, int share, int mostPixels) {
    long inputs = conv.in().paddedChannels();
    long outputs = conv.out().paddedChannels();
    long perTile = form.products() * (inputs + outputs) * Float.BYTES;
    long weightBytes = form.products() * inputs * outputs * Float.BYTES;
    int fitting = (int) Math.min(share, Math.max(mostPixels, BAND_BYTES / perTile));
    long whenFitting = weightBytes / fitting;
    long whenLarge = weightBytes / share + 2 * perTile;
    if (whenLarge < whenFitting) {
      return share;
    }
    int bands = Math.ceilDiv(share, fitting);
    int even = Math.ceilDiv(share, bands);
    return Math.min(share, Math.ceilDiv(even, mostPixels) * mostPixels);
  }

  /** Tiles of an image. */
  int tiles() {
    return down * across;
  }

  /** Words from one factor of a tile to the next. */
  int transformedStep(Convolution conv) {
    return conv.in().paddedChannels() * band + SKEW;
  }

  /** Words from one product of a tile to the next: of all output channels that a part computes. */
  int productsStep(Convolution conv) {
    return conv.out().paddedChannels() / (splitChannels ? parts : 1) * band + SKEW;
  }

  /** Words of a part's (or, where channels are split, of everyone's) transformed input. */
  private int transformedSize(Convolution conv) {
    return form.products() * (transformedStep(conv) + conv.in().block());
  }

  private int productsSize(Convolution conv) {
    return form.products() * (productsStep(conv) + conv.out().block());
  }

  /** Where a part's transformed input begins in the room. */
  int transformedAt(Convolution conv, int part) {
    return splitChannels ? 0 : part * transformedSize(conv);
  }

  /** Where a part's products begin in the room. */
  int productsAt(Convolution conv, int part) {
    return (splitChannels ? 1 : parts) * transformedSize(conv) + part * productsSize(conv);
  }

  /** Words of the room for transformed inputs and products. */
  public int room(Convolution conv) {
    return productsAt(conv, parts);
  }
}
