package io.github.resnet4j.image;

/**
 * Decoded pixels, 8 bits per channel, row by row, with interleaved channels: {@code [H, W, C]}.
 *
 * @param channels 3 for RGB, 1 for gray
 * @param data {@code height · width · channels} unsigned bytes; not copied
 */
public record Pixels(
    int width, int height, int channels, @SuppressWarnings("ArrayRecordComponent") byte[] data) {
  public Pixels {
    if (width < 1 || height < 1 || (channels != 1 && channels != 3)) {
      throw new IllegalArgumentException(
          "%d × %d pixels with %d channels are not an image".formatted(width, height, channels));
    }
    if (data.length != (long) width * height * channels) {
      throw new IllegalArgumentException("the array does not hold width · height · channels bytes");
    }
  }

  /** ITU-R 601-2 luma with Pillow's 16-bit weights, as {@code image.convert("L")}. */
  public Pixels toGray() {
    if (channels == 1) {
      return this;
    }
    byte[] gray = new byte[width * height];
    for (int i = 0; i < gray.length; i++) {
      int r = data[3 * i] & 0xff;
      int g = data[3 * i + 1] & 0xff;
      int b = data[3 * i + 2] & 0xff;
      gray[i] = (byte) ((r * 19595 + g * 38470 + b * 7471 + 0x8000) >> 16);
    }
    return new Pixels(width, height, 1, gray);
  }

  /** The image resized as Pillow resizes it. */
  public Pixels resized(int newWidth, int newHeight, Interpolation interpolation) {
    return Resize.window(this, newWidth, newHeight, interpolation, 0, 0, newWidth, newHeight);
  }

  /** A part of the image; pixels beyond its border are black. */
  Pixels window(int left, int top, int newWidth, int newHeight) {
    byte[] cut = new byte[newWidth * newHeight * channels];
    int from = Math.max(0, left);
    int end = Math.min(width, left + newWidth);
    for (int y = Math.max(0, -top); y < Math.min(newHeight, height - top) && from < end; y++) {
      System.arraycopy(
          data,
          ((y + top) * width + from) * channels,
          cut,
          (y * newWidth + from - left) * channels,
          (end - from) * channels);
    }
    return new Pixels(newWidth, newHeight, channels, cut);
  }

  /** The image flipped horizontally. */
  Pixels mirrored() {
    return upright(2);
  }

  /**
   * Applies an EXIF orientation.
   *
   * @param orientation the value of the EXIF tag, 1 (upright) to 8
   */
  Pixels upright(int orientation) {
    if (orientation <= 1 || orientation > 8) {
      return this;
    }
    boolean swapped = orientation >= 5;
    int w = swapped ? height : width;
    int h = swapped ? width : height;
    byte[] turned = new byte[data.length];
    for (int y = 0; y < h; y++) {
      for (int x = 0; x < w; x++) {
        int column = swapped ? y : x;
        int row = swapped ? x : y;
        boolean mirrorColumn =
            orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
        boolean mirrorRow =
            orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
        int fromX = mirrorColumn ? width - 1 - column : column;
        int fromY = mirrorRow ? height - 1 - row : row;
        System.arraycopy(
            data, (fromY * width + fromX) * channels, turned, (y * w + x) * channels, channels);
      }
    }
    return new Pixels(w, h, channels, turned);
  }

  /** {@code Pixels[640×480, 3 channels]}. */
  @Override
  public String toString() {
    return "Pixels[%d×%d, %d channels]".formatted(width, height, channels);
  }
}
