package io.github.resnet4j.image;

import java.util.Arrays;

/**
 * Decodes BMP to Pillow's RGB: headers of OS/2 and Windows, 1 to 32 bits, run-length encoding and
 * the common bit fields, bottom-up or top-down. JPEG and PNG within a BMP are not supported.
 */
final class Bmp {
  private static final int FILE_HEADER = 14;
  private static final int CORE_HEADER = 12;
  private static final int INFO_HEADER = 40;
  private static final int RAW = 0;
  private static final int RLE8 = 1;
  private static final int RLE4 = 2;
  private static final int BIT_FIELDS = 3;

  private final EncodedImage file;
  private final int headerSize;
  private int width;
  private int height;
  private boolean topDown;
  private int bits;
  private int compression = RAW;

  /** The offset of the palette, or of the pixels if no offset is given. */
  private int at;

  private long colors;

  private Bmp(EncodedImage file) throws ImageException {
    this.file = file;
    headerSize = file.i32LittleEndian(FILE_HEADER);
    at = FILE_HEADER + headerSize;
  }

  static Pixels decode(EncodedImage file) throws ImageException {
    return new Bmp(file).decode();
  }

  private Pixels decode() throws ImageException {
    readHeader();
    byte[] rgb;
    if (bits <= 8) {
      rgb = indexed();
    } else if (bits == 16 || bits == 24 || bits == 32) {
      rgb = direct();
    } else {
      throw file.error("is a BMP of %d bits, which is not supported".formatted(bits));
    }
    return new Pixels(width, height, 3, rgb);
  }

  private void readHeader() throws ImageException {
    int from = FILE_HEADER + 4;
    if (headerSize == CORE_HEADER) {
      width = file.u16LittleEndian(from);
      height = file.u16LittleEndian(from + 2);
      bits = file.u16LittleEndian(from + 6);
      file.checkSize(width, height);
    } else if (Arrays.asList(INFO_HEADER, 52, 56, 64, 108, 124).contains(headerSize)) {
      file.require(FILE_HEADER, headerSize);
      long rows = Integer.toUnsignedLong(file.i32LittleEndian(from + 4));
      topDown = rows >> 24 == 0xff;
      rows = topDown ? (1L << 32) - rows : rows;
      long columns = Integer.toUnsignedLong(file.i32LittleEndian(from));
      file.checkSize(columns, rows);
      width = (int) columns;
      height = (int) rows;
      bits = file.u16LittleEndian(from + 10);
      compression = file.i32LittleEndian(from + 12);
      colors = Integer.toUnsignedLong(file.i32LittleEndian(from + 28));
    } else {
      throw file.error(
          "is a BMP with a header of %d bytes, which is not supported".formatted(headerSize));
    }
    if (compression == 4 || compression == 5) {
      throw file.error(
          "is a %s within a BMP, which is not supported"
              .formatted(compression == 4 ? "JPEG" : "PNG"));
    }
    if (compression < RAW || compression > BIT_FIELDS) {
      throw file.error("is a BMP of compression %d, not supported".formatted(compression));
    }
  }

  /** The offset of the pixels. */
  private int dataOffset(int afterHeaders) throws ImageException {
    int offset = file.i32LittleEndian(10);
    if (offset == 0) {
      return afterHeaders;
    }
    if (offset < 0 || offset > file.length()) {
      throw file.error("is truncated");
    }
    return offset;
  }

  private byte[] indexed() throws ImageException {
    if (bits != 1 && bits != 4 && bits != 8) {
      throw file.error("is a BMP of %d bits, which is not supported".formatted(bits));
    }
    if (compression == BIT_FIELDS) {
      throw file.damaged("bit fields of %d bits".formatted(bits));
    }
    if (colors == 0) {
      colors = 1L << bits;
    }
    if (colors > 65536) {
      throw file.damaged("its palette has %,d colors".formatted(colors));
    }
    int entry = headerSize == CORE_HEADER ? 3 : 4;
    int paletteLength = (int) Math.min(colors * entry, file.length() - at);
    int offset = dataOffset(at + paletteLength);
    if (offset == at) { // a file without palette
      offset = (int) Math.min(at + colors * entry, file.length());
    }
    byte[] palette = Arrays.copyOfRange(file.bytes(), at, at + paletteLength);
    int depth = bits;
    byte[] table = new byte[3 << 8];
    boolean gray = isGray(palette, entry);
    if (gray) {
      // Pillow then reads one or eight bits per pixel, whatever the header says.
      depth = colors <= 2 ? 1 : 8;
      for (int i = 0; i < table.length; i++) {
        table[i] = (byte) (depth == 8 ? i / 3 : i < 3 ? 0 : 255);
      }
    } else {
      if (paletteLength / entry > 256) {
        throw file.damaged("its palette has %,d colors".formatted(paletteLength / entry));
      }
      for (int i = 0; i < paletteLength / entry; i++) {
        for (int channel = 0; channel < 3; channel++) {
          table[3 * i + channel] = palette[entry * i + 2 - channel];
        }
      }
    }
    byte[] indices = compression == RAW ? unpacked(offset, depth) : runs(offset);
    return toRgb(indices, table);
  }

  /** Whether each color of the palette is the gray value of its index. */
  private boolean isGray(byte[] palette, int entry) {
    for (int i = 0; i < colors; i++) {
      byte gray = (byte) (colors == 2 ? i * 255 : i);
      int from = i * entry;
      if (from + 3 > palette.length
          || palette[from] != gray
          || palette[from + 1] != gray
          || palette[from + 2] != gray) {
        return false;
      }
    }
    return true;
  }

  /** The distance between rows, a multiple of four bytes. */
  private int stride(int depth) throws ImageException {
    long stride = ((long) width * bits + 31) / 32 * 4;
    if (((long) width * depth + 7) / 8 > stride) {
      throw file.damaged("its rows are too short");
    }
    if (stride > file.length() + 3L) {
      throw file.error("is truncated");
    }
    return (int) stride;
  }

  /** Rejects a file that ends before its last row; the padding of that row may be missing. */
  private void requireRows(int offset, int stride, int rowBytes) throws ImageException {
    if (offset + (long) stride * (height - 1) + rowBytes > file.length()) {
      throw file.error("is truncated");
    }
  }

  private int row(int y) {
    return topDown ? y : height - 1 - y;
  }

  private byte[] unpacked(int offset, int depth) throws ImageException {
    int stride = stride(depth);
    requireRows(offset, stride, (int) (((long) width * depth + 7) / 8));
    byte[] bytes = file.bytes();
    byte[] indices = new byte[width * height];
    int mask = (1 << depth) - 1;
    for (int y = 0; y < height; y++) {
      file.checkInterrupted();
      int from = offset + y * stride;
      int to = row(y) * width;
      for (int x = 0; x < width; x++) {
        int bit = x * depth;
        int shift = 8 - depth - (bit & 7);
        indices[to + x] = (byte) ((bytes[from + (bit >> 3)] & 0xff) >> shift & mask);
      }
    }
    return indices;
  }

  /** Run-length encoding, which must cover all pixels. */
  private byte[] runs(int offset) throws ImageException {
    byte[] bytes = file.bytes();
    byte[] indices = new byte[width * height];
    int in = offset;
    int to = 0;
    int x = 0;
    while (to < indices.length) {
      if (in + 2 > bytes.length) {
        throw file.error("is truncated");
      }
      int count = bytes[in++] & 0xff;
      int value = bytes[in++] & 0xff;
      if (count > 0) {
        count = Math.clamp(width - x, 0, count);
        for (int i = 0; i < count; i++) {
          indices[to++] =
              (byte) (compression == RLE8 ? value : i % 2 == 0 ? value >> 4 : value & 15);
        }
        x += count;
      } else if (value == 0) { // end of the row
        file.checkInterrupted();
        to = (to + width - 1) / width * width;
        x = 0;
      } else if (value == 1) {
        throw file.error("is truncated: its run-length data ends early");
      } else if (value == 2) { // an offset to the right and up
        file.require(in, 2);
        long step = (bytes[in] & 0xff) + (bytes[in + 1] & 0xffL) * width;
        in += 2;
        to = (int) Math.min(indices.length, to + step);
        x = to % width;
      } else { // literal pixels
        int pixels = Math.min(indices.length - to, value);
        int length = compression == RLE8 ? pixels : (pixels + 1) / 2;
        file.require(in, length);
        for (int i = 0; i < pixels; i++) {
          int pair = bytes[in + (compression == RLE8 ? i : i / 2)] & 0xff;
          indices[to++] = (byte) (compression == RLE8 ? pair : i % 2 == 0 ? pair >> 4 : pair & 15);
        }
        in += length;
        x += value;
        in += in & 1;
      }
    }
    byte[] rows = new byte[indices.length];
    for (int y = 0; y < height; y++) {
      System.arraycopy(indices, y * width, rows, row(y) * width, width);
    }
    return rows;
  }

  private static byte[] toRgb(byte[] indices, byte[] table) {
    byte[] rgb = new byte[indices.length * 3];
    for (int i = 0, to = 0; i < indices.length; i++, to += 3) {
      int color = 3 * (indices[i] & 0xff);
      rgb[to] = table[color];
      rgb[to + 1] = table[color + 1];
      rgb[to + 2] = table[color + 2];
    }
    return rgb;
  }

  private byte[] direct() throws ImageException {
    if (compression == RLE8 || compression == RLE4) {
      throw file.damaged("run-length encoding of %d bits".formatted(bits));
    }
    int[] masks = masks();
    int offset = dataOffset(at);
    int stride = stride(bits);
    int size = bits / 8;
    requireRows(offset, stride, width * size);
    int[] shifts = new int[3];
    int[] max = new int[3];
    for (int channel = 0; channel < 3; channel++) {
      shifts[channel] = Integer.numberOfTrailingZeros(masks[channel]);
      max[channel] = masks[channel] >>> shifts[channel];
    }
    byte[] bytes = file.bytes();
    byte[] rgb = new byte[width * height * 3];
    for (int y = 0; y < height; y++) {
      file.checkInterrupted();
      int from = offset + y * stride;
      int to = row(y) * width * 3;
      for (int x = 0; x < width; x++, from += size) {
        int pixel = 0;
        for (int i = size - 1; i >= 0; i--) {
          pixel = pixel << 8 | bytes[from + i] & 0xff;
        }
        for (int channel = 0; channel < 3; channel++) {
          int value = pixel >>> shifts[channel] & max[channel];
          rgb[to++] = (byte) (value * 255 / max[channel]);
        }
      }
    }
    return rgb;
  }

  /** The masks of red, green, and blue. Uncommon ones are rejected, as in Pillow. */
  private int[] masks() throws ImageException {
    int[] usual = bits == 16 ? new int[] {0x7c00, 0x3e0, 0x1f} : new int[] {0xff0000, 0xff00, 0xff};
    if (compression == RAW) {
      return usual;
    }
    int from = FILE_HEADER + INFO_HEADER;
    int[] masks = {
      file.i32LittleEndian(from), file.i32LittleEndian(from + 4), file.i32LittleEndian(from + 8)
    };
    int alpha = headerSize >= 56 ? file.i32LittleEndian(from + 12) : 0;
    if (headerSize == INFO_HEADER) {
      at += 12;
    }
    boolean known =
        switch (bits) {
          case 16 -> Arrays.equals(masks, usual) || isMasks(masks, 0xf800, 0x7e0, 0x1f);
          case 24 -> Arrays.equals(masks, usual);
          default ->
              switch (alpha) {
                case 0 ->
                    Arrays.equals(masks, usual)
                        || isMasks(masks, 0xff000000, 0xff0000, 0xff00)
                        || isMasks(masks, 0xff000000, 0xff00, 0xff)
                        || isMasks(masks, 0, 0, 0);
                case 0xff -> isMasks(masks, 0xff000000, 0xff0000, 0xff00);
                case 0xff0000 -> isMasks(masks, 0xff000000, 0xff00, 0xff);
                case 0xff000000 ->
                    Arrays.equals(masks, usual) || isMasks(masks, 0xff, 0xff00, 0xff0000);
                default -> false;
              };
        };
    if (!known) {
      throw file.error(
          "is a BMP with the bit fields %08x %08x %08x %08x, which are not supported"
              .formatted(masks[0], masks[1], masks[2], alpha));
    }
    return masks[0] == 0 ? usual : masks;
  }

  private static boolean isMasks(int[] masks, int red, int green, int blue) {
    return masks[0] == red && masks[1] == green && masks[2] == blue;
  }
}
