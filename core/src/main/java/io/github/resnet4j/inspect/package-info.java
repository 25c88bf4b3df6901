/**
 * Shapes, costs and statistics of networks and checkpoints, and how two of them differ.
 *
 * <p>Begin with {@link io.github.resnet4j.inspect.Summary} for the layers of a network, or {@link
 * io.github.resnet4j.inspect.Difference} to compare two checkpoints.
 */
@NullMarked
package io.github.resnet4j.inspect;

import org.jspecify.annotations.NullMarked;
