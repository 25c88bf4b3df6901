/** Batch inference and data-parallel training on Apache Spark. */
@org.jspecify.annotations.NullMarked
package io.github.resnet4j.spark;
