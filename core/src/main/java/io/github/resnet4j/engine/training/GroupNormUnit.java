package io.github.resnet4j.engine.training;

import io.github.resnet4j.engine.step.GroupMoments;
import io.github.resnet4j.nn.Layer.GroupNorm;
import org.jspecify.annotations.Nullable;

/**
 * A group norm with the following addition and ReLU, and the slots that both passes use.
 *
 * @param x its input: the result of a convolution, or of a pre-activation block
 * @param workspace the workspace of {@link GroupMoments} for every image
 * @param residual what is added, if anything
 * @param relu whether a ReLU follows
 * @param y the result
 */
record GroupNormUnit(
    GroupNorm norm, Slot x, Slot workspace, @Nullable Slot residual, boolean relu, Slot y) {}
