/**
 * Arrays with a shape.
 *
 * <p>A {@link io.github.resnet4j.tensor.Tensor} is the input and output of networks. {@link
 * io.github.resnet4j.tensor.TorchRandom} generates PyTorch's random numbers.
 */
@NullMarked
package io.github.resnet4j.tensor;

import org.jspecify.annotations.NullMarked;
