/**
 * A training step: {@link io.github.resnet4j.engine.training.ForwardPass} and {@link
 * io.github.resnet4j.engine.training.BackwardPass} create a schedule of tasks, then layouts and
 * positions are decided, and {@link io.github.resnet4j.engine.training.TrainingExecutor} runs it.
 */
@NullMarked
package io.github.resnet4j.engine.training;

import org.jspecify.annotations.NullMarked;
