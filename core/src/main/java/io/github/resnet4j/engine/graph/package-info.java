/** The graph of a network's operations, and the memory layout of their results. */
@NullMarked
package io.github.resnet4j.engine.graph;

import org.jspecify.annotations.NullMarked;
