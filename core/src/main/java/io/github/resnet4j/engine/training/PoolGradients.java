package io.github.resnet4j.engine.training;

import io.github.resnet4j.engine.graph.Activation;
import io.github.resnet4j.kernel.Format;
import io.github.resnet4j.nn.Layer.AvgPool2d;
import io.github.resnet4j.nn.Layer.BlurPool2d;
import io.github.resnet4j.nn.Layer.SubsampleAndPad;

/**
 * Gradients of layers without weights: plain loops over one image, which add to the existing
 * gradient of the input.
 */
final class PoolGradients {
  private PoolGradients() {}

  /**
   * Every pixel gets an equal part of the gradient of the mean of all pixels.
   *
   * @param from the index of the mean's gradient for a channel block
   */
  static void spread(float[] arena, int from, Activation to, int image, int b) {
    float factor = 1f / (to.height() * to.width());
    int block = to.layout().blockChannels();
    Format format = to.format();
    for (int y = 0; y < to.height(); y++) {
      for (int x = 0; x < to.width(); x++) {
        int at = to.at(image, b, y, x);
        for (int c = 0; c < block; c++) {
          format.put(arena, at, c, arena[from + c] * factor);
        }
      }
    }
  }

  /** Average pooling: each pixel of a window gets an equal part. */
  static void addAveraged(float[] arena, AvgPool2d pool, Activation g, Activation to, int image) {
    for (int b = 0; b < g.blocks(); b++) {
      for (int y = 0; y < g.height(); y++) {
        int top = y * pool.stride();
        int rows = Math.min(pool.kernel(), to.height() - top);
        for (int x = 0; x < g.width(); x++) {
          int left = x * pool.stride();
          int columns = Math.min(pool.kernel(), to.width() - left);
          int from = g.at(image, b, y, x);
          float factor = 1f / (rows * columns);
          for (int r = 0; r < rows; r++) {
            for (int k = 0; k < columns; k++) {
              int at = to.at(image, b, top + r, left + k);
              addScaled(arena, from, at, g, factor);
            }
          }
        }
      }
    }
  }

  /** A low-pass filter: each pixel of a window gets the gradient times its weight. */
  static void addBlurred(float[] arena, BlurPool2d pool, Activation g, Activation to, int image) {
    for (int b = 0; b < g.blocks(); b++) {
      for (int y = 0; y < g.height(); y++) {
        for (int x = 0; x < g.width(); x++) {
          int from = g.at(image, b, y, x);
          for (int k = 0; k < 9; k++) {
            int row = pool.source(y, k / 3, to.height());
            int column = pool.source(x, k % 3, to.width());
            int at = to.at(image, b, row, column);
            addScaled(arena, from, at, g, BlurPool2d.weight(k / 3, k % 3) / 16f);
          }
        }
      }
    }
  }

  private static void addScaled(float[] arena, int from, int to, Activation like, float factor) {
    int block = like.block();
    if (like.format() == Format.BF16) {
      for (int c = 0; c < block; c++) {
        arena[to + c] = added(arena[to + c], arena[from + c], factor);
      }
      return;
    }
    for (int c = 0; c < block; c++) {
      arena[to + c] += arena[from + c] * factor;
    }
  }

  /** {@code to + from * factor} in both halves of words of bfloat16. */
  private static float added(float to, float from, float factor) {
    int sum = Float.floatToRawIntBits(to);
    int more = Float.floatToRawIntBits(from);
    float low = Float.intBitsToFloat(sum << 16) + Float.intBitsToFloat(more << 16) * factor;
    float high =
        Float.intBitsToFloat(sum & 0xFFFF0000) + Float.intBitsToFloat(more & 0xFFFF0000) * factor;
    return Float.intBitsToFloat(
        Float.floatToRawIntBits(Format.rounded(low)) >>> 16
            | Float.floatToRawIntBits(Format.rounded(high)) & 0xFFFF0000);
  }

  /** The option A shortcut: every {@code stride}-th pixel, old channels only. */
  static void addSubsampled(
      float[] arena, SubsampleAndPad pad, Activation g, Activation to, int image) {
    int before = (g.channels() - to.channels()) / 2;
    if (g.format() == Format.BF16) {
      addSubsampledHalves(arena, pad.stride(), g, to, image, before);
      return;
    }
    int block = g.block();
    int c = 0;
    while (c < to.channels()) { // channels that are contiguous in both are copied together
      int length = Math.min(to.channels() - c, block - Math.max(c % block, (c + before) % block));
      for (int y = 0; y < g.height(); y++) {
        int from = g.word(image, c + before) + g.layout().pixel(y, 0);
        int at = to.word(image, c) + to.layout().pixel(y * pad.stride(), 0);
        for (int x = 0; x < g.width(); x++) {
          for (int k = 0; k < length; k++) {
            arena[at + x * pad.stride() * block + k] += arena[from + x * block + k];
          }
        }
      }
      c += length;
    }
  }

  private static void addSubsampledHalves(
      float[] arena, int stride, Activation g, Activation to, int image, int before) {
    Format format = Format.BF16;
    for (int c = 0; c < to.channels(); c++) {
      int ofWord = (c + before) % format.perWord();
      for (int y = 0; y < g.height(); y++) {
        int from = g.word(image, c + before) + g.layout().pixel(y, 0);
        int at = to.word(image, c) + to.layout().pixel(y * stride, 0);
        for (int x = 0; x < g.width(); x++) {
          int pixel = at + x * stride * to.block();
          float sum =
              format.get(arena, pixel, c % format.perWord())
                  + format.get(arena, from + x * g.block(), ofWord);
          format.put(arena, pixel, c % format.perWord(), sum);
        }
      }
    }
  }
}
