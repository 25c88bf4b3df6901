package io.github.resnet4j.image;

import io.github.resnet4j.image.jpeg.JpegDecoder;
import io.github.resnet4j.image.jpeg.JpegException;
import java.io.IOException;

/** JPEG files: their pixels and EXIF's orientation. */
final class Jpeg {
  private static final int SOI = 0xffd8;
  private static final int APP1 = 0xe1;
  private static final int START_OF_SCAN = 0xda;
  private static final int EXIF_ORIENTATION = 0x0112;

  private Jpeg() {}

  static Pixels decode(EncodedImage file) throws IOException {
    var limits =
        new JpegDecoder.Limits() {
          @Override
          public void check(int width, int height) throws IOException {
            file.checkSize(width, height);
          }

          @Override
          public void progress() throws IOException {
            file.checkInterrupted();
          }
        };
    try {
      JpegDecoder.Image image = JpegDecoder.decode(file.bytes(), limits);
      return new Pixels(image.width(), image.height(), 3, image.rgb());
    } catch (JpegException e) {
      throw file.refused(e.reason());
    }
  }

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
}
