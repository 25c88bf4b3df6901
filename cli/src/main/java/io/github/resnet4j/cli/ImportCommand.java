package io.github.resnet4j.cli;

import io.github.resnet4j.Model;
import io.github.resnet4j.image.Preprocessing;
import io.github.resnet4j.onnx.OnnxImport;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

@Command(
    name = "import",
    mixinStandardHelpOptions = true,
    description = {
      "Reads a residual network from an ONNX file into a checkpoint.",
      "",
      "The network is recognised by the graph's structure, whoever wrote it, batch norm folded or"
          + " not; a graph that calculates anything else is refused, naming the operation.",
      "",
      "Where the graph scales its input ((x - mean) / std), that becomes part of the"
          + " preprocessing; --preprocessing then describes the graph's own input.",
    },
    footerHeading = "%nExamples:%n",
    footer = {
      "  resnet4j import digits.onnx digits.safetensors",
      "  resnet4j import from-pytorch.onnx weights.pth --preprocessing imagenet.json",
      "  resnet4j import with-softmax.onnx weights.safetensors --drop-softmax",
    })
final class ImportCommand implements Callable<Integer> {
  @Mixin private PreprocessingOption preprocessing = new PreprocessingOption();

  @Option(
      names = "--drop-softmax",
      description =
          "Leave out a Softmax, LogSoftmax or Sigmoid behind the last layer: the network gives the"
              + " logits before it. Without this, such a file is refused.")
  private boolean dropSoftmax;

  @Parameters(index = "0", paramLabel = "IN", description = "A .onnx.")
  private Path in = Path.of("");

  @Parameters(
      index = "1",
      paramLabel = "OUT",
      description = "The new file, .safetensors, .pth, .pt or .bin.")
  @Output(endings = {".safetensors", ".pth", ".pt", ".bin"})
  private Path out = Path.of("");

  @Override
  public Integer call() throws IOException {
    Optional<Preprocessing> given =
        preprocessing.file == null
            ? Optional.empty()
            : Optional.of(Preprocessing.fromJson(preprocessing.file));
    OnnxImport found = OnnxImport.read(in, new OnnxImport.Options(dropSoftmax, given));
    var network = found.network();
    if (network.spec().includeTop()) {
      Preprocessing prepared =
          found.preprocessing().orElseGet(() -> ModelOptions.usualPreprocessing(network.spec()));
      new Model(
              network,
              prepared,
              found.labels().orElseGet(() -> Model.numbered(network.spec().numClasses())))
          .save(out);
    } else {
      network.save(out, Map.of());
    }
    found.remarks().forEach(remark -> System.err.printf("%s: %s%n", in, remark));
    System.err.printf("%s -> %s%n", in, out);
    return Main.OK;
  }
}
