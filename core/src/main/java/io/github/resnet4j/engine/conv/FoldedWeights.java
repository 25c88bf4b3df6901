package io.github.resnet4j.engine.conv;

import io.github.resnet4j.engine.graph.Convolution;
import io.github.resnet4j.engine.graph.Layout;
import io.github.resnet4j.kernel.Format;
import io.github.resnet4j.nn.FoldedNorm;
import io.github.resnet4j.nn.StateDict;
import io.github.resnet4j.nn.WeightStandardization;
import java.util.Arrays;

/**
 * A convolution's weights and bias with its batch norm folded in. The factor of the weights and the
 * bias are computed in double precision and rounded once.
 *
 * @param weights the layer's weights, {@code [O, C/groups, K, K]}; rounded to bfloat16 if the
 *     input's format is
 * @param scale the factor from batch norm, {@code [O]}
 * @param bias the bias from batch norm, {@code [O]}
 */
@SuppressWarnings("ArrayRecordComponent")
record FoldedWeights(float[] weights, float[] scale, float[] bias) {
  /** Without batch norm the weights are unchanged. */
  static FoldedWeights of(Convolution conv, StateDict state) {
    float[] weights = WeightStandardization.weights(conv.layer(), state);
    int outputs = conv.layer().outChannels();
    Format format = conv.in().format();
    if (conv.norm() == null) {
      float[] ones = ones(outputs);
      return new FoldedWeights(
          isRounded(format) ? rounded(weights, ones) : weights, ones, new float[outputs]);
    }
    FoldedNorm folded = FoldedNorm.of(conv.norm(), state);
    // For integer inputs OutputWeights applies the scale of the output.
    double outputScale = format.isInteger() ? 1 : conv.out().scale();
    float[] bias = new float[outputs];
    float[] scale = new float[outputs];
    for (int o = 0; o < outputs; o++) {
      bias[o] = (float) (folded.bias()[o] / outputScale);
      scale[o] = (float) (folded.factor()[o] / outputScale);
    }
    return isRounded(format)
        ? new FoldedWeights(rounded(weights, scale), ones(outputs), bias)
        : new FoldedWeights(weights, scale, bias);
  }

  private static boolean isRounded(Format format) {
    return format == Format.ROUNDED || format == Format.BF16;
  }

  private static float[] rounded(float[] weights, float[] scale) {
    float[] rounded = new float[weights.length];
    int each = weights.length / scale.length;
    for (int i = 0; i < rounded.length; i++) {
      rounded[i] = Format.rounded(weights[i] * scale[i / each]);
    }
    return rounded;
  }

  private static float[] ones(int count) {
    float[] ones = new float[count];
    Arrays.fill(ones, 1);
    return ones;
  }

  /** The folded weight of output channel o at an index of {@code [O, C/groups, K, K]}. */
  float weight(int o, int index) {
    return weights[index] * scale[o];
  }

  /** The largest magnitude of an output channel's weights. */
  float largest(int o) {
    int each = weights.length / scale.length;
    float largest = 0;
    for (int i = o * each; i < (o + 1) * each; i++) {
      largest = Math.max(largest, Math.abs(weights[i]));
    }
    return largest * Math.abs(scale[o]);
  }

  /** Writes the bias in the order of the output's channels. */
  void placeBias(Layout out, float[] data, int at) {
    for (int o = 0; o < bias.length; o++) {
      data[at + out.position(o)] = bias[o];
    }
  }
}
