package io.github.resnet4j.image.jpeg;

import io.github.resnet4j.kernel.JpegKernels;

/** Converts one row of full-size components to RGB. */
final class RgbRow {
  private final JpegKernels kernels;
  private final ColorModel model;
  private final int width;

  RgbRow(JpegKernels kernels, ColorModel model, int width) {
    this.kernels = kernels;
    this.model = model;
    this.width = width;
  }

  /**
   * Converts a row.
   *
   * @param rows the components' samples less 128
   * @param from the index of each component's row
   */
  void convert(byte[][] rows, int[] from, byte[] rgb, int to) {
    int second = Math.min(1, rows.length - 1);
    int third = Math.min(2, rows.length - 1);
    if (model == ColorModel.YCC || model == ColorModel.YCCK) {
      kernels.rgb(rows[0], from[0], rows[1], from[1], rows[2], from[2], width, rgb, to);
    } else {
      kernels.interleave(
          rows[0], from[0], rows[second], from[second], rows[third], from[third], width, rgb, to);
    }
    switch (model) {
      case CMYK -> black(rows[3], from[3], rgb, to, 0xff);
      case YCCK -> black(rows[3], from[3], rgb, to, 0);
      case GRAY, RGB, YCC -> {}
    }
  }

  /**
   * Converts CMYK to RGB as Pillow does: it assumes that every file has Adobe's inverted inks, so
   * that the stored samples are the light that passes an ink. YCCK without black is already
   * converted to the complement of CMY.
   *
   * @param invert 255 if the colors are stored inks, 0 if they are their complement
   */
  private void black(byte[] k, int from, byte[] rgb, int at, int invert) {
    int to = at;
    for (int i = 0; i < width; i++) {
      int white = k[from + i] + 128;
      for (int c = 0; c < 3; c++, to++) {
        int product = (rgb[to] & 0xff ^ invert) * white + 128;
        rgb[to] = (byte) Math.max(0, white - ((product >> 8) + product >> 8));
      }
    }
  }
}
