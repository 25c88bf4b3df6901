package io.github.resnet4j;

import io.github.resnet4j.checkpoint.Checkpoint;
import io.github.resnet4j.checkpoint.CheckpointException;
import io.github.resnet4j.checkpoint.CheckpointWriter;
import io.github.resnet4j.checkpoint.StoredTensor;
import io.github.resnet4j.engine.CompileOptions;
import io.github.resnet4j.engine.EngineChoice;
import io.github.resnet4j.engine.InferenceEngine;
import io.github.resnet4j.engine.InferenceSession;
import io.github.resnet4j.engine.Precision;
import io.github.resnet4j.engine.Quantization;
import io.github.resnet4j.engine.Session;
import io.github.resnet4j.engine.reference.ReferenceForward;
import io.github.resnet4j.explain.Explainer;
import io.github.resnet4j.kernel.Team;
import io.github.resnet4j.nn.Initialization;
import io.github.resnet4j.nn.Layer;
import io.github.resnet4j.nn.Layer.Sequential;
import io.github.resnet4j.nn.Parameter;
import io.github.resnet4j.nn.StateDict;
import io.github.resnet4j.tensor.Tensor;
import io.github.resnet4j.tensor.TorchRandom;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.SequencedMap;

/**
 * A residual network with its weights.
 *
 * <p>Deep Residual Learning for Image Recognition, arXiv 1512.03385. Parameter names, shapes and
 * order are torchvision's.
 */
public final class ResNet {
  private final ResNetSpec spec;
  private final Sequential layers;
  private final StateDict state;
  private final Optional<Quantization> quantization;

  private ResNet(
      ResNetSpec spec, Sequential layers, StateDict state, Optional<Quantization> quantization) {
    this.spec = spec;
    this.layers = layers;
    this.state = state;
    this.quantization = quantization;
  }

  private ResNet(ResNetSpec spec, Sequential layers, StateDict state) {
    this(spec, layers, state, Optional.empty());
  }

  /**
   * A new network with torchvision's initial weights: after {@code TorchRandom.manualSeed(s)} those
   * of Python after {@code torch.manual_seed(s)}.
   */
  public static ResNet initialize(ResNetSpec spec, TorchRandom random) {
    Sequential layers = spec.layers();
    return new ResNet(spec, layers, Initialization.torchvision(layers, random));
  }

  /**
   * This network with zeros as the weights of each block's last batch norm, so that every block
   * initially returns its shortcut (Goyal et al., arXiv 1706.02677, section 5.1): torchvision's
   * {@code zero_init_residual}.
   */
  public ResNet zeroInitResidual() {
    return new ResNet(spec, layers, Initialization.zeroLastNorms(layers, state), quantization);
  }

  /**
   * A network with these weights, which are not copied.
   *
   * @throws IllegalArgumentException naming a parameter that is missing or has another shape
   */
  public static ResNet of(ResNetSpec spec, StateDict state) {
    Sequential layers = spec.layers();
    for (Parameter parameter : layers.parameters()) {
      Tensor tensor = state.get(parameter.name());
      if (!Arrays.equals(tensor.shape(), parameter.extents())) {
        throw new IllegalArgumentException(
            "%s is %s, the network's %s".formatted(parameter.name(), tensor, parameter.shape()));
      }
    }
    return new ResNet(spec, layers, state);
  }

  /**
   * A network with the weights of a checkpoint, which must have every parameter with its shape and
   * nothing else. {@code num_batches_tracked} may be missing, and a head is ignored if the network
   * has none. Values of any type are converted to float32; a checkpoint of {@link #saveQuantized}
   * also sets the {@link #quantization}.
   *
   * @throws CheckpointException listing the names that are missing, unexpected or have a wrong
   *     shape
   */
  public static ResNet load(ResNetSpec spec, Checkpoint checkpoint) throws IOException {
    Sequential layers = spec.layers();
    Fit fit = exactFit(spec, layers, checkpoint);
    checkMemory(layers, checkpoint);
    return new ResNet(
        spec,
        layers,
        fit.toState(layers, ResNet::zeros),
        QuantizedWeights.quantization(checkpoint));
  }

  /**
   * The same as {@link #load}, but the weights stay in the file and are read on request: loading is
   * faster, and after compilation half of the memory is needed. The checkpoint must stay open and
   * the file unchanged while the network and its sessions are in use.
   *
   * @throws CheckpointException as {@link #load}
   */
  public static ResNet loadLazily(ResNetSpec spec, Checkpoint checkpoint) throws IOException {
    Sequential layers = spec.layers();
    return new ResNet(
        spec,
        layers,
        exactFit(spec, layers, checkpoint).toReaders(layers),
        QuantizedWeights.quantization(checkpoint));
  }

  /** All weights will be in the heap at the same time. */
  private static void checkMemory(Layer network, Checkpoint checkpoint) throws CheckpointException {
    try {
      Tensor.checkMemory(network.parameters().stream().mapToLong(Parameter::size).sum());
    } catch (IllegalArgumentException e) {
      throw new CheckpointException(checkpoint.file(), String.valueOf(e.getMessage()), e);
    }
  }

  private static Fit exactFit(ResNetSpec spec, Sequential layers, Checkpoint checkpoint)
      throws IOException {
    var fit = fit(spec, layers, checkpoint);
    if (!fit.isExact()) {
      throw refusal(checkpoint, fit);
    }
    return fit;
  }

  private static Fit fit(ResNetSpec spec, Sequential layers, Checkpoint checkpoint)
      throws CheckpointException {
    try {
      return Fit.of(layers, checkpoint, spec.includeTop());
    } catch (CheckpointException e) { // quantized weights, possibly of another network
      var other = otherNetwork(checkpoint);
      throw other.isEmpty() ? e : refusal(checkpoint, other.get());
    }
  }

  private static CheckpointException refusal(Checkpoint checkpoint, Fit fit) {
    String differences = fit.describe();
    if (fit.onlyHeadDiffers()) {
      return refusal(
          checkpoint,
          differences + "; only the head differs: set the number of classes, or load for transfer");
    }
    var other = otherNetwork(checkpoint).map(text -> text + "; " + differences);
    return refusal(
        checkpoint,
        other.orElseGet(() ->
            NearestNetwork.of(checkpoint)
                .map(near -> differences + "; " + near.describe())
                .orElse(differences)));
  }

  private static CheckpointException refusal(Checkpoint checkpoint, String reason) {
    return new CheckpointException(checkpoint.file(), "does not fit the network: " + reason);
  }

  /** Which network the weights are for, and what to do. */
  private static Optional<String> otherNetwork(Checkpoint checkpoint) {
    return Recognition.of(checkpoint)
        .map(found ->
            "the weights are those of another network, %s; load them as that network%s"
                .formatted(
                    found.describe(),
                    found
                        .name()
                        .map(name -> ", on the command line with --model " + name)
                        .orElse(", on the command line without --model")));
  }

  /**
   * The same network with a new head for other classes: its last layer has random weights, those of
   * PyTorch's {@code nn.Linear} after {@code torch.manual_seed}. All other weights are the same.
   *
   * @param classes the number of classes
   */
  public ResNet withNewHead(int classes, TorchRandom random) {
    ResNetSpec other = spec.toBuilder().numClasses(classes).includeTop(true).build();
    Sequential otherLayers = other.layers();
    Tensor.checkMemory(state.size());
    StateDict head = Initialization.torchvision(otherLayers.layers().getLast(), random);
    var entries = new LinkedHashMap<String, Tensor>();
    for (Parameter parameter : otherLayers.parameters()) {
      String name = parameter.name();
      entries.put(name, (Fit.isOfHead(name) ? head : state).get(name));
    }
    return new ResNet(other, otherLayers, new StateDict(entries));
  }

  static Tensor zeros(Parameter parameter) {
    return Tensor.zeros(parameter.extents());
  }

  /** The specification of the network. */
  public ResNetSpec spec() {
    return spec;
  }

  /** The layers of the network. */
  public Sequential layers() {
    return layers;
  }

  /** The ranges of its activations, if it was calibrated; {@link Precision#INT8} needs them. */
  public Optional<Quantization> quantization() {
    return quantization;
  }

  /**
   * The same network with a quantization. The weights are shared. Convolutions multiply integers in
   * every network; group norm computes with floats, and so do the sums of blocks that normalize
   * first.
   */
  public ResNet withQuantization(Quantization found) {
    return new ResNet(spec, layers, state, Optional.of(found));
  }

  /** The same network with other weights, which are not copied. */
  public ResNet withState(StateDict other) {
    return new ResNet(spec, layers, other, quantization);
  }

  /**
   * The same network with another output stride, as a backbone for segmentation or detection: see
   * {@link ResNetSpec#withOutputStride}. The weights are shared.
   *
   * @throws IllegalArgumentException naming the values that this network can have, or if it has a
   *     quantization, whose ranges were measured with its present stride
   */
  public ResNet withOutputStride(int outputStride) {
    ResNetSpec other = spec.withOutputStride(outputStride);
    if (quantization.isPresent() && !other.equals(spec)) {
      throw new IllegalArgumentException(
          "the network was calibrated with output stride %d; set the output stride of the fp32"
                  .formatted(spec.outputStride())
              + " network, then calibrate it");
    }
    return new ResNet(other, other.layers(), state, quantization);
  }

  /** The weights by name. */
  public StateDict state() {
    return state;
  }

  /**
   * Compiles the network for fast repeated inference with resnet4j's own engine: batch norm is
   * folded into the weights, weights are packed for the processor, memory is planned. Later changes
   * of the weights have no effect on the session.
   *
   * @throws IllegalArgumentException if the options require {@link Precision#INT8} and the network
   *     has no {@link #quantization}
   */
  public Session compile(CompileOptions options) {
    return new Session(layers, state, spec.inChannels(), quantization, options);
  }

  /**
   * The same with the {@linkplain CompileOptions#engine engine of the options}, which may be
   * another one than resnet4j's own.
   *
   * @throws IllegalArgumentException if there is no such engine on the class path, or it cannot run
   *     with the options; the message gives the reason
   */
  public InferenceSession open(CompileOptions options) {
    return open(layers, options);
  }

  private InferenceSession open(Sequential network, CompileOptions options) {
    EngineChoice engine = options.engine();
    return engine.equals(EngineChoice.RESNET4J)
        ? new Session(network, state, spec.inChannels(), quantization, options)
        : InferenceEngine.named(engine.name()).compile(network, state, spec.inChannels(), options);
  }

  /**
   * Compiles the network for embeddings, with or without a head: the first output of {@link
   * InferenceSession#runAll} is {@code [N, featureChannels]}, the mean of the last stage's result
   * over all pixels. If the network has a head, the logits are the second output.
   *
   * @param options the options; its taps are not used
   */
  InferenceSession openWithEmbedding(CompileOptions options) {
    if (spec.includeTop()) {
      return open(options.withTaps(ResNetSpec.AVERAGE_POOL.name()));
    }
    var pooled = new ArrayList<>(layers.layers());
    pooled.add(ResNetSpec.AVERAGE_POOL);
    return open(new Sequential("", pooled), options.withTaps());
  }

  /**
   * Explains predictions with heat maps.
   *
   * @throws IllegalArgumentException if the network has no head
   */
  public Explainer explainer() {
    return new Explainer(layers, state, spec.inChannels(), quantization);
  }

  /**
   * Runs the network as {@code model.eval()} does, layer by layer: the reference with which {@link
   * #compile} is compared, and faster than compiling for one or two images.
   *
   * @param x {@code [N, inChannels, H, W]}, preprocessed as the weights require
   * @param threads the number of threads, at least 1
   * @return logits {@code [N, numClasses]}, or without a head the last stage's feature map {@code
   *     [N, featureChannels, H/32, W/32]}
   * @throws IllegalArgumentException if the input has another shape
   */
  public Tensor forward(Tensor x, int threads) {
    return run(layers, x, threads);
  }

  /** The same on all cores. */
  public Tensor forward(Tensor x) {
    return forward(x, Runtime.getRuntime().availableProcessors());
  }

  /**
   * The last stage's feature map, with or without a head: {@code [N, featureChannels, H/32, W/32]}
   * for networks with ImageNet's stem.
   */
  public Tensor features(Tensor x, int threads) {
    return run(body(), x, threads);
  }

  private Sequential body() {
    return new Sequential(
        "",
        layers.layers().stream()
            .filter(layer -> !(layer instanceof Layer.GlobalAveragePool))
            .filter(layer -> !(layer instanceof Layer.Linear))
            .toList());
  }

  /** The same on all cores. */
  public Tensor features(Tensor x) {
    return features(x, Runtime.getRuntime().availableProcessors());
  }

  /**
   * The feature maps of several layers at once, as decoders for segmentation and detection need
   * them: timm's {@code features_only} and torchvision's {@code IntermediateLayerGetter}. {@link
   * ResNetSpec#stages} has the stages' names, channels and strides. For many images, {@link
   * #compile} a session with {@linkplain CompileOptions#taps taps}.
   *
   * @param layers the names of layers; without names, all stages
   * @return {@code [N, C, H, W]} by layer, in the order of the names
   * @throws IllegalArgumentException if there is no layer of such a name before the head
   */
  public SequencedMap<String, Tensor> featureMaps(Tensor x, String... layers) {
    List<String> names =
        layers.length == 0
            ? spec.stages().stream().map(ResNetSpec.Stage::name).toList()
            : List.of(layers);
    check(x);
    try (var team = Team.ofAllCores()) {
      var maps = new ReferenceForward(body(), state, team).runAll(x, names);
      maps.remove("output");
      return maps;
    }
  }

  private Tensor run(Layer network, Tensor x, int threads) {
    check(x);
    try (var team = new Team(threads)) {
      return new ReferenceForward(network, state, team).run(x);
    }
  }

  private void check(Tensor x) {
    if (x.rank() != 4 || x.dim(0) < 1 || x.dim(1) != spec.inChannels()) {
      throw new IllegalArgumentException(
          "the input must be [N, %d, H, W], was %s".formatted(spec.inChannels(), x));
    }
  }

  /**
   * Writes INT8 weights with their scales, batch norm folded in, and the ranges of the activations:
   * a quarter of the size. {@link #load} needs such a file for {@link Precision#INT8}.
   *
   * @throws IllegalStateException if the network has no {@link #quantization}
   */
  public void saveQuantized(Path file, Map<String, Object> metadata) throws IOException {
    Quantization found =
        quantization.orElseThrow(() -> new IllegalStateException("calibrate the network first"));
    QuantizedWeights.write(file, layers, state, found, metadata);
  }

  /**
   * Writes the weights as {@code .pth} or {@code .safetensors}, by the file's extension; Python's
   * {@code load_state_dict} reads both.
   *
   * @param metadata stored beside the weights, see {@link Checkpoint#metadata()}
   */
  public void save(Path file, Map<String, Object> metadata) throws IOException {
    var tensors = new LinkedHashMap<String, StoredTensor>();
    for (Parameter parameter : layers.parameters()) {
      Tensor tensor = state.get(parameter.name());
      tensors.put(
          parameter.name(),
          parameter.role() == Parameter.Role.COUNTER
              ? StoredTensor.ofScalar((long) tensor.data()[0])
              : StoredTensor.of(tensor));
    }
    CheckpointWriter.write(file, tensors, metadata);
  }

  /** {@code ResNet[resnet50, 1000 classes]}. */
  @Override
  public String toString() {
    return "ResNet[" + describe() + "]";
  }

  /** {@code resnet50, 1000 classes}. */
  String describe() {
    return Architecture.nameOf(spec).orElseGet(() -> spec.block() + " " + spec.blocks())
        + (spec.includeTop() ? ", %d classes".formatted(spec.numClasses()) : ", no head")
        + (quantization.isPresent() ? ", int8" : "");
  }
}
