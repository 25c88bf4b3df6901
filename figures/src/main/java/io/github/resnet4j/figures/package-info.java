/**
 * Draws networks, heat maps and trainings, as PNG, SVG and HTML.
 *
 * <p>Begin with {@link io.github.resnet4j.figures.NetworkFigure} for a network, {@link
 * io.github.resnet4j.figures.HeatMapFigure} for an explanation, and {@link
 * io.github.resnet4j.figures.TrainingReport} for a training.
 */
@NullMarked
package io.github.resnet4j.figures;

import org.jspecify.annotations.NullMarked;
