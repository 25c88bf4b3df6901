package io.github.resnet4j.image;

import java.util.Arrays;

/**
 * Pillow's {@code Image.resize} for 8-bit pixels, bit for bit: two passes, each rounded to 8 bits,
 * with weights in 22-bit fixed point. Only the requested window is computed.
 *
 * <p>The horizontal pass is first, unless the height shrinks by more than twice as much as the
 * width, as in Pillow 13. For such tall images versions that always start horizontally differ by at
 * most small steps.
 */
final class Resize {
  private static final int PRECISION_BITS = 32 - 8 - 2;
  private static final int HALF = 1 << (PRECISION_BITS - 1);

  private Resize() {}

  /**
   * The filter along one axis: for each output index the first source index, the number of source
   * pixels, and their weights.
   */
  private record Filter(int[] first, int[] count, int[] weights, int stride) {
    static Filter of(Interpolation interpolation, int in, int out, int from, int size) {
      if (in == out) {
        return identity(from, size);
      }
      double scale = (double) in / out;
      double filterScale = Math.max(scale, 1);
      double support = interpolation.support * filterScale;
      int stride = (int) Math.ceil(support) * 2 + 1;
      int[] first = new int[size];
      int[] count = new int[size];
      int[] weights = new int[size * stride];
      double[] exact = new double[stride];
      for (int i = 0; i < size; i++) {
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

    /** Each output is its source; fixed-point arithmetic then changes nothing. */
    private static Filter identity(int from, int size) {
      int[] first = new int[size];
      int[] ones = new int[size];
      int[] weights = new int[size];
      Arrays.setAll(first, i -> from + i);
      Arrays.fill(ones, 1);
      Arrays.fill(weights, 1 << PRECISION_BITS);
      return new Filter(first, ones, weights, 1);
    }

    int size() {
      return first.length;
    }

    /** The first source index that is needed. */
    int low() {
      return Arrays.stream(first).min().orElseThrow();
    }

    /** The index after the last source index that is needed. */
    int high() {
      int high = 0;
      for (int i = 0; i < first.length; i++) {
        high = Math.max(high, first[i] + count[i]);
      }
      return high;
    }
  }

  /** Resizes an image to {@code width × height} and returns its window at {@code (left, top)}. */
  static Pixels window(
      Pixels source,
      int width,
      int height,
      Interpolation interpolation,
      int left,
      int top,
      int windowWidth,
      int windowHeight) {
    Filter columns = Filter.of(interpolation, source.width(), width, left, windowWidth);
    Filter rows = Filter.of(interpolation, source.height(), height, top, windowHeight);
    int narrower = source.width() - width;
    int lower = source.height() - height;
    if (lower > 0 && lower > 2 * narrower) {
      int from = columns.low();
      Pixels low = vertical(source, rows, 0, from, columns.high());
      return horizontal(low, columns, from, 0, windowHeight);
    }
    int from = rows.low();
    Pixels narrow = horizontal(source, columns, 0, from, rows.high());
    return vertical(narrow, rows, from, 0, windowWidth);
  }

  /**
   * Filters the rows {@code [from, to)} horizontally.
   *
   * @param origin the filter's index of the source's first column
   */
  private static Pixels horizontal(Pixels source, Filter columns, int origin, int from, int to) {
    int channels = source.channels();
    byte[] in = source.data();
    byte[] out = new byte[(to - from) * columns.size() * channels];
    int at = 0;
    for (int y = from; y < to; y++) {
      for (int x = 0; x < columns.size(); x++) {
        int count = columns.count[x];
        int weight = x * columns.stride;
        int pixel = (y * source.width() + columns.first[x] - origin) * channels;
        if (channels == 3) {
          int r = HALF;
          int g = HALF;
          int b = HALF;
          for (int k = 0; k < count; k++, pixel += 3) {
            int w = columns.weights[weight + k];
            r += (in[pixel] & 0xff) * w;
            g += (in[pixel + 1] & 0xff) * w;
            b += (in[pixel + 2] & 0xff) * w;
          }
          out[at++] = clip(r);
          out[at++] = clip(g);
          out[at++] = clip(b);
        } else {
          int sum = HALF;
          for (int k = 0; k < count; k++) {
            sum += (in[pixel + k] & 0xff) * columns.weights[weight + k];
          }
          out[at++] = clip(sum);
        }
      }
    }
    return new Pixels(columns.size(), to - from, channels, out);
  }

  /**
   * Filters the columns {@code [from, to)} vertically.
   *
   * @param origin the filter's index of the source's first row
   */
  private static Pixels vertical(Pixels source, Filter rows, int origin, int from, int to) {
    int channels = source.channels();
    byte[] in = source.data();
    int length = (to - from) * channels;
    byte[] out = new byte[rows.size() * length];
    int[] sums = new int[length];
    for (int y = 0; y < rows.size(); y++) {
      Arrays.fill(sums, HALF);
      for (int k = 0; k < rows.count[y]; k++) {
        int weight = rows.weights[y * rows.stride + k];
        int row = ((rows.first[y] + k - origin) * source.width() + from) * channels;
        for (int x = 0; x < length; x++) {
          sums[x] += (in[row + x] & 0xff) * weight;
        }
      }
      for (int x = 0; x < length; x++) {
        out[y * length + x] = clip(sums[x]);
      }
    }
    return new Pixels(to - from, rows.size(), channels, out);
  }

  private static byte clip(int fixedPoint) {
    return (byte) Math.clamp(fixedPoint >> PRECISION_BITS, 0, 255);
  }
}
