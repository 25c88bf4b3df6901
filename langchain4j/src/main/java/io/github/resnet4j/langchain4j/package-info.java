/** Image embeddings for LangChain4j's stores. */
@NullMarked
package io.github.resnet4j.langchain4j;

import org.jspecify.annotations.NullMarked;
