package io.github.resnet4j.nn;

import io.github.resnet4j.nn.Layer.Conv2d;

/**
 * The weights that a convolution uses: those of its parameter, or standardized ones (arXiv
 * 1903.10520, equation 5).
 */
public final class WeightStandardization {
  private WeightStandardization() {}

  /**
   * The values {@code [outChannels, inChannels / groups, kernel, kernel]}. The parameter's own
   * array if the convolution is not {@link Conv2d#standardized}.
   */
  public static float[] weights(Conv2d conv, StateDict state) {
    float[] stored = state.get(conv.weight().name()).data();
    if (!conv.standardized()) {
      return stored;
    }
    float[] weights = new float[stored.length];
    int each = stored.length / conv.outChannels();
    for (int from = 0; from < stored.length; from += each) {
      double mean = 0;
      for (int i = from; i < from + each; i++) {
        mean += (double) stored[i] / each;
      }
      double variance = 0;
      for (int i = from; i < from + each; i++) {
        variance += (stored[i] - mean) * (stored[i] - mean) / each;
      }
      double factor = 1 / Math.sqrt(variance + Conv2d.EPS);
      for (int i = from; i < from + each; i++) {
        weights[i] = (float) ((stored[i] - mean) * factor);
      }
    }
    return weights;
  }
}
