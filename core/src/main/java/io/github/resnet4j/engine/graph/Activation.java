package io.github.resnet4j.engine.graph;

import io.github.resnet4j.kernel.ConvTile;
import io.github.resnet4j.kernel.Format;
import io.github.resnet4j.kernel.Plane;
import java.util.Arrays;

/**
 * Where the result of a step lies in the arena: {@code [image][channel block][row][column][channel
 * in block]}, every plane with a border of zeros, so that no kernel asks where an image ends.
 * Extents are counted in words of the arena, which hold one, two or four channels.
 *
 * <p>Extents are settled in two stages. Consumers first say how much border they read; then the
 * plan gives the activation its place.
 */
public final class Activation {
  /**
   * Where the first vector of an array begins: with its header of 16 bytes, on a cache line, as
   * long as the collector puts the array itself on one (G1 does so with large arrays).
   */
  public static final int ALIGNMENT = 12;

  public final int channels;
  public final int height;
  public final int width;

  /** Channels of a block: they follow each other where a pixel lies. */
  public final int blockChannels;

  private Format format = Format.FP32;

  /** What a whole number means: {@code (number - zero) * scale}. */
  private float scale = 1;

  private int zero;

  /** Border above and on the left. */
  private int before;

  /** Border below and on the right; wider than the other where tiles overhang the image. */
  private int after;

  /** How many images have room at once. */
  private int images = 1;

  private int offset = -1;

  /** Channels of a group, where the first channels of sixteen groups are neighbours; else 1. */
  private int groupChannels = 1;

  public Activation(int channels, int height, int width, int blockChannels) {
    this.channels = channels;
    this.height = height;
    this.width = width;
    this.blockChannels = blockChannels;
  }

  /** Says how its numbers are stored; without, they are floats. */
  public void hold(Format numbers) {
    hold(numbers, 1, 0);
  }

  /** Says how its numbers are stored and what they mean: {@code (number - zero) * scale}. */
  public void hold(Format numbers, float scaleOfOne, int numberOfZero) {
    format = numbers;
    scale = scaleOfOne;
    zero = numberOfZero;
  }

  /** Says that it is as another one. */
  public void holdAs(Activation other) {
    hold(other.format, other.scale, other.zero);
  }

  public Format format() {
    return format;
  }

  public float scale() {
    return scale;
  }

  public int zero() {
    return zero;
  }

  /** Words of a block: so many belong to one pixel and follow each other. */
  public int block() {
    return Math.ceilDiv(blockChannels, format.perWord());
  }

  /** The word of an image's first pixel that holds a channel, by its position. */
  public int word(int image, int position) {
    return image(image)
        + position / blockChannels * plane()
        + position % blockChannels / format.perWord();
  }

  /** Copies a channel, as what its numbers mean, to an array. */
  public void copyChannel(float[] arena, int image, int channel, float[] to, int start) {
    int position = position(channel);
    int word = word(image, position);
    int index = position % format.perWord();
    int at = start;
    for (int y = 0; y < height; y++) {
      for (int x = 0; x < width; x++) {
        to[at++] = (format.get(arena, word + pixel(y, x), index) - zero) * scale;
      }
    }
  }

  /** Asks for a border; the widest request counts. */
  public void needBorder(int atLeastBefore, int atLeastAfter) {
    before = Math.max(before, atLeastBefore);
    after = Math.max(after, atLeastAfter);
  }

  /**
   * Orders the channels as a convolution of narrow groups wants them: of each sixteen groups first
   * all first channels, then all second ones, and so on.
   */
  public void interleaveGroups(int channelsOfGroup) {
    groupChannels = channelsOfGroup;
  }

  public boolean isInterleaved() {
    return groupChannels > 1;
  }

  /** Where a channel comes among all of a pixel. */
  public int position(int channel) {
    int span = ConvTile.GROUP_STRIDE * groupChannels;
    int within = channel % span;
    return channel
        - within
        + within % groupChannels * ConvTile.GROUP_STRIDE
        + within / groupChannels;
  }

  /** The channels in the order in which they lie. */
  public int[] channelOrder() {
    int[] order = new int[channels];
    for (int c = 0; c < channels; c++) {
      order[position(c)] = c;
    }
    return order;
  }

  public void holdImages(int atOnce) {
    images = atOnce;
  }

  public void placeAt(int arenaOffset) {
    offset = arenaOffset;
  }

  public int images() {
    return images;
  }

  public int offset() {
    return offset;
  }

  public boolean hasBorder() {
    return before + after > 0;
  }

  /** Whether both are laid out alike. */
  public boolean isLike(Activation other) {
    return channels == other.channels
        && height == other.height
        && width == other.width
        && blockChannels == other.blockChannels
        && format == other.format
        && before == other.before
        && after == other.after
        && images == other.images
        && groupChannels == other.groupChannels;
  }

  public int blocks() {
    return Math.ceilDiv(channels, blockChannels);
  }

  /** Channels with those that fill the last block up; the latter are zero. */
  public int paddedChannels() {
    return blocks() * blockChannels;
  }

  /** Words from one row to the next. */
  public int rowStride() {
    return (before + width + after) * block();
  }

  /** Words of one block of channels of one image. */
  public int plane() {
    return (before + height + after) * rowStride();
  }

  /** How a block of an image's channels lies, once borders are settled. */
  public Plane asPlane() {
    return new Plane(format, height, width, block(), rowStride());
  }

  public int imageSize() {
    return blocks() * plane();
  }

  /** Words of all images. */
  public int size() {
    return Math.multiplyExact(images, imageSize());
  }

  /** Where an image begins, its border included. */
  public int image(int index) {
    return offset + index % images * imageSize();
  }

  /** The distance of a pixel from the beginning of its plane; -1 is the first row of the border. */
  public int pixel(int y, int x) {
    return (before + y) * rowStride() + (before + x) * block();
  }

  /** Fills an image's border with zeros. */
  public void clearBorder(float[] arena, int index) {
    if (!hasBorder()) {
      return;
    }
    float nothing = Float.intBitsToFloat(zero * 0x01010101);
    int block = block();
    int row = rowStride();
    for (int b = 0; b < blocks(); b++) {
      int plane = image(index) + b * plane();
      int end = plane + plane();
      int inside = plane + before * row + before * block;
      Arrays.fill(arena, plane, inside, nothing);
      for (int y = 0; y < height; y++) {
        int right = inside + y * row + width * block;
        // The right border of this row and the left one of the next are neighbours.
        Arrays.fill(arena, right, Math.min(end, right + (after + before) * block), nothing);
      }
      Arrays.fill(arena, Math.min(end, inside + height * row - before * block), end, nothing);
    }
  }

  /** {@code 64x56x56}. */
  public String shape() {
    return "%dx%dx%d".formatted(channels, height, width);
  }
}
