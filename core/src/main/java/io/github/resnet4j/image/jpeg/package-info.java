/** Decodes JPEG files to RGB, with the results of libjpeg-turbo as Pillow uses it, bit for bit. */
@NullMarked
package io.github.resnet4j.image.jpeg;

import org.jspecify.annotations.NullMarked;
