package io.github.resnet4j.image;

import java.util.Arrays;
import java.util.HashMap;
import java.util.Map;

/**
 * Decodes the first image of a TIFF to Pillow's RGB: gray of 1 to 16 bits, palettes, RGB of 8 and
 * 16 bits with or without alpha, CMYK; in strips or tiles; uncompressed, PackBits, LZW or Deflate.
 * Its orientation is applied, as in Pillow. Other kinds are rejected with a message that names
 * them.
 */
final class Tiff {
  private static final int WIDTH = 256;
  private static final int HEIGHT = 257;
  private static final int BITS = 258;
  private static final int COMPRESSION = 259;
  private static final int PHOTOMETRIC = 262;
  private static final int FILL_ORDER = 266;
  private static final int STRIP_OFFSETS = 273;
  private static final int ORIENTATION = 274;
  private static final int SAMPLES = 277;
  private static final int ROWS_PER_STRIP = 278;
  private static final int STRIP_LENGTHS = 279;
  private static final int PLANES = 284;
  private static final int PREDICTOR = 317;
  private static final int COLOR_MAP = 320;
  private static final int TILE_WIDTH = 322;
  private static final int TILE_HEIGHT = 323;
  private static final int TILE_OFFSETS = 324;
  private static final int TILE_LENGTHS = 325;
  private static final int EXTRA_SAMPLES = 338;
  private static final int SAMPLE_FORMAT = 339;

  // Photometric interpretations.
  private static final int WHITE_IS_ZERO = 0;
  private static final int BLACK_IS_ZERO = 1;
  private static final int RGB = 2;
  private static final int PALETTE = 3;
  private static final int CMYK = 5;

  private final EncodedImage file;
  private final boolean bigEndian;

  /** The offset of each tag's entry. */
  private final Map<Integer, Integer> entries = new HashMap<>();

  private int width;
  private int height;
  private int bits;
  private int samples;
  private int photometric;
  private boolean planar;
  private byte[] colors = new byte[0];
  private byte[] rgb = new byte[0];

  private Tiff(EncodedImage file) {
    this.file = file;
    this.bigEndian = file.bytes()[0] == 'M';
  }

  static Pixels decode(EncodedImage file) throws ImageException {
    return new Tiff(file).decode();
  }

  private Pixels decode() throws ImageException {
    if (u16(2) != 42) {
      throw file.error("is a BigTIFF, which is not supported; convert it to PNG");
    }
    readEntries();
    readLayout();
    rgb = new byte[width * height * 3];
    readBlocks();
    int orientation = (int) value(ORIENTATION, 1);
    return new Pixels(width, height, 3, rgb).upright(orientation);
  }

  private int u16(int at) throws ImageException {
    return bigEndian ? file.u16(at) : file.u16LittleEndian(at);
  }

  private long u32(int at) throws ImageException {
    return Integer.toUnsignedLong(bigEndian ? file.i32(at) : file.i32LittleEndian(at));
  }

  private int offset(long at) throws ImageException {
    if (at > file.length()) {
      throw file.error("is truncated");
    }
    return (int) at;
  }

  private void readEntries() throws ImageException {
    int at = offset(u32(4));
    int count = u16(at);
    for (int i = 0; i < count; i++) {
      int entry = at + 2 + 12 * i;
      file.require(entry, 12);
      if (size(u16(entry + 2)) > 0) {
        entries.put(u16(entry), entry);
      }
    }
  }

  /** The number of bytes of an integer type; 0 for other types, which are ignored, as in Pillow. */
  private static int size(int type) {
    return switch (type) {
      case 1, 6 -> 1;
      case 3, 8 -> 2;
      case 4, 9, 13 -> 4;
      default -> 0;
    };
  }

  private long count(int tag) throws ImageException {
    Integer entry = entries.get(tag);
    return entry == null ? 0 : u32(entry + 4);
  }

  /** A value of a tag with one or more unsigned numbers. */
  private long value(int tag, int index, long defaultValue) throws ImageException {
    Integer entry = entries.get(tag);
    if (entry == null || index >= count(tag)) {
      return defaultValue;
    }
    int size = size(u16(entry + 2));
    long start = count(tag) * size <= 4 ? entry + 8 : u32(entry + 8);
    int at = offset(start + (long) index * size);
    return size == 1 ? file.u8(at) : size == 2 ? u16(at) : u32(at);
  }

  private long value(int tag, long defaultValue) throws ImageException {
    return value(tag, 0, defaultValue);
  }

  private ImageException unsupported(String what) {
    return file.error(
        "is a TIFF with %s, which is not supported; convert it to PNG".formatted(what));
  }

  private void readLayout() throws ImageException {
    long columns = value(WIDTH, 0);
    long rows = value(HEIGHT, 0);
    file.checkSize(columns, rows);
    width = (int) columns;
    height = (int) rows;
    photometric = (int) value(PHOTOMETRIC, 0);
    long perPixel = value(SAMPLES, 1);
    bits = (int) value(BITS, 1);
    planar = value(PLANES, 1) == 2;
    long extra = count(EXTRA_SAMPLES);
    int color =
        switch (photometric) {
          case WHITE_IS_ZERO, BLACK_IS_ZERO, PALETTE -> 1;
          case RGB -> 3;
          case CMYK -> 4;
          default -> throw unsupported("photometric interpretation " + photometric);
        };
    boolean alpha = perPixel == color + 1 && (extra == 1 || extra == 0 && photometric == RGB);
    if (perPixel != color && !alpha) {
      throw unsupported("%d samples per pixel".formatted(perPixel));
    }
    if (alpha && value(EXTRA_SAMPLES, 2) == 1) {
      throw unsupported("colors that are multiplied by alpha");
    }
    samples = (int) perPixel;
    for (int i = 1; i < samples; i++) {
      if (value(BITS, i, bits) != bits) {
        throw unsupported("samples with different numbers of bits");
      }
    }
    boolean known =
        switch (photometric) {
          case RGB -> bits == 8 || bits == 16 && !planar;
          case CMYK -> bits == 8 && samples == 4;
          case PALETTE -> samples == 1 && (bits == 1 || bits == 2 || bits == 4 || bits == 8);
          case BLACK_IS_ZERO -> isGrayDepth() || bits == 16 && samples == 1;
          default -> samples == 1 && (isGrayDepth() || bits == 16 && !bigEndian);
        };
    if (!known) {
      throw unsupported("%d bits per sample".formatted(bits));
    }
    for (int i = 0; i < samples; i++) {
      if (value(SAMPLE_FORMAT, i, 1) != 1) {
        throw unsupported("signed or floating-point samples");
      }
    }
    if (value(FILL_ORDER, 1) != 1) {
      throw unsupported("fill order " + value(FILL_ORDER, 1));
    }
    readColors();
  }

  private boolean isGrayDepth() {
    return samples == 1 ? bits == 1 || bits == 2 || bits == 4 || bits == 8 : bits == 8;
  }

  /** The RGB of each sample value, for one sample of up to 8 bits. */
  private void readColors() throws ImageException {
    if (bits > 8) {
      return;
    }
    int values = 1 << bits;
    colors = new byte[3 * values];
    for (int i = 0; i < colors.length; i++) {
      int value = i / 3;
      if (photometric == PALETTE) {
        int index = i % 3 * values + value;
        if (index >= count(COLOR_MAP)) {
          throw file.damaged("its color map is too short");
        }
        colors[i] = (byte) (value(COLOR_MAP, index, 0) >> 8);
      } else {
        int gray = value * 255 / (values - 1);
        colors[i] = (byte) (photometric == WHITE_IS_ZERO ? 255 - gray : gray);
      }
    }
  }

  /** Strips are tiles with the width of the image. */
  private void readBlocks() throws ImageException {
    boolean tiled = entries.containsKey(TILE_OFFSETS);
    long blockWidth = tiled ? value(TILE_WIDTH, 0) : width;
    long blockHeight =
        tiled ? value(TILE_HEIGHT, 0) : Math.min(height, value(ROWS_PER_STRIP, height));
    if (blockWidth <= 0 || blockHeight <= 0) {
      throw file.damaged("its tiles or strips have no size");
    }
    blockHeight = Math.min(blockHeight, height); // rows below the image are not decoded
    long across = (width + blockWidth - 1) / blockWidth;
    long down = (height + blockHeight - 1) / blockHeight;
    file.checkSize(across * blockWidth, height);
    int offsets = tiled ? TILE_OFFSETS : STRIP_OFFSETS;
    int lengths = tiled ? TILE_LENGTHS : STRIP_LENGTHS;
    int planes = planar ? samples : 1;
    if (count(offsets) < across * down * planes) {
      throw file.error("is truncated: it has too few tiles or strips");
    }
    int compression = (int) value(COMPRESSION, 1);
    boolean predicted = compression != 1 && compression != 32773 && value(PREDICTOR, 1) == 2;
    if (compression != 1 && compression != 32773 && value(PREDICTOR, 1) > 2) {
      throw unsupported("predictor " + value(PREDICTOR, 1));
    }
    int perPixel = planar ? 1 : samples;
    if (predicted && bits < 8) {
      throw unsupported("a predictor with %d bits".formatted(bits));
    }
    byte[] row = new byte[(int) ((blockWidth * perPixel * bits + 7) / 8)];
    for (int block = 0; block < across * down * planes; block++) {
      int plane = (int) (block / (across * down));
      int inPlane = (int) (block % (across * down));
      int left = (int) (inPlane % across * blockWidth);
      int top = (int) (inPlane / across * blockHeight);
      int start = offset(value(offsets, block, 0));
      long length = compression == 1 ? file.length() - start : value(lengths, block, 0);
      int end = (int) Math.min(file.length(), start + length);
      try (TiffBytes bytes = open(compression, start, end)) {
        for (int y = top; y < Math.min(height, top + blockHeight); y++) {
          file.checkInterrupted();
          bytes.read(row);
          if (predicted) {
            undoPrediction(row, perPixel);
          }
          put(row, left, y, (int) Math.min(blockWidth, width - left), plane);
        }
      }
    }
  }

  private TiffBytes open(int compression, int start, int end) throws ImageException {
    return switch (compression) {
      case 1 -> new TiffBytes.Plain(file, start, end);
      case 5 -> new TiffBytes.Lzw(file, start, end);
      case 8, 32946 -> new TiffBytes.Deflate(file, start, end);
      case 32773 -> new TiffBytes.PackBits(file, start, end);
      case 2, 3, 4 -> throw unsupported("fax compression");
      case 6, 7 -> throw unsupported("JPEG compression");
      default -> throw unsupported("compression " + compression);
    };
  }

  /** Samples are differences from those of the previous pixel. */
  private void undoPrediction(byte[] row, int perPixel) {
    if (bits == 8) {
      for (int i = perPixel; i < row.length; i++) {
        row[i] += row[i - perPixel];
      }
      return;
    }
    int low = bigEndian ? 1 : 0;
    int high = 1 - low;
    for (int i = 2 * perPixel; i + 1 < row.length; i += 2) {
      int before = i - 2 * perPixel;
      int sum = (row[i + low] & 0xff) + (row[before + low] & 0xff);
      row[i + low] = (byte) sum;
      row[i + high] += (byte) (row[before + high] + (sum >> 8));
    }
  }

  /** Writes a row of a block, or of one plane of it. */
  private void put(byte[] row, int left, int y, int columns, int plane) {
    int to = (y * width + left) * 3;
    if (planar) {
      for (int x = 0; x < columns && plane < 3; x++) {
        rgb[to + 3 * x + plane] = row[x];
      }
    } else if (photometric == CMYK) {
      for (int x = 0; x < columns; x++) {
        int light = 255 - (row[4 * x + 3] & 0xff);
        for (int i = 0; i < 3; i++) {
          int product = (row[4 * x + i] & 0xff) * light + 128;
          int ink = ((product >> 8) + product) >> 8; // Pillow's product of two fractions of 255
          rgb[to + 3 * x + i] = (byte) Math.max(0, light - ink);
        }
      }
    } else if (photometric == RGB) {
      int size = bits / 8;
      int high = bits == 16 && !bigEndian ? 1 : 0;
      for (int x = 0; x < columns; x++) {
        for (int i = 0; i < 3; i++) {
          rgb[to + 3 * x + i] = row[(x * samples + i) * size + high];
        }
      }
    } else if (bits == 16) {
      int high = bigEndian ? 0 : 1;
      for (int x = 0; x < columns; x++) {
        byte gray = row[2 * x + high] == 0 ? row[2 * x + 1 - high] : (byte) 255;
        Arrays.fill(rgb, to + 3 * x, to + 3 * x + 3, gray);
      }
    } else {
      int mask = (1 << bits) - 1;
      for (int x = 0; x < columns; x++) {
        int bit = x * samples * bits;
        int shift = 8 - bits - (bit & 7);
        int value = (row[bit >> 3] & 0xff) >> shift & mask;
        System.arraycopy(colors, 3 * value, rgb, to + 3 * x, 3);
      }
    }
  }
}
