/** Figures as PNG, SVG and HTML, drawn from networks, evaluations and trainings. */
@NullMarked
package io.github.resnet4j.figures;

import org.jspecify.annotations.NullMarked;
