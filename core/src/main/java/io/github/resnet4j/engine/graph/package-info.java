/** What a network computes, operation by operation, and where the results lie. */
@NullMarked
package io.github.resnet4j.engine.graph;

import org.jspecify.annotations.NullMarked;
