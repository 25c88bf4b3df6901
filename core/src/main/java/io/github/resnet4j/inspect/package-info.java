/** Networks and checkpoints laid open: shapes, costs, statistics, differences. */
@NullMarked
package io.github.resnet4j.inspect;

import org.jspecify.annotations.NullMarked;
