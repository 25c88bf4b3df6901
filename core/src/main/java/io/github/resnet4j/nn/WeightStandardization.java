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
    return standardized(stored, conv.outChannels());
  }

  /** Standardizes {@code [outChannels, …]}. */
  public static float[] standardized(float[] stored, int outChannels) {
    float[] weights = new float[stored.length];
    int each = stored.length / outChannels;
    for (int from = 0; from < stored.length; from += each) {
      double mean = mean(stored, from, each);
      double factor = factor(stored, from, each, mean);
      for (int i = from; i < from + each; i++) {
        weights[i] = (float) ((stored[i] - mean) * factor);
      }
    }
    return weights;
  }

  /**
   * The gradient of the stored weights.
   *
   * @param gradient that of the standardized weights
   */
  public static float[] gradient(float[] stored, float[] gradient, int outChannels) {
    float[] result = new float[stored.length];
    int each = stored.length / outChannels;
    for (int from = 0; from < stored.length; from += each) {
      double mean = mean(stored, from, each);
      double factor = factor(stored, from, each, mean);
      double sum = 0;
      double products = 0;
      for (int i = from; i < from + each; i++) {
        sum += (double) gradient[i] / each;
        products += gradient[i] * (stored[i] - mean) * factor / each;
      }
      for (int i = from; i < from + each; i++) {
        double standardized = (stored[i] - mean) * factor;
        result[i] = (float) (factor * (gradient[i] - sum - standardized * products));
      }
    }
    return result;
  }

  /** The mean of some weights. */
  public static double mean(float[] values, int from, int count) {
    double mean = 0;
    for (int i = from; i < from + count; i++) {
      mean += (double) values[i] / count;
    }
    return mean;
  }

  /** The variance of some weights, divided by their number, given their mean. */
  public static double variance(float[] values, int from, int count, double mean) {
    double variance = 0;
    for (int i = from; i < from + count; i++) {
      variance += (values[i] - mean) * (values[i] - mean) / count;
    }
    return variance;
  }

  /** One divided by the standard deviation. */
  private static double factor(float[] values, int from, int count, double mean) {
    return 1 / Math.sqrt(variance(values, from, count, mean) + Conv2d.EPS);
  }
}
