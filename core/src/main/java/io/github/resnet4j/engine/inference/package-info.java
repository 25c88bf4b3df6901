/** A network compiled into a plan of steps. */
@NullMarked
package io.github.resnet4j.engine.inference;

import org.jspecify.annotations.NullMarked;
