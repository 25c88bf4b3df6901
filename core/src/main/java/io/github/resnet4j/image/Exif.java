package io.github.resnet4j.image;

/** Reads the EXIF orientation of a JPEG, PNG or WebP. */
final class Exif {
  private static final int UPRIGHT = 1;
  private static final int ORIENTATION = 0x0112;
  private static final int APP1 = 0xe1;
  private static final int START_OF_SCAN = 0xda;
  private static final String HEAD = "Exif";
  private static final int HEAD_LENGTH = 6;

  private Exif() {}

  /** The orientation, 1 to 8; 1 if it is missing or invalid. */
  static int orientation(EncodedImage file) {
    try {
      return switch (ImageFormat.of(file.bytes())) {
        case JPEG -> inJpeg(file);
        case PNG -> inPng(file);
        case WEBP -> inWebp(file);
        default -> UPRIGHT; // the TIFF decoder applies the orientation
      };
    } catch (ImageException _) { // truncated
      return UPRIGHT;
    }
  }

  private static int inJpeg(EncodedImage file) throws ImageException {
    int at = 2;
    while (file.u8(at) == 0xff) {
      int marker = file.u8(at + 1);
      if (marker == 0xff) { // fill byte
        at++;
        continue;
      }
      int end = at + 2 + file.u16(at + 2);
      if (marker == START_OF_SCAN || end < at + 4) {
        return UPRIGHT;
      }
      file.require(at, end - at);
      if (marker == APP1 && end - at > 18 && file.tag(at + 4).equals(HEAD)) {
        return inTiff(file, at + 4 + HEAD_LENGTH, end);
      }
      at = end;
    }
    return UPRIGHT;
  }

  private static int inPng(EncodedImage file) throws ImageException {
    for (int at = 8; ; ) {
      int length = file.i32(at);
      file.require(at + 8, length);
      if (file.tag(at + 4).equals("eXIf")) {
        return inTiff(file, at + 8, at + 8 + length);
      }
      at += 12 + length;
    }
  }

  private static int inWebp(EncodedImage file) throws ImageException {
    for (int at = 12; ; ) {
      int length = file.i32LittleEndian(at + 4);
      file.require(at + 8, length);
      if (file.tag(at).equals("EXIF")) {
        boolean headed = length > HEAD_LENGTH && file.tag(at + 8).equals(HEAD);
        return inTiff(file, at + 8 + (headed ? HEAD_LENGTH : 0), at + 8 + length);
      }
      at += 8 + length + (length & 1);
    }
  }

  private static int inTiff(EncodedImage file, int tiff, int end) throws ImageException {
    boolean bigEndian = file.u8(tiff) == 'M';
    int offset = bigEndian ? file.i32(tiff + 4) : file.i32LittleEndian(tiff + 4);
    if (offset < 0 || offset > end - tiff - 2) {
      return UPRIGHT;
    }
    int directory = tiff + offset;
    int count = u16(file, directory, bigEndian);
    for (int entry = directory + 2; count > 0 && entry + 12 <= end; count--, entry += 12) {
      if (u16(file, entry, bigEndian) == ORIENTATION) {
        int value = u16(file, entry + 8, bigEndian);
        return value >= 1 && value <= 8 ? value : UPRIGHT;
      }
    }
    return UPRIGHT;
  }

  private static int u16(EncodedImage file, int at, boolean bigEndian) throws ImageException {
    return bigEndian ? file.u16(at) : file.u16LittleEndian(at);
  }
}
