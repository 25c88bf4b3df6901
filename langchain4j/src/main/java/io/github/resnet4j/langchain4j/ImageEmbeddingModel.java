package io.github.resnet4j.langchain4j;

import dev.langchain4j.data.embedding.Embedding;
import dev.langchain4j.data.message.Content;
import dev.langchain4j.data.message.ContentType;
import dev.langchain4j.data.message.ImageContent;
import dev.langchain4j.model.embedding.EmbeddingModel;
import dev.langchain4j.model.embedding.request.EmbeddingInput;
import dev.langchain4j.model.embedding.request.EmbeddingRequest;
import dev.langchain4j.model.embedding.response.EmbeddingResponse;
import io.github.resnet4j.Architecture;
import io.github.resnet4j.Classifier;
import io.github.resnet4j.image.Image;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.URI;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Base64;
import java.util.Set;

/**
 * Embeds images for LangChain4j's stores: the mean of the network's last stage over all pixels, one
 * number per channel.
 *
 * <pre>{@code
 * var model = new ImageEmbeddingModel(classifier);
 * var image = ImageContent.from(Path.of("cat.jpg"), "image/jpeg");
 * var request = EmbeddingRequest.builder().input(image).build();
 * Embedding embedding = model.embed(request).embeddings().getFirst();
 * }</pre>
 *
 * <p>Each input is one image: bytes in base64, or a {@code file:} URL. Nothing is downloaded, and
 * text is rejected. Thread-safe; the classifier is not closed.
 */
public final class ImageEmbeddingModel implements EmbeddingModel {
  private final Classifier classifier;

  /**
   * @param classifier a network with or without a head
   */
  public ImageEmbeddingModel(Classifier classifier) {
    this.classifier = classifier;
  }

  /**
   * Embeds the images of a request, in their order.
   *
   * @throws IllegalArgumentException if an input is not one image, or the request wants another
   *     number of dimensions
   * @throws UncheckedIOException if an image cannot be read
   */
  @Override
  public EmbeddingResponse doEmbed(EmbeddingRequest request) {
    Integer dimensions = request.dimensions();
    if (dimensions != null && dimensions != dimension()) {
      throw new IllegalArgumentException(
          "the network's embeddings have %d dimensions, not %d".formatted(dimension(), dimensions));
    }
    var embeddings = new ArrayList<Embedding>();
    for (int i = 0; i < request.inputs().size(); i++) {
      try {
        embeddings.add(Embedding.from(classifier.embed(image(request.inputs().get(i), i))));
      } catch (IOException e) {
        throw new UncheckedIOException(e);
      }
    }
    return EmbeddingResponse.builder().embeddings(embeddings).modelName(modelName()).build();
  }

  private static Image image(EmbeddingInput input, int index) {
    Content content = input.contents().size() == 1 ? input.contents().getFirst() : null;
    if (!(content instanceof ImageContent found)) {
      throw new IllegalArgumentException(
          "input %d must be one image, was %s".formatted(index, input.contentTypes()));
    }
    String base64 = found.image().base64Data();
    if (base64 != null) {
      return Image.of("input " + index, Base64.getDecoder().decode(base64));
    }
    URI url = found.image().url();
    if (url == null || !"file".equals(url.getScheme())) {
      throw new IllegalArgumentException(
          "input %d must be base64 or a file: URL, since nothing is downloaded; was %s"
              .formatted(index, url));
    }
    return Image.of(Path.of(url));
  }

  @Override
  public Set<ContentType> supportedContentTypes() {
    return Set.of(ContentType.IMAGE);
  }

  /** The number of channels of the network's last stage. */
  @Override
  public int dimension() {
    return classifier.model().network().spec().featureChannels();
  }

  /**
   * The name of the network, such as {@code resnet50}, or {@code resnet} for one without a name.
   */
  @Override
  public String modelName() {
    return Architecture.nameOf(classifier.model().network().spec()).orElse("resnet");
  }
}
