/**
 * Training and evaluation.
 *
 * <p>To fine-tune a pretrained model, begin with {@link io.github.resnet4j.train.FineTuning}. A
 * {@link io.github.resnet4j.train.Dataset} has the images, a {@link
 * io.github.resnet4j.train.Recipe} the hyperparameters; {@link io.github.resnet4j.train.Trainer}
 * runs the epochs. {@link io.github.resnet4j.train.Evaluation} measures a model.
 */
@NullMarked
package io.github.resnet4j.train;

import org.jspecify.annotations.NullMarked;
