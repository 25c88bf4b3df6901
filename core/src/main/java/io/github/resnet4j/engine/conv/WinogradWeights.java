package io.github.resnet4j.engine.conv;

import io.github.resnet4j.kernel.Floats;
import io.github.resnet4j.kernel.Winograd;

/**
 * Transforms weights for Winograd's algorithm in every training step: not window by window but for
 * a row of output channels together, in single precision.
 */
public final class WinogradWeights {
  private static final int TAPS = 9;

  private final Winograd form;
  private final float[][] g;
  private final float[][] window;
  private final float[][] half;
  private final float[] result;

  /**
   * @param channels the number of output channels of the longest row
   */
  public WinogradWeights(Winograd form, int channels) {
    this.form = form;
    this.g = form.weightTransform();
    this.window = new float[TAPS][channels];
    this.half = new float[3 * form.inputs()][channels];
    this.result = new float[channels];
  }

  /**
   * Computes {@code G w Gᵀ} for a row of output channels.
   *
   * @param from the index of the row at the first window position; the next ones are {@code
   *     tapStride} apart
   * @param to the index of the row's first product; the next ones are {@code step} apart
   */
  public void transform(
      float[] weights, int from, int tapStride, int channels, Floats results, int to, int step) {
    for (int tap = 0; tap < TAPS; tap++) {
      System.arraycopy(weights, from + tap * tapStride, window[tap], 0, channels);
    }
    int t = form.inputs();
    for (int i = 0; i < t; i++) {
      for (int j = 0; j < 3; j++) {
        combine(g[i], window[j], window[3 + j], window[6 + j], half[3 * i + j], channels);
      }
    }
    for (int i = 0; i < t; i++) {
      for (int j = 0; j < t; j++) {
        combine(g[j], half[3 * i], half[3 * i + 1], half[3 * i + 2], result, channels);
        System.arraycopy(result, 0, results.values(), to + (i * t + j) * step, channels);
      }
    }
  }

  /** Separate arrays, so that the compiler vectorizes the loop. */
  private static void combine(
      float[] factors, float[] a, float[] b, float[] c, float[] sum, int count) {
    float x = factors[0];
    float y = factors[1];
    float z = factors[2];
    for (int i = 0; i < count; i++) {
      sum[i] = x * a[i] + y * b[i] + z * c[i];
    }
  }
}
