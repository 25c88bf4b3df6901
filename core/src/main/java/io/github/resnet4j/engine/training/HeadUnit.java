package io.github.resnet4j.engine.training;

import io.github.resnet4j.nn.Layer.Conv2d;
import io.github.resnet4j.nn.Layer.Linear;

/**
 * The head: a 1×1 convolution of an image of one row, whose pixels are the images of the batch.
 *
 * @param pooled the input
 * @param logits the result
 * @param gradient the gradient of the logits
 */
record HeadUnit(Linear layer, Slot pooled, Slot logits, Slot gradient) {
  Conv2d conv() {
    return new Conv2d(layer.name(), layer.in(), layer.out(), 1, 1, 0, 1, 1);
  }
}
