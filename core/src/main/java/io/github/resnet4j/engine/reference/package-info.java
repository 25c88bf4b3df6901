/** A network in plain loops, layer by layer: what the engine is compared with. */
@NullMarked
package io.github.resnet4j.engine.reference;

import org.jspecify.annotations.NullMarked;
