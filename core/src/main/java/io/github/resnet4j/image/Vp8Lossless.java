package io.github.resnet4j.image;

import java.util.ArrayDeque;
import java.util.Arrays;

/** Decodes the lossless form of WebP (RFC 9649, section 3) to RGB. */
final class Vp8Lossless {
  private static final int SIGNATURE = 0x2f;
  private static final int LITERALS = 256;
  private static final int LENGTHS = 24;
  private static final int DISTANCES = 40;
  private static final int MAX_CACHE_BITS = 11;

  /** The logarithm of the size of a block that contains any image. */
  private static final int ONE_BLOCK = 30;

  private static final int[] LENGTH_ORDER = {
    17, 18, 0, 1, 2, 3, 4, 5, 16, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
  };

  /** Near distances: four bits of rows up, four bits of 8 minus the columns to the right. */
  private static final int[] NEAR = {
    0x18, 0x07, 0x17, 0x19, 0x28, 0x06, 0x27, 0x29, 0x16, 0x1a, 0x26, 0x2a, 0x38, 0x05, 0x37, 0x39,
    0x15, 0x1b, 0x36, 0x3a, 0x25, 0x2b, 0x48, 0x04, 0x47, 0x49, 0x14, 0x1c, 0x35, 0x3b, 0x46, 0x4a,
    0x24, 0x2c, 0x58, 0x45, 0x4b, 0x34, 0x3c, 0x03, 0x57, 0x59, 0x13, 0x1d, 0x56, 0x5a, 0x23, 0x2d,
    0x44, 0x4c, 0x55, 0x5b, 0x33, 0x3d, 0x68, 0x02, 0x67, 0x69, 0x12, 0x1e, 0x66, 0x6a, 0x22, 0x2e,
    0x54, 0x5c, 0x43, 0x4d, 0x65, 0x6b, 0x32, 0x3e, 0x78, 0x01, 0x77, 0x79, 0x53, 0x5d, 0x11, 0x1f,
    0x64, 0x6c, 0x42, 0x4e, 0x76, 0x7a, 0x21, 0x2f, 0x75, 0x7b, 0x31, 0x3f, 0x63, 0x6d, 0x52, 0x5e,
    0x00, 0x74, 0x7c, 0x41, 0x4f, 0x10, 0x20, 0x62, 0x6e, 0x30, 0x73, 0x7d, 0x51, 0x5f, 0x40, 0x72,
    0x7e, 0x61, 0x6f, 0x50, 0x71, 0x7f, 0x60, 0x70
  };

  private final EncodedImage file;
  private final LosslessBits in;

  private Vp8Lossless(EncodedImage file, int start, int end) {
    this.file = file;
    this.in = new LosslessBits(file.bytes(), start, end);
  }

  /** Decodes the image at {@code [start, end)}. */
  static Pixels decode(EncodedImage file, int start, int end) throws ImageException {
    return new Vp8Lossless(file, start, end).decode();
  }

  private Pixels decode() throws ImageException {
    if (in.number(8) != SIGNATURE) {
      throw file.damaged("its lossless image has no signature");
    }
    int width = in.number(14) + 1;
    int height = in.number(14) + 1;
    in.number(1); // whether alpha is used
    if (in.number(3) != 0) {
      throw file.damaged("its lossless image has another version");
    }
    requireBits();
    file.checkSize(width, height);
    var transforms = new ArrayDeque<LosslessTransform>();
    int codedWidth = width;
    int seen = 0;
    while (in.flag()) {
      int kind = in.number(2);
      if ((seen & 1 << kind) != 0) {
        throw file.damaged("a transform occurs twice");
      }
      seen |= 1 << kind;
      LosslessTransform transform = readTransform(kind, codedWidth, height);
      codedWidth = transform.codedWidth();
      transforms.push(transform);
    }
    int[] argb = image(codedWidth, height, true);
    for (LosslessTransform transform : transforms) {
      file.checkInterrupted();
      argb = transform.undo(argb, height);
    }
    byte[] rgb = new byte[width * height * 3];
    for (int i = 0, to = 0; i < width * height; i++, to += 3) {
      rgb[to] = (byte) (argb[i] >> 16);
      rgb[to + 1] = (byte) (argb[i] >> 8);
      rgb[to + 2] = (byte) argb[i];
    }
    return new Pixels(width, height, 3, rgb);
  }

  private void requireBits() throws ImageException {
    if (in.isExhausted()) {
      throw file.error("is truncated: its lossless data ends early");
    }
  }

  private static int blocks(int extent, int bits) {
    return (extent + (1 << bits) - 1) >> bits;
  }

  private LosslessTransform readTransform(int kind, int width, int height) throws ImageException {
    return switch (kind) {
      case 0, 1 -> {
        int bits = in.number(3) + 2;
        int[] data = image(blocks(width, bits), blocks(height, bits), false);
        yield kind == 0
            ? new LosslessTransform.Prediction(width, bits, data)
            : new LosslessTransform.ColorTransform(width, bits, data);
      }
      case 2 -> new LosslessTransform.SubtractedGreen(width);
      default -> {
        int count = in.number(8) + 1;
        int[] differences = image(count, 1, false);
        int[] colors = new int[256];
        for (int i = 0; i < count; i++) {
          colors[i] =
              i == 0 ? differences[0] : LosslessTransform.sum(colors[i - 1], differences[i]);
        }
        int bits = count > 16 ? 0 : count > 4 ? 1 : count > 2 ? 2 : 3;
        yield new LosslessTransform.Palette(width, bits, colors);
      }
    };
  }

  /**
   * The five codes of a part of the image: green with lengths and cache, red, blue, alpha,
   * distance.
   */
  private record Codes(
      PrefixCode green, PrefixCode red, PrefixCode blue, PrefixCode alpha, PrefixCode distance) {}

  /**
   * Reads an image.
   *
   * @param main whether this is the main image, not one of a transform or of the codes
   */
  private int[] image(int width, int height, boolean main) throws ImageException {
    int cacheBits = 0;
    if (in.flag()) {
      cacheBits = in.number(4);
      if (cacheBits == 0 || cacheBits > MAX_CACHE_BITS) {
        throw file.damaged("its color cache has %d bits".formatted(cacheBits));
      }
    }
    int blockBits = ONE_BLOCK;
    int[] groupOfBlock = {0};
    if (main && in.flag()) {
      blockBits = in.number(3) + 2;
      groupOfBlock = image(blocks(width, blockBits), blocks(height, blockBits), false);
      for (int i = 0; i < groupOfBlock.length; i++) {
        groupOfBlock[i] = groupOfBlock[i] >> 8 & 0xffff;
      }
    }
    Codes[] codes = readCodes(groupOfBlock, cacheBits);
    requireBits();
    return pixels(width, height, blockBits, groupOfBlock, codes, cacheBits);
  }

  /** All groups are read, but those that no block uses are discarded, which limits the memory. */
  private Codes[] readCodes(int[] groupOfBlock, int cacheBits) throws ImageException {
    int groups = 1 + Arrays.stream(groupOfBlock).max().orElse(0);
    boolean[] used = new boolean[groups];
    for (int group : groupOfBlock) {
      used[group] = true;
    }
    int greens = LITERALS + LENGTHS + (cacheBits == 0 ? 0 : 1 << cacheBits);
    byte[] lengths = new byte[greens];
    var codes = new Codes[groups];
    for (int group = 0; group < groups; group++) {
      var read =
          new Codes(
              readCode(lengths, greens),
              readCode(lengths, LITERALS),
              readCode(lengths, LITERALS),
              readCode(lengths, LITERALS),
              readCode(lengths, DISTANCES));
      requireBits();
      file.checkInterrupted();
      if (used[group]) {
        codes[group] = read;
      }
    }
    return codes;
  }

  private PrefixCode readCode(byte[] lengths, int size) throws ImageException {
    Arrays.fill(lengths, (byte) 0);
    if (in.flag()) {
      boolean two = in.flag();
      lengths[in.number(in.flag() ? 8 : 1)] = 1;
      if (two) {
        lengths[in.number(8)] = 1;
      }
    } else {
      byte[] ofLengths = new byte[LENGTH_ORDER.length];
      int count = in.number(4) + 4;
      for (int i = 0; i < count; i++) {
        ofLengths[LENGTH_ORDER[i]] = (byte) in.number(3);
      }
      readLengths(code(ofLengths, ofLengths.length), lengths, size);
    }
    return code(lengths, size);
  }

  private PrefixCode code(byte[] lengths, int size) throws ImageException {
    PrefixCode code = PrefixCode.of(lengths, size);
    if (code == null) {
      throw file.damaged("a prefix code is not complete");
    }
    return code;
  }

  private void readLengths(PrefixCode code, byte[] lengths, int size) throws ImageException {
    int max = size;
    if (in.flag()) {
      max = 2 + in.number(2 + 2 * in.number(3));
      if (max > size) {
        throw file.damaged("a prefix code has too many symbols");
      }
    }
    byte before = 8;
    for (int symbol = 0; symbol < size && max > 0; max--) {
      int length = code.read(in);
      if (length < 16) {
        lengths[symbol++] = (byte) length;
        before = length > 0 ? (byte) length : before;
        continue;
      }
      int times =
          switch (length) {
            case 16 -> 3 + in.number(2);
            case 17 -> 3 + in.number(3);
            default -> 11 + in.number(7);
          };
      if (symbol + times > size) {
        throw file.damaged("a prefix code has too many symbols");
      }
      Arrays.fill(lengths, symbol, symbol + times, length == 16 ? before : 0);
      symbol += times;
    }
  }

  private int[] pixels(
      int width, int height, int blockBits, int[] groupOfBlock, Codes[] codes, int cacheBits)
      throws ImageException {
    int[] argb = new int[width * height];
    int[] cache = new int[1 << cacheBits];
    int cached = 0; // the number of pixels in the cache
    int blocksAcross = blocks(width, blockBits);
    int to = 0;
    int x = 0;
    int y = 0;
    while (to < argb.length) {
      Codes group = codes[groupOfBlock[(y >> blockBits) * blocksAcross + (x >> blockBits)]];
      int symbol = group.green.read(in);
      int count = 1;
      if (symbol < LITERALS) {
        int red = group.red.read(in);
        int blue = group.blue.read(in);
        int alpha = group.alpha.read(in);
        argb[to] = alpha << 24 | red << 16 | symbol << 8 | blue;
      } else if (symbol < LITERALS + LENGTHS) {
        count = extended(symbol - LITERALS);
        int distance = distance(extended(group.distance.read(in)), width);
        if (distance > to || count > argb.length - to) {
          throw file.damaged("a copy extends beyond the image");
        }
        for (int i = to; i < to + count; i++) {
          argb[i] = argb[i - distance];
        }
      } else {
        for (; cached < to; cached++) {
          cache[(argb[cached] * 0x1e35a7bd) >>> (32 - cacheBits)] = argb[cached];
        }
        argb[to] = cache[symbol - LITERALS - LENGTHS];
      }
      to += count;
      x += count;
      if (x >= width) {
        y += x / width;
        x %= width;
        requireBits();
        file.checkInterrupted();
      }
    }
    requireBits();
    return argb;
  }

  /** A length or distance from its symbol and the bits that follow. */
  private int extended(int symbol) {
    if (symbol < 4) {
      return symbol + 1;
    }
    int bits = (symbol - 2) >> 1;
    return ((2 + (symbol & 1)) << bits) + in.number(bits) + 1;
  }

  private static int distance(int code, int width) {
    if (code > NEAR.length) {
      return code - NEAR.length;
    }
    int near = NEAR[code - 1];
    return Math.max(1, (near >> 4) * width + 8 - (near & 15));
  }
}
