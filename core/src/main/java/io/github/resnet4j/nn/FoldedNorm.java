package io.github.resnet4j.nn;

import io.github.resnet4j.nn.Layer.BatchNorm2d;

/**
 * Batch norm outside of training as {@code x · factor + bias}, which can be folded into the weights
 * and the bias of a preceding convolution. In double precision, so that folding rounds only once.
 *
 * @param factor the factor of each channel
 * @param bias the bias of each channel
 */
@SuppressWarnings("ArrayRecordComponent")
public record FoldedNorm(double[] factor, double[] bias) {
  /** Uses the network's running statistics. */
  public static FoldedNorm of(BatchNorm2d norm, StateDict state) {
    float[] gamma = state.get(norm.name() + ".weight").data();
    float[] beta = state.get(norm.name() + ".bias").data();
    float[] mean = state.get(norm.name() + ".running_mean").data();
    float[] variance = state.get(norm.name() + ".running_var").data();
    double[] factor = new double[norm.channels()];
    double[] bias = new double[norm.channels()];
    for (int c = 0; c < factor.length; c++) {
      factor[c] = gamma[c] / Math.sqrt(variance[c] + BatchNorm2d.EPS);
      bias[c] = beta[c] - mean[c] * factor[c];
    }
    return new FoldedNorm(factor, bias);
  }
}
