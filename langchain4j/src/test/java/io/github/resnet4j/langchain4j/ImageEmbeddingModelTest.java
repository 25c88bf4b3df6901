package io.github.resnet4j.langchain4j;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.langchain4j.data.embedding.Embedding;
import dev.langchain4j.data.message.ImageContent;
import dev.langchain4j.model.embedding.request.EmbeddingInput;
import dev.langchain4j.model.embedding.request.EmbeddingRequest;
import dev.langchain4j.store.embedding.EmbeddingSearchRequest;
import dev.langchain4j.store.embedding.inmemory.InMemoryEmbeddingStore;
import io.github.resnet4j.Classifier;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.URI;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.Test;

/** Images are found in LangChain4j's store by their embeddings. */
class ImageEmbeddingModelTest {
  private static final Path SAMPLES = Path.of("..", "samples");
  private static final Classifier CLASSIFIER = Classifier.embedded();
  private static final ImageEmbeddingModel MODEL = new ImageEmbeddingModel(CLASSIFIER);

  @AfterAll
  static void close() {
    CLASSIFIER.close();
  }

  private static EmbeddingInput png(int digit) {
    Path file = SAMPLES.resolve("digit-%d.png".formatted(digit));
    return EmbeddingInput.from(ImageContent.from(file, "image/png"));
  }

  private static List<Embedding> embed(EmbeddingInput... inputs) {
    return MODEL.embed(EmbeddingRequest.builder().inputs(inputs).build()).embeddings();
  }

  @Test
  void storeFindsTheSameImage() throws IOException {
    var store = new InMemoryEmbeddingStore<String>();
    store.addAll(embed(png(2), png(6)), List.of("two", "six"));
    Path six = SAMPLES.resolve("digit-6.png");
    Embedding query = embed(EmbeddingInput.from(ImageContent.from(six.toUri()))).getFirst();
    assertArrayEquals(CLASSIFIER.embed(six), query.vector());
    assertEquals(MODEL.dimension(), query.dimension());
    var search = EmbeddingSearchRequest.builder().queryEmbedding(query).maxResults(2).build();
    var matches = store.search(search).matches();
    assertEquals("six", matches.getFirst().embedded());
    assertEquals(1, matches.getFirst().score(), 1e-6); // cosine similarity in float32
    assertTrue(matches.get(1).score() < 0.999, matches.toString());
  }

  @Test
  void everythingButOneImageIsRejected() {
    for (var input :
        List.of(
            EmbeddingInput.from("a six"),
            EmbeddingInput.from(png(2).contents().getFirst(), png(6).contents().getFirst()),
            EmbeddingInput.from(ImageContent.from(URI.create("https://example.com/a.png"))))) {
      assertThrows(RuntimeException.class, () -> embed(input));
    }
    var broken = EmbeddingInput.from(ImageContent.from("AAAA", "image/png"));
    String message = assertThrows(UncheckedIOException.class, () -> embed(broken)).getMessage();
    assertTrue(message.contains("input 0"), message);
    var request = EmbeddingRequest.builder().inputs(png(6)).dimensions(7).build();
    assertThrows(RuntimeException.class, () -> MODEL.embed(request));
  }
}
