package io.github.resnet4j;

import io.github.resnet4j.checkpoint.Checkpoint;
import io.github.resnet4j.checkpoint.CheckpointException;
import io.github.resnet4j.engine.Calibration;
import io.github.resnet4j.engine.CompileOptions;
import io.github.resnet4j.engine.Precision;
import io.github.resnet4j.engine.Quantization;
import io.github.resnet4j.image.ImageDecoder;
import io.github.resnet4j.image.Interpolation;
import io.github.resnet4j.image.Preprocessing;
import io.github.resnet4j.messages.Events;
import io.github.resnet4j.tensor.Tensor;
import io.github.resnet4j.tensor.TorchRandom;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Comparator;
import java.util.List;
import java.util.Optional;
import java.util.stream.IntStream;

/**
 * A network with the preprocessing of its weights and the names of its classes. {@link Classifier}
 * runs it.
 *
 * @param labels one name per class, in the order of the logits; empty for a network without a head,
 *     which computes embeddings and cannot classify. For {@link Task.Regression} the names of the
 *     numbers
 * @param task what the outputs mean
 */
public record Model(ResNet network, Preprocessing preprocessing, List<String> labels, Task task) {
  private static final String EMBEDDED = "digits.pth";

  /**
   * @throws IllegalArgumentException if the parts do not match
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
          "the preprocessing has %d channels, but the network needs %d"
              .formatted(preprocessing.channels(), spec.inChannels()));
    }
    int parameters =
        switch (task) {
          case Task.SingleLabel _ -> classes;
          case Task.MultiLabel(List<Float> thresholds) -> thresholds.size();
          case Task.Regression(List<Float> means, List<Float> _) -> means.size();
        };
    if (parameters != classes) {
      throw new IllegalArgumentException(
          "%d thresholds or means for %d outputs".formatted(parameters, classes));
    }
  }

  /** A model for images of one class each: {@link Task#SINGLE_LABEL}. */
  public Model(ResNet network, Preprocessing preprocessing, List<String> labels) {
    this(network, preprocessing, labels, Task.SINGLE_LABEL);
  }

  /**
   * The model that is part of resnet4j: handwritten digits, 0 to 9. It needs no network access and
   * no file.
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
   * A new model for training, with {@linkplain ResNet#initialize random weights} and the
   * {@linkplain #usualPreprocessing default preprocessing} of its network.
   *
   * @param network the specification; its number of classes is replaced
   * @param labels the names of the classes
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
   * @throws IOException if the weights are not available, or are not of a ResNet; the message gives
   *     the reason
   */
  public static Model load(String name) throws IOException {
    return loaded(Weights.find(name));
  }

  /**
   * A model from a checkpoint: {@code .pth}, {@code .pt}, {@code .bin} or {@code .safetensors}. A
   * published file is recognized by its name and hash, a file of {@link #save} by its metadata, any
   * other by the names and shapes of its tensors. Missing information is replaced by {@link
   * #usualPreprocessing} and by class numbers as labels.
   *
   * @throws CheckpointException if it is damaged, or not of a ResNet; the message gives the reason
   */
  public static Model load(Path file) throws IOException {
    return loaded(Weights.ofFile(Optional.empty(), file, System.getenv()));
  }

  /**
   * The same for a file whose network is known, in case names and shapes are ambiguous.
   *
   * @param network a name of {@link Architecture}; classes and head are those of the file
   * @throws IllegalArgumentException if there is no network of that name
   */
  public static Model load(Path file, String network) throws IOException {
    return loaded(Weights.ofFile(Optional.of(network), file, System.getenv()));
  }

  private static Model loaded(Weights found) throws IOException {
    LoadEvent event = Events.AVAILABLE ? LoadEvent.started() : null;
    try (var checkpoint = Checkpoint.open(found.file())) {
      Model model = of(found, ResNet.load(found.requireSpec(), checkpoint));
      if (event != null) {
        commit(event, found, model);
      }
      return model;
    }
  }

  private static void commit(LoadEvent event, Weights found, Model model) throws IOException {
    event.file = found.file().toString();
    event.bytes = Files.size(found.file());
    event.network = found.requireSpec().toString();
    event.parameters = model.network().state().size();
    event.commit();
  }

  /**
   * A model from a checkpoint of {@link #save} in memory. Its weights are read from the array on
   * request, so the array must not change.
   *
   * @param name the name in error messages
   * @throws CheckpointException if it is damaged, or was not written by {@link #save}
   */
  @SuppressWarnings("MustBeClosedChecker") // memory needs no closing
  public static Model read(String name, byte[] bytes) throws IOException {
    return of(Checkpoint.of(Path.of(name), bytes), true);
  }

  /**
   * Weights with their preprocessing and labels; if these are unknown, {@linkplain
   * #usualPreprocessing the default preprocessing} and class numbers. The file stays open until the
   * process ends, since weights are read when they are compiled.
   *
   * @throws CheckpointException if they are not of a ResNet; the message gives the reason
   */
  @SuppressWarnings("MustBeClosedChecker")
  public static Model of(Weights found) throws IOException {
    LoadEvent event = Events.AVAILABLE ? LoadEvent.started() : null;
    Model model = of(found, ResNet.loadLazily(found.requireSpec(), Checkpoint.open(found.file())));
    if (event != null) {
      commit(event, found, model);
    }
    return model;
  }

  /** The same for a network that is already loaded. */
  public static Model of(Weights found, ResNet network) {
    ResNetSpec spec = network.spec();
    int classes = spec.numClasses();
    return new Model(
        network,
        found.preprocessing().orElseGet(() -> usualPreprocessing(spec)),
        found
            .labels()
            .filter(labels -> labels.size() == classes)
            .orElseGet(() -> numbered(classes)),
        found.task());
  }

  /**
   * The default preprocessing of weights without preprocessing settings: CIFAR's for a network for
   * small images, else ImageNet's.
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
          "does not name its network; specify the network and its preprocessing");
    }
    ResNetSpec spec = notes.spec().get();
    ResNet network = lazily ? ResNet.loadLazily(spec, checkpoint) : ResNet.load(spec, checkpoint);
    List<String> labels = notes.labels().orElseGet(() -> numbered(spec.numClasses()));
    try {
      return new Model(network, notes.preprocessing().get(), labels, notes.task());
    } catch (IllegalArgumentException e) {
      throw new CheckpointException(
          checkpoint.file(), "its metadata is inconsistent: " + e.getMessage(), e);
    }
  }

  /** Class numbers as labels, for classes without names. */
  public static List<String> numbered(int classes) {
    return IntStream.range(0, classes).mapToObj(String::valueOf).toList();
  }

  /** Writes weights, architecture, preprocessing and labels into one file for {@link #load}. */
  public void save(Path file) throws IOException {
    network.save(file, ModelNotes.toMetadata(network.spec(), preprocessing, labels, task));
  }

  /**
   * The same as {@link #save}, with INT8 weights and the ranges measured by {@link
   * io.github.resnet4j.engine.Calibration}.
   *
   * @throws IllegalStateException if the network was not calibrated
   */
  public void saveQuantized(Path file) throws IOException {
    network.saveQuantized(file, ModelNotes.toMetadata(network.spec(), preprocessing, labels, task));
  }

  /**
   * This model, quantized, for {@link Precision#INT8}: the images show how large activations get. A
   * hundred images of the kind that the model will see are enough. {@link #saveQuantized} writes
   * the result.
   *
   * @param images files to calibrate with
   * @throws IOException if an image cannot be read
   * @throws IllegalArgumentException if there are no images, or the network has group norm
   */
  public Model quantized(Collection<Path> images) throws IOException {
    if (images.isEmpty()) {
      throw new IllegalArgumentException("there are no images to calibrate with");
    }
    try (var calibration = new Calibration(network.compile(CompileOptions.defaults()))) {
      for (Path image : images) {
        calibration.observe(preprocessing.apply(ImageDecoder.DEFAULT.decode(image)));
      }
      Quantization found = calibration.quantization(Calibration.Method.MIN_MAX);
      return withNetwork(network.withQuantization(found));
    }
  }

  /** The same preprocessing and labels with another network. */
  public Model withNetwork(ResNet other) {
    return new Model(other, preprocessing, labels, task);
  }

  /**
   * The most likely classes for each row of logits, best first. A {@linkplain Task.MultiLabel model
   * for several labels} gives the classes that reach their threshold, maybe none.
   *
   * @param logits {@code [N, classes]}
   * @param top the maximum number of classes
   * @throws IllegalArgumentException if the network has no head, or predicts numbers
   */
  public List<List<Prediction>> top(Tensor logits, int top) {
    requireClasses();
    var all = new ArrayList<List<Prediction>>();
    for (int n = 0; n < logits.dim(0); n++) {
      float[] row = logits.row(n);
      float[] probabilities = probabilities(row);
      all.add(
          IntStream.range(0, row.length)
              .boxed()
              // NaN, the result of damaged weights, is shown and not hidden
              .filter(c ->
                  !(task instanceof Task.MultiLabel(List<Float> thresholds)
                      && probabilities[c] < thresholds.get(c)))
              .sorted(Comparator.comparing((Integer c) -> -row[c]))
              .limit(top)
              .map(c -> new Prediction(c, labels.get(c), probabilities[c]))
              .toList());
    }
    return all;
  }

  /**
   * The probability of each class: softmax, or for a {@linkplain Task.MultiLabel model for several
   * labels} the sigmoid of each logit.
   *
   * @param logits one per class
   * @throws IllegalArgumentException if the model predicts numbers
   */
  public float[] probabilities(float[] logits) {
    float[] probabilities = new float[logits.length];
    switch (task) {
      case Task.SingleLabel(double temperature) -> {
        float max = Float.NEGATIVE_INFINITY;
        for (float logit : logits) {
          max = Math.max(max, logit);
        }
        double sum = 0;
        for (float logit : logits) {
          sum += Math.exp((logit - max) / temperature);
        }
        for (int c = 0; c < logits.length; c++) {
          probabilities[c] = (float) (Math.exp((logits[c] - max) / temperature) / sum);
        }
      }
      case Task.MultiLabel _ -> {
        for (int c = 0; c < logits.length; c++) {
          probabilities[c] = (float) (1 / (1 + Math.exp(-logits[c])));
        }
      }
      case Task.Regression _ ->
          throw new IllegalArgumentException("the model predicts numbers, not classes");
    }
    return probabilities;
  }

  /**
   * The numbers that a {@linkplain Task.Regression regression} predicts, in the order of the
   * labels.
   *
   * @param outputs the network's outputs for one image
   * @throws IllegalArgumentException if the model predicts classes
   */
  public float[] values(float[] outputs) {
    if (!(task instanceof Task.Regression(List<Float> means, List<Float> deviations))) {
      throw new IllegalArgumentException("the model predicts classes, not numbers");
    }
    float[] values = new float[outputs.length];
    for (int k = 0; k < outputs.length; k++) {
      values[k] = (float) ((double) outputs[k] * deviations.get(k) + means.get(k));
    }
    return values;
  }

  /**
   * Returns this model, or throws an exception if it does not predict classes.
   *
   * @throws IllegalArgumentException if the network has no head, or predicts numbers
   */
  public Model requireClasses() {
    if (task instanceof Task.Regression) {
      throw new IllegalArgumentException(
          "the model predicts numbers (%s), not classes".formatted(String.join(", ", labels)));
    }
    return requireHead();
  }

  /**
   * Returns this model, or throws an exception if it cannot classify.
   *
   * @throws IllegalArgumentException if the network has no head
   */
  public Model requireHead() {
    if (!network.spec().includeTop()) {
      throw new IllegalArgumentException(
          "the network has no head (fc.weight), so it has no classes; it can only"
              + " compute embeddings, such as 'resnet4j features'");
    }
    return this;
  }

  /** The same network and labels with another preprocessing. */
  public Model withPreprocessing(Preprocessing other) {
    return new Model(network, other, labels, task);
  }

  /** The same network and preprocessing with other labels. */
  public Model withLabels(List<String> other) {
    return new Model(network, preprocessing, other, task);
  }

  /** The same with another meaning of the outputs. */
  public Model withTask(Task other) {
    return new Model(network, preprocessing, labels, other);
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
