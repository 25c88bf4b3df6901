/**
 * Arrays with a shape.
 *
 * <p>{@link io.github.resnet4j.tensor.Tensor} is what networks take and give. {@link
 * io.github.resnet4j.tensor.TorchRandom} draws the random numbers of PyTorch.
 */
@NullMarked
package io.github.resnet4j.tensor;

import org.jspecify.annotations.NullMarked;
