/**
 * Data sets in other forms than folders of images.
 *
 * <p>Begin with {@link io.github.resnet4j.datasets.Datasets}, which opens any of them.
 */
@NullMarked
package io.github.resnet4j.datasets;

import org.jspecify.annotations.NullMarked;
