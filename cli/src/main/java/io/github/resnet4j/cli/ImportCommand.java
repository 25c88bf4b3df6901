package io.github.resnet4j.cli;

import io.github.resnet4j.image.Preprocessing;
import io.github.resnet4j.onnx.OnnxImport;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Map;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

@Command(
    name = "import",
    mixinStandardHelpOptions = true,
    description = {
      "Converts a residual network from ONNX to a checkpoint.",
      "",
      "The network is recognized by the structure of the graph, whichever program exported it,"
          + " with batch norm folded or not. Any other graph is rejected, and the error names"
          + " the operation.",
      "",
      "If the graph normalizes its input, (x - mean) / std, this becomes part of the"
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
          "Remove a Softmax, LogSoftmax or Sigmoid after the last layer, so that the network"
              + " returns logits. Without this option such a file is rejected.")
  private boolean dropSoftmax;

  @Parameters(index = "0", paramLabel = "IN", description = "ONNX file, .onnx.")
  private Path in = Path.of("");

  @Parameters(
      index = "1",
      paramLabel = "OUT",
      description = "New file, .safetensors, .pth, .pt or .bin.")
  @Output(endings = {".safetensors", ".pth", ".pt", ".bin"})
  private Path out = Path.of("");

  @Override
  public Integer call() throws IOException {
    var options = OnnxImport.Options.defaults();
    options = dropSoftmax ? options.withoutSoftmax() : options;
    if (preprocessing.file != null) {
      options = options.withPreprocessing(Preprocessing.fromJson(preprocessing.file));
    }
    OnnxImport found = OnnxImport.of(in, options);
    var network = found.network();
    if (network.spec().includeTop()) {
      if (found.preprocessing().isEmpty()) {
        ModelOptions.usualPreprocessing(network.spec()); // says that it is assumed
      }
      found.model().save(out);
    } else {
      network.save(out, Map.of());
    }
    found.remarks().forEach(remark -> System.err.printf("%s: %s%n", in, remark));
    System.err.printf("%s -> %s%n", in, out);
    return Main.OK;
  }
}
