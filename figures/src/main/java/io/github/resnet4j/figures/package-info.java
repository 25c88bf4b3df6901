/** Figures: drawn from the objects that they show, as PNG, SVG and HTML. */
@NullMarked
package io.github.resnet4j.figures;

import org.jspecify.annotations.NullMarked;
