/**
 * Heat maps that explain predictions.
 *
 * <p>Begin with {@code Classifier.explain}; {@link io.github.resnet4j.explain.Explainer}, from
 * {@code ResNet.explainer}, takes any layer and input. Both give a {@link
 * io.github.resnet4j.explain.HeatMap}.
 */
@NullMarked
package io.github.resnet4j.explain;

import org.jspecify.annotations.NullMarked;
