package io.github.resnet4j.cli;

import io.github.resnet4j.ResNet;
import io.github.resnet4j.checkpoint.Checkpoint;
import io.github.resnet4j.checkpoint.CheckpointException;
import io.github.resnet4j.checkpoint.CheckpointWriter;
import io.github.resnet4j.checkpoint.Npy;
import io.github.resnet4j.checkpoint.StoredTensor;
import io.github.resnet4j.engine.Session;
import io.github.resnet4j.nn.Layer;
import io.github.resnet4j.tensor.Tensor;
import java.io.IOException;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.SequencedMap;
import java.util.concurrent.Callable;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

@Workload(Workload.Kind.PREDICTION)
@Command(
    name = "forward",
    mixinStandardHelpOptions = true,
    description = "Runs a network on a tensor, without preprocessing, to compare it with PyTorch.",
    footerHeading = "%nExamples:%n",
    footer = {
      "  resnet4j forward -w my.pth -i x.npy -o y.npy",
      "  resnet4j forward -m resnet18 --seed 0 -i x.npy -o y.safetensors",
      "  resnet4j forward -m resnet50 --seed 0 --features -i x.npy -o features.npy",
      "  resnet4j forward -m resnet18 --seed 0 --output-stride 8 -i x.npy -o y.npy",
    })
final class ForwardCommand implements Callable<Integer> {
  @Mixin private ModelOptions options = new ModelOptions();

  @Option(
      names = {"-i", "--input"},
      required = true,
      paramLabel = "FILE",
      description = "Input tensor [N, C, H, W]: a .npy, or a .safetensors with one tensor.")
  private Path input = Path.of("");

  @Option(
      names = {"-o", "--output"},
      required = true,
      paramLabel = "FILE",
      description = "Output file, .npy or .safetensors.")
  @Output(endings = {".npy", ".safetensors"})
  private Path output = Path.of("");

  @Option(
      names = "--features",
      description = "Write the last stage's feature map instead of the logits.")
  private boolean features;

  @Option(
      names = {"-l", "--layer"},
      split = ",",
      paramLabel = "NAME",
      description =
          "Write the results of these layers instead of the logits: layer1,layer4; several need a"
              + " .safetensors, with one tensor for each.")
  private List<String> layers = List.of();

  @Mixin private OutputStrideOption outputStride = new OutputStrideOption();

  @Option(
      names = "--seed",
      paramLabel = "S",
      description =
          "Random seed for initial weights, as torch.manual_seed(S); instead of --weights.")
  @Range
  private @Nullable Long seed;

  @Override
  public Integer call() throws IOException {
    Tensor x = read(input);
    if (!x.isFinite()) {
      throw new IOException(input + ": contains NaN or infinity");
    }
    ResNet network;
    if (options.weights == null && seed != null) {
      network = options.initialize(seed);
    } else if (seed != null) {
      throw new UsageException("--seed and --weights cannot be combined");
    } else if (options.weights == null && options.model == null) {
      throw new UsageException("name a network with --model, or --weights");
    } else {
      network = options.loadNetwork(options.findWeights());
    }
    network = outputStride.apply(network);
    SequencedMap<String, Tensor> results = results(network, x);
    for (Tensor y : results.values()) {
      options.requireFinite(y, network);
    }
    if (isNpy(output)) {
      Npy.write(output, results.firstEntry().getValue());
    } else {
      var tensors = new LinkedHashMap<String, StoredTensor>();
      results.forEach((name, y) -> tensors.put(name, StoredTensor.of(y)));
      CheckpointWriter.write(output, tensors, Map.of());
    }
    String shapes =
        results.values().stream().map(Tensor::toString).collect(Collectors.joining(", "));
    System.err.printf("%s -> %s, written to %s%n", x, shapes, output);
    return Main.OK;
  }

  /** Returns the logits, or what the options ask for instead, by the name in the output file. */
  private SequencedMap<String, Tensor> results(ResNet network, Tensor x) {
    if (features && !layers.isEmpty()) {
      throw new UsageException("--features and --layer cannot be combined");
    }
    if (layers.size() > 1 && isNpy(output)) {
      throw new UsageException("--layer with several layers needs a .safetensors as --output");
    }
    List<String> known = network.layers().walk().map(Layer::name).toList();
    for (String layer : layers) {
      if (!known.contains(layer)) {
        throw FeatureOptions.noLayer(layer, network);
      }
    }
    List<String> taps = features ? List.of(network.spec().lastStage()) : layers;
    var compile = options.compileOptions(network, x.dim(0));
    try (Session session = network.compile(compile.withTaps(taps.toArray(String[]::new)))) {
      SequencedMap<String, Tensor> results = session.runAll(x);
      Tensor logits = results.remove("output");
      if (features) {
        results.put("features", results.remove(taps.getFirst()));
      } else if (layers.isEmpty()) {
        results.put("logits", logits);
      }
      return results;
    }
  }

  private static boolean isNpy(Path file) {
    return file.toString().endsWith(".npy");
  }

  private static Tensor read(Path file) throws IOException {
    if (isNpy(file)) {
      return Npy.read(file);
    }
    try (var checkpoint = Checkpoint.open(file)) {
      if (checkpoint.tensors().size() != 1) {
        throw new CheckpointException(
            file, "must contain one tensor, has " + checkpoint.tensors().size());
      }
      return checkpoint.tensors().firstEntry().getValue().toTensor();
    }
  }
}
