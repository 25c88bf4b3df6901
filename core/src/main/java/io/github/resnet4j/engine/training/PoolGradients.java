package io.github.resnet4j.engine.training;

import io.github.resnet4j.engine.graph.Activation;
import io.github.resnet4j.nn.Layer.AvgPool2d;
import io.github.resnet4j.nn.Layer.BlurPool2d;
import io.github.resnet4j.nn.Layer.SubsampleAndPad;

/**
 * Gradients of layers that only move or weigh pixels: plain loops over one image, which add to what
 * the input's gradient holds already.
 */
final class PoolGradients {
  private PoolGradients() {}

  /**
   * Every pixel's gradient is its share of that of the mean over all pixels.
   *
   * @param from the first channel of the mean's gradient for a block of channels
   */
  static void spread(float[] arena, int from, Activation to, int image, int b) {
    float share = 1f / (to.height() * to.width());
    int block = to.block();
    for (int y = 0; y < to.height(); y++) {
      for (int x = 0; x < to.width(); x++) {
        int at = to.at(image, b, y, x);
        for (int c = 0; c < block; c++) {
          arena[at + c] = arena[from + c] * share;
        }
      }
    }
  }

  /** Means of windows: each pixel of a window takes its share. */
  static void addAveraged(float[] arena, AvgPool2d pool, Activation g, Activation to, int image) {
    for (int b = 0; b < g.blocks(); b++) {
      for (int y = 0; y < g.height(); y++) {
        int top = y * pool.stride();
        int rows = Math.min(pool.kernel(), to.height() - top);
        for (int x = 0; x < g.width(); x++) {
          int left = x * pool.stride();
          int columns = Math.min(pool.kernel(), to.width() - left);
          int from = g.at(image, b, y, x);
          float share = 1f / (rows * columns);
          for (int r = 0; r < rows; r++) {
            for (int k = 0; k < columns; k++) {
              int at = to.at(image, b, top + r, left + k);
              addScaled(arena, from, at, g.block(), share);
            }
          }
        }
      }
    }
  }

  /** A low-pass filter: each pixel of a window takes as much as it contributed. */
  static void addBlurred(float[] arena, BlurPool2d pool, Activation g, Activation to, int image) {
    for (int b = 0; b < g.blocks(); b++) {
      for (int y = 0; y < g.height(); y++) {
        for (int x = 0; x < g.width(); x++) {
          int from = g.at(image, b, y, x);
          for (int k = 0; k < 9; k++) {
            int row = pool.source(y, k / 3, to.height());
            int column = pool.source(x, k % 3, to.width());
            int at = to.at(image, b, row, column);
            addScaled(arena, from, at, g.block(), BlurPool2d.weight(k / 3, k % 3) / 16f);
          }
        }
      }
    }
  }

  private static void addScaled(float[] arena, int from, int to, int count, float factor) {
    for (int c = 0; c < count; c++) {
      arena[to + c] += arena[from + c] * factor;
    }
  }

  /** Option A's shortcut: every {@code stride}-th pixel, old channels only. */
  static void addSubsampled(
      float[] arena, SubsampleAndPad pad, Activation g, Activation to, int image) {
    int before = (g.channels() - to.channels()) / 2;
    int block = g.block();
    int c = 0;
    while (c < to.channels()) { // in runs of channels that lie side by side in both
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
}
