package io.github.resnet4j.image;

import java.nio.charset.StandardCharsets;

/**
 * The bytes of an image file and the limit of its pixels, as the decoders read them. A read beyond
 * the end says that the file is truncated.
 *
 * @param name what errors call it
 * @param maxPixels larger images are refused before anything is allocated for them
 */
record EncodedImage(String name, byte[] bytes, long maxPixels) {
  int length() {
    return bytes.length;
  }

  int u8(int at) throws ImageException {
    require(at, 1);
    return bytes[at] & 0xff;
  }

  int u16(int at) throws ImageException {
    return u8(at) << 8 | u8(at + 1);
  }

  int u16LittleEndian(int at) throws ImageException {
    return u8(at) | u8(at + 1) << 8;
  }

  /** May be negative: an unsigned value above 2³¹ − 1. */
  int i32(int at) throws ImageException {
    return u16(at) << 16 | u16(at + 2);
  }

  /** May be negative: an unsigned value above 2³¹ − 1. */
  int i32LittleEndian(int at) throws ImageException {
    return u16LittleEndian(at) | u16LittleEndian(at + 2) << 16;
  }

  /** Four bytes as characters, such as the type of a chunk. */
  String tag(int at) throws ImageException {
    require(at, 4);
    return new String(bytes, at, 4, StandardCharsets.ISO_8859_1);
  }

  /** Refuses the file unless it has this many bytes from here. */
  void require(int at, int count) throws ImageException {
    if (at < 0 || count < 0 || at > bytes.length - count) {
      throw refused("is truncated");
    }
  }

  /**
   * Refuses extents that are empty or beyond the limit.
   *
   * @param width negative or beyond 2³¹ − 1 where a file says so
   */
  void checkSize(long width, long height) throws ImageException {
    if (width <= 0 || height <= 0) {
      throw refused("has no pixels: %d × %d".formatted(width, height));
    }
    if (width > maxPixels || height > maxPixels / width) {
      throw refused(
          "has %d × %d pixels, more than the %,d that are allowed"
              .formatted(width, height, maxPixels));
    }
    if (width * height > (Integer.MAX_VALUE - 8) / 4) {
      throw refused("has %d × %d pixels, more than an array holds".formatted(width, height));
    }
  }

  /**
   * Ends the decoding if its thread was interrupted. Every decoder calls this at least once a row
   * of pixels or blocks, once a scan and once a piece of input that gives no pixels (a skipped
   * chunk, a refill), so that no more than some milliseconds of work lie between two calls.
   *
   * @throws ImageException if the thread was interrupted; it stays so
   */
  void checkInterrupted() throws ImageException {
    if (Thread.currentThread().isInterrupted()) {
      throw refused("was not decoded: the decoding was interrupted");
    }
  }

  ImageException damaged(String how) {
    return refused("is damaged: " + how);
  }

  ImageException refused(String reason) {
    return new ImageException(name, reason);
  }
}
