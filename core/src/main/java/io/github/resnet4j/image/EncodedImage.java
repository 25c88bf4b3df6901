package io.github.resnet4j.image;

import java.nio.charset.StandardCharsets;

/**
 * The bytes of an image file with the limit on its pixels, as the decoders read them. A read beyond
 * the end throws an exception: the file is truncated.
 *
 * @param name the name in error messages
 * @param maxPixels larger images are rejected before memory is allocated for them
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

  /** Checks that the file has this many bytes at an offset. */
  void require(int at, int count) throws ImageException {
    if (at < 0 || count < 0 || at > bytes.length - count) {
      throw error("is truncated");
    }
  }

  /**
   * Rejects sizes that are zero or above the limit.
   *
   * @param width may be negative or above 2³¹ − 1 in a damaged file
   */
  void checkSize(long width, long height) throws ImageException {
    if (width <= 0 || height <= 0) {
      throw error("has no pixels: %d × %d".formatted(width, height));
    }
    if (width > maxPixels || height > maxPixels / width) {
      throw error(
          "has %d × %d pixels, more than the %,d that are allowed"
              .formatted(width, height, maxPixels));
    }
    if (width * height > (Integer.MAX_VALUE - 8) / 4) {
      throw error("has %d × %d pixels, which do not fit into one array".formatted(width, height));
    }
  }

  /**
   * Throws an exception if the thread was interrupted. Every decoder calls this at least once per
   * row of pixels or blocks, per scan, and per part of the input without pixels (a skipped chunk, a
   * refill), so that only a few milliseconds pass between two calls.
   *
   * @throws ImageException if the thread was interrupted; its interrupt status is kept
   */
  void checkInterrupted() throws ImageException {
    if (Thread.currentThread().isInterrupted()) {
      throw error("was not decoded: the thread was interrupted");
    }
  }

  ImageException damaged(String reason) {
    return error("is damaged: " + reason);
  }

  ImageException error(String reason) {
    return new ImageException(name, reason);
  }
}
