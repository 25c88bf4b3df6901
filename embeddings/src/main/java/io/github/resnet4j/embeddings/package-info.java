/**
 * Stores embeddings: an index for similarity search, and files for other programs.
 *
 * <p>Begin with {@link io.github.resnet4j.embeddings.ImageIndex}, which finds the images most
 * similar to one; {@link io.github.resnet4j.embeddings.ParquetFeatures} writes embeddings as
 * Parquet.
 */
@NullMarked
package io.github.resnet4j.embeddings;

import org.jspecify.annotations.NullMarked;
