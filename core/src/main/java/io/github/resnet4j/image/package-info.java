/** From an image's bytes to a network's input, pixel for pixel as its training did. */
@NullMarked
package io.github.resnet4j.image;

import org.jspecify.annotations.NullMarked;
