package io.github.resnet4j.engine.conv;

import io.github.resnet4j.engine.graph.Convolution;
import io.github.resnet4j.engine.graph.Layout;
import io.github.resnet4j.kernel.Format;

/**
 * The weights of one output channel in the format that is multiplied with the input's, and the
 * constants beside them. INT8 weights are symmetric and have one scale per output channel: the
 * largest weight is 127 or -127.
 */
final class OutputWeights {
  private static final int MAX_BYTE = 127;

  private final Convolution conv;
  private final FoldedWeights folded;
  private final int output;
  private final Format format;

  /** The real value of a weight of 1; 1 if weights are not bytes. */
  private final float weightScale;

  OutputWeights(Convolution conv, FoldedWeights folded, int output) {
    this.conv = conv;
    this.folded = folded;
    this.output = output;
    this.format = conv.in().format();
    float largest = format.isInteger() ? folded.largest(output) : 0;
    this.weightScale = largest > 0 ? largest / MAX_BYTE : 1;
  }

  private int taps() {
    return conv.layer().kernel() * conv.layer().kernel();
  }

  /**
   * A word of weights.
   *
   * @param ofWeights the format of the weights
   * @param order the input channels in memory order
   * @param from the index of the first channel in {@code order}; beyond its end weights are zero
   * @param step from each channel of the word to the next
   * @param firstInput the first channel that the output channel reads; the weights of others are
   *     zero
   * @param inputs the number of channels that it reads
   */
  float word(
      Format ofWeights, int[] order, int from, int step, int firstInput, int inputs, int tap) {
    if (format.isFloat()) {
      int c = from < order.length ? order[from] - firstInput : -1;
      return c < 0 || c >= inputs ? 0 : folded.weight(output, (output * inputs + c) * taps() + tap);
    }
    int width = 32 / ofWeights.perWord();
    int bits = 0;
    for (int i = ofWeights.perWord() - 1; i >= 0; i--) {
      int place = from + i * step;
      int c = place < order.length ? order[place] - firstInput : -1;
      int number = c < 0 || c >= inputs ? 0 : number((output * inputs + c) * taps() + tap);
      bits = bits << width | number & (1 << width) - 1;
    }
    return Float.intBitsToFloat(bits);
  }

  /** The encoded weight at an index of {@code [O, C/groups, K, K]}. */
  private int number(int index) {
    float weight = folded.weight(output, index);
    return format == Format.BF16
        ? Float.floatToRawIntBits(weight) >>> 16 // already rounded
        : (int) Math.rint(weight / weightScale);
  }

  /**
   * Writes the bias, and scale and factor if the input's values are integers.
   *
   * @param at the index of the bias; the constants after it are {@code distance} apart
   */
  void placeConstants(float[] to, int at, int distance) {
    float bias = folded.bias()[output];
    if (!format.isInteger()) {
      to[at] = bias;
      return;
    }
    double outputScale = conv.out().scale();
    double scale = (double) conv.in().scale() * weightScale / outputScale;
    to[at] = (float) (bias / outputScale - conv.in().zero() * (double) sum() * scale);
    to[at + distance] = (float) scale;
    Layout residual = conv.residual();
    to[at + 2 * distance] = residual == null ? 0 : (float) (residual.scale() / outputScale);
  }

  /** The sum of all weights: the result for an input of ones. */
  private long sum() {
    if (conv.in().zero() == 0) {
      return 0;
    }
    int weightsPerOutput = conv.layer().inChannels() / conv.layer().groups() * taps();
    long sum = 0;
    for (int i = output * weightsPerOutput; i < (output + 1) * weightsPerOutput; i++) {
      sum += number(i);
    }
    return sum;
  }
}
