/** Compiles a network into a plan of steps and runs it. */
@NullMarked
package io.github.resnet4j.engine.inference;

import org.jspecify.annotations.NullMarked;
