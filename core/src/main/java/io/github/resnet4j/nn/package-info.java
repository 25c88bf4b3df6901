/**
 * The layers of a network as data: names, shapes, parameters and initial weights.
 *
 * <p>{@code ResNetSpec.layers} returns the tree of {@link io.github.resnet4j.nn.Layer}, {@code
 * ResNet.state} the weights by name, a {@link io.github.resnet4j.nn.StateDict}.
 */
@NullMarked
package io.github.resnet4j.nn;

import org.jspecify.annotations.NullMarked;
