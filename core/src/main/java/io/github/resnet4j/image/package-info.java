/** Decodes and preprocesses images, pixel for pixel as Pillow and torchvision do. */
@NullMarked
package io.github.resnet4j.image;

import org.jspecify.annotations.NullMarked;
