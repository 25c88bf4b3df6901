/**
 * A step of a training: {@link io.github.resnet4j.engine.training.ForwardPass} and {@link
 * io.github.resnet4j.engine.training.BackwardPass} write it down as a schedule of tasks, which is
 * then laid out, placed, and run by {@link io.github.resnet4j.engine.training.TrainingExecutor}.
 */
@NullMarked
package io.github.resnet4j.engine.training;

import org.jspecify.annotations.NullMarked;
