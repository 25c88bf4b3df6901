/**
 * Runs and trains networks.
 *
 * <p>To classify images, use {@code Classifier} instead. To run a network on tensors, start with
 * {@code ResNet.compile}, which returns a {@link io.github.resnet4j.engine.Session}; {@link
 * io.github.resnet4j.engine.CompileOptions} sets threads, precision and kernels. {@link
 * io.github.resnet4j.engine.Calibration} prepares int8, {@link
 * io.github.resnet4j.engine.TrainingSession} computes losses and gradients.
 */
@NullMarked
package io.github.resnet4j.engine;

import org.jspecify.annotations.NullMarked;
