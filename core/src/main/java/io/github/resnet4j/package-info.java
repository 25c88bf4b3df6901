/**
 * Residual networks: the family as data, and what one does with a network.
 *
 * <p>Begin with {@link io.github.resnet4j.Model}, or with {@link io.github.resnet4j.Architecture}
 * and {@link io.github.resnet4j.ResNet}.
 */
@NullMarked
package io.github.resnet4j;

import org.jspecify.annotations.NullMarked;
