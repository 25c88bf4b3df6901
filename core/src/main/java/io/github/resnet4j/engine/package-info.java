/**
 * Runs and trains networks.
 *
 * <p>Those who classify images need none of this: {@code Classifier} is simpler. To run a network
 * on tensors, begin with {@code ResNet.compile}, which gives a {@link
 * io.github.resnet4j.engine.Session}; {@link io.github.resnet4j.engine.CompileOptions} are its
 * threads, precision and kernels. {@link io.github.resnet4j.engine.Calibration} prepares int8,
 * {@link io.github.resnet4j.engine.TrainingSession} calculates losses and gradients.
 */
@NullMarked
package io.github.resnet4j.engine;

import org.jspecify.annotations.NullMarked;
