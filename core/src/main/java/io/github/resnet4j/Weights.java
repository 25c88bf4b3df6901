package io.github.resnet4j;

import com.fasterxml.jackson.jr.ob.JSON;
import io.github.resnet4j.ResNetSpec.Block;
import io.github.resnet4j.ResNetSpec.StridePlacement;
import io.github.resnet4j.checkpoint.Checkpoint;
import io.github.resnet4j.checkpoint.CheckpointException;
import io.github.resnet4j.checkpoint.Download;
import io.github.resnet4j.checkpoint.HuggingFaceHub;
import io.github.resnet4j.checkpoint.StoredTensor;
import io.github.resnet4j.checkpoint.TorchHub;
import io.github.resnet4j.image.Preprocessing;
import io.github.resnet4j.messages.Suggestion;
import java.io.IOException;
import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * Weights found by name, and what is known about them from the catalogue, from the file, or from
 * files beside it.
 *
 * @param file the file on this machine
 * @param spec the network, if known
 * @param preprocessing the preprocessing of the training, if known
 * @param labels the names of the classes, if known
 * @param task what the outputs mean; {@link Task#SINGLE_LABEL} unless the file states another
 * @param remarks what a user must know about the names of the tensors: {@link Checkpoint#remarks}
 */
public record Weights(
    Path file,
    Optional<ResNetSpec> spec,
    Optional<Preprocessing> preprocessing,
    Optional<List<String>> labels,
    Task task,
    List<String> remarks) {

  private static final String HUGGING_FACE = "hf:";

  public Weights {
    remarks = List.copyOf(remarks);
  }

  /** 22,000 class names, in both directions, need 3 MB. */
  private static final long MAX_CONFIG_BYTES = 4 << 20;

  /**
   * Finds weights by one name, and downloads them into PyTorch's cache if necessary.
   *
   * @param name a network of {@link Architecture}, such as {@code resnet50}, for its default
   *     published weights; {@code hf:owner/name}; or a file
   * @throws IllegalArgumentException if torchvision publishes no weights for the network
   * @throws IOException if they are not available; the message names their source and what to do
   */
  public static Weights find(String name) throws IOException {
    boolean isNetwork = Architecture.catalogue().containsKey(name);
    if (!isNetwork
        && !name.startsWith(HUGGING_FACE)
        && !PublishedWeights.isName(name)
        && !Files.exists(Path.of(name))) {
      throw new CheckpointException(
          Path.of(name),
          "is neither a network, nor a file, nor hf:owner/name"
              + Suggestion.of(name, Architecture.catalogue().keySet()));
    }
    return find(
        isNetwork ? Optional.of(name) : Optional.empty(),
        isNetwork ? PublishedWeights.DEFAULT : name,
        System.getenv(),
        new Download((_, _, _) -> {}));
  }

  /**
   * Finds weights, and downloads them if necessary.
   *
   * @param model a name of {@link Architecture}; empty to take the network from the weights
   * @param name {@code DEFAULT} or another name of {@link PublishedWeights}, a file, or {@code
   *     hf:owner/name}
   * @param environment determines the caches, usually {@link System#getenv()}. {@code
   *     RESNET4J_WEIGHTS_URL} replaces the URL of the folder from which published weights are
   *     downloaded, for machines that can only access a mirror
   * @throws IllegalArgumentException if the name is none of these
   * @throws IOException if the weights are not available; the message names their source and what
   *     to do
   */
  public static Weights find(
      Optional<String> model, String name, Map<String, String> environment, Download download)
      throws IOException {
    Optional<ResNetSpec> named = model.map(Architecture::named);
    if (name.startsWith(HUGGING_FACE)) {
      String repository = name.substring(HUGGING_FACE.length());
      var snapshot = new HuggingFaceHub(environment, download).snapshot(repository);
      return ofSnapshot(named, snapshot);
    }
    if (PublishedWeights.isName(name)) {
      String modelName =
          model.orElseThrow(
              () -> new IllegalArgumentException("name the network that '" + name + "' is for"));
      var published = PublishedWeights.of(modelName, name);
      URI url = mirrored(published.url(), environment);
      Path file =
          download.fetch(
              url, TorchHub.folder(environment), published.fileName(), published.sha256Prefix());
      return ofPublished(file, published);
    }
    Path file = Path.of(name);
    if (!Files.exists(file)) {
      throw new CheckpointException(file, unknown(name));
    }
    return ofFile(model, file, environment);
  }

  /**
   * Weights in a file: recognized by the name and the hash of a published file, by its metadata,
   * then by its structure.
   *
   * @param model a name of {@link Architecture}; empty to take the network from the weights
   */
  static Weights ofFile(Optional<String> model, Path file, Map<String, String> environment)
      throws IOException {
    Optional<ResNetSpec> named = model.map(Architecture::named);
    var published = PublishedWeights.ofFileName(String.valueOf(file.getFileName()));
    if (published.isPresent()
        && model.orElse(published.get().model()).equals(published.get().model())) {
      if (isCached(file, environment) || published.get().isIn(file)) {
        return ofPublished(file, published.get());
      }
      System.getLogger("io.github.resnet4j")
          .log(
              System.Logger.Level.WARNING,
              "%s: has the name of published weights, but another SHA-256: their labels and"
                      .formatted(file)
                  + " preprocessing are not used");
    }
    try (var checkpoint = Checkpoint.open(file)) {
      var notes = ModelNotes.of(checkpoint);
      Optional<ResNetSpec> spec =
          named.isPresent()
              ? Optional.of(withClassesOf(named.get(), checkpoint))
              : notes.spec().or(() -> Recognition.of(checkpoint).map(Recognition::spec));
      return new Weights(
          file, spec, notes.preprocessing(), notes.labels(), notes.task(), checkpoint.remarks());
    }
  }

  /**
   * Whether a file is in the cache of PyTorch or of this project, whose hash was checked on
   * download.
   */
  private static boolean isCached(Path file, Map<String, String> environment) {
    Path folder = TorchHub.folder(environment).toAbsolutePath().normalize();
    return folder.equals(file.toAbsolutePath().normalize().getParent());
  }

  private static String unknown(String name) {
    if (Architecture.catalogue().containsKey(name)) {
      return "is a network: name it with --model, and its weights with --weights DEFAULT or a file";
    }
    if (name.contains("/") || name.contains(".")) {
      return "does not exist";
    }
    String network = Suggestion.of(name, Architecture.catalogue().keySet());
    if (!network.isEmpty()) {
      return "is neither a file nor weights; a network is named with --model" + network;
    }
    var names = new ArrayList<>(List.of("DEFAULT"));
    PublishedWeights.catalogue().forEach(each -> names.add(each.name()));
    return "is neither a file nor DEFAULT, a name that 'resnet4j weights' lists, or hf:owner/name"
        + Suggestion.of(name, names.stream().distinct().toList());
  }

  /**
   * The network of the weights.
   *
   * @throws CheckpointException if it is not a ResNet; names the first tensor that does not fit
   */
  public ResNetSpec requireSpec() throws IOException {
    if (spec.isPresent()) {
      return spec.get();
    }
    try (var checkpoint = Checkpoint.open(file)) {
      return Recognition.require(checkpoint).spec();
    }
  }

  private static URI mirrored(URI url, Map<String, String> environment) {
    String mirror = environment.getOrDefault("RESNET4J_WEIGHTS_URL", "");
    if (mirror.isBlank()) {
      return url;
    }
    String path = url.getPath();
    String folder = mirror.endsWith("/") ? mirror : mirror + "/";
    return URI.create(folder + path.substring(path.lastIndexOf('/') + 1));
  }

  private static Weights ofPublished(Path file, PublishedWeights published) {
    return new Weights(
        file,
        Optional.of(Architecture.named(published.model())),
        Optional.of(published.preprocessing()),
        Optional.of(PublishedWeights.imagenetLabels()),
        Task.SINGLE_LABEL,
        List.of());
  }

  /**
   * A fine-tuned file of a known network: its head, if it has one, determines the number of
   * classes.
   */
  private static ResNetSpec withClassesOf(ResNetSpec spec, Checkpoint checkpoint)
      throws IOException {
    var tensors = checkpoint.torchvisionTensors();
    boolean body = tensors.containsKey("conv1.weight") || tensors.containsKey("conv1.0.weight");
    if (body && !tensors.containsKey("fc.weight")) {
      return spec.toBuilder().includeTop(false).build();
    }
    StoredTensor bias = tensors.get("fc.bias");
    if (bias == null || bias.shape().size() != 1 || bias.size() < 1) {
      return spec;
    }
    return spec.toBuilder().numClasses(Math.toIntExact(bias.size())).build();
  }

  private static Weights ofSnapshot(Optional<ResNetSpec> named, HuggingFaceHub.Snapshot snapshot)
      throws IOException {
    Map<String, Object> config =
        snapshot.config().isPresent() ? readJson(snapshot.config().get()) : Map.of();
    Optional<ResNetSpec> spec =
        named.isPresent() ? named : fromTimm(config).or(() -> fromTransformers(config));
    if (config.get("num_classes") instanceof Integer classes && classes >= 1) { // timm
      spec = spec.map(s -> s.toBuilder().numClasses(classes).build());
    }
    List<String> remarks;
    try (var checkpoint = Checkpoint.open(snapshot.weights())) {
      remarks = checkpoint.remarks();
      var notes = ModelNotes.of(checkpoint);
      if (notes.spec().isPresent()) { // a file of this project describes itself
        return new Weights(
            snapshot.weights(),
            named.isPresent() ? named : notes.spec(),
            notes.preprocessing(),
            notes.labels(),
            notes.task(),
            remarks);
      }
      if (spec.isPresent()) { // a fine-tuned repository may not state its number of classes
        spec = Optional.of(withClassesOf(spec.get(), checkpoint));
      }
    }
    Optional<Preprocessing> preprocessing = Optional.empty();
    if (snapshot.preprocessor().isPresent()) {
      preprocessing = Optional.of(Preprocessing.fromJson(snapshot.preprocessor().get()));
    } else if (config.get("pretrained_cfg") instanceof Map<?, ?>) {
      preprocessing = Optional.of(Preprocessing.fromFields(config));
    }
    return new Weights(
        snapshot.weights(), spec, preprocessing, labels(config, spec), task(config, spec), remarks);
  }

  private static Map<String, Object> readJson(Path file) throws IOException {
    if (Files.size(file) > MAX_CONFIG_BYTES) {
      throw new CheckpointException(
          file, "has more than 4 MB, which is too large for a configuration");
    }
    try {
      if (JSON.std.anyFrom(Files.readString(file)) instanceof Map<?, ?> map) {
        var config = new LinkedHashMap<String, Object>();
        map.forEach((key, value) -> config.put(String.valueOf(key), value));
        return config;
      }
    } catch (IOException e) {
      throw new CheckpointException(file, "is not JSON", e);
    }
    throw new CheckpointException(file, "is not a JSON object of names and values");
  }

  private static Optional<ResNetSpec> fromTimm(Map<String, Object> config) {
    return config.get("architecture") instanceof String name
        ? Optional.ofNullable(Architecture.catalogue().get(name))
        : Optional.empty();
  }

  /** {@code ResNetConfig} of the transformers library. */
  private static Optional<ResNetSpec> fromTransformers(Map<String, Object> config) {
    if (!"resnet".equals(config.get("model_type"))
        || !(config.get("depths") instanceof List<?> depths)
        || !depths.stream().allMatch(Integer.class::isInstance)
        || !(config.get("embedding_size") instanceof Integer channels)) {
      return Optional.empty();
    }
    boolean basic = "basic".equals(config.get("layer_type"));
    int classes = config.get("id2label") instanceof Map<?, ?> names ? names.size() : 1000;
    return Optional.of(
        ResNetSpec.builder(basic ? Block.BASIC : Block.BOTTLENECK, depths.toArray(Integer[]::new))
            .channels(channels)
            .numClasses(Math.max(1, classes))
            .stridePlacement(
                Boolean.TRUE.equals(config.get("downsample_in_bottleneck"))
                    ? StridePlacement.FIRST_1X1
                    : StridePlacement.ON_3X3)
            .build());
  }

  private static Optional<List<String>> labels(
      Map<String, Object> config, Optional<ResNetSpec> spec) {
    if (config.get("id2label") instanceof Map<?, ?> names) {
      var labels = new ArrayList<String>();
      for (int i = 0; i < names.size(); i++) {
        labels.add(String.valueOf(names.get(String.valueOf(i))));
      }
      return Optional.of(labels);
    }
    return spec.filter(s -> s.numClasses() == 1000).map(_ -> PublishedWeights.imagenetLabels());
  }

  /** {@code problem_type} of the transformers library. */
  private static Task task(Map<String, Object> config, Optional<ResNetSpec> spec) {
    return "multi_label_classification".equals(config.get("problem_type")) && spec.isPresent()
        ? Task.MultiLabel.of(spec.get().numClasses())
        : Task.SINGLE_LABEL;
  }

  /** {@code Weights[resnet50-11ad3fa6.pth, resnet50]}. */
  @Override
  public String toString() {
    return "Weights[%s, %s]"
        .formatted(
            file.getFileName(),
            spec.map(each -> Architecture.nameOf(each).orElse("unnamed network"))
                .orElse("unknown network"));
  }
}
