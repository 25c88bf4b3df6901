/** Arrays of floats with a shape, and PyTorch's random number generator. */
@NullMarked
package io.github.resnet4j.tensor;

import org.jspecify.annotations.NullMarked;
