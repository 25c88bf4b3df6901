package io.github.resnet4j;

import io.github.resnet4j.checkpoint.Checkpoint;
import io.github.resnet4j.checkpoint.CheckpointException;
import io.github.resnet4j.image.Interpolation;
import io.github.resnet4j.image.Preprocessing;
import io.github.resnet4j.tensor.Tensor;
import io.github.resnet4j.tensor.TorchRandom;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Optional;
import java.util.stream.IntStream;

/**
 * A network with what belongs to its weights: how images are prepared, and the names of the
 * classes. {@link Classifier} runs it.
 *
 * @param labels one name for each class, in the order of the logits; none for a network without its
 *     head, which gives embeddings and cannot classify
 */
public record Model(ResNet network, Preprocessing preprocessing, List<String> labels) {
  private static final String EMBEDDED = "digits.pth";

  /**
   * @throws IllegalArgumentException if the parts do not fit together
   */
  public Model {
    labels = List.copyOf(labels);
    ResNetSpec spec = network.spec();
    int classes = spec.numClasses();
    if (labels.size() != classes) {
      throw new IllegalArgumentException(
          "%d labels for %d classes".formatted(labels.size(), classes));
    }
    if (preprocessing.channels() != spec.inChannels()) {
      throw new IllegalArgumentException(
          "the preprocessing makes %d channels, the network takes %d"
              .formatted(preprocessing.channels(), spec.inChannels()));
    }
  }

  /**
   * The model that comes with resnet4j: handwritten digits, 0 to 9. Needs no network and no file.
   */
  public static Model embedded() {
    try (InputStream resource = Model.class.getResourceAsStream(EMBEDDED)) {
      if (resource == null) {
        throw new IllegalStateException("the embedded model is not in the jar: " + EMBEDDED);
      }
      try (var checkpoint = Checkpoint.of(Path.of(EMBEDDED), resource.readAllBytes())) {
        return of(checkpoint, false);
      }
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /**
   * A new model, to train: {@linkplain ResNet#initialize random weights} and {@linkplain
   * #usualPreprocessing the usual preprocessing} of its network.
   *
   * @param network of any number of classes
   * @param labels the names of the classes, as many as the new network has
   * @param seed the random seed
   */
  public static Model initialize(ResNetSpec network, List<String> labels, long seed) {
    ResNetSpec spec = network.toBuilder().numClasses(labels.size()).includeTop(true).build();
    return new Model(
        ResNet.initialize(spec, TorchRandom.manualSeed(seed)), usualPreprocessing(spec), labels);
  }

  /**
   * A model by name. Published weights are downloaded once, into PyTorch's cache.
   *
   * @param name a network of {@link Architecture}, such as {@code resnet50}, for its default
   *     published weights; {@code hf:owner/name}; or a file, see {@link #load(Path)}
   * @throws IllegalArgumentException if torchvision publishes no weights for the network
   * @throws IOException if the weights cannot be had, or are for no network of the family; says why
   */
  public static Model load(String name) throws IOException {
    return loaded(Weights.find(name));
  }

  /**
   * A model from a checkpoint: {@code .pth}, {@code .pt}, {@code .bin} or {@code .safetensors}. A
   * published file is recognised by its name and hash, one that {@link #save} wrote by its notes,
   * any other by the names and shapes of its tensors. What the file does not say is assumed: {@link
   * #usualPreprocessing}, and numbers for labels.
   *
   * @throws CheckpointException if it is damaged, or for no network of the family; says why
   */
  public static Model load(Path file) throws IOException {
    return loaded(Weights.ofFile(Optional.empty(), file, System.getenv()));
  }

  /**
   * The same for a file whose network is known, where names and shapes leave a choice.
   *
   * @param network a name of {@link Architecture}; classes and head are those of the file
   * @throws IllegalArgumentException if there is no network of that name
   */
  public static Model load(Path file, String network) throws IOException {
    return loaded(Weights.ofFile(Optional.of(network), file, System.getenv()));
  }

  private static Model loaded(Weights found) throws IOException {
    try (var checkpoint = Checkpoint.open(found.file())) {
      return of(found, ResNet.load(found.requireSpec(), checkpoint));
    }
  }

  /**
   * A model from a checkpoint of {@link #save} in memory, whose weights are read where it lies when
   * they are asked for; the array must stay as it is.
   *
   * @param name what errors call it
   * @throws CheckpointException if it is damaged, or was not written by {@link #save}
   */
  @SuppressWarnings("MustBeClosedChecker") // memory needs no closing
  public static Model read(String name, byte[] bytes) throws IOException {
    return of(Checkpoint.of(Path.of(name), bytes), true);
  }

  /**
   * Weights that were found, with the preprocessing and the labels that belong to them: {@linkplain
   * #usualPreprocessing the usual one} and numbers where those are not known. The file stays open
   * as long as the process lives: weights are read as they are compiled.
   *
   * @throws CheckpointException if they are for no network of the family; says why
   */
  @SuppressWarnings("MustBeClosedChecker")
  public static Model of(Weights found) throws IOException {
    return of(found, ResNet.loadLazily(found.requireSpec(), Checkpoint.open(found.file())));
  }

  /** The same for a network that was loaded from them already. */
  public static Model of(Weights found, ResNet network) {
    ResNetSpec spec = network.spec();
    int classes = spec.numClasses();
    return new Model(
        network,
        found.preprocessing().orElseGet(() -> usualPreprocessing(spec)),
        found
            .labels()
            .filter(labels -> labels.size() == classes)
            .orElseGet(() -> numbered(classes)));
  }

  /**
   * What is assumed of weights that do not say how their images were prepared: CIFAR's for a
   * network for small images, else ImageNet's.
   */
  public static Preprocessing usualPreprocessing(ResNetSpec spec) {
    return spec.stem() instanceof Stem.SmallImage
        ? new Preprocessing(
            32,
            32,
            32,
            Interpolation.BILINEAR,
            List.of(0.4914f, 0.4822f, 0.4465f),
            List.of(0.2470f, 0.2435f, 0.2616f))
        : Preprocessing.imagenet(256, 224);
  }

  private static Model of(Checkpoint checkpoint, boolean lazily) throws IOException {
    var notes = ModelNotes.of(checkpoint);
    if (notes.spec().isEmpty() || notes.preprocessing().isEmpty()) {
      throw new CheckpointException(
          checkpoint.file(),
          "does not say which network it is for; name the network and its preprocessing");
    }
    ResNetSpec spec = notes.spec().get();
    ResNet network = lazily ? ResNet.loadLazily(spec, checkpoint) : ResNet.load(spec, checkpoint);
    List<String> labels = notes.labels().orElseGet(() -> numbered(spec.numClasses()));
    try {
      return new Model(network, notes.preprocessing().get(), labels);
    } catch (IllegalArgumentException e) {
      throw new CheckpointException(
          checkpoint.file(), "its notes contradict each other: " + e.getMessage(), e);
    }
  }

  /** Names for classes that have none: their numbers. */
  public static List<String> numbered(int classes) {
    return IntStream.range(0, classes).mapToObj(String::valueOf).toList();
  }

  /** Writes weights, architecture, preprocessing and labels into one file for {@link #load}. */
  public void save(Path file) throws IOException {
    network.save(file, ModelNotes.toMetadata(network.spec(), preprocessing, labels));
  }

  /**
   * The same as {@link #save}, with weights as bytes and the ranges that {@link
   * io.github.resnet4j.engine.Calibration} found.
   *
   * @throws IllegalStateException if the network was not calibrated
   */
  public void saveQuantized(Path file) throws IOException {
    network.saveQuantized(file, ModelNotes.toMetadata(network.spec(), preprocessing, labels));
  }

  /** The same classes from another network. */
  public Model withNetwork(ResNet other) {
    return new Model(other, preprocessing, labels);
  }

  /**
   * The best classes of each row of logits.
   *
   * @param logits {@code [N, classes]}
   * @throws IllegalArgumentException if the network has no head
   */
  public List<List<Prediction>> top(Tensor logits, int top) {
    requireHead();
    int classes = logits.dim(1);
    var all = new ArrayList<List<Prediction>>();
    for (int n = 0; n < logits.dim(0); n++) {
      int row = n * classes;
      float[] values = logits.data();
      float max = Float.NEGATIVE_INFINITY;
      for (int c = 0; c < classes; c++) {
        max = Math.max(max, values[row + c]);
      }
      double sum = 0;
      for (int c = 0; c < classes; c++) {
        sum += Math.exp(values[row + c] - max);
      }
      double total = sum;
      float shift = max;
      all.add(
          IntStream.range(0, classes)
              .boxed()
              .sorted(Comparator.comparing((Integer c) -> -values[row + c]))
              .limit(top)
              .map(c ->
                  new Prediction(
                      c, labels.get(c), (float) (Math.exp(values[row + c] - shift) / total)))
              .toList());
    }
    return all;
  }

  /**
   * The same, for those who need classes.
   *
   * @throws IllegalArgumentException if the network has no head
   */
  public Model requireHead() {
    if (!network.spec().includeTop()) {
      throw new IllegalArgumentException(
          "the network has no head (fc.weight), so no classes; only its embeddings can be had");
    }
    return this;
  }

  /** The same network and classes behind another preprocessing. */
  public Model withPreprocessing(Preprocessing other) {
    return new Model(network, other, labels);
  }

  /** The same network under other names for its classes. */
  public Model withLabels(List<String> other) {
    return new Model(network, preprocessing, other);
  }

  /** {@code Model[resnet50, 1000 classes, resize 256, crop 224×224]}. */
  @Override
  public String toString() {
    return "Model[%s, resize %d, crop %d×%d]"
        .formatted(
            network.describe(),
            preprocessing.resize(),
            preprocessing.cropHeight(),
            preprocessing.cropWidth());
  }
}
