package io.github.resnet4j.engine.training;

import io.github.resnet4j.engine.graph.Activation;
import io.github.resnet4j.kernel.Format;

/** Gradients of layers without weights: plain loops over one image. */
final class PoolGradients {
  private PoolGradients() {}

  /**
   * Every pixel gets an equal part of the gradient of the mean of all pixels.
   *
   * @param from the index of the mean's gradient for a channel block
   */
  static void spread(float[] arena, int from, Activation to, int image, int b) {
    float factor = 1f / (to.height() * to.width());
    int pixel = to.at(image, b, 0, 0);
    for (int c = 0; c < to.layout().blockChannels(); c++) {
      to.format().put(arena, pixel, c, arena[from + c] * factor);
    }
    for (int y = 0; y < to.height(); y++) {
      for (int x = 0; x < to.width(); x++) {
        System.arraycopy(arena, pixel, arena, to.at(image, b, y, x), to.block());
      }
    }
  }

  /**
   * The option A shortcut: adds the gradient of the old channels to every {@code stride}-th pixel.
   */
  static void addSubsampled(float[] arena, int stride, Activation g, Activation to, int image) {
    int before = (g.channels() - to.channels()) / 2;
    int block = g.layout().blockChannels();
    int perWord = g.format().perWord();
    int c = 0;
    while (c < to.channels()) { // channels that are contiguous in both are added together
      int length = Math.min(to.channels() - c, block - Math.max(c % block, (c + before) % block));
      for (int y = 0; y < g.height(); y++) {
        int from = g.word(image, c + before) + g.layout().pixel(y, 0);
        int at = to.word(image, c) + to.layout().pixel(y * stride, 0);
        for (int x = 0; x < g.width(); x++) {
          int pixel = at + x * stride * to.block();
          int shortcut = from + x * g.block();
          if (g.format() == Format.BF16) {
            addHalves(arena, pixel, c % perWord, shortcut, (c + before) % perWord, length);
          } else {
            add(arena, pixel, shortcut, length);
          }
        }
      }
      c += length;
    }
  }

  private static void add(float[] arena, int to, int from, int count) {
    for (int k = 0; k < count; k++) {
      arena[to + k] += arena[from + k];
    }
  }

  /**
   * The same with pairs of bfloat16.
   *
   * @param first the position of the first channel in its word
   * @param other the same for the summand
   */
  private static void addHalves(float[] arena, int to, int first, int from, int other, int count) {
    if (first + other + count % 2 == 0) {
      for (int k = 0; k < count / 2; k++) {
        arena[to + k] = sum(arena[to + k], arena[from + k]);
      }
      return;
    }
    for (int k = 0; k < count; k++) {
      float sum = Format.BF16.get(arena, to, first + k) + Format.BF16.get(arena, from, other + k);
      Format.BF16.put(arena, to, first + k, sum);
    }
  }

  private static float sum(float a, float b) {
    int first = Float.floatToRawIntBits(a);
    int second = Float.floatToRawIntBits(b);
    float low = Float.intBitsToFloat(first << 16) + Float.intBitsToFloat(second << 16);
    float high =
        Float.intBitsToFloat(first & 0xFFFF0000) + Float.intBitsToFloat(second & 0xFFFF0000);
    return Float.intBitsToFloat(
        Float.floatToRawIntBits(Format.rounded(low)) >>> 16
            | Float.floatToRawIntBits(Format.rounded(high)));
  }
}
