package io.github.resnet4j.image.jpeg;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;

/** Converts one row of full-size components to RGB, with libjpeg's 16-bit fractions. */
final class RgbRow {
  private static final int HALF = 1 << 15;
  private static final int CR_TO_R = 91_881; // 1.402
  private static final int CB_TO_B = 116_130; // 1.772
  private static final int CB_TO_G = -22_554; // -0.344136286
  private static final int CR_TO_G = -46_802; // -0.714136286

  private final ColorModel model;
  private final int width;

  /** A row's pixels, red in the lowest byte. */
  private final int[] pixels;

  private final int[] first;
  private final int[] second;
  private final int[] third;

  RgbRow(ColorModel model, int width) {
    this.model = model;
    this.width = width;
    this.pixels = new int[width];
    boolean luma = model == ColorModel.YCC || model == ColorModel.YCCK;
    this.first = new int[luma ? width : 0];
    this.second = new int[first.length];
    this.third = new int[first.length];
  }

  /**
   * Converts a row.
   *
   * @param rows the components' samples less 128
   * @param from where each component's row begins
   */
  void convert(byte[][] rows, int[] from, byte[] rgb, int to) {
    switch (model) {
      case GRAY -> gray(rows[0], from[0]);
      case RGB -> merge(rows[0], from[0], rows[1], from[1], rows[2], from[2]);
      case YCC -> ycc(rows[0], from[0], rows[1], from[1], rows[2], from[2]);
      case CMYK -> {
        merge(rows[0], from[0], rows[1], from[1], rows[2], from[2]);
        black(rows[3], from[3]);
      }
      case YCCK -> { // without black this is the complement of CMY: the inks that Pillow inverts
        ycc(rows[0], from[0], rows[1], from[1], rows[2], from[2]);
        for (int i = 0; i < width; i++) {
          pixels[i] ^= 0xffffff;
        }
        black(rows[3], from[3]);
      }
    }
    pack(rgb, to);
  }

  private void gray(byte[] y, int from) {
    for (int i = 0; i < width; i++) {
      pixels[i] = (y[from + i] + 128) * 0x010101;
    }
  }

  private void merge(byte[] r, int fromR, byte[] g, int fromG, byte[] b, int fromB) {
    for (int i = 0; i < width; i++) {
      pixels[i] = r[fromR + i] + 128 | g[fromG + i] + 128 << 8 | b[fromB + i] + 128 << 16;
    }
  }

  /**
   * The JVM's compiler turns loops into vector code that are short and have one type in and one
   * out, so each of these does one thing.
   */
  private void ycc(byte[] luma, int fromY, byte[] blue, int fromCb, byte[] red, int fromCr) {
    int[] y = first;
    int[] cb = second;
    int[] cr = third;
    int[] pixels = this.pixels;
    widen(luma, fromY, y);
    widen(blue, fromCb, cb);
    widen(red, fromCr, cr);
    for (int i = 0; i < pixels.length; i++) {
      pixels[i] = clip(y[i] + 128 + (CR_TO_R * cr[i] + HALF >> 16));
    }
    for (int i = 0; i < pixels.length; i++) {
      pixels[i] |= clip(y[i] + 128 + (CB_TO_G * cb[i] + CR_TO_G * cr[i] + HALF >> 16)) << 8;
    }
    for (int i = 0; i < pixels.length; i++) {
      pixels[i] |= clip(y[i] + 128 + (CB_TO_B * cb[i] + HALF >> 16)) << 16;
    }
  }

  static void widen(byte[] from, int at, int[] to) {
    for (int i = 0; i < to.length; i++) {
      to[i] = from[at + i];
    }
  }

  private static int clip(int value) {
    return Math.max(0, Math.min(value, 255));
  }

  /**
   * Inks and black to RGB as Pillow does it: it takes every file for one with Adobe's inverted
   * inks, so the stored samples are the light that an ink lets through.
   */
  private void black(byte[] k, int from) {
    for (int i = 0; i < width; i++) {
      int white = k[from + i] + 128;
      int pixel = pixels[i];
      pixels[i] =
          ink(255 - (pixel & 0xff), white)
              | ink(255 - (pixel >> 8 & 0xff), white) << 8
              | ink(255 - (pixel >> 16), white) << 16;
    }
  }

  private static int ink(int ink, int white) {
    int product = ink * white + 128;
    return clip(white - ((product >> 8) + product >> 8));
  }

  /** Eight pixels are three words. */
  private void pack(byte[] rgb, int at) {
    int[] pixels = this.pixels;
    ByteBuffer words = ByteBuffer.wrap(rgb).order(ByteOrder.LITTLE_ENDIAN);
    int to = at;
    int i = 0;
    for (; i <= pixels.length - 8; i += 8, to += 24) {
      long a = pixels[i] | (long) pixels[i + 1] << 24;
      long b = pixels[i + 2] | (long) pixels[i + 3] << 24;
      long c = pixels[i + 4] | (long) pixels[i + 5] << 24;
      long d = pixels[i + 6] | (long) pixels[i + 7] << 24;
      words.putLong(to, a | b << 48);
      words.putLong(to + 8, b >>> 16 | c << 32);
      words.putLong(to + 16, c >>> 32 | d << 16);
    }
    for (; i < pixels.length; i++, to += 3) {
      rgb[to] = (byte) pixels[i];
      rgb[to + 1] = (byte) (pixels[i] >> 8);
      rgb[to + 2] = (byte) (pixels[i] >> 16);
    }
  }
}
