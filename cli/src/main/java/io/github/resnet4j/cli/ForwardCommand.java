package io.github.resnet4j.cli;

import io.github.resnet4j.ResNet;
import io.github.resnet4j.checkpoint.Checkpoint;
import io.github.resnet4j.checkpoint.CheckpointException;
import io.github.resnet4j.checkpoint.CheckpointWriter;
import io.github.resnet4j.checkpoint.Npy;
import io.github.resnet4j.checkpoint.StoredTensor;
import io.github.resnet4j.engine.Session;
import io.github.resnet4j.tensor.Tensor;
import java.io.IOException;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.concurrent.Callable;
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
    var compile = options.compileOptions(network, x.dim(0));
    String lastStage = network.spec().lastStage();
    if (features) {
      compile = compile.withTaps(lastStage);
    }
    Tensor y;
    try (Session session = network.compile(compile)) {
      var results = session.runAll(x); // the feature map, if requested, then the logits
      y = features ? results.firstEntry().getValue() : results.lastEntry().getValue();
    }
    options.requireFinite(y, network);
    if (isNpy(output)) {
      Npy.write(output, y);
    } else {
      var tensors = new LinkedHashMap<String, StoredTensor>();
      tensors.put(features ? "features" : "logits", StoredTensor.of(y));
      CheckpointWriter.write(output, tensors, Map.of());
    }
    System.err.printf("%s -> %s, written to %s%n", x, y, output);
    return Main.OK;
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
