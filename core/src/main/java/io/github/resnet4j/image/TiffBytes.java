package io.github.resnet4j.image;

import java.util.zip.DataFormatException;
import java.util.zip.Inflater;

/** The bytes of a strip or tile of a TIFF, decompressed on request. */
sealed interface TiffBytes extends AutoCloseable {
  /** Fills the row with the next bytes. */
  void read(byte[] row) throws ImageException;

  @Override
  default void close() {}

  /** Without compression. */
  final class Plain implements TiffBytes {
    private final EncodedImage file;
    private final int end;
    private int at;

    Plain(EncodedImage file, int start, int end) {
      this.file = file;
      this.at = start;
      this.end = end;
    }

    @Override
    public void read(byte[] row) throws ImageException {
      if (row.length > end - at) {
        throw file.error("is truncated");
      }
      System.arraycopy(file.bytes(), at, row, 0, row.length);
      at += row.length;
    }
  }

  /** A count and a repeated byte, or a count of literal bytes. */
  final class PackBits implements TiffBytes {
    private final EncodedImage file;
    private final int end;
    private int at;
    private int literals;
    private int repeats;

    PackBits(EncodedImage file, int start, int end) {
      this.file = file;
      this.at = start;
      this.end = end;
    }

    @Override
    public void read(byte[] row) throws ImageException {
      byte[] bytes = file.bytes();
      for (int to = 0; to < row.length; ) {
        if (literals == 0 && repeats == 0) {
          byte count = at < end ? bytes[at++] : -128;
          if (count >= 0) {
            literals = count + 1;
          } else if (count > -128) {
            repeats = 1 - count;
          }
        }
        if (at >= end) {
          throw file.error("is truncated");
        }
        if (literals > 0) {
          row[to++] = bytes[at++];
          literals--;
        } else if (repeats > 0) {
          row[to++] = bytes[at];
          repeats--;
          at += repeats == 0 ? 1 : 0;
        }
      }
    }
  }

  /** zlib. */
  final class Deflate implements TiffBytes {
    private final EncodedImage file;
    private final Inflater inflater = new Inflater();

    Deflate(EncodedImage file, int start, int end) {
      this.file = file;
      inflater.setInput(file.bytes(), start, Math.max(0, end - start));
    }

    @Override
    public void read(byte[] row) throws ImageException {
      try {
        for (int have = 0; have < row.length; ) {
          int count = inflater.inflate(row, have, row.length - have);
          if (count == 0) {
            throw file.error("is truncated");
          }
          have += count;
        }
      } catch (DataFormatException e) {
        throw file.damaged("its compressed data: " + e.getMessage());
      }
    }

    @Override
    public void close() {
      inflater.end();
    }
  }

  /** LZW with the highest bit first, whose code length increases one code early. */
  final class Lzw implements TiffBytes {
    private static final int CLEAR = 256;
    private static final int END = 257;
    private static final int TABLE = 4096;

    private final EncodedImage file;
    private final int end;
    private int at;
    private int bits;
    private int count;
    private int width = 9;
    private int next = END + 1;
    private int last = -1;
    private final int[] prefix = new int[TABLE];
    private final byte[] suffix = new byte[TABLE];

    /** The string of the last code, filled from its end. */
    private final byte[] string = new byte[TABLE + 1];

    private int pending = string.length;

    Lzw(EncodedImage file, int start, int end) {
      this.file = file;
      this.at = start;
      this.end = end;
    }

    @Override
    public void read(byte[] row) throws ImageException {
      for (int to = 0; to < row.length; ) {
        if (pending == string.length) {
          nextString();
        }
        int length = Math.min(row.length - to, string.length - pending);
        System.arraycopy(string, pending, row, to, length);
        pending += length;
        to += length;
      }
    }

    private int code() throws ImageException {
      while (count < width) {
        if (at >= end) {
          throw file.error("is truncated");
        }
        bits = bits << 8 | file.bytes()[at++] & 0xff;
        count += 8;
      }
      count -= width;
      return bits >>> count & ((1 << width) - 1);
    }

    private void nextString() throws ImageException {
      int code = code();
      while (code == CLEAR) {
        width = 9;
        next = END + 1;
        last = -1;
        code = code();
      }
      if (code == END) {
        throw file.error("is truncated: its LZW data ends early");
      }
      if (code > next || code == next && last < 0 || last < 0 && code > END) {
        throw file.damaged("an LZW code that does not exist");
      }
      int part = code;
      int from = string.length;
      if (code == next) { // the last string and its own first byte, which is added below
        from--;
        part = last;
      }
      while (part > END) {
        string[--from] = suffix[part];
        part = prefix[part];
      }
      string[--from] = (byte) part;
      if (code == next) {
        string[string.length - 1] = (byte) part;
      }
      if (last >= 0) {
        if (next == TABLE) {
          throw file.damaged("its LZW table is full");
        }
        prefix[next] = last;
        suffix[next] = (byte) part;
        next++;
        if (next >= (1 << width) - 1 && width < 12) {
          width++;
        }
      }
      last = code;
      pending = from;
    }
  }
}
