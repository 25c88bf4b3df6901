/**
 * Batch inference and data-parallel training on Apache Spark.
 *
 * <p>Begin with {@link io.github.resnet4j.spark.ResNetTransformer} for images in a table, or {@link
 * io.github.resnet4j.spark.ResNetFunctions} in SQL.
 */
@NullMarked
package io.github.resnet4j.spark;

import org.jspecify.annotations.NullMarked;
