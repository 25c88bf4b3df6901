/**
 * Converts image files to the network's input, with the same pixels as Pillow and torchvision.
 *
 * <p>A classifier takes an {@link io.github.resnet4j.image.Image}. For the single steps, start with
 * {@link io.github.resnet4j.image.ImageDecoder}, which returns {@link
 * io.github.resnet4j.image.Pixels}, and {@link io.github.resnet4j.image.Preprocessing}, which
 * converts them to the input.
 */
@NullMarked
package io.github.resnet4j.image;

import org.jspecify.annotations.NullMarked;
