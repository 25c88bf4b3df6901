package io.github.resnet4j.engine.graph;

import io.github.resnet4j.kernel.ConvTile;
import io.github.resnet4j.nn.Layer.BatchNorm2d;
import io.github.resnet4j.nn.Layer.Conv2d;
import org.jspecify.annotations.Nullable;

/**
 * A convolution that is laid out: how its operands lie, but not where.
 *
 * @param norm whose statistics and weights become part of its own, if there is one
 * @param residual what is added to its result, if anything is
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
        * out.height()
        * out.width()
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
}
