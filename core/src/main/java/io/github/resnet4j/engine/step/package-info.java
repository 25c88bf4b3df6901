/** Steps without weights, the memory of an execution, and its threads. */
@NullMarked
package io.github.resnet4j.engine.step;

import org.jspecify.annotations.NullMarked;
