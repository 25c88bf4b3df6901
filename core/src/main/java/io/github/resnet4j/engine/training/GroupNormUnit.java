package io.github.resnet4j.engine.training;

import io.github.resnet4j.engine.step.GroupMoments;
import io.github.resnet4j.nn.Layer.GroupNorm;
import org.jspecify.annotations.Nullable;

/**
 * A group norm with the sum and the ReLU behind it, as both passes find it.
 *
 * @param conv whose result it normalises
 * @param numbers those of {@link GroupMoments} for every image
 * @param residual what is added, if anything is
 * @param relu whether a ReLU follows
 * @param y the result
 */
record GroupNormUnit(
    GroupNorm norm, ConvUnit conv, Slot numbers, @Nullable Slot residual, boolean relu, Slot y) {
  /** What is normalised. */
  Slot x() {
    return conv.x();
  }
}
