package io.github.resnet4j.engine.graph;

import io.github.resnet4j.kernel.ConvTile;
import io.github.resnet4j.kernel.Format;
import io.github.resnet4j.kernel.Kernels;
import io.github.resnet4j.kernel.Winograd;
import io.github.resnet4j.nn.Layer.BatchNorm2d;
import io.github.resnet4j.nn.Layer.Conv2d;
import org.jspecify.annotations.Nullable;

/**
 * A convolution with the memory layouts of its operands, but without their positions.
 *
 * @param norm the batch norm that is folded into the weights, if any
 * @param residual the layout of what is added to the result, if anything
 * @param relu whether a ReLU follows
 */
public record Convolution(
    Conv2d layer,
    @Nullable BatchNorm2d norm,
    Layout in,
    Layout out,
    @Nullable Layout residual,
    boolean relu) {

  /**
   * The largest image for which factors may be rounded to bfloat16. The errors of the first stage
   * influence the logits most: without this limit those of resnet34 deviate more than with direct
   * convolution (docs/engine.md).
   */
  private static final int MAX_ROUNDED_PIXELS = 28 * 28;

  /**
   * Whether groups are so narrow that a vector holds one channel of each of many groups rather than
   * several channels of few groups. The channels of input and output are then interleaved.
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

  /** Whether the input channels are interleaved; the plan decides that. */
  public boolean isInterleaved() {
    return layer.groups() > 1 && in.isInterleaved();
  }

  /** Multiplications and additions for one image. */
  public long flops() {
    return 2L
        * layer.outChannels()
        * out.height()
        * out.width()
        * (layer.inChannels() / layer.groups())
        * layer.kernel()
        * layer.kernel();
  }

  /** The same convolution of floats. */
  public Convolution ofFloats() {
    return new Convolution(
        layer,
        norm,
        in.withEncoding(Encoding.FLOATS),
        out.withEncoding(Encoding.FLOATS),
        residual == null ? null : residual.withEncoding(Encoding.FLOATS),
        relu);
  }

  /** Whether input and output are floats. */
  public boolean isOfFloats() {
    return in.format().isFloat()
        && out.format().isFloat()
        && (residual == null || residual.format().isFloat());
  }

  /** Whether input, output and residual are bfloat16. */
  private boolean isOfPairs() {
    return in.format() == Format.BF16
        && out.format() == Format.BF16
        && (residual == null || residual.format() == Format.BF16);
  }

  /**
   * The format of the transformed inputs and weights of Winograd's algorithm. Sums are always
   * floats. The transforms of F(4×4) amplify rounding errors too much for bfloat16.
   */
  public Format winogradFactors(Winograd form) {
    return isOfPairs() && form == Winograd.F2 ? Format.BF16 : Format.FP32;
  }

  /** Whether a form of Winograd's algorithm is accurate enough for this convolution. */
  public boolean allows(Winograd form) {
    return winogradFactors(form) == Format.FP32 || out.height() * out.width() <= MAX_ROUNDED_PIXELS;
  }

  /**
   * Whether Winograd's algorithm applies, and can be faster. Matrix instructions compute products
   * of bfloat16 in less time than the transforms would take.
   */
  public boolean isWinograd(Kernels kernels) {
    return (isOfFloats() || (isOfPairs() && hasFastTransforms(kernels)))
        && layer.kernel() == 3
        && layer.stride() == 1
        && layer.dilation() == 1
        && layer.padding() == 1
        && layer.groups() == 1
        && in.block() == out.block();
  }

  private boolean hasFastTransforms(Kernels kernels) {
    return kernels.supports(in.format())
        && !kernels
            .conv()
            .multiplyMatrices(new ConvTile.Input(in.format(), in.block(), in.block()));
  }
}
