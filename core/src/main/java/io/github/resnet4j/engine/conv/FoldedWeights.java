package io.github.resnet4j.engine.conv;

import io.github.resnet4j.engine.graph.Convolution;
import io.github.resnet4j.engine.graph.Layout;
import io.github.resnet4j.kernel.Format;
import io.github.resnet4j.nn.FoldedNorm;
import io.github.resnet4j.nn.StateDict;
import java.util.Arrays;

/**
 * A convolution's weights and bias with its batch norm folded in; what the weights are multiplied
 * by and the bias are calculated in double precision and rounded once.
 *
 * @param weights as the layer has them, {@code [O, C/groups, K, K]}; rounded to bfloat16 where the
 *     input's numbers are
 * @param scale what batch norm makes of them, {@code [O]}
 * @param bias what batch norm adds, {@code [O]}
 */
@SuppressWarnings("ArrayRecordComponent")
record FoldedWeights(float[] weights, float[] scale, float[] bias) {
  /** Without batch norm, the weights are as they are. */
  static FoldedWeights of(Convolution conv, StateDict state) {
    float[] weights = state.get(conv.layer().weight().name()).data();
    int outputs = conv.layer().outChannels();
    Format format = conv.in().format();
    if (conv.norm() == null) {
      float[] ones = ones(outputs);
      return new FoldedWeights(
          isRounded(format) ? rounded(weights, ones) : weights, ones, new float[outputs]);
    }
    FoldedNorm folded = FoldedNorm.of(conv.norm(), state);
    // Where the output's numbers are whole, one of them means so much.
    double one = format.isWhole() ? 1 : conv.out().scale();
    float[] bias = new float[outputs];
    float[] scale = new float[outputs];
    for (int o = 0; o < outputs; o++) {
      bias[o] = (float) (folded.bias()[o] / one);
      scale[o] = (float) (folded.factor()[o] / one);
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

  /** The weight at an index of {@code [O, C/groups, K, K]}, which belongs to output o. */
  float weight(int o, int index) {
    return weights[index] * scale[o];
  }

  /** The largest weight of an output. */
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
