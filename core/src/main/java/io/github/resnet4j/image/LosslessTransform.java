package io.github.resnet4j.image;

/** A transform of a lossless WebP, which the decoder undoes. */
sealed interface LosslessTransform {
  /** The width of the transformed image. */
  int codedWidth();

  /** Returns the original pixels; may be the same array. */
  int[] undo(int[] argb, int height);

  /** Channel by channel, modulo 256. */
  static int sum(int a, int b) {
    int alphaGreen = (a & 0xff00ff00) + (b & 0xff00ff00);
    int redBlue = (a & 0x00ff00ff) + (b & 0x00ff00ff);
    return alphaGreen & 0xff00ff00 | redBlue & 0x00ff00ff;
  }

  /** Pixels are differences from a prediction; each block has a prediction mode. */
  record Prediction(int width, int bits, int[] modes) implements LosslessTransform {
    private static final int BLACK = 0xff000000;

    @Override
    public int codedWidth() {
      return width;
    }

    @Override
    public int[] undo(int[] argb, int height) {
      int blocks = (width + (1 << bits) - 1) >> bits;
      argb[0] = sum(argb[0], BLACK);
      for (int x = 1; x < width; x++) {
        argb[x] = sum(argb[x], argb[x - 1]);
      }
      for (int y = 1; y < height; y++) {
        int row = y * width;
        argb[row] = sum(argb[row], argb[row - width]);
        for (int x = 1; x < width; x++) {
          int mode = modes[(y >> bits) * blocks + (x >> bits)] >> 8 & 15;
          argb[row + x] = sum(argb[row + x], predict(mode, argb, row + x, width));
        }
      }
      return argb;
    }

    private static int predict(int mode, int[] argb, int at, int width) {
      int left = argb[at - 1];
      int above = argb[at - width];
      int aboveRight = argb[at - width + 1]; // at the right border the first of this row
      int corner = argb[at - width - 1];
      return switch (mode) {
        case 1 -> left;
        case 2 -> above;
        case 3 -> aboveRight;
        case 4 -> corner;
        case 5 -> mean(mean(left, aboveRight), above);
        case 6 -> mean(left, corner);
        case 7 -> mean(left, above);
        case 8 -> mean(corner, above);
        case 9 -> mean(above, aboveRight);
        case 10 -> mean(mean(left, corner), mean(above, aboveRight));
        case 11 -> distance(left, corner) <= distance(above, corner) ? above : left;
        case 12 -> gradient(left, above, corner, 1);
        case 13 -> {
          int mean = mean(left, above);
          yield gradient(mean, mean, corner, 2);
        }
        default -> BLACK;
      };
    }

    private static int mean(int a, int b) {
      return (((a ^ b) & 0xfefefefe) >>> 1) + (a & b);
    }

    private static int distance(int a, int b) {
      int sum = 0;
      for (int shift = 0; shift < 32; shift += 8) {
        sum += Math.abs((a >>> shift & 0xff) - (b >>> shift & 0xff));
      }
      return sum;
    }

    /** The first value plus a fraction of the difference of the others, channel by channel. */
    private static int gradient(int a, int b, int c, int divisor) {
      int result = 0;
      for (int shift = 0; shift < 32; shift += 8) {
        int difference = (b >>> shift & 0xff) - (c >>> shift & 0xff);
        int value = (a >>> shift & 0xff) + difference / divisor;
        result |= Math.clamp(value, 0, 255) << shift;
      }
      return result;
    }
  }

  /** Red and blue are differences from multiples of green and red, for each block. */
  record ColorTransform(int width, int bits, int[] factors) implements LosslessTransform {
    @Override
    public int codedWidth() {
      return width;
    }

    @Override
    public int[] undo(int[] argb, int height) {
      int blocks = (width + (1 << bits) - 1) >> bits;
      for (int y = 0; y < height; y++) {
        for (int x = 0; x < width; x++) {
          int factor = factors[(y >> bits) * blocks + (x >> bits)];
          int pixel = argb[y * width + x];
          byte green = (byte) (pixel >> 8);
          int red = (pixel >> 16) + product(factor, green) & 0xff;
          int blue = pixel + product(factor >> 8, green) + product(factor >> 16, red) & 0xff;
          argb[y * width + x] = pixel & 0xff00ff00 | red << 16 | blue;
        }
      }
      return argb;
    }

    private static int product(int factor, int color) {
      return (byte) factor * (byte) color >> 5;
    }
  }

  /** Red and blue are differences from green. */
  record SubtractedGreen(int width) implements LosslessTransform {
    @Override
    public int codedWidth() {
      return width;
    }

    @Override
    public int[] undo(int[] argb, int height) {
      for (int i = 0; i < width * height; i++) {
        int green = argb[i] >> 8 & 0xff;
        argb[i] = sum(argb[i], green << 16 | green);
      }
      return argb;
    }
  }

  /** Green is an index of colors; if there are few colors, two to eight indices share a pixel. */
  record Palette(int width, int bits, int[] colors) implements LosslessTransform {
    @Override
    public int codedWidth() {
      return (width + (1 << bits) - 1) >> bits;
    }

    @Override
    public int[] undo(int[] argb, int height) {
      int[] whole = bits == 0 ? argb : new int[width * height];
      int size = 8 >> bits;
      int mask = (1 << size) - 1;
      for (int y = 0; y < height; y++) {
        for (int x = 0; x < width; x++) {
          int packed = argb[y * codedWidth() + (x >> bits)] >> 8 & 0xff;
          int index = packed >> ((x & ((1 << bits) - 1)) * size) & mask;
          whole[y * width + x] = colors[index];
        }
      }
      return whole;
    }
  }
}
