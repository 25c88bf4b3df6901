package io.github.resnet4j.engine.training;

import io.github.resnet4j.nn.Layer.BatchNorm2d;
import io.github.resnet4j.nn.Layer.ChannelAttention;
import org.jspecify.annotations.Nullable;

/**
 * A convolution and its batch norm, as both passes find them.
 *
 * @param numbers of the batch norm, {@link TrainedNorm}'s
 * @param sums of the batch norm, {@link TrainedNorm}'s
 * @param end what is added before the ReLU, at the end of a block
 */
record Unit(ConvUnit conv, BatchNorm2d norm, Slot numbers, Slot sums, @Nullable BlockEnd end) {
  /**
   * @param residual what is added: an activation, or what a projection's convolution writes
   * @param projection whose batch norm is still to come, if the shortcut has one
   * @param attention that weighs the main branch's channels before, if there is one
   * @param scale {@link BranchScale}'s numbers, if the main branch is scaled
   */
  record BlockEnd(
      Slot residual,
      @Nullable Unit projection,
      @Nullable ChannelAttention attention,
      @Nullable Slot scale) {}

  /** What the convolution writes. */
  Slot x() {
    return conv.x();
  }

  @Nullable Unit projection() {
    return end == null ? null : end.projection;
  }

  @Nullable Slot residual() {
    return end == null ? null : end.residual;
  }

  @Nullable Slot scale() {
    return end == null ? null : end.scale;
  }
}
