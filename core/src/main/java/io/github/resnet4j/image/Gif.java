package io.github.resnet4j.image;

import java.util.Arrays;

/**
 * Decodes the first frame of a GIF to Pillow's RGB: on a screen that is enlarged if the frame
 * extends beyond it, with the transparent color or color 0 around the frame.
 */
final class Gif {
  private static final int HEADER = 13;
  private static final int EXTENSION = '!';
  private static final int FRAME = ',';
  private static final int TRAILER = ';';
  private static final int GRAPHIC_CONTROL = 0xf9;
  private static final int COMMENT = 0xfe;
  private static final int APPLICATION = 0xff;
  private static final int COLOR_TABLE = 0x80;
  private static final int INTERLACED = 0x40;
  private static final int TABLE = 4096;
  private static final int MAX_CODE_BITS = 12;

  private final EncodedImage file;
  private int at = HEADER;
  private int transparent = -1;

  private Gif(EncodedImage file) {
    this.file = file;
  }

  static Pixels decode(EncodedImage file) throws ImageException {
    return new Gif(file).decode();
  }

  private Pixels decode() throws ImageException {
    byte[] global = gray();
    int flags = file.u8(10);
    if ((flags & COLOR_TABLE) != 0) {
      global = colorTable(flags);
    }
    findFrame();
    int left = file.u16LittleEndian(at);
    int top = file.u16LittleEndian(at + 2);
    int frameWidth = file.u16LittleEndian(at + 4);
    int frameHeight = file.u16LittleEndian(at + 6);
    int width = Math.max(file.u16LittleEndian(6), left + frameWidth);
    int height = Math.max(file.u16LittleEndian(8), top + frameHeight);
    file.checkSize(width, height);
    int frameFlags = file.u8(at + 8);
    at += 9;
    byte[] colors = global;
    if ((frameFlags & COLOR_TABLE) != 0) {
      colors = colorTable(frameFlags);
      // If a table maps each index to its gray value, Pillow ignores it and uses its default.
      colors = isGray(colors) ? global : colors;
    }
    byte[] screen = new byte[width * height];
    if (transparent >= 0) {
      Arrays.fill(screen, (byte) transparent);
    }
    if (frameWidth == 0 || frameHeight == 0) {
      throw file.damaged("its first frame has no pixels");
    }
    var rows = new Rows(screen, width, left, top, frameWidth, frameHeight);
    rows.pass = (frameFlags & INTERLACED) != 0 ? 0 : -1;
    decompress(rows);
    return new Pixels(width, height, 3, toRgb(screen, colors));
  }

  /** The gray ramp that is used without a color table. */
  private static byte[] gray() {
    byte[] gray = new byte[3 << 8];
    for (int i = 0; i < gray.length; i++) {
      gray[i] = (byte) (i / 3);
    }
    return gray;
  }

  /** The table at the current offset; indices beyond it are black. */
  private byte[] colorTable(int flags) throws ImageException {
    int length = 3 << ((flags & 7) + 1);
    file.require(at, length);
    byte[] table = Arrays.copyOfRange(file.bytes(), at, at + length);
    at += length;
    return isGray(table) ? gray() : Arrays.copyOf(table, 3 << 8);
  }

  private static boolean isGray(byte[] table) {
    for (int i = 0; i < table.length; i++) {
      if (table[i] != (byte) (i / 3)) {
        return false;
      }
    }
    return true;
  }

  /** Skips to the first frame's descriptor. */
  private void findFrame() throws ImageException {
    while (true) {
      file.checkInterrupted();
      int block = file.u8(at++);
      if (block == FRAME) {
        return;
      }
      if (block == TRAILER) {
        throw file.error("has no frame");
      }
      if (block != EXTENSION) {
        continue; // unknown blocks are skipped, as in Pillow
      }
      int label = file.u8(at++);
      int start = at;
      boolean content = skipSubBlock();
      if (label == GRAPHIC_CONTROL && content) {
        if (at - start < 4) {
          throw file.damaged("its graphic control is too short");
        }
        if ((file.u8(start + 1) & 1) != 0) {
          transparent = file.u8(start + 4);
        }
      } else if (label == COMMENT && !content) {
        continue;
      } else if (label == APPLICATION && content && isLoop(start)) {
        skipSubBlock();
      }
      while (skipSubBlock()) {}
    }
  }

  private boolean isLoop(int start) throws ImageException {
    return file.u8(start) >= 11
        && file.tag(start + 1).equals("NETS")
        && file.tag(start + 5).equals("CAPE")
        && file.tag(start + 8).equals("E2.0");
  }

  /** Returns whether it had content; an empty sub-block ends a sequence. */
  private boolean skipSubBlock() throws ImageException {
    int length = file.u8(at);
    at += 1 + length;
    return length > 0;
  }

  /** The position of the next index: rows from top to bottom, or in four passes. */
  private static final class Rows {
    private static final int[] START = {0, 4, 2, 1};
    private static final int[] STEP = {8, 8, 4, 2};

    private final byte[] screen;
    private final int width;
    private final int left;
    private final int top;
    private final int columns;
    private final int rows;

    /** −1 if rows are not interlaced. */
    private int pass = -1;

    private int x;
    private int y;

    Rows(byte[] screen, int width, int left, int top, int columns, int rows) {
      this.screen = screen;
      this.width = width;
      this.left = left;
      this.top = top;
      this.columns = columns;
      this.rows = rows;
    }

    /** Returns false if the frame is full. */
    boolean put(byte[] indices, int from, int end) {
      int i = from;
      while (i < end) {
        int count = Math.min(end - i, columns - x);
        System.arraycopy(indices, i, screen, (top + y) * width + left + x, count);
        i += count;
        x += count;
        if (x == columns && !nextRow()) {
          return false;
        }
      }
      return true;
    }

    private boolean nextRow() {
      x = 0;
      if (pass < 0) {
        return ++y < rows;
      }
      y += STEP[pass];
      while (y >= rows) {
        if (++pass == START.length) {
          return false;
        }
        y = START[pass];
      }
      return true;
    }
  }

  /** Reads variable-length codes across the boundaries of the sub-blocks. */
  private final class Codes {
    private int block;
    private int bits;
    private int count;

    int next(int width) throws ImageException {
      while (count < width) {
        if (block == 0) {
          file.checkInterrupted();
          block = file.u8(at++); // 0 ends the data, which Pillow ignores
          file.require(at, block);
          continue;
        }
        bits |= (file.bytes()[at++] & 0xff) << count;
        count += 8;
        block--;
      }
      int code = bits & ((1 << width) - 1);
      bits >>>= width;
      count -= width;
      return code;
    }
  }

  /** LZW with Pillow's leniency: it ends when the frame is full, not at the end code. */
  private void decompress(Rows rows) throws ImageException {
    int minBits = file.u8(at++);
    if (minBits > MAX_CODE_BITS) {
      throw file.damaged("its codes start with %d bits".formatted(minBits));
    }
    int clear = 1 << minBits;
    int[] prefix = new int[TABLE];
    byte[] suffix = new byte[TABLE];
    byte[] string = new byte[TABLE + 1]; // filled from its end
    int next = clear + 2;
    int width = minBits + 1;
    int last = -1;
    byte first = 0;
    var codes = new Codes();
    while (true) {
      int code = codes.next(width);
      if (code == clear) {
        next = clear + 2;
        width = minBits + 1;
        last = -1;
        continue;
      }
      if (code == clear + 1) {
        throw file.error("is truncated: its data ends before its first frame does");
      }
      int from = string.length;
      if (last < 0) {
        if (code > clear) {
          throw file.damaged("a code that does not exist");
        }
        first = (byte) code;
        string[--from] = first;
      } else {
        if (code > next) {
          throw file.damaged("a code that does not exist");
        }
        int part = code;
        if (code == next) {
          string[--from] = first;
          part = last;
        }
        while (part >= clear) {
          if (from == 1 || part >= TABLE) {
            throw file.damaged("a code that does not exist");
          }
          string[--from] = suffix[part];
          part = prefix[part];
        }
        first = (byte) part;
        string[--from] = first;
        if (next < TABLE) {
          suffix[next] = first;
          prefix[next] = last;
          if (next == (1 << width) - 1 && width < MAX_CODE_BITS) {
            width++;
          }
          next++;
        }
      }
      last = code;
      if (!rows.put(string, from, string.length)) {
        return;
      }
    }
  }

  private static byte[] toRgb(byte[] indices, byte[] colors) {
    byte[] rgb = new byte[indices.length * 3];
    for (int i = 0, to = 0; i < indices.length; i++, to += 3) {
      int color = 3 * (indices[i] & 0xff);
      rgb[to] = colors[color];
      rgb[to + 1] = colors[color + 1];
      rgb[to + 2] = colors[color + 2];
    }
    return rgb;
  }
}
