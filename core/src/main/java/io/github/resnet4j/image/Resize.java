package io.github.resnet4j.image;

/**
 * Pillow's {@code Image.resize} on 8-bit pixels, bit for bit: a horizontal pass, rounded to 8 bits,
 * then a vertical one, with weights in 22-bit fixed point. Only the window that is asked for is
 * computed.
 */
final class Resize {
  private static final int PRECISION_BITS = 32 - 8 - 2;

  private Resize() {}

  /** For each output index: the first source index, how many, and their weights. */
  private record Filter(int[] first, int[] count, int[] weights, int stride) {
    static Filter of(Interpolation interpolation, int in, int out, int from, int to) {
      double scale = (double) in / out;
      double filterScale = Math.max(scale, 1);
      double support = interpolation.support * filterScale;
      int stride = (int) Math.ceil(support) * 2 + 1;
      int[] first = new int[to - from];
      int[] count = new int[to - from];
      int[] weights = new int[(to - from) * stride];
      double[] exact = new double[stride];
      for (int i = 0; i < to - from; i++) {
        double center = (from + i + 0.5) * scale;
        int low = Math.max(0, (int) (center - support + 0.5));
        int high = Math.min(in, (int) (center + support + 0.5));
        double sum = 0;
        for (int x = low; x < high; x++) {
          exact[x - low] = interpolation.weight((x - center + 0.5) * (1 / filterScale));
          sum += exact[x - low];
        }
        for (int x = 0; x < high - low; x++) {
          double weight = (sum == 0 ? exact[x] : exact[x] / sum) * (1 << PRECISION_BITS);
          weights[i * stride + x] = (int) (weight < 0 ? weight - 0.5 : weight + 0.5);
        }
        first[i] = low;
        count[i] = high - low;
      }
      return new Filter(first, count, weights, stride);
    }
  }

  /**
   * Resizes a picture to {@code width × height} and returns the window of it that begins at {@code
   * (left, top)}.
   */
  static Pixels window(
      Pixels source,
      int width,
      int height,
      Interpolation interpolation,
      int left,
      int top,
      int windowWidth,
      int windowHeight) {
    int channels = source.channels();
    byte[] in = source.data();
    int inWidth = source.width();
    Filter vertical =
        Filter.of(interpolation, source.height(), height, top, top + windowHeight);
    int firstRow = vertical.first[0];
    int lastRow = vertical.first[windowHeight - 1] + vertical.count[windowHeight - 1];
    for (int i = 0; i < windowHeight; i++) { // a filter's ends may round down
      firstRow = Math.min(firstRow, vertical.first[i]);
      lastRow = Math.max(lastRow, vertical.first[i] + vertical.count[i]);
    }

    int rowBytes = windowWidth * channels;
    byte[] rows = new byte[(lastRow - firstRow) * rowBytes];
    if (width == inWidth) {
      for (int y = firstRow; y < lastRow; y++) {
        System.arraycopy(
            in, (y * inWidth + left) * channels, rows, (y - firstRow) * rowBytes, rowBytes);
      }
    } else {
      Filter horizontal = Filter.of(interpolation, inWidth, width, left, left + windowWidth);
      for (int y = firstRow; y < lastRow; y++) {
        horizontalPass(
            in, y * inWidth * channels, horizontal, channels, rows, (y - firstRow) * rowBytes);
      }
    }

    if (height == source.height()) {
      return new Pixels(windowWidth, windowHeight, channels, rows);
    }
    byte[] out = new byte[windowHeight * rowBytes];
    int[] sums = new int[rowBytes];
    for (int y = 0; y < windowHeight; y++) {
      java.util.Arrays.fill(sums, 1 << (PRECISION_BITS - 1));
      for (int k = 0; k < vertical.count[y]; k++) {
        int weight = vertical.weights[y * vertical.stride + k];
        int row = (vertical.first[y] + k - firstRow) * rowBytes;
        for (int x = 0; x < rowBytes; x++) {
          sums[x] += (rows[row + x] & 0xff) * weight;
        }
      }
      for (int x = 0; x < rowBytes; x++) {
        out[y * rowBytes + x] = clip(sums[x]);
      }
    }
    return new Pixels(windowWidth, windowHeight, channels, out);
  }

  private static void horizontalPass(
      byte[] in, int row, Filter filter, int channels, byte[] out, int to) {
    int width = filter.first.length;
    for (int x = 0; x < width; x++) {
      int count = filter.count[x];
      int weight = x * filter.stride;
      int at = row + filter.first[x] * channels;
      if (channels == 3) {
        int r = 1 << (PRECISION_BITS - 1);
        int g = r;
        int b = r;
        for (int k = 0; k < count; k++, at += 3) {
          int w = filter.weights[weight + k];
          r += (in[at] & 0xff) * w;
          g += (in[at + 1] & 0xff) * w;
          b += (in[at + 2] & 0xff) * w;
        }
        out[to++] = clip(r);
        out[to++] = clip(g);
        out[to++] = clip(b);
      } else {
        int sum = 1 << (PRECISION_BITS - 1);
        for (int k = 0; k < count; k++) {
          sum += (in[at + k] & 0xff) * filter.weights[weight + k];
        }
        out[to++] = clip(sum);
      }
    }
  }

  private static byte clip(int fixedPoint) {
    return (byte) Math.clamp(fixedPoint >> PRECISION_BITS, 0, 255);
  }
}
