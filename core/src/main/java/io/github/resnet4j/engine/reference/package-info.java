/** Plain loops, layer by layer: the reference with which the engine is compared. */
@NullMarked
package io.github.resnet4j.engine.reference;

import org.jspecify.annotations.NullMarked;
