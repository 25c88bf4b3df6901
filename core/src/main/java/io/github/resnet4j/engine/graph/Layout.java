package io.github.resnet4j.engine.graph;

import io.github.resnet4j.kernel.ConvTile;
import io.github.resnet4j.kernel.Format;
import io.github.resnet4j.kernel.Plane;

/**
 * The memory layout of an activation: {@code [image][channel block][row][column][channel in
 * block]}. Every plane has a border of zeros. Sizes are in words; a word holds one, two or four
 * channels. Immutable.
 *
 * @param blockChannels the number of channels of a block, which are contiguous for each pixel
 * @param groupChannels the number of channels of a group if the first channels of sixteen groups
 *     are contiguous, as a convolution with narrow groups needs them; else 1
 * @param images the number of images that the activation holds
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

  /** The layout of floats for one image, without border. */
  public static Layout of(int channels, int height, int width, int blockChannels) {
    return new Layout(channels, height, width, blockChannels, 1, Encoding.FLOATS, Border.NONE, 1);
  }

  public Layout withGroups(int value) {
    return new Layout(channels, height, width, blockChannels, value, encoding, border, images);
  }

  public Layout withEncoding(Encoding value) {
    return new Layout(channels, height, width, blockChannels, groupChannels, value, border, images);
  }

  public Layout withBorder(Border value) {
    return new Layout(
        channels, height, width, blockChannels, groupChannels, encoding, value, images);
  }

  public Layout withImages(int value) {
    return new Layout(
        channels, height, width, blockChannels, groupChannels, encoding, border, value);
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

  /** The number of words of a channel block at one pixel, which are contiguous. */
  public int block() {
    return Math.ceilDiv(blockChannels, format().perWord());
  }

  public int blocks() {
    return Math.ceilDiv(channels, blockChannels);
  }

  /** The number of channels including those that pad the last block, which are zero. */
  public int paddedChannels() {
    return blocks() * blockChannels;
  }

  /** The number of words from one row to the next. */
  public int rowStride() {
    return (border.before() + width + border.after()) * block();
  }

  /** The number of words of one channel block of one image. */
  public int plane() {
    return (border.before() + height + border.after()) * rowStride();
  }

  public int imageSize() {
    return blocks() * plane();
  }

  /**
   * The number of words of all images.
   *
   * @throws ArithmeticException if they do not fit into one array
   */
  public int size() {
    return Math.multiplyExact(images, imageSize());
  }

  /**
   * The offset of a pixel from the start of its plane; row or column -1 is the first of the border.
   */
  public int pixel(int y, int x) {
    return (border.before() + y) * rowStride() + (border.before() + x) * block();
  }

  /** The memory layout of one channel block of an image. */
  public Plane asPlane() {
    return new Plane(format(), height, width, block(), rowStride());
  }

  /** Whether the first channels of sixteen groups are contiguous. */
  public boolean isInterleaved() {
    return groupChannels > 1;
  }

  /** The position of a channel among all channels of a pixel. */
  public int position(int channel) {
    int span = ConvTile.GROUP_STRIDE * groupChannels;
    int within = channel % span;
    return channel
        - within
        + within % groupChannels * ConvTile.GROUP_STRIDE
        + within / groupChannels;
  }

  /** The channels in memory order. */
  public int[] channelOrder() {
    int[] order = new int[channels];
    for (int c = 0; c < channels; c++) {
      order[position(c)] = c;
    }
    return order;
  }

  /** Whether both layouts place values at the same positions, whatever the encoding. */
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
