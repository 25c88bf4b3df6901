package io.github.resnet4j.image;

import java.util.Arrays;
import java.util.function.IntUnaryOperator;

/**
 * Geometric and color operations of augmentation, pixel for pixel equal to torchvision's functions
 * of these names on Pillow's images. Pixels from beyond the border are black.
 */
public enum Adjustment {
  /** Returns the image unchanged. */
  IDENTITY {
    @Override
    Pixels apply(Pixels in, double strength) {
      return in;
    }
  },
  /** Shifts each row relative to the previous one, by {@code strength} pixels. */
  SHEAR_X {
    @Override
    Pixels apply(Pixels in, double strength) {
      return affine(in, 1, strength, 0, 0, 1, 0);
    }
  },
  /** Shifts each column relative to the previous one. */
  SHEAR_Y {
    @Override
    Pixels apply(Pixels in, double strength) {
      return affine(in, 1, 0, 0, strength, 1, 0);
    }
  },
  /** Moves the image to the right, by whole pixels. */
  TRANSLATE_X {
    @Override
    Pixels apply(Pixels in, double strength) {
      return in.window(-(int) strength, 0, in.width(), in.height());
    }
  },
  /** Moves the image down, by whole pixels. */
  TRANSLATE_Y {
    @Override
    Pixels apply(Pixels in, double strength) {
      return in.window(0, -(int) strength, in.width(), in.height());
    }
  },
  /** Rotates the image about its center, counter-clockwise, in degrees. */
  ROTATE {
    @Override
    Pixels apply(Pixels in, double strength) {
      if (strength % 360 == 0) {
        return in;
      }
      double angle = -Math.toRadians((strength % 360 + 360) % 360);
      double cos = rounded(Math.cos(angle));
      double sin = rounded(Math.sin(angle));
      double x = in.width() / 2.0;
      double y = in.height() / 2.0;
      return affine(in, cos, sin, cos * -x + sin * -y + x, -sin, cos, -sin * -x + cos * -y + y);
    }
  },
  /** Blends the image with black; −1 is black, 0 unchanged, 1 twice as bright. */
  BRIGHTNESS {
    @Override
    Pixels apply(Pixels in, double strength) {
      return blend(new byte[in.data().length], in, strength);
    }
  },
  /** Blends the image with its gray version; −1 is gray. */
  SATURATION {
    @Override
    Pixels apply(Pixels in, double strength) {
      byte[] gray = in.toGray().data();
      byte[] wide = new byte[in.data().length];
      for (int i = 0; i < wide.length; i++) {
        wide[i] = gray[i / in.channels()];
      }
      return blend(wide, in, strength);
    }
  },
  /** Blends the image with the mean of its gray version; −1 is a uniform gray. */
  CONTRAST {
    @Override
    Pixels apply(Pixels in, double strength) {
      byte[] gray = in.toGray().data();
      long sum = 0;
      for (byte value : gray) {
        sum += value & 0xff;
      }
      byte[] plain = new byte[in.data().length];
      Arrays.fill(plain, (byte) (int) ((double) sum / gray.length + 0.5));
      return blend(plain, in, strength);
    }
  },
  /** Blends the image with a smoothed version; −1 is smooth. */
  SHARPNESS {
    @Override
    Pixels apply(Pixels in, double strength) {
      return blend(smooth(in), in, strength);
    }
  },
  /** Keeps only this number of each value's upper bits. */
  POSTERIZE {
    @Override
    Pixels apply(Pixels in, double strength) {
      int mask = -(1 << (8 - (int) strength));
      return mapped(in, value -> value & mask);
    }
  },
  /** Inverts values from this one on. */
  SOLARIZE {
    @Override
    Pixels apply(Pixels in, double strength) {
      return mapped(in, value -> value < strength ? value : 255 - value);
    }
  },
  /** Stretches the values of each channel to the whole range. */
  AUTOCONTRAST {
    @Override
    Pixels apply(Pixels in, double strength) {
      return byChannel(in, Adjustment::stretched);
    }
  },
  /** Equalizes the histogram of each channel. */
  EQUALIZE {
    @Override
    Pixels apply(Pixels in, double strength) {
      return byChannel(in, Adjustment::equalized);
    }
  };

  private static final int FIXED = 16;

  /**
   * Returns the adjusted image.
   *
   * @param strength in the adjustment's own unit; ignored if it has none
   */
  abstract Pixels apply(Pixels in, double strength);

  private interface Table {
    /** Maps each value, from the histogram of a channel. */
    int[] of(int[] histogram);
  }

  private static double rounded(double value) { // as in Pillow, so that 90 degrees is exact
    return Math.rint(value * 1e15) / 1e15;
  }

  /**
   * The nearest pixel to {@code (a x + b y + c, d x + e y + f)}, in Pillow's fixed-point numbers
   * with 16 fraction bits.
   */
  private static Pixels affine(
      Pixels in, double a, double b, double c, double d, double e, double f) {
    int channels = in.channels();
    byte[] out = new byte[in.data().length];
    int fromX = fixed(c + a * 0.5 + b * 0.5);
    int fromY = fixed(f + d * 0.5 + e * 0.5);
    for (int y = 0; y < in.height(); y++) {
      int atX = fromX + y * fixed(b);
      int atY = fromY + y * fixed(e);
      for (int x = 0; x < in.width(); x++) {
        int column = atX >> FIXED;
        int row = atY >> FIXED;
        if (column >= 0 && column < in.width() && row >= 0 && row < in.height()) {
          System.arraycopy(
              in.data(),
              (row * in.width() + column) * channels,
              out,
              (y * in.width() + x) * channels,
              channels);
        }
        atX += fixed(a);
        atY += fixed(d);
      }
    }
    return new Pixels(in.width(), in.height(), channels, out);
  }

  private static int fixed(double value) {
    return (int) Math.floor(value * (1 << FIXED) + 0.5);
  }

  private static Pixels blend(byte[] from, Pixels to, double strength) {
    float part = (float) (1 + strength);
    byte[] out = new byte[from.length];
    for (int i = 0; i < out.length; i++) {
      int a = from[i] & 0xff;
      int b = to.data()[i] & 0xff;
      out[i] = (byte) (int) Math.clamp(a + part * (b - a), 0f, 255f);
    }
    return new Pixels(to.width(), to.height(), to.channels(), out);
  }

  /**
   * The weighted mean of the 3×3 neighborhood, with weight 5 in the center; border pixels are
   * unchanged.
   */
  private static byte[] smooth(Pixels in) {
    byte[] out = in.data().clone();
    int channels = in.channels();
    int row = in.width() * channels;
    for (int y = 1; y < in.height() - 1; y++) {
      for (int i = y * row + channels; i < (y + 1) * row - channels; i++) {
        int sum = 4 * (in.data()[i] & 0xff);
        for (int at = i - row; at <= i + row; at += row) {
          sum += in.data()[at - channels] & 0xff;
          sum += in.data()[at] & 0xff;
          sum += in.data()[at + channels] & 0xff;
        }
        out[i] = (byte) (int) (sum / 13f + 0.5f);
      }
    }
    return out;
  }

  private static Pixels mapped(Pixels in, IntUnaryOperator map) {
    byte[] out = new byte[in.data().length];
    for (int i = 0; i < out.length; i++) {
      out[i] = (byte) map.applyAsInt(in.data()[i] & 0xff);
    }
    return new Pixels(in.width(), in.height(), in.channels(), out);
  }

  private static Pixels byChannel(Pixels in, Table table) {
    int channels = in.channels();
    byte[] out = new byte[in.data().length];
    for (int c = 0; c < channels; c++) {
      int[] histogram = new int[256];
      for (int i = c; i < out.length; i += channels) {
        histogram[in.data()[i] & 0xff]++;
      }
      int[] to = table.of(histogram);
      for (int i = c; i < out.length; i += channels) {
        out[i] = (byte) to[in.data()[i] & 0xff];
      }
    }
    return new Pixels(in.width(), in.height(), channels, out);
  }

  private static int[] stretched(int[] histogram) {
    int low = 0;
    while (histogram[low] == 0) {
      low++;
    }
    int high = 255;
    while (histogram[high] == 0) {
      high--;
    }
    int[] to = new int[256];
    double scale = high > low ? 255.0 / (high - low) : 1;
    double offset = high > low ? -low * scale : 0;
    for (int i = 0; i < to.length; i++) {
      to[i] = Math.clamp((int) (i * scale + offset), 0, 255);
    }
    return to;
  }

  private static int[] equalized(int[] histogram) {
    int last = 255;
    while (histogram[last] == 0) {
      last--;
    }
    int step = (Arrays.stream(histogram).sum() - histogram[last]) / 255;
    int[] to = new int[256];
    int before = step / 2;
    for (int i = 0; i < to.length; i++) {
      to[i] = step == 0 ? i : Math.min(255, before / step);
      before += histogram[i];
    }
    return to;
  }
}
