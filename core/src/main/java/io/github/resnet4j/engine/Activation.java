package io.github.resnet4j.engine;

import io.github.resnet4j.kernel.ConvTile;
import java.util.Arrays;

/**
 * Where the result of a step lies in the arena: {@code [image][channel block][row][column][channel
 * in block]}, every plane with a border of zeros, so that no kernel asks where an image ends.
 *
 * <p>Extents are settled in two stages. Consumers first say how much border they read; then the
 * plan gives the activation its place.
 */
final class Activation {
  /**
   * Where the first vector of an array begins: with its header of 16 bytes, on a cache line, as
   * long as the collector puts the array itself on one (G1 does so with large arrays).
   */
  static final int ALIGNMENT = 12;

  final int channels;
  final int height;
  final int width;

  /** Channels of a block: consecutive floats that belong to one pixel. */
  final int block;

  /** Border above and on the left. */
  private int before;

  /** Border below and on the right; wider than the other where tiles overhang the image. */
  private int after;

  /** How many images have room at once. */
  private int images = 1;

  private int offset = -1;

  /** Channels of a group, where the first channels of sixteen groups are neighbours; else 1. */
  private int groupChannels = 1;

  Activation(int channels, int height, int width, int block) {
    this.channels = channels;
    this.height = height;
    this.width = width;
    this.block = block;
  }

  /** Asks for a border; the widest request counts. */
  void needBorder(int atLeastBefore, int atLeastAfter) {
    before = Math.max(before, atLeastBefore);
    after = Math.max(after, atLeastAfter);
  }

  /**
   * Orders the channels as a convolution of narrow groups wants them: of each sixteen groups first
   * all first channels, then all second ones, and so on.
   */
  void interleaveGroups(int channelsOfGroup) {
    groupChannels = channelsOfGroup;
  }

  boolean isInterleaved() {
    return groupChannels > 1;
  }

  /** Where a channel comes among all of a pixel. */
  int position(int channel) {
    int span = ConvTile.GROUP_STRIDE * groupChannels;
    int within = channel % span;
    return channel
        - within
        + within % groupChannels * ConvTile.GROUP_STRIDE
        + within / groupChannels;
  }

  /** The channels in the order in which they lie. */
  int[] channelOrder() {
    int[] order = new int[channels];
    for (int c = 0; c < channels; c++) {
      order[position(c)] = c;
    }
    return order;
  }

  void holdImages(int atOnce) {
    images = atOnce;
  }

  void placeAt(int arenaOffset) {
    offset = arenaOffset;
  }

  int images() {
    return images;
  }

  int offset() {
    return offset;
  }

  boolean hasBorder() {
    return before + after > 0;
  }

  /** Whether both are laid out alike. */
  boolean isLike(Activation other) {
    return channels == other.channels
        && height == other.height
        && width == other.width
        && block == other.block
        && before == other.before
        && after == other.after
        && images == other.images
        && groupChannels == other.groupChannels;
  }

  int blocks() {
    return Math.ceilDiv(channels, block);
  }

  /** Channels with those that fill the last block up; the latter are zero. */
  int paddedChannels() {
    return blocks() * block;
  }

  /** Floats from one row to the next. */
  int rowStride() {
    return (before + width + after) * block;
  }

  /** Floats of one block of channels of one image. */
  int plane() {
    return (before + height + after) * rowStride();
  }

  int imageSize() {
    return blocks() * plane();
  }

  /** Floats of all images. */
  int size() {
    return Math.multiplyExact(images, imageSize());
  }

  /** Where an image begins, its border included. */
  int image(int index) {
    return offset + index % images * imageSize();
  }

  /** The distance of a pixel from the beginning of its plane; -1 is the first row of the border. */
  int pixel(int y, int x) {
    return (before + y) * rowStride() + (before + x) * block;
  }

  /** Fills an image's border with zeros. */
  void clearBorder(float[] arena, int index) {
    if (!hasBorder()) {
      return;
    }
    int row = rowStride();
    for (int b = 0; b < blocks(); b++) {
      int plane = image(index) + b * plane();
      int end = plane + plane();
      int inside = plane + before * row + before * block;
      Arrays.fill(arena, plane, inside, 0);
      for (int y = 0; y < height; y++) {
        int right = inside + y * row + width * block;
        // The right border of this row and the left one of the next are neighbours.
        Arrays.fill(arena, right, Math.min(end, right + (after + before) * block), 0);
      }
      Arrays.fill(arena, Math.min(end, inside + height * row - before * block), end, 0);
    }
  }

  /** {@code 64x56x56}. */
  String shape() {
    return "%dx%dx%d".formatted(channels, height, width);
  }
}
