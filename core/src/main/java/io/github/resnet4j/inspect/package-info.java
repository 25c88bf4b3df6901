/** Inspects networks and checkpoints: shapes, costs, statistics and differences. */
@NullMarked
package io.github.resnet4j.inspect;

import org.jspecify.annotations.NullMarked;
