package io.github.resnet4j.cli;

import io.github.resnet4j.Classifier;
import io.github.resnet4j.Model;
import io.github.resnet4j.Prediction;
import io.github.resnet4j.PublishedWeights;
import io.github.resnet4j.ResNet;
import io.github.resnet4j.ResNetSpec;
import io.github.resnet4j.Stem;
import io.github.resnet4j.Weights;
import io.github.resnet4j.checkpoint.Checkpoint;
import io.github.resnet4j.engine.CompileOptions;
import io.github.resnet4j.engine.KernelChoice;
import io.github.resnet4j.engine.Precision;
import io.github.resnet4j.image.ImageDecoder;
import io.github.resnet4j.image.Preprocessing;
import io.github.resnet4j.messages.Reason;
import io.github.resnet4j.tensor.Tensor;
import io.github.resnet4j.tensor.TorchRandom;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Option;

/** The options that select the network, its weights, threads, kernels and precision. */
final class ModelOptions {
  @Option(
      names = {"-m", "--model"},
      paramLabel = "NAME",
      description = "Network name; 'resnet4j models' lists them.")
  @Nullable String model;

  @Option(
      names = {"-w", "--weights"},
      paramLabel = "WEIGHTS",
      description =
          "DEFAULT, a name that 'resnet4j weights' lists, a file (.pth, .pt, .bin,"
              + " .safetensors), or hf:owner/name (Hugging Face). Published weights are"
              + " downloaded once, into PyTorch's cache.")
  @Nullable String weights;

  @Option(
      names = {"-t", "--threads"},
      paramLabel = "N",
      description = "Number of threads; default: all cores.")
  @Range(min = 1, max = 1024)
  int threads = Runtime.getRuntime().availableProcessors();

  @Option(
      names = "--algorithm",
      paramLabel = "ALGORITHM",
      description =
          "Algorithm of 3x3 convolutions: auto (chosen by rule, or by an earlier measurement on"
              + " this machine), tuned (measures for some seconds and stores the choice), direct"
              + " (bit-identical results for every batch size and machine); default"
              + " ${DEFAULT-VALUE}.")
  CompileOptions.Algorithm algorithm = CompileOptions.Algorithm.AUTO;

  @Option(
      names = "--kernels",
      paramLabel = "KERNELS",
      description =
          "auto, machine (machine code that resnet4j generates; needs AVX2), vector (Java's"
              + " Vector API) or scalar. auto uses machine where it is available; elsewhere"
              + " scalar, and vector for long work, because it takes seconds to warm up.")
  KernelChoice kernels = KernelChoice.AUTO;

  @Option(
      names = "--precision",
      paramLabel = "PRECISION",
      description =
          "fp32, bf16, int8 (with weights from 'resnet4j quantize'), weights (int8 with such"
              + " weights, else fp32) or auto (the fastest that weights and processor support);"
              + " default ${DEFAULT-VALUE}.")
  Precision precision = Precision.WEIGHTS;

  /** Images that do not pay for transforming weights. */
  private static final int FEW = 16;

  /** Images times parameters that the reference forward pass is done with before others start. */
  private static final long SMALL = 5_000_000;

  /** Images times parameters that pay for warming vectors up: ten seconds of plain loops. */
  private static final long LARGE = 200_000_000;

  /** How to compile a network for so many images. */
  CompileOptions compileOptions(ResNet network, int images) {
    long work = images * network.state().size();
    boolean floats =
        precision == Precision.FP32
            || (precision == Precision.WEIGHTS && network.quantization().isEmpty());
    boolean simple =
        kernels == KernelChoice.AUTO
            && ((floats && work < SMALL) || (work < LARGE && !KernelChoice.MACHINE.isAvailable()));
    var options = compileOptions(simple ? KernelChoice.SCALAR : kernels);
    // To transform weights for Winograd's algorithm takes longer than it saves on a few images.
    return algorithm == CompileOptions.Algorithm.AUTO && images < FEW
        ? options.withAlgorithm(CompileOptions.Algorithm.DIRECT)
        : options;
  }

  /** How to compile a network that will run for long. */
  CompileOptions compileOptions() {
    return compileOptions(kernels);
  }

  /** A model, compiled for so many images. */
  Classifier open(Model model, int images, ImageDecoder decoder) {
    return Classifier.builder()
        .compile(compileOptions(model.network(), images))
        .decoder(decoder)
        .of(model);
  }

  private CompileOptions compileOptions(KernelChoice chosen) {
    return new CompileOptions(threads, algorithm, List.of(), chosen, precision);
  }

  Optional<String> model() {
    return named(model);
  }

  /** The value of --model, if there is one: a network's name. */
  static Optional<String> named(@Nullable String model) {
    if (model != null) {
      NetworkOptions.named("--model: ", model);
    }
    return Optional.ofNullable(model);
  }

  Weights findWeights() throws IOException {
    try (var progress = new Progress.ForDownloads()) {
      return Weights.find(
          model(), weights == null ? "DEFAULT" : weights, System.getenv(), progress.download());
    }
  }

  /** The network of the weights that were found. */
  ResNet load(Weights found) throws IOException {
    if (kernels == KernelChoice.AUTO) {
      // Finding out whether machine code works takes a tenth of a second: meanwhile, read the file.
      Thread.ofPlatform().daemon().name("kernels").start(KernelChoice.MACHINE::isAvailable);
    }
    return open(found);
  }

  /** The same, without a thought for what follows. */
  @SuppressWarnings("MustBeClosedChecker")
  static ResNet open(Weights found) throws IOException {
    // Stays open as long as the process lives: weights are read as they are packed.
    return ResNet.loadLazily(found.requireSpec(), Checkpoint.open(found.file()));
  }

  /** Network, preprocessing and labels together. */
  Model classifier(@Nullable Path preprocessingFile, @Nullable Path labelsFile) throws IOException {
    return labelled(embedder(preprocessingFile).requireHead(), labelsFile);
  }

  /** The classes under the names of a file, if there is one. */
  static Model labelled(Model classifier, @Nullable Path labelsFile) throws IOException {
    if (labelsFile != null) {
      return classifier.withLabels(labels(labelsFile, classifier));
    }
    int classes = classifier.labels().size();
    if (classes == 1000 && classifier.labels().equals(Model.numbered(classes))) {
      System.err.println(
          "resnet4j: the weights contain no class names; if the 1,000 classes are ImageNet's, name"
              + " them with --labels imagenet");
    }
    return classifier;
  }

  /** The same for embeddings, which need no head and so no classes. */
  Model embedder(@Nullable Path preprocessingFile) throws IOException {
    if (model != null || weights != null) {
      Weights found = findWeights();
      return classifier(found, load(found), preprocessingFile);
    }
    Model embedded = Model.embedded();
    return preprocessingFile == null
        ? embedded
        : embedded.withPreprocessing(Preprocessing.fromJson(preprocessingFile));
  }

  /** What was found, and its network, with the preprocessing and the labels that belong to it. */
  static Model classifier(Weights found, ResNet network, @Nullable Path preprocessingFile)
      throws IOException {
    Model classifier = Model.of(found, network);
    if (preprocessingFile != null) {
      return classifier.withPreprocessing(Preprocessing.fromJson(preprocessingFile));
    }
    return found.preprocessing().isPresent()
        ? classifier
        : classifier.withPreprocessing(usualPreprocessing(network.spec()));
  }

  /** The usual one, with a word that it is an assumption. */
  static Preprocessing usualPreprocessing(ResNetSpec spec) {
    boolean small = spec.stem() instanceof Stem.SmallImage;
    Preprocessing usual = Model.usualPreprocessing(spec);
    System.err.printf(
        "resnet4j: the weights contain no preprocessing settings; using resize %d, crop %d and"
            + " %s's mean and standard deviation (--preprocessing FILE sets others)%n",
        usual.resize(), usual.cropHeight(), small ? "CIFAR" : "ImageNet");
    return usual;
  }

  static List<String> labels(Path file, Model classifier) throws IOException {
    List<String> labels;
    try {
      labels =
          isBuiltIn(file)
              ? PublishedWeights.labels(file.toString())
              : Files.readAllLines(file).stream().filter(line -> !line.isBlank()).toList();
    } catch (IOException e) {
      throw new IOException("--labels " + Reason.of(file, e), e);
    }
    int classes = classifier.labels().size();
    if (labels.size() != classes) {
      throw new IllegalArgumentException(
          "--labels %s: has %,d labels, one per line, but the network has %,d classes"
              .formatted(file, labels.size(), classes));
    }
    return labels;
  }

  /**
   * Checks that a result has no NaN and no infinity. Only if it has, weights are searched for the
   * cause, which takes as long as reading them.
   *
   * @throws IOException naming the weights that are not finite, if it is them
   */
  void requireFinite(Tensor result, ResNet network) throws IOException {
    if (!result.isFinite()) {
      requireFiniteWeights(network);
      throw new IOException(
          "the network's output contains NaN or infinity although its weights are finite: the"
              + " activations overflow; check that the weights match the network and the"
              + " preprocessing");
    }
  }

  /** The same for predictions: any NaN among the logits makes all probabilities NaN. */
  void requireFinite(List<Prediction> predictions, ResNet network) throws IOException {
    for (Prediction prediction : predictions) {
      requireFinite(new float[] {prediction.probability()}, network);
    }
  }

  /** The same for features. */
  void requireFinite(float[] features, ResNet network) throws IOException {
    requireFinite(Tensor.of(features, features.length), network);
  }

  /**
   * Checks that no weight is NaN or infinite.
   *
   * @throws IOException naming the first that is
   */
  void requireFiniteWeights(ResNet network) throws IOException {
    var found = network.state().firstNotFinite();
    if (found.isPresent()) {
      throw new IOException(
          "%s: %s contains NaN or infinity; the weights are damaged, or the training diverged"
              .formatted(
                  weights != null ? weights : model != null ? model : "the model", found.get()));
    }
  }

  /** Whether it is a name of labels that come with resnet4j, and no file. */
  private static boolean isBuiltIn(Path file) {
    return PublishedWeights.LABELS.contains(file.toString()) && !Files.exists(file);
  }

  /** A network by name with initial weights, as Python's after {@code torch.manual_seed(seed)}. */
  ResNet initialize(long seed) {
    if (model == null) {
      throw new UsageException("--seed needs a network: name it with --model");
    }
    return ResNet.initialize(
        NetworkOptions.named("--model: ", model), TorchRandom.manualSeed(seed));
  }
}
