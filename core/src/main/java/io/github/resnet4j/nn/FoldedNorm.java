package io.github.resnet4j.nn;

import io.github.resnet4j.nn.Layer.BatchNorm2d;

/**
 * What batch norm does outside of training: {@code x · factor + bias}, which a convolution before
 * it can do with other weights and a bias. In double precision; who folds it rounds once.
 *
 * @param factor of each channel
 * @param bias of each channel
 */
@SuppressWarnings("ArrayRecordComponent")
public record FoldedNorm(double[] factor, double[] bias) {
  /** With the running statistics that a network has. */
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
