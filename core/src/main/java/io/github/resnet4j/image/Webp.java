package io.github.resnet4j.image;

/**
 * Reads WebP's container: a lossy or lossless image, alone, after an extended header, or the first
 * frame of an animation on its canvas, which is black around the frame. Alpha is dropped.
 */
final class Webp {
  private static final int RIFF_HEADER = 12;
  private static final int CHUNK_HEADER = 8;
  private static final int FRAME_HEADER = 16;
  private static final int ANIMATED = 2;

  private final EncodedImage file;
  private int at;

  /** The range of the current chunk's content, and the offset of the next chunk. */
  private int content;

  private int contentEnd;
  private int next;

  private Webp(EncodedImage file) {
    this.file = file;
  }

  static Pixels decode(EncodedImage file) throws ImageException {
    return new Webp(file).decode();
  }

  private Pixels decode() throws ImageException {
    long length = Integer.toUnsignedLong(file.i32LittleEndian(4));
    if (length + 8 > file.length()) {
      throw file.error("is truncated");
    }
    int end = (int) length + 8;
    at = RIFF_HEADER;
    String type = nextChunk(end);
    return switch (type) {
      case "VP8 " -> Vp8.decode(file, content, contentEnd);
      case "VP8L" -> Vp8Lossless.decode(file, content, contentEnd);
      case "VP8X" -> extended(end);
      default -> throw file.damaged("its first chunk is " + type.strip());
    };
  }

  /** Enters the chunk at {@link #at}, which must end before a limit. */
  private String nextChunk(int end) throws ImageException {
    if (at + CHUNK_HEADER > end) {
      throw file.damaged("a chunk is truncated");
    }
    String type = file.tag(at);
    long length = Integer.toUnsignedLong(file.i32LittleEndian(at + 4));
    content = at + CHUNK_HEADER;
    if (length + (length & 1) > end - content) {
      throw file.damaged("the chunk %s is longer than the file".formatted(type.strip()));
    }
    contentEnd = content + (int) length;
    next = contentEnd + (int) (length & 1);
    return type;
  }

  private Pixels extended(int end) throws ImageException {
    if (contentEnd - content < 10) {
      throw file.damaged("its extended header has %d bytes".formatted(contentEnd - content));
    }
    boolean animated = (file.u8(content) & ANIMATED) != 0;
    int width = 1 + u24(content + 4);
    int height = 1 + u24(content + 7);
    file.checkSize(width, height);
    at = next;
    while (at < end) {
      String type = nextChunk(end);
      switch (type) {
        case "VP8 ", "VP8L" -> {
          if (animated) {
            throw file.damaged("an image outside the frames of an animation");
          }
          Pixels image = image(type);
          if (image.width() != width || image.height() != height) {
            throw file.damaged("its image has another size than its canvas");
          }
          return image;
        }
        case "ANMF" -> {
          int frameEnd = next;
          if (animated && contentEnd - content > FRAME_HEADER) {
            int left = 2 * u24(content);
            int top = 2 * u24(content + 3);
            at = content + FRAME_HEADER;
            type = nextChunk(contentEnd);
            if (type.equals("ALPH")) {
              at = next;
              type = nextChunk(frameEnd);
            }
            if (type.startsWith("VP8")) {
              return onCanvas(width, height, left, top, image(type));
            }
          }
          next = frameEnd;
        }
        default -> {}
      }
      at = next;
    }
    throw file.error("has no image");
  }

  private Pixels image(String type) throws ImageException {
    return type.equals("VP8L")
        ? Vp8Lossless.decode(file, content, contentEnd)
        : Vp8.decode(file, content, contentEnd);
  }

  private int u24(int from) throws ImageException {
    return file.u16LittleEndian(from) | file.u8(from + 2) << 16;
  }

  private Pixels onCanvas(int width, int height, int left, int top, Pixels frame)
      throws ImageException {
    if (frame.width() == width && frame.height() == height && left == 0 && top == 0) {
      return frame;
    }
    if (left > width - frame.width() || top > height - frame.height()) {
      throw file.damaged("its first frame is not within its canvas");
    }
    return frame.window(-left, -top, width, height);
  }
}
