/** The layers of a network as data: their names, shapes, parameters and initialization. */
@NullMarked
package io.github.resnet4j.nn;

import org.jspecify.annotations.NullMarked;
