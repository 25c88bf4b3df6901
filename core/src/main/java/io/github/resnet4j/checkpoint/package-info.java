/**
 * Weights in files: PyTorch's {@code .pth}, {@code .safetensors} and {@code .npy}.
 *
 * <p>To read any of them, start with {@link io.github.resnet4j.checkpoint.Checkpoint}; {@link
 * io.github.resnet4j.checkpoint.CheckpointWriter} writes them. To load a model, use {@code
 * Model.load} instead.
 */
@NullMarked
package io.github.resnet4j.checkpoint;

import org.jspecify.annotations.NullMarked;
