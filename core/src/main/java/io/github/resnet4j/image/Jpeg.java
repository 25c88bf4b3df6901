package io.github.resnet4j.image;

import java.awt.image.Raster;

/** What ImageIO does not tell of a JPEG: its components, Adobe's marker, EXIF's orientation. */
final class Jpeg {
  private static final int SOI = 0xffd8;
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

  /** The number of colour components, from the frame header; 0 if there is none. */
  static int components(byte[] jpeg) {
    int[] components = {0};
    forEachSegment(
        jpeg,
        (marker, start, end) -> {
          // SOF0 to SOF15, without DHT, JPG and DAC, which share their range.
          boolean frame =
              marker >= 0xc0
                  && marker <= 0xcf
                  && marker != 0xc4
                  && marker != 0xc8
                  && marker != 0xcc;
          if (frame && end - start >= 6) {
            components[0] = jpeg[start + 5] & 0xff;
          }
          return frame;
        });
    return components[0];
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
   * Four components to RGB with the integers of libjpeg (YCCK to CMYK) and of Pillow (CMYK, which
   * Adobe stores inverted, to RGB without a profile).
   *
   * @param raster the samples as they are stored, one band a component
   */
  static Pixels fromCmyk(Raster raster, byte[] jpeg) {
    int transform = adobeTransform(jpeg);
    int width = raster.getWidth();
    int height = raster.getHeight();
    byte[] rgb = new byte[width * height * 3];
    int[] row = new int[width * 4];
    for (int y = 0, to = 0; y < height; y++) {
      raster.getPixels(0, y, width, 1, row);
      for (int x = 0; x < row.length; x += 4) {
        int c = row[x];
        int m = row[x + 1];
        int yellow = row[x + 2];
        int k = row[x + 3];
        if (transform == 2) {
          int luma = c;
          int cb = m - 128;
          int cr = yellow - 128;
          c = 255 - clip(luma + ((fix(1.40200) * cr + HALF) >> 16));
          m = 255 - clip(luma + ((-fix(0.34414) * cb - fix(0.71414) * cr + HALF) >> 16));
          yellow = 255 - clip(luma + ((fix(1.77200) * cb + HALF) >> 16));
        }
        if (transform >= 0) {
          c = 255 - c;
          m = 255 - m;
          yellow = 255 - yellow;
          k = 255 - k;
        }
        rgb[to++] = ink(c, k);
        rgb[to++] = ink(m, k);
        rgb[to++] = ink(yellow, k);
      }
    }
    return new Pixels(width, height, 3, rgb);
  }

  private static final int HALF = 1 << 15;

  private static int fix(double value) {
    return (int) (value * (1 << 16) + 0.5);
  }

  private static int clip(int value) {
    return Math.clamp(value, 0, 255);
  }

  /** Light left by an ink over black: Pillow's {@code MULDIV255}. */
  private static byte ink(int ink, int black) {
    int white = 255 - black;
    int product = ink * white + 128;
    return (byte) clip(white - (((product >> 8) + product) >> 8));
  }
}
