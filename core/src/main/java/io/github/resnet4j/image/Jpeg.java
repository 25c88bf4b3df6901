package io.github.resnet4j.image;

import java.awt.image.Raster;

/** What ImageIO does not tell of a JPEG: its components, Adobe's marker, EXIF's orientation. */
final class Jpeg {
  private static final int SOI = 0xffd8;
  private static final int APP0 = 0xe0;
  private static final int APP1 = 0xe1;
  private static final int APP14 = 0xee;
  private static final int START_OF_SCAN = 0xda;
  private static final int EXIF_ORIENTATION = 0x0112;

  private Jpeg() {}

  /** Visits the marker segments before the picture's data; ends when the visitor says so. */
  private interface SegmentVisitor {
    /** Returns true to end; the segment's content is at {@code [start, end)}. */
    boolean visit(int marker, int start, int end);
  }

  private static void forEachSegment(byte[] jpeg, SegmentVisitor visitor) {
    if (jpeg.length < 4 || u16(jpeg, 0, true) != SOI) {
      return;
    }
    int at = 2;
    while (at + 4 <= jpeg.length && (jpeg[at] & 0xff) == 0xff) {
      int marker = jpeg[at + 1] & 0xff;
      if (marker == 0xff) { // fill byte
        at++;
        continue;
      }
      int length = u16(jpeg, at + 2, true);
      int end = at + 2 + length;
      if (marker == START_OF_SCAN || length < 2 || end > jpeg.length) {
        return;
      }
      if (visitor.visit(marker, at + 4, end)) {
        return;
      }
      at = end;
    }
  }

  /** The EXIF orientation, 1 to 8; 1 where there is none. */
  static int exifOrientation(byte[] jpeg) {
    int[] orientation = {1};
    forEachSegment(
        jpeg,
        (marker, start, end) -> {
          boolean exif =
              marker == APP1
                  && end - start > 14
                  && jpeg[start] == 'E'
                  && jpeg[start + 1] == 'x'
                  && jpeg[start + 2] == 'i'
                  && jpeg[start + 3] == 'f';
          if (exif) {
            orientation[0] = tiffOrientation(jpeg, start + 6, end);
          }
          return exif;
        });
    return orientation[0];
  }

  private static int tiffOrientation(byte[] jpeg, int tiff, int end) {
    boolean bigEndian = jpeg[tiff] == 'M';
    long directory =
        tiff
            + ((long) u16(jpeg, tiff + (bigEndian ? 4 : 6), bigEndian) << 16)
            + u16(jpeg, tiff + (bigEndian ? 6 : 4), bigEndian);
    if (directory + 2 > end) {
      return 1;
    }
    int count = u16(jpeg, (int) directory, bigEndian);
    for (int i = 0; i < count; i++) {
      long entry = directory + 2 + 12L * i;
      if (entry + 12 > end) {
        return 1;
      }
      if (u16(jpeg, (int) entry, bigEndian) == EXIF_ORIENTATION) {
        int value = u16(jpeg, (int) entry + 8, bigEndian);
        return value >= 1 && value <= 8 ? value : 1;
      }
    }
    return 1;
  }

  private static int u16(byte[] bytes, int at, boolean bigEndian) {
    int first = bytes[at] & 0xff;
    int second = bytes[at + 1] & 0xff;
    return bigEndian ? first << 8 | second : second << 8 | first;
  }

  /** Adobe's colour transform: 0 CMYK, 2 YCCK; −1 without the marker. */
  private static int adobeTransform(byte[] jpeg) {
    int[] transform = {-1};
    forEachSegment(
        jpeg,
        (marker, start, end) -> {
          boolean adobe =
              marker == APP14
                  && end - start >= 12
                  && jpeg[start] == 'A'
                  && jpeg[start + 1] == 'd'
                  && jpeg[start + 2] == 'o'
                  && jpeg[start + 3] == 'b'
                  && jpeg[start + 4] == 'e';
          if (adobe) {
            transform[0] = jpeg[start + 11] & 0xff;
          }
          return adobe;
        });
    return transform[0];
  }

  /**
   * Samples to RGB with the integers of libjpeg and, for CMYK, of Pillow, which takes all of them
   * to be inverted, as Adobe stores them. What the components mean follows libjpeg's rules.
   *
   * @param raster the samples as they are stored, one band a component
   */
  static Pixels toRgb(Raster raster, byte[] jpeg) {
    int width = raster.getWidth();
    int height = raster.getHeight();
    int bands = raster.getNumBands();
    boolean luma = bands == 3 ? isYcc(jpeg) : bands == 4 && adobeTransform(jpeg) > 0;
    byte[] rgb = new byte[width * height * 3];
    int[] row = new int[width * bands];
    for (int y = 0, to = 0; y < height; y++) {
      raster.getPixels(0, y, width, 1, row);
      for (int x = 0; x < row.length; x += bands, to += 3) {
        int red = row[x];
        int green = bands < 3 ? red : row[x + 1];
        int blue = bands < 3 ? red : row[x + 2];
        if (luma) {
          int cb = green - 128;
          int cr = blue - 128;
          int y0 = red;
          red = clip(y0 + ((fix(1.40200) * cr + HALF) >> 16));
          green = clip(y0 + ((-fix(0.34414) * cb - fix(0.71414) * cr + HALF) >> 16));
          blue = clip(y0 + ((fix(1.77200) * cb + HALF) >> 16));
        }
        if (bands == 4) { // YCCK gives the inverse of inverted inks
          int black = 255 - row[x + 3];
          red = ink(luma ? red : 255 - red, black);
          green = ink(luma ? green : 255 - green, black);
          blue = ink(luma ? blue : 255 - blue, black);
        }
        rgb[to] = (byte) red;
        rgb[to + 1] = (byte) green;
        rgb[to + 2] = (byte) blue;
      }
    }
    return new Pixels(width, height, 3, rgb);
  }

  /** Whether three components are luma and chroma: JFIF, else Adobe's marker, else their ids. */
  private static boolean isYcc(byte[] jpeg) {
    boolean[] jfif = {false};
    int[] ids = {0};
    forEachSegment(
        jpeg,
        (marker, start, end) -> {
          jfif[0] |=
              marker == APP0
                  && end - start >= 14
                  && jpeg[start] == 'J'
                  && jpeg[start + 1] == 'F'
                  && jpeg[start + 2] == 'I'
                  && jpeg[start + 3] == 'F'
                  && jpeg[start + 4] == 0;
          if (isFrame(marker) && end - start >= 15) {
            ids[0] = jpeg[start + 6] << 16 | jpeg[start + 9] << 8 | jpeg[start + 12];
          }
          return false;
        });
    int transform = adobeTransform(jpeg);
    if (jfif[0] || transform > 0) {
      return true;
    }
    return transform < 0 && ids[0] != ('R' << 16 | 'G' << 8 | 'B');
  }

  /** SOF0 to SOF15, without DHT, JPG and DAC, which share their range. */
  private static boolean isFrame(int marker) {
    return marker >= 0xc0 && marker <= 0xcf && marker != 0xc4 && marker != 0xc8 && marker != 0xcc;
  }

  private static final int HALF = 1 << 15;

  private static int fix(double value) {
    return (int) (value * (1 << 16) + 0.5);
  }

  private static int clip(int value) {
    return Math.clamp(value, 0, 255);
  }

  /** Light left by an ink over black: Pillow's {@code MULDIV255}. */
  private static int ink(int ink, int black) {
    int white = 255 - black;
    int product = ink * white + 128;
    return clip(white - (((product >> 8) + product) >> 8));
  }
}
