/**
 * Reads and writes weights in files: PyTorch's {@code .pth}, {@code .safetensors} and {@code .npy}.
 * Start with {@link io.github.resnet4j.checkpoint.Checkpoint#open}.
 */
@NullMarked
package io.github.resnet4j.checkpoint;

import org.jspecify.annotations.NullMarked;
