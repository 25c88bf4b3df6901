/** Weights in files: PyTorch's {@code .pth}, {@code .safetensors} and {@code .npy}. */
@NullMarked
package io.github.resnet4j.checkpoint;

import org.jspecify.annotations.NullMarked;
