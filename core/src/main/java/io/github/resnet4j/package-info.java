/**
 * Residual networks: classification, embeddings, and the networks themselves.
 *
 * <p>To classify images, start with {@link io.github.resnet4j.Classifier}. It runs a {@link
 * io.github.resnet4j.Model}: a network with its weights, preprocessing and labels, which is loaded
 * by name or from a file. {@link io.github.resnet4j.Architecture} lists the named networks, {@link
 * io.github.resnet4j.ResNetSpec} specifies any other, and {@link io.github.resnet4j.ResNet} is a
 * network with weights.
 */
@NullMarked
package io.github.resnet4j;

import org.jspecify.annotations.NullMarked;
