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
import io.github.resnet4j.engine.EngineChoice;
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
              + " weights, else fp32) or auto (the fastest whose result deviates by at most 5 %%"
              + " from fp32, measured at the start and printed; int8 only with such weights);"
              + " default ${DEFAULT-VALUE}.")
  Precision precision = Precision.WEIGHTS;

  /** Below this number of images, transforming weights for Winograd takes longer than it saves. */
  private static final int WINOGRAD_MIN_IMAGES = 16;

  /** Images times parameters below which plain loops finish before machine code has started. */
  private static final long MACHINE_MIN_WORK = 5_000_000;

  /** Images times parameters from which vectors are worth their warm-up: 10 s of plain loops. */
  private static final long VECTOR_MIN_WORK = 200_000_000;

  /** Returns how to compile a network for a number of images. */
  CompileOptions compileOptions(ResNet network, int images) {
    long work = images * network.state().size();
    boolean floats =
        precision == Precision.FP32
            || (precision == Precision.WEIGHTS && network.quantization().isEmpty());
    boolean simple =
        kernels == KernelChoice.AUTO
            && ((floats && work < MACHINE_MIN_WORK)
                || (work < VECTOR_MIN_WORK && !KernelChoice.MACHINE.isAvailable()));
    var options = compileOptions(simple ? KernelChoice.SCALAR : kernels);
    return algorithm == CompileOptions.Algorithm.AUTO && images < WINOGRAD_MIN_IMAGES
        ? options.withAlgorithm(CompileOptions.Algorithm.DIRECT)
        : options;
  }

  /** Returns how to compile a network that runs for a long time. */
  CompileOptions compileOptions() {
    return compileOptions(kernels);
  }

  /** Returns the options of a classifier of the model for a number of images. */
  Classifier.Builder classifier(Model model, int images, ImageDecoder decoder) {
    return Classifier.builder().compile(compileOptions(model.network(), images)).decoder(decoder);
  }

  private CompileOptions compileOptions(KernelChoice chosen) {
    return new CompileOptions(
        threads, algorithm, List.of(), chosen, precision, EngineChoice.RESNET4J);
  }

  Optional<String> model() {
    return named(model);
  }

  /** Returns the value of --model, if given, after checking that it is the name of a network. */
  static Optional<String> named(@Nullable String model) {
    if (model != null) {
      NetworkOptions.named("--model: ", model);
    }
    return Optional.ofNullable(model);
  }

  Weights findWeights() throws IOException {
    return find(model(), weights == null ? "DEFAULT" : weights);
  }

  /** Finds weights, and prints what must be known about the names in their file. */
  static Weights find(Optional<String> model, String weights) throws IOException {
    Weights found;
    try (var progress = new Progress.ForDownloads()) {
      found = Weights.find(model, weights, System.getenv(), progress.download());
    }
    found
        .remarks()
        .forEach(
            remark -> System.err.printf("resnet4j: %s: %s%n", found.file().getFileName(), remark));
    return found;
  }

  /** Opens the network of the weights. */
  ResNet loadNetwork(Weights found) throws IOException {
    if (kernels == KernelChoice.AUTO) {
      // Checking whether machine code works takes 0.1 s, so it is done while the file is read.
      Thread.ofPlatform().daemon().name("kernels").start(KernelChoice.MACHINE::isAvailable);
    }
    return openNetwork(found);
  }

  /** Opens the network of the weights; the weights are read when they are used. */
  @SuppressWarnings("MustBeClosedChecker")
  static ResNet openNetwork(Weights found) throws IOException {
    // The checkpoint stays open until the process ends, because weights are read lazily.
    return ResNet.loadLazily(found.requireSpec(), Checkpoint.open(found.file()));
  }

  /** Loads a model that predicts classes; the labels file, if given, replaces its labels. */
  Model loadClasses(@Nullable Path preprocessingFile, @Nullable Path labelsFile)
      throws IOException {
    return loadClassifier(preprocessingFile, labelsFile).requireClasses();
  }

  /** Loads a model with a head; the labels file, if given, replaces its labels. */
  Model loadClassifier(@Nullable Path preprocessingFile, @Nullable Path labelsFile)
      throws IOException {
    return withLabels(loadModel(preprocessingFile).requireHead(), labelsFile);
  }

  /** Replaces the labels by those of a file, if given. */
  static Model withLabels(Model model, @Nullable Path labelsFile) throws IOException {
    if (labelsFile != null) {
      return model.withLabels(labels(labelsFile, model));
    }
    int classes = model.labels().size();
    if (classes == 1000 && model.labels().equals(Model.numbered(classes))) {
      System.err.println(
          "resnet4j: the weights contain no class names; if the 1,000 classes are ImageNet's, name"
              + " them with --labels imagenet");
    }
    return model;
  }

  /** Loads a model, which may have no head: embeddings need none. */
  Model loadModel(@Nullable Path preprocessingFile) throws IOException {
    if (model != null || weights != null) {
      Weights found = findWeights();
      return modelOf(found, loadNetwork(found), preprocessingFile);
    }
    Model embedded = Model.embedded();
    return preprocessingFile == null
        ? embedded
        : embedded.withPreprocessing(Preprocessing.fromJson(preprocessingFile));
  }

  /** Combines a network with the preprocessing and the labels of its weights. */
  static Model modelOf(Weights found, ResNet network, @Nullable Path preprocessingFile)
      throws IOException {
    Model model = Model.of(found, network);
    if (preprocessingFile != null) {
      return model.withPreprocessing(Preprocessing.fromJson(preprocessingFile));
    }
    return found.preprocessing().isPresent()
        ? model
        : model.withPreprocessing(usualPreprocessing(network.spec()));
  }

  /** Returns the usual preprocessing and prints that it is an assumption. */
  static Preprocessing usualPreprocessing(ResNetSpec spec) {
    boolean small = spec.stem() instanceof Stem.SmallImage;
    Preprocessing usual = Model.usualPreprocessing(spec);
    System.err.printf(
        "resnet4j: the weights contain no preprocessing settings; using resize %d, crop %d and"
            + " %s's mean and standard deviation (--preprocessing FILE sets others)%n",
        usual.resize(), usual.cropHeight(), small ? "CIFAR" : "ImageNet");
    return usual;
  }

  static List<String> labels(Path file, Model model) throws IOException {
    List<String> labels;
    try {
      labels =
          isBuiltIn(file)
              ? PublishedWeights.labels(file.toString())
              : Files.readAllLines(file).stream().filter(line -> !line.isBlank()).toList();
    } catch (IOException e) {
      throw new IOException("--labels " + Reason.of(file, e), e);
    }
    int classes = model.labels().size();
    if (labels.size() != classes) {
      throw new IllegalArgumentException(
          "--labels %s: has %,d labels, one per line, but the network has %,d classes"
              .formatted(file, labels.size(), classes));
    }
    return labels;
  }

  /**
   * Checks that a result contains no NaN and no infinity. If it does, the weights are searched for
   * the cause, which takes as long as reading them.
   *
   * @throws IOException if it does; the message names the first weights that are not finite
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

  /** Checks predictions: any NaN among the logits makes all probabilities NaN. */
  void requireFinite(List<Prediction> predictions, ResNet network) throws IOException {
    for (Prediction prediction : predictions) {
      requireFinite(new float[] {prediction.probability()}, network);
    }
  }

  /** Checks features. */
  void requireFinite(float[] features, ResNet network) throws IOException {
    requireFinite(Tensor.of(features, features.length), network);
  }

  /**
   * Checks that no weight is NaN or infinite.
   *
   * @throws IOException if one is; the message names it
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

  /** Whether this is the name of labels included in resnet4j, and not a file. */
  private static boolean isBuiltIn(Path file) {
    return PublishedWeights.LABELS.contains(file.toString()) && !Files.exists(file);
  }

  /** Initializes the network of --model as PyTorch does after {@code torch.manual_seed(seed)}. */
  ResNet initialize(long seed) {
    if (model == null) {
      throw new UsageException("--seed needs a network: name it with --model");
    }
    return ResNet.initialize(
        NetworkOptions.named("--model: ", model), TorchRandom.manualSeed(seed));
  }
}
