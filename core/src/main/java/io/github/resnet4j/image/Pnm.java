package io.github.resnet4j.image;

/**
 * Decodes PBM, PGM and PPM, P1 to P6, to Pillow's RGB: samples of a color image are scaled to 255;
 * gray ones with more than 8 bits are scaled to 65535 and then clipped at 255.
 */
final class Pnm {
  private static final int MAX_TOKEN_LENGTH = 10;

  /** The number of bytes of the result between two checks for an interrupt. */
  private static final int INTERRUPT_CHECK_BYTES = 3 << 12;

  private final EncodedImage file;
  private final int kind;
  private int at = 2;

  private Pnm(EncodedImage file) {
    this.file = file;
    this.kind = file.bytes()[1] - '0';
  }

  static Pixels decode(EncodedImage file) throws ImageException {
    return new Pnm(file).decode();
  }

  private Pixels decode() throws ImageException {
    if (!isSpace(file.u8(at++))) {
      throw file.damaged("there is no space after P" + kind);
    }
    int width = number(token());
    int height = number(token());
    file.checkSize(width, height);
    byte[] rgb = new byte[width * height * 3];
    boolean plain = kind <= 3;
    switch (kind) {
      case 1 -> plainBits(rgb);
      case 4 -> bits(rgb, width, height);
      default -> {
        int maxValue = number(token());
        if (maxValue == 0 || maxValue > 65535) {
          throw file.damaged("its maximum value is %d, not 1 to 65535".formatted(maxValue));
        }
        samples(rgb, maxValue, plain);
      }
    }
    return new Pixels(width, height, 3, rgb);
  }

  private static boolean isSpace(int c) {
    return c == ' ' || c >= '\t' && c <= '\r';
  }

  /** The next character, or −1 at the end; comments are skipped with the end of their line. */
  private int character() {
    byte[] bytes = file.bytes();
    while (at < bytes.length) {
      int c = bytes[at++] & 0xff;
      if (c != '#') {
        return c;
      }
      while (at < bytes.length && bytes[at] != '\n' && bytes[at] != '\r') {
        at++;
      }
      at++;
    }
    return -1;
  }

  /** Reads a word and one space after it. */
  private String token() throws ImageException {
    var token = new StringBuilder();
    while (token.length() <= MAX_TOKEN_LENGTH) {
      int c = character();
      if (c < 0 && token.isEmpty()) {
        throw file.error("is truncated");
      }
      if (c >= 0 && !isSpace(c)) {
        token.append((char) c);
      } else if (!token.isEmpty()) {
        return token.toString();
      }
    }
    throw file.damaged("a number with more than %d digits".formatted(MAX_TOKEN_LENGTH));
  }

  private int number(String token) throws ImageException {
    try {
      long value = Long.parseLong(token);
      if (value >= 0 && value <= Integer.MAX_VALUE) {
        return (int) value;
      }
    } catch (NumberFormatException _) {
      // The error is reported below.
    }
    throw file.damaged("%s is not a number from 0 to 2147483647".formatted(token.strip()));
  }

  private void plainBits(byte[] rgb) throws ImageException {
    for (int to = 0; to < rgb.length; ) {
      if (to % INTERRUPT_CHECK_BYTES == 0) {
        file.checkInterrupted();
      }
      int c = character();
      if (c < 0) {
        throw file.error("is truncated");
      }
      if (isSpace(c)) {
        continue;
      }
      if (c != '0' && c != '1') {
        throw file.damaged("a bit that is neither 0 nor 1");
      }
      to = putGray(rgb, to, c == '0' ? 255 : 0);
    }
  }

  private void bits(byte[] rgb, int width, int height) throws ImageException {
    int stride = (width + 7) / 8;
    if ((long) stride * height > file.length() - at) {
      throw file.error("is truncated");
    }
    for (int y = 0, to = 0; y < height; y++) {
      for (int x = 0; x < width; x++) {
        int bit = file.bytes()[at + y * stride + x / 8] >> (7 - x % 8) & 1;
        to = putGray(rgb, to, bit == 0 ? 255 : 0);
      }
    }
  }

  private static int putGray(byte[] rgb, int to, int gray) {
    rgb[to] = (byte) gray;
    rgb[to + 1] = (byte) gray;
    rgb[to + 2] = (byte) gray;
    return to + 3;
  }

  private void samples(byte[] rgb, int maxValue, boolean plain) throws ImageException {
    boolean gray = kind == 2 || kind == 5;
    int bytes = plain ? 0 : maxValue < 256 ? 1 : 2;
    long count = gray ? rgb.length / 3 : rgb.length;
    if (count * Math.max(bytes, 1) > file.length() - at) { // a plain sample has at least one digit
      throw file.error("is truncated");
    }
    byte[] scaled = new byte[Math.max(256, maxValue + 1)];
    for (int value = 0; value < scaled.length; value++) {
      double part = (double) value / maxValue;
      scaled[value] =
          (byte) Math.min(255, Math.rint(part * (gray && maxValue > 255 ? 65535 : 255)));
    }
    for (int to = 0; to < rgb.length; ) {
      if (to % INTERRUPT_CHECK_BYTES == 0) {
        file.checkInterrupted();
      }
      int value;
      if (plain) {
        value = number(token());
        if (value > maxValue) {
          throw file.damaged("the value %d is larger than %d".formatted(value, maxValue));
        }
      } else {
        value = file.u8(at);
        if (bytes == 2) {
          value = value << 8 | file.u8(at + 1);
        }
        at += bytes;
      }
      byte sample = value < scaled.length ? scaled[value] : (byte) 255;
      if (gray) {
        to = putGray(rgb, to, sample);
      } else {
        rgb[to++] = sample;
      }
    }
  }
}
