package io.github.resnet4j.engine.graph;

import io.github.resnet4j.kernel.ConvTile;
import io.github.resnet4j.kernel.Format;
import io.github.resnet4j.kernel.Plane;

/**
 * How an activation lies in memory: {@code [image][channel block][row][column][channel in block]},
 * every plane with a border of zeros. Extents are counted in words, which hold one, two or four
 * channels. Immutable; a plan decides step by step and makes a new one each time.
 *
 * @param blockChannels channels of a block: they follow each other where a pixel lies
 * @param groupChannels channels of a group, where the first channels of sixteen groups are
 *     neighbours, as a convolution of narrow groups wants them; else 1
 * @param images how many have room at once
 */
public record Layout(
    int channels,
    int height,
    int width,
    int blockChannels,
    int groupChannels,
    Encoding encoding,
    Border border,
    int images) {

  /** Of floats, without border, for one image. */
  public static Layout of(int channels, int height, int width, int blockChannels) {
    return new Layout(channels, height, width, blockChannels, 1, Encoding.FLOATS, Border.NONE, 1);
  }

  public Layout withGroups(int channelsOfGroup) {
    return new Layout(
        channels, height, width, blockChannels, channelsOfGroup, encoding, border, images);
  }

  public Layout withEncoding(Encoding numbers) {
    return new Layout(
        channels, height, width, blockChannels, groupChannels, numbers, border, images);
  }

  public Layout withBorder(Border zeros) {
    return new Layout(
        channels, height, width, blockChannels, groupChannels, encoding, zeros, images);
  }

  public Layout withImages(int atOnce) {
    return new Layout(
        channels, height, width, blockChannels, groupChannels, encoding, border, atOnce);
  }

  public Format format() {
    return encoding.format();
  }

  public float scale() {
    return encoding.scale();
  }

  public int zero() {
    return encoding.zero();
  }

  /** Words of a block: so many belong to one pixel and follow each other. */
  public int block() {
    return Math.ceilDiv(blockChannels, format().perWord());
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
    return (border.before() + width + border.after()) * block();
  }

  /** Words of one block of channels of one image. */
  public int plane() {
    return (border.before() + height + border.after()) * rowStride();
  }

  public int imageSize() {
    return blocks() * plane();
  }

  /**
   * Words of all images.
   *
   * @throws ArithmeticException if they are more than an array can hold
   */
  public int size() {
    return Math.multiplyExact(images, imageSize());
  }

  /** The distance of a pixel from the beginning of its plane; -1 is the first row of the border. */
  public int pixel(int y, int x) {
    return (border.before() + y) * rowStride() + (border.before() + x) * block();
  }

  /** How a block of an image's channels lies. */
  public Plane asPlane() {
    return new Plane(format(), height, width, block(), rowStride());
  }

  /** Whether sixteen groups' first channels are neighbours. */
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

  /** Whether the numbers of both lie in the same places, whatever they mean. */
  public boolean isLike(Layout other) {
    return channels == other.channels
        && height == other.height
        && width == other.width
        && blockChannels == other.blockChannels
        && groupChannels == other.groupChannels
        && format() == other.format()
        && border.before() == other.border.before()
        && border.after() == other.border.after()
        && images == other.images;
  }

  /** {@code 64x56x56}. */
  public String shape() {
    return "%dx%dx%d".formatted(channels, height, width);
  }
}
