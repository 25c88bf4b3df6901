package io.github.resnet4j.image;

/** What ImageIO does not do for a GIF: its first frame may cover only a part of the screen. */
final class Gif {
  private static final int HEADER = 13;
  private static final int EXTENSION = 0x21;
  private static final int GRAPHIC_CONTROL = 0xf9;
  private static final int IMAGE = 0x2c;

  private Gif() {}

  /**
   * Where the first frame lies.
   *
   * @param background the colour index that fills the rest of the screen: the transparent one, or 0
   */
  record Placement(int width, int height, int left, int top, int background) {}

  /** Reads the blocks before the first frame. */
  static Placement placement(byte[] gif) {
    int at = HEADER + colours(gif[10]);
    int background = 0;
    while ((gif[at] & 0xff) == EXTENSION) {
      if ((gif[at + 1] & 0xff) == GRAPHIC_CONTROL && (gif[at + 3] & 1) != 0) {
        background = gif[at + 6] & 0xff;
      }
      at += 2;
      while (gif[at] != 0) { // sub-blocks, each behind its length
        at += 1 + (gif[at] & 0xff);
      }
      at++;
    }
    if ((gif[at] & 0xff) != IMAGE) {
      throw new IllegalArgumentException("no frame where one should begin");
    }
    return new Placement(u16(gif, 6), u16(gif, 8), u16(gif, at + 1), u16(gif, at + 3), background);
  }

  /** Bytes of a colour table, from the flags before it. */
  private static int colours(byte flags) {
    return (flags & 0x80) == 0 ? 0 : 3 << ((flags & 7) + 1);
  }

  private static int u16(byte[] bytes, int at) {
    return (bytes[at] & 0xff) | (bytes[at + 1] & 0xff) << 8;
  }

  /** The frame on its screen, cut where it reaches beyond. */
  static Pixels onScreen(Pixels frame, Placement placement, int backgroundColour) {
    int width = placement.width;
    int height = placement.height;
    if (frame.width() == width && frame.height() == height) {
      return frame;
    }
    byte[] screen = new byte[Math.multiplyExact(width * height, 3)];
    for (int i = 0; i < screen.length; i += 3) {
      screen[i] = (byte) (backgroundColour >> 16);
      screen[i + 1] = (byte) (backgroundColour >> 8);
      screen[i + 2] = (byte) backgroundColour;
    }
    int columns = Math.min(frame.width(), width - placement.left);
    int rows = Math.min(frame.height(), height - placement.top);
    for (int y = 0; y < rows && columns > 0; y++) {
      System.arraycopy(
          frame.data(),
          y * frame.width() * 3,
          screen,
          ((placement.top + y) * width + placement.left) * 3,
          columns * 3);
    }
    return new Pixels(width, height, 3, screen);
  }
}
