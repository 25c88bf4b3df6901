/** Explains predictions: heat maps over images. */
@NullMarked
package io.github.resnet4j.explain;

import org.jspecify.annotations.NullMarked;
