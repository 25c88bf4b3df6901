package io.github.resnet4j.engine.graph;

import io.github.resnet4j.kernel.ConvTile;
import io.github.resnet4j.kernel.Format;
import io.github.resnet4j.nn.Layer.BatchNorm2d;
import io.github.resnet4j.nn.Layer.Conv2d;
import io.github.resnet4j.nn.StateDict;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/**
 * A convolution as the engine sees it: with its batch norm folded in if it has one, what is added
 * to its result, and whether a ReLU follows.
 */
public record Convolution(
    Conv2d layer,
    @Nullable BatchNorm2d norm,
    Activation in,
    Activation out,
    @Nullable Activation residual,
    boolean relu) {

  /**
   * True where groups are so narrow that a vector had better hold a channel of each of many groups
   * than several channels of few: the channels of input and output are then interleaved.
   */
  public boolean hasNarrowGroups() {
    int width = layer.inChannels() / layer.groups();
    return isOfFloats()
        && layer.groups() % ConvTile.GROUP_STRIDE == 0
        && width == layer.outChannels() / layer.groups()
        && width > 1
        && width <= 8
        && Integer.bitCount(width) == 1
        && width * ConvTile.GROUP_STRIDE % in.block() == 0
        && in.block() == out.block();
  }

  /** True if it runs on interleaved channels; the plan decides. */
  public boolean isInterleaved() {
    return layer.groups() > 1 && in.isInterleaved();
  }

  /** Multiplications and additions for one image. */
  public long flops() {
    return 2L
        * layer.outChannels()
        * out.height
        * out.width
        * (layer.inChannels() / layer.groups())
        * layer.kernel()
        * layer.kernel();
  }

  /** True if what it reads and writes are floats. */
  public boolean isOfFloats() {
    return in.format().isFloat()
        && out.format().isFloat()
        && (residual == null || residual.format().isFloat());
  }

  /** True where Winograd's algorithm applies. */
  public boolean isWinograd() {
    return isOfFloats()
        && layer.kernel() == 3
        && layer.stride() == 1
        && layer.dilation() == 1
        && layer.padding() == 1
        && layer.groups() == 1
        && in.block() == out.block();
  }

  /**
   * Weights and bias with the batch norm folded in; what they are multiplied by and the bias are
   * calculated in double precision and rounded once.
   *
   * @param weights as the layer has them, {@code [O, C/groups, K, K]}
   * @param scale what batch norm makes of them, {@code [O]}
   * @param bias what batch norm adds, {@code [O]}
   */
  public record Folded(float[] weights, float[] scale, float[] bias) {
    /** The largest weight of an output. */
    public float largest(int o) {
      int each = weights.length / scale.length;
      float largest = 0;
      for (int i = o * each; i < (o + 1) * each; i++) {
        largest = Math.max(largest, Math.abs(weights[i]));
      }
      return largest * Math.abs(scale[o]);
    }

    /** The weight at an index of {@code [O, C/groups, K, K]}, which belongs to output o. */
    public float weight(int o, int index) {
      return weights[index] * scale[o];
    }
  }

  /** Writes the bias in the order of the output's channels. */
  public void placeBias(Folded folded, float[] data, int at) {
    for (int o = 0; o < layer.outChannels(); o++) {
      data[at + out.position(o)] = folded.bias[o];
    }
  }

  /**
   * The weights as the input's format wants them: rounded to bfloat16 where that is. Without batch
   * norm, as they are.
   */
  public Folded fold(StateDict state) {
    float[] weights = state.get(layer.weight().name()).data();
    if (norm == null) {
      return new Folded(weights, ones(layer.outChannels()), new float[layer.outChannels()]);
    }
    float[] gamma = state.get(norm.name() + ".weight").data();
    float[] beta = state.get(norm.name() + ".bias").data();
    float[] mean = state.get(norm.name() + ".running_mean").data();
    float[] variance = state.get(norm.name() + ".running_var").data();
    float[] bias = new float[layer.outChannels()];
    float[] scale = new float[layer.outChannels()];
    for (int o = 0; o < bias.length; o++) {
      double factor = gamma[o] / Math.sqrt(variance[o] + BatchNorm2d.EPS);
      // Where the output's numbers are whole, one of them means so much.
      double one = in.format().isWhole() ? 1 : out.scale();
      bias[o] = (float) ((beta[o] - mean[o] * factor) / one);
      scale[o] = (float) (factor / one);
    }
    return in.format() == Format.ROUNDED || in.format() == Format.BF16
        ? new Folded(rounded(weights, scale), ones(scale.length), bias)
        : new Folded(weights, scale, bias);
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
}
