/**
 * Shapes, costs and statistics of networks and checkpoints, and differences between two of them.
 *
 * <p>Start with {@link io.github.resnet4j.inspect.Summary} for the layers of a network, or {@link
 * io.github.resnet4j.inspect.Difference} to compare two checkpoints.
 */
@NullMarked
package io.github.resnet4j.inspect;

import org.jspecify.annotations.NullMarked;
