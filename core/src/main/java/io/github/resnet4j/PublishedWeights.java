package io.github.resnet4j;

import com.fasterxml.jackson.jr.ob.JSON;
import io.github.resnet4j.checkpoint.Download;
import io.github.resnet4j.image.Preprocessing;
import io.github.resnet4j.messages.Suggestion;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;

/**
 * A weight file published by torchvision, trained on ImageNet-1K. The catalogue is data ({@code
 * weights.json}), created from torchvision's own metadata.
 *
 * @param model the network's name in {@link Architecture}
 * @param name torchvision's name of the weights, such as {@code IMAGENET1K_V1}
 * @param isDefault whether these are the weights named {@code DEFAULT}
 * @param sha256Prefix the first eight hexadecimal digits of the file's SHA-256
 * @param megabytes the size of the file in units of 2^20 bytes
 * @param parameters the number of trained parameters
 * @param top1 the published top-1 accuracy with one crop, in percent
 * @param top5 the published top-5 accuracy with one crop, in percent
 * @param preprocessing the preprocessing used for these accuracies
 */
public record PublishedWeights(
    String model,
    String name,
    boolean isDefault,
    URI url,
    String sha256Prefix,
    double megabytes,
    int classes,
    long parameters,
    double top1,
    double top5,
    Preprocessing preprocessing) {

  /** The names that {@link #labels} accepts. */
  public static final List<String> LABELS = List.of("imagenet", "imagenet-22k");

  static final String DEFAULT = "DEFAULT";

  /** The catalogue gives sizes in units of 2^20 bytes with three decimals. */
  private static final double MEGABYTES_ROUNDING = 0.0006;

  /** All files of the catalogue. */
  public static List<PublishedWeights> catalogue() {
    return Catalogue.ALL;
  }

  /** Read on first use: classifying with other weights does not need it. */
  private static final class Catalogue {
    static final List<PublishedWeights> ALL = read();

    private static List<PublishedWeights> read() {
      try {
        return ((List<?>) field(JSON.std.mapFrom(resource("weights.json")), "weights", List.class))
            .stream().map(entry -> parse((Map<?, ?>) entry)).toList();
      } catch (IOException e) {
        throw new UncheckedIOException(e);
      }
    }

    @SuppressWarnings("unchecked") // our own resource: preprocessing is an object of named fields
    private static PublishedWeights parse(Map<?, ?> entry) {
      return new PublishedWeights(
          field(entry, "model", String.class),
          field(entry, "name", String.class),
          field(entry, "default", Boolean.class),
          URI.create(field(entry, "url", String.class)),
          field(entry, "sha256_prefix", String.class),
          field(entry, "megabytes", Number.class).doubleValue(),
          field(entry, "classes", Number.class).intValue(),
          field(entry, "parameters", Number.class).longValue(),
          field(entry, "top1", Number.class).doubleValue(),
          field(entry, "top5", Number.class).doubleValue(),
          Preprocessing.fromFields((Map<String, ?>) field(entry, "preprocessing", Map.class)));
    }

    private static <T> T field(Map<?, ?> entry, String name, Class<T> type) {
      return type.cast(Objects.requireNonNull(entry.get(name), name));
    }
  }

  private static String resource(String name) throws IOException {
    try (InputStream stream = PublishedWeights.class.getResourceAsStream(name)) {
      if (stream == null) {
        throw new IOException("missing from the jar: " + name);
      }
      return new String(stream.readAllBytes(), StandardCharsets.UTF_8);
    }
  }

  /** The names of ImageNet-1K's classes, in the order of the logits. */
  public static List<String> imagenetLabels() {
    return labels("imagenet");
  }

  /**
   * The names of a data set's classes, in the order of the logits.
   *
   * @param name {@code imagenet}, 1,000 classes, or {@code imagenet-22k}, the 21,841 of the release
   *     of 2011 in the order of their WordNet numbers
   * @throws IllegalArgumentException if the name is unknown
   */
  public static List<String> labels(String name) {
    if (!LABELS.contains(name)) {
      throw new IllegalArgumentException(
          "no labels are named '%s'%s".formatted(name, Suggestion.of(name, LABELS)));
    }
    try {
      return resource(name.equals("imagenet") ? "imagenet-1k.txt" : name + ".txt").lines().toList();
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /**
   * The weights of a network with this name.
   *
   * @param name {@code DEFAULT}, or a name of the catalogue
   * @throws IllegalArgumentException if there is no such network, or no such weights; the message
   *     lists the names
   */
  public static PublishedWeights of(String model, String name) {
    Architecture.named(model); // fails if there is no such network
    var forModel = catalogue().stream().filter(weights -> weights.model.equals(model)).toList();
    List<String> names = forModel.stream().map(PublishedWeights::name).toList();
    return forModel.stream()
        .filter(weights -> weights.name.equals(name) || (name.equals(DEFAULT) && weights.isDefault))
        .findFirst()
        .orElseThrow(() ->
            new IllegalArgumentException(
                forModel.isEmpty()
                    ? "torchvision publishes no weights for " + model
                    : "%s has no weights '%s'%s; there are DEFAULT, %s"
                        .formatted(
                            model, name, Suggestion.of(name, names), String.join(", ", names))));
  }

  /** Whether a text is the name of weights in the catalogue rather than a file. */
  static boolean isName(String text) {
    return text.equals(DEFAULT)
        || catalogue().stream().anyMatch(weights -> weights.name.equals(text));
  }

  /** The published weights with this file name, such as {@code resnet34-b627a593.pth}. */
  static Optional<PublishedWeights> ofFileName(String fileName) {
    return catalogue().stream().filter(weights -> weights.fileName().equals(fileName)).findFirst();
  }

  /**
   * Whether a file contains these weights: compares its size, then its SHA-256, which takes half a
   * second for 100 MB.
   */
  boolean isIn(Path file) throws IOException {
    double found = Files.size(file) / (double) (1 << 20);
    return Math.abs(found - megabytes) <= MEGABYTES_ROUNDING
        && Download.sha256(file).startsWith(sha256Prefix);
  }

  /** The name of the file in PyTorch's cache. */
  public String fileName() {
    String path = url.getPath();
    return path.substring(path.lastIndexOf('/') + 1);
  }
}
