/** Shape and floats in row-major order, and the random numbers PyTorch would draw. */
@NullMarked
package io.github.resnet4j.tensor;

import org.jspecify.annotations.NullMarked;
