package io.github.resnet4j.image;

/**
 * Converts luma and chroma of half the size to RGB, with libwebp's integer arithmetic: a chroma
 * sample between four has the weights 9, 3, 3 and 1.
 */
final class Vp8Colors {
  private Vp8Colors() {}

  static byte[] toRgb(EncodedImage file, Plane luma, Plane u, Plane v, int width, int height)
      throws ImageException {
    byte[] rgb = new byte[width * height * 3];
    int chromaWidth = (width + 1) / 2;
    int chromaHeight = (height + 1) / 2;
    byte[] us = new byte[2 * chromaWidth];
    byte[] vs = new byte[2 * chromaWidth];
    for (int y = 0; y < height; y++) {
      file.checkInterrupted();
      int near = y / 2;
      int far = y % 2 == 0 ? Math.max(0, near - 1) : Math.min(chromaHeight - 1, near + 1);
      upsample(u, near, far, chromaWidth, us);
      upsample(v, near, far, chromaWidth, vs);
      int from = luma.at(0, y);
      for (int x = 0, to = y * width * 3; x < width; x++, to += 3) {
        int light = (luma.data()[from + x] & 0xff) * 19077 >> 8;
        int blue = us[x] & 0xff;
        int red = vs[x] & 0xff;
        rgb[to] = clip(light + (red * 26149 >> 8) - 14234);
        rgb[to + 1] = clip(light - (blue * 6419 >> 8) - (red * 13320 >> 8) + 8708);
        rgb[to + 2] = clip(light + (blue * 33050 >> 8) - 17685);
      }
    }
    return rgb;
  }

  private static byte clip(int value) {
    return (byte) Math.clamp(value >> 6, 0, 255);
  }

  /** A row of a component with full width, between a near and a far row. */
  private static void upsample(Plane plane, int near, int far, int width, byte[] out) {
    byte[] data = plane.data();
    int n = plane.at(0, near);
    int f = plane.at(0, far);
    int last = width - 1;
    out[0] = (byte) ((3 * (data[n] & 0xff) + (data[f] & 0xff) + 2) >> 2);
    for (int x = 0; x < last; x++) {
      int a = data[n + x] & 0xff;
      int b = data[n + x + 1] & 0xff;
      int c = data[f + x] & 0xff;
      int d = data[f + x + 1] & 0xff;
      int sum = a + b + c + d + 8;
      out[2 * x + 1] = (byte) ((((sum + 2 * (b + c)) >> 3) + a) >> 1);
      out[2 * x + 2] = (byte) ((((sum + 2 * (a + d)) >> 3) + b) >> 1);
    }
    out[2 * last + 1] = (byte) ((3 * (data[n + last] & 0xff) + (data[f + last] & 0xff) + 2) >> 2);
  }
}
