/** Runs a network. */
@NullMarked
package io.github.resnet4j.engine;

import org.jspecify.annotations.NullMarked;
