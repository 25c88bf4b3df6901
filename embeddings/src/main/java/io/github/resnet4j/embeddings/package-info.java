/** Storage of embeddings: Parquet files, and an index for similarity search. */
@NullMarked
package io.github.resnet4j.embeddings;

import org.jspecify.annotations.NullMarked;
