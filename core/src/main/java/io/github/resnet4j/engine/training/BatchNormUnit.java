package io.github.resnet4j.engine.training;

import io.github.resnet4j.nn.Layer.BatchNorm2d;
import io.github.resnet4j.nn.Layer.ChannelAttention;
import org.jspecify.annotations.Nullable;

/**
 * A batch norm, with the slots that both passes use.
 *
 * @param x its input: the result of a convolution, or of a pre-activation block
 * @param coefficients the coefficients of {@link TrainedNorm}
 * @param sums the sums of {@link TrainedNorm}
 * @param end the addition before the ReLU, at the end of a block
 */
record BatchNormUnit(
    Slot x, BatchNorm2d norm, Slot coefficients, Slot sums, @Nullable BlockEnd end) {
  /**
   * @param residual what is added: an activation, or the result of a projection's convolution
   * @param projection the projection of the shortcut, if there is one; its batch norm is merged
   *     into the sum
   * @param attention the attention that scales the channels of the main branch, if there is one
   * @param scale the coefficients of {@link BranchScale}, if the main branch is scaled
   */
  record BlockEnd(
      Slot residual,
      @Nullable BatchNormUnit projection,
      @Nullable ChannelAttention attention,
      @Nullable Slot scale) {}

  @Nullable BatchNormUnit projection() {
    return end == null ? null : end.projection;
  }

  @Nullable Slot residual() {
    return end == null ? null : end.residual;
  }

  @Nullable Slot scale() {
    return end == null ? null : end.scale;
  }
}
