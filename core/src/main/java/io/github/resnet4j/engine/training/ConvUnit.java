package io.github.resnet4j.engine.training;

import io.github.resnet4j.nn.Layer.Conv2d;

/**
 * A convolution with the slots that the forward and the backward pass use.
 *
 * @param x the result
 * @param chunkSize the chunk size: as many images as use the weights while activations stay in the
 *     cache
 */
record ConvUnit(Conv2d conv, Slot in, Slot x, int chunkSize) {}
