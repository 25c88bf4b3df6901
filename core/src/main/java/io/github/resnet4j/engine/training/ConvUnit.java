package io.github.resnet4j.engine.training;

import io.github.resnet4j.nn.Layer.Conv2d;

/**
 * A convolution, as both passes find it.
 *
 * @param x what it writes
 * @param imagesAtOnce as many as share the weights while activations stay near
 */
record ConvUnit(Conv2d conv, Slot in, Slot x, int imagesAtOnce) {}
