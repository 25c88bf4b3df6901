package io.github.resnet4j.image;

import java.nio.charset.Charset;
import java.nio.charset.StandardCharsets;

/** The format of a file by its first bytes, whatever its name. */
enum ImageFormat {
  JPEG("JPEG"),
  PNG("PNG"),
  GIF("GIF"),
  BMP("BMP"),
  WEBP("WebP"),
  PNM("PPM"),
  TIFF("TIFF"),
  AVIF("AVIF"),
  HEIC("HEIC"),
  JPEG_2000("JPEG 2000"),
  JPEG_XL("JPEG XL"),
  SVG("SVG"),
  PDF("PDF"),
  PHOTOSHOP("Photoshop"),
  ICON("Windows icon"),
  RAW("camera raw"),
  UNKNOWN("unknown");

  private final String label;

  ImageFormat(String label) {
    this.label = label;
  }

  /** The name for people. */
  String label() {
    return label;
  }

  static ImageFormat of(byte[] bytes) {
    if (starts(bytes, 0, "\u00ff\u00d8")) {
      return JPEG;
    }
    if (starts(bytes, 0, "\u0089PNG\r\n\u001a\n")) {
      return PNG;
    }
    if (starts(bytes, 0, "GIF87a") || starts(bytes, 0, "GIF89a")) {
      return GIF;
    }
    if (starts(bytes, 0, "BM")) {
      return BMP;
    }
    if (starts(bytes, 0, "RIFF") && starts(bytes, 8, "WEBP")) {
      return WEBP;
    }
    if (bytes.length > 2 && bytes[0] == 'P' && bytes[1] >= '1' && bytes[1] <= '6') {
      return PNM;
    }
    return unsupported(bytes);
  }

  /** Formats that are recognized only to name them in the error message. */
  private static ImageFormat unsupported(byte[] bytes) {
    if (starts(bytes, 4, "ftyp")) {
      return switch (bytes.length < 12 ? "" : new String(bytes, 8, 4, LATIN)) {
        case "avif", "avis" -> AVIF;
        case "crx " -> RAW;
        case "heic", "heix", "heim", "heis", "hevc", "hevx" -> HEIC;
        case "mif1", "msf1" -> starts(bytes, 16, "avif") ? AVIF : HEIC;
        default -> UNKNOWN;
      };
    }
    if (starts(bytes, 4, "jP  \r\n\u0087\n") || starts(bytes, 0, "\u00ff\u004f\u00ff\u0051")) {
      return JPEG_2000;
    }
    if (starts(bytes, 4, "JXL \r\n\u0087\n") || starts(bytes, 0, "\u00ff\n")) {
      return JPEG_XL;
    }
    if (starts(bytes, 0, "%PDF")) {
      return PDF;
    }
    if (starts(bytes, 0, "8BPS")) {
      return PHOTOSHOP;
    }
    if (starts(bytes, 0, "\0\0\u0001\0")) {
      return ICON;
    }
    if (starts(bytes, 0, "II*\0") || starts(bytes, 0, "MM\0*")) {
      return starts(bytes, 8, "CR") ? RAW : TIFF;
    }
    if (starts(bytes, 0, "II+\0") || starts(bytes, 0, "MM\0+")) {
      return TIFF;
    }
    if (starts(bytes, 0, "FUJIFILMCCD-RAW") || starts(bytes, 0, "IIU\0")) {
      return RAW;
    }
    String head = new String(bytes, 0, Math.min(bytes.length, 1024), LATIN);
    return head.contains("<svg") ? SVG : UNKNOWN;
  }

  private static final Charset LATIN = StandardCharsets.ISO_8859_1;

  private static boolean starts(byte[] bytes, int at, String magic) {
    if (bytes.length < at + magic.length()) {
      return false;
    }
    for (int i = 0; i < magic.length(); i++) {
      if ((bytes[at + i] & 0xff) != magic.charAt(i)) {
        return false;
      }
    }
    return true;
  }
}
