/** Training: images with labels, schedules, optimizers and the loop over epochs. */
@NullMarked
package io.github.resnet4j.train;

import org.jspecify.annotations.NullMarked;
