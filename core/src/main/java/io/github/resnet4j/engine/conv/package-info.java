/** Convolutions and their gradients, computed with the micro-kernels. */
@NullMarked
package io.github.resnet4j.engine.conv;

import org.jspecify.annotations.NullMarked;
