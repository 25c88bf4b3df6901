/** Where embeddings are kept: files for other programs, an index for neighbours. */
@NullMarked
package io.github.resnet4j.embeddings;

import org.jspecify.annotations.NullMarked;
