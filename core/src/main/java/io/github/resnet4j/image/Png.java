package io.github.resnet4j.image;

import java.util.Arrays;
import java.util.zip.CRC32;
import java.util.zip.DataFormatException;
import java.util.zip.Inflater;

/**
 * Decodes PNG of every color type, depth and interlacing to Pillow's RGB.
 *
 * <p>As in Pillow: alpha and tRNS are dropped; 16-bit samples lose their low byte, except gray
 * ones, which are clipped at 255; checksums of chunks before the image data are checked, those of
 * the image data are not; if a zlib stream ends at the end of a row, the remaining rows are black.
 * Chunks that are not needed, such as color profiles, are skipped without being decompressed.
 */
final class Png {
  private static final int HEADER = 8;
  private static final int CHUNK_OVERHEAD = 12;

  /** The size of Pillow's input to zlib; the boundaries determine how a damaged end is read. */
  private static final int PIECE = 1 << 16;

  private static final int[] PASS_COLUMN = {0, 4, 0, 2, 0, 1, 0};
  private static final int[] PASS_ROW = {0, 0, 4, 0, 2, 0, 1};
  private static final int[] PASS_COLUMN_STEP = {8, 8, 4, 4, 2, 2, 1};
  private static final int[] PASS_ROW_STEP = {8, 8, 8, 4, 4, 2, 2};

  private final EncodedImage file;
  private int at = HEADER;

  private int width;
  private int height;
  private int bits;
  private int channels;
  private boolean indexed;
  private boolean interlaced;

  /** The RGB of every sample value, for one channel of up to 8 bits. */
  private byte[] colors = new byte[0];

  /** The rectangle of the image data: the whole image, or an animation's first frame. */
  private int left;

  private int top;
  private int frameWidth;
  private int frameHeight;

  /** The number of unread bytes in the chunk of image data at {@link #at}. */
  private int dataLeft;

  private byte[] rgb = new byte[0];

  private Png(EncodedImage file) {
    this.file = file;
  }

  static Pixels decode(EncodedImage file) throws ImageException {
    var png = new Png(file);
    png.readHeader();
    png.rgb = new byte[png.width * png.height * 3];
    png.fillUnread();
    var inflater = new Inflater();
    try {
      png.readRows(inflater);
    } finally {
      inflater.end();
    }
    png.readTrailer();
    return new Pixels(png.width, png.height, 3, png.rgb);
  }

  /** Reads all chunks up to the image data. */
  private void readHeader() throws ImageException {
    boolean framed = false;
    while (true) {
      int length = file.i32(at);
      String type = chunkType(at + 4);
      if (type.equals("IDAT") || type.equals("fdAT")) {
        break;
      }
      if (type.equals("IEND")) {
        throw file.error("has no image data");
      }
      file.require(at + 8, length);
      checkSum(type, length);
      int content = at + 8;
      switch (type) {
        case "IHDR" -> readImageHeader(content, length);
        case "PLTE" -> {
          if (indexed) {
            readPalette(content, length);
          }
        }
        case "fcTL" -> {
          readFrame(content, length);
          framed = true;
        }
        default -> {}
      }
      at += CHUNK_OVERHEAD + length;
    }
    if (bits == 0) {
      throw file.damaged("its header chunk is missing");
    }
    if (!framed) {
      frameWidth = width;
      frameHeight = height;
    }
    beginData();
  }

  private String chunkType(int from) throws ImageException {
    String type = file.tag(from);
    for (int i = 0; i < 4; i++) {
      char c = type.charAt(i);
      if (!(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_')) {
        throw file.damaged("expected a chunk at byte " + from);
      }
    }
    return type;
  }

  private void checkSum(String type, int length) throws ImageException {
    var crc = new CRC32();
    crc.update(file.bytes(), at + 4, length + 4);
    if ((int) crc.getValue() != file.i32(at + 8 + length)) {
      throw file.damaged("the checksum of its chunk " + type + " is wrong");
    }
  }

  private void readImageHeader(int content, int length) throws ImageException {
    if (length < 13) {
      throw file.damaged("its header chunk has %d bytes, not 13".formatted(length));
    }
    long unsignedWidth = Integer.toUnsignedLong(file.i32(content));
    long unsignedHeight = Integer.toUnsignedLong(file.i32(content + 4));
    file.checkSize(unsignedWidth, unsignedHeight);
    width = (int) unsignedWidth;
    height = (int) unsignedHeight;
    bits = file.u8(content + 8);
    int type = file.u8(content + 9);
    boolean known =
        switch (type) {
          case 0 -> bits == 1 || bits == 2 || bits == 4 || bits == 8 || bits == 16;
          case 3 -> bits == 1 || bits == 2 || bits == 4 || bits == 8;
          case 2, 4, 6 -> bits == 8 || bits == 16;
          default -> false;
        };
    if (!known) {
      throw file.damaged("its color type %d cannot have %d bits".formatted(type, bits));
    }
    if (file.u8(content + 11) != 0) {
      throw file.damaged("unknown filter method " + file.u8(content + 11));
    }
    interlaced = file.u8(content + 12) != 0;
    indexed = type == 3;
    channels =
        switch (type) {
          case 2 -> 3;
          case 4 -> 2;
          case 6 -> 4;
          default -> 1;
        };
    colors = new byte[3 << 8];
    if (!indexed) {
      for (int i = 0; i < colors.length; i++) {
        colors[i] = (byte) (bits > 8 ? i / 3 : i / 3 * 255 / ((1 << bits) - 1));
      }
    }
  }

  /** Values without a color are black. */
  private void readPalette(int content, int length) throws ImageException {
    if (length > colors.length) {
      throw file.damaged("its palette has more than 256 colors");
    }
    colors = new byte[3 << 8];
    System.arraycopy(file.bytes(), content, colors, 0, length / 3 * 3);
  }

  /** Reads an animation's frame control before the image data. */
  private void readFrame(int content, int length) throws ImageException {
    if (length < 26) {
      throw file.damaged("its frame control has %d bytes, not 26".formatted(length));
    }
    frameWidth = file.i32(content + 4);
    frameHeight = file.i32(content + 8);
    left = file.i32(content + 12);
    top = file.i32(content + 16);
    if (frameWidth <= 0
        || frameHeight <= 0
        || left < 0
        || top < 0
        || left > width - frameWidth
        || top > height - frameHeight) {
      throw file.damaged("its first frame is not within the image");
    }
  }

  /** Pixels without data have the value 0. */
  private void fillUnread() {
    if (indexed) {
      for (int i = 0; i < rgb.length; i += 3) {
        System.arraycopy(colors, 0, rgb, i, 3);
      }
    }
  }

  /** Starts reading the chunk of image data at {@link #at}. */
  private void beginData() throws ImageException {
    int length = file.i32(at);
    boolean numbered = file.tag(at + 4).equals("fdAT"); // a sequence number comes first
    if (length < (numbered ? 4 : 0)) {
      throw file.damaged("a chunk of image data has the length " + Integer.toUnsignedLong(length));
    }
    at += numbered ? 12 : 8;
    dataLeft = numbered ? length - 4 : length;
  }

  /** Passes the next part of the image data to the inflater. */
  private void feed(Inflater inflater) throws ImageException {
    file.checkInterrupted();
    while (dataLeft == 0) {
      at += 4; // the checksum, which Pillow does not check either
      file.require(at, 8);
      String type = chunkType(at + 4);
      if (!type.equals("IDAT") && !type.equals("fdAT") && !type.equals("DDAT")) {
        throw file.error("is truncated: its image data ends early");
      }
      beginData();
    }
    int length = Math.min(Math.min(dataLeft, PIECE), file.length() - at);
    if (length <= 0) {
      throw file.error("is truncated");
    }
    inflater.setInput(file.bytes(), at, length);
    at += length;
    dataLeft -= length;
  }

  private void readRows(Inflater inflater) throws ImageException {
    int bytesPerPixel = Math.max(1, bits * channels / 8);
    byte[] row = new byte[1 + rowBytes(frameWidth)];
    byte[] above = new byte[row.length];
    for (int pass = interlaced ? 0 : 6; pass < 7; pass++) {
      int columns =
          interlaced ? extent(frameWidth, PASS_COLUMN[pass], PASS_COLUMN_STEP[pass]) : frameWidth;
      int step = interlaced ? PASS_COLUMN_STEP[pass] : 1;
      int rowStep = interlaced ? PASS_ROW_STEP[pass] : 1;
      int length = rowBytes(columns);
      Arrays.fill(above, (byte) 0);
      for (int y = interlaced ? PASS_ROW[pass] : 0; y < frameHeight && columns > 0; y += rowStep) {
        file.checkInterrupted();
        inflate(inflater, row, length + 1);
        unfilter(row, above, length, bytesPerPixel);
        int x = left + (interlaced ? PASS_COLUMN[pass] : 0);
        put(row, columns, ((top + y) * width + x) * 3, 3 * step);
        if (inflater.finished()) {
          return;
        }
        byte[] swap = above;
        above = row;
        row = swap;
      }
    }
  }

  private int rowBytes(int columns) throws ImageException {
    long bytes = ((long) columns * bits * channels + 7) / 8;
    if (bytes > Integer.MAX_VALUE - 16) {
      throw file.error("has rows of %,d bytes".formatted(bytes));
    }
    return (int) bytes;
  }

  private static int extent(int whole, int start, int step) {
    return (whole - start + step - 1) / step;
  }

  private void inflate(Inflater inflater, byte[] row, int length) throws ImageException {
    try {
      for (int have = 0; have < length; ) {
        if (inflater.finished() || inflater.needsDictionary()) {
          throw file.error("is truncated: its image data ends early");
        }
        if (inflater.getRemaining() == 0) {
          feed(inflater);
        }
        have += inflater.inflate(row, have, length - have);
      }
    } catch (DataFormatException e) {
      throw file.damaged("its compressed data: " + e.getMessage());
    }
  }

  /**
   * Undoes the prediction of a row; {@code row[0]} is the filter type, {@code above[0]} is ignored.
   */
  private void unfilter(byte[] row, byte[] above, int length, int bytesPerPixel)
      throws ImageException {
    switch (row[0]) {
      case 0 -> {}
      case 1 -> {
        for (int i = bytesPerPixel + 1; i <= length; i++) {
          row[i] += row[i - bytesPerPixel];
        }
      }
      case 2 -> {
        for (int i = 1; i <= length; i++) {
          row[i] += above[i];
        }
      }
      case 3 -> {
        for (int i = 1; i <= length; i++) {
          int before = i > bytesPerPixel ? row[i - bytesPerPixel] & 0xff : 0;
          row[i] += (byte) ((before + (above[i] & 0xff)) / 2);
        }
      }
      case 4 -> {
        for (int i = 1; i <= length; i++) {
          int before = i > bytesPerPixel ? row[i - bytesPerPixel] & 0xff : 0;
          int corner = i > bytesPerPixel ? above[i - bytesPerPixel] & 0xff : 0;
          row[i] += (byte) paeth(before, above[i] & 0xff, corner);
        }
      }
      default -> throw file.damaged("unknown filter type " + (row[0] & 0xff));
    }
  }

  private static int paeth(int before, int above, int corner) {
    int fromBefore = Math.abs(above - corner);
    int fromAbove = Math.abs(before - corner);
    int fromCorner = Math.abs(before + above - 2 * corner);
    if (fromBefore <= fromAbove && fromBefore <= fromCorner) {
      return before;
    }
    return fromAbove <= fromCorner ? above : corner;
  }

  /** Writes a row's samples, which start at {@code row[1]}, as RGB every {@code step} bytes. */
  private void put(byte[] row, int columns, int to, int step) {
    if (channels == 1 && bits <= 8) {
      int mask = (1 << bits) - 1;
      for (int x = 0, bit = 8; x < columns; x++, bit += bits, to += step) {
        int shift = 8 - bits - (bit & 7);
        int color = 3 * ((row[bit >> 3] & 0xff) >> shift & mask);
        rgb[to] = colors[color];
        rgb[to + 1] = colors[color + 1];
        rgb[to + 2] = colors[color + 2];
      }
    } else if (channels == 1) {
      for (int x = 0, from = 1; x < columns; x++, from += 2, to += step) {
        byte gray = row[from] == 0 ? row[from + 1] : (byte) 255;
        rgb[to] = gray;
        rgb[to + 1] = gray;
        rgb[to + 2] = gray;
      }
    } else {
      int sample = bits / 8;
      int green = channels == 2 ? 0 : sample;
      int pixel = channels * sample;
      for (int x = 0, from = 1; x < columns; x++, from += pixel, to += step) {
        rgb[to] = row[from];
        rgb[to + 1] = row[from + green];
        rgb[to + 2] = row[from + 2 * green];
      }
    }
  }

  /** Checks chunks after the image data: each must be complete, as in Pillow. */
  private void readTrailer() throws ImageException {
    long next = (long) at + dataLeft + 4;
    while (next + 8 <= file.length()) {
      int start = (int) next;
      long length = Integer.toUnsignedLong(file.i32(start));
      String type;
      try {
        type = chunkType(start + 4);
      } catch (ImageException _) {
        return; // not a chunk: what follows does not belong to the image
      }
      if (type.equals("IEND")) {
        return;
      }
      next = start + CHUNK_OVERHEAD + length;
      if (start + 8 + length > file.length()) {
        throw file.error("is truncated after its image data");
      }
    }
  }
}
