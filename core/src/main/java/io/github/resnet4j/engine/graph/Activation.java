package io.github.resnet4j.engine.graph;

import io.github.resnet4j.kernel.Format;
import io.github.resnet4j.kernel.Plane;
import java.util.Arrays;

/**
 * The position of an operation's result in the arena.
 *
 * @param offset the index of the first image's first word, border included
 */
public record Activation(Layout layout, int offset) {
  public int channels() {
    return layout.channels();
  }

  public int height() {
    return layout.height();
  }

  public int width() {
    return layout.width();
  }

  public Format format() {
    return layout.format();
  }

  /** The number of words from one pixel to the next: those of a pixel's channel block. */
  public int block() {
    return layout.block();
  }

  public int blocks() {
    return layout.blocks();
  }

  /** The number of words from one row to the next. */
  public int rowStride() {
    return layout.rowStride();
  }

  /** The memory layout of one channel block of an image. */
  public Plane asPlane() {
    return layout.asPlane();
  }

  /** The index of the first word of an image, border included. */
  public int image(int index) {
    return offset + index % layout.images() * layout.imageSize();
  }

  /** The index of a pixel's channel block; row or column -1 is the first of the border. */
  public int at(int image, int block, int y, int x) {
    return image(image) + block * layout.plane() + layout.pixel(y, x);
  }

  /**
   * The index of the word that holds a channel position of an image's first pixel, border included.
   */
  public int word(int image, int position) {
    return image(image)
        + position / layout.blockChannels() * layout.plane()
        + position % layout.blockChannels() / layout.format().perWord();
  }

  /** Copies a channel to an array, decoded to real values. */
  public void copyChannel(float[] arena, int image, int channel, float[] to, int start) {
    int position = layout.position(channel);
    int word = word(image, position);
    int index = position % format().perWord();
    int at = start;
    for (int y = 0; y < height(); y++) {
      for (int x = 0; x < width(); x++) {
        float number = format().get(arena, word + layout.pixel(y, x), index);
        to[at++] = (number - layout.zero()) * layout.scale();
      }
    }
  }

  /** Fills an image's border with zeros. */
  public void clearBorder(float[] arena, int index) {
    clearBorder(arena, index, 0, blocks());
  }

  /** Fills the border of some channel blocks of an image with zeros. */
  public void clearBorder(float[] arena, int index, int firstBlock, int endBlock) {
    fillBorder(
        arena, index, firstBlock, endBlock, Float.intBitsToFloat(layout.zero() * 0x01010101));
  }

  /** Fills an image's border with a word. */
  public void fillBorder(float[] arena, int index, float nothing) {
    fillBorder(arena, index, 0, blocks(), nothing);
  }

  private void fillBorder(float[] arena, int index, int firstBlock, int endBlock, float nothing) {
    Border border = layout.border();
    if (border.isNone()) {
      return;
    }
    int block = block();
    int row = rowStride();
    int both = (border.after() + border.before()) * block;
    for (int b = firstBlock; b < endBlock; b++) {
      int plane = image(index) + b * layout.plane();
      int end = plane + layout.plane();
      int inside = plane + layout.pixel(0, 0);
      Arrays.fill(arena, plane, inside, nothing);
      for (int y = 0; y < height(); y++) {
        int right = inside + y * row + width() * block;
        // The right border of this row and the left border of the next row are contiguous.
        Arrays.fill(arena, right, Math.min(end, right + both), nothing);
      }
      int below = inside + height() * row - border.before() * block;
      Arrays.fill(arena, Math.min(end, below), end, nothing);
    }
  }
}
