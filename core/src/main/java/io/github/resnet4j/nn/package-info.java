/** The layers of a network as data: their names, shapes, parameters and initialisation. */
@NullMarked
package io.github.resnet4j.nn;

import org.jspecify.annotations.NullMarked;
