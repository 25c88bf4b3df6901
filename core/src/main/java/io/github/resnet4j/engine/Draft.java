package io.github.resnet4j.engine;

import io.github.resnet4j.engine.graph.Activation;
import io.github.resnet4j.engine.graph.Border;
import io.github.resnet4j.engine.graph.Layout;
import io.github.resnet4j.kernel.Format;
import io.github.resnet4j.kernel.Plane;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/**
 * Where the result of a step lies in the arena: {@code [image][channel block][row][column][channel
 * in block]}, every plane with a border of zeros, so that no kernel asks where an image ends.
 * Extents are counted in words of the arena, which hold one, two or four channels.
 *
 * <p>Extents are settled in two stages. Consumers first say how much border they read; then the
 * plan gives the activation its place.
 */
final class Draft {
  final int channels;
  final int height;
  final int width;

  /** Channels of a block: they follow each other where a pixel lies. */
  final int blockChannels;

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
  private @Nullable Activation placed;

  Draft(int channels, int height, int width, int blockChannels) {
    this.channels = channels;
    this.height = height;
    this.width = width;
    this.blockChannels = blockChannels;
  }

  /** Says how its numbers are stored; without, they are floats. */
  void hold(Format numbers) {
    hold(numbers, 1, 0);
  }

  /** Says how its numbers are stored and what they mean: {@code (number - zero) * scale}. */
  void hold(Format numbers, float scaleOfOne, int numberOfZero) {
    format = numbers;
    scale = scaleOfOne;
    zero = numberOfZero;
  }

  Format format() {
    return format;
  }

  float scale() {
    return scale;
  }

  int zero() {
    return zero;
  }

  /** Words of a block: so many belong to one pixel and follow each other. */
  int block() {
    return Math.ceilDiv(blockChannels, format.perWord());
  }

  /** The word of an image's first pixel that holds a channel, by its position. */
  int word(int image, int position) {
    return image(image)
        + position / blockChannels * plane()
        + position % blockChannels / format.perWord();
  }

  /** Asks for a border; the widest request counts. */
  void needBorder(int atLeastBefore, int atLeastAfter) {
    before = Math.max(before, atLeastBefore);
    after = Math.max(after, atLeastAfter);
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

  int blocks() {
    return Math.ceilDiv(channels, blockChannels);
  }

  /** Channels with those that fill the last block up; the latter are zero. */
  int paddedChannels() {
    return blocks() * blockChannels;
  }

  /** Words from one row to the next. */
  int rowStride() {
    return (before + width + after) * block();
  }

  /** Words of one block of channels of one image. */
  int plane() {
    return (before + height + after) * rowStride();
  }

  /** How a block of an image's channels lies, once borders are settled. */
  Plane asPlane() {
    return new Plane(format, height, width, block(), rowStride());
  }

  int imageSize() {
    return blocks() * plane();
  }

  /** Words of all images. */
  int size() {
    return Math.multiplyExact(images, imageSize());
  }

  /** Where an image begins, its border included. */
  int image(int index) {
    return offset + index % images * imageSize();
  }

  /** The distance of a pixel from the beginning of its plane; -1 is the first row of the border. */
  int pixel(int y, int x) {
    return (before + y) * rowStride() + (before + x) * block();
  }

  /** Fills an image's border with zeros. */
  void clearBorder(float[] arena, int index) {
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
  String shape() {
    return "%dx%dx%d".formatted(channels, height, width);
  }

  /** How it lies, as far as that is settled. */
  Layout layout() {
    return Layout.of(channels, height, width, blockChannels)
        .withBorder(new Border(before, after))
        .withImages(images);
  }

  /** Where it lies, once it has its place. */
  Activation placed() {
    if (placed == null) {
      placed = new Activation(layout(), offset);
    }
    return placed;
  }

  /** Asks for a border; the widest request counts. */
  void needBorder(Border border) {
    needBorder(border.before(), border.after());
  }
}
