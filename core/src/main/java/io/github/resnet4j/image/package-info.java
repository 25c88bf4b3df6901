/**
 * From an image file to the network's input, with the pixels of Pillow and torchvision.
 *
 * <p>{@link io.github.resnet4j.image.Image} is what a classifier takes. To do the steps alone,
 * begin with {@link io.github.resnet4j.image.ImageDecoder}, which gives {@link
 * io.github.resnet4j.image.Pixels}, and {@link io.github.resnet4j.image.Preprocessing}, which makes
 * them the input.
 */
@NullMarked
package io.github.resnet4j.image;

import org.jspecify.annotations.NullMarked;
