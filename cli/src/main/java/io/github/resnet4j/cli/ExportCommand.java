package io.github.resnet4j.cli;

import io.github.resnet4j.Model;
import io.github.resnet4j.ResNet;
import io.github.resnet4j.Weights;
import io.github.resnet4j.inspect.Shape;
import io.github.resnet4j.onnx.OnnxExport;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

@Command(
    name = "export",
    mixinStandardHelpOptions = true,
    description = {
      "Exports a network to ONNX, for ONNX Runtime (also on a GPU), OpenVINO, TensorRT and"
          + " others.",
      "",
      "Labels and preprocessing are stored as metadata, JSON under 'labels' and 'preprocessing'."
          + " Weights have their state_dict names. 'import' reads the file back.",
    },
    footerHeading = "%nExamples:%n",
    footer = {
      "  resnet4j export digits.onnx",
      "  resnet4j export resnet50.onnx -m resnet50 --dynamic-batch  # downloads",
      "  resnet4j export half.onnx -w my.pth --precision fp16 --include-preprocessing",
      "  resnet4j export backbone.onnx -m resnet50 --output-stride 8  # downloads",
    })
final class ExportCommand implements Callable<Integer> {
  @Option(
      names = {"-m", "--model"},
      paramLabel = "NAME",
      description = "Network name; 'resnet4j models' lists them.")
  private @Nullable String model;

  @Option(
      names = {"-w", "--weights"},
      paramLabel = "WEIGHTS",
      description =
          "Weights, as for 'classify'; default: the embedded model for handwritten digits.")
  private @Nullable String weights;

  @Option(names = "--format", paramLabel = "FORMAT", description = "onnx, the only format so far.")
  private Format format = Format.ONNX;

  @Option(
      names = "--opset",
      paramLabel = "N",
      description = "ONNX opset version, 13 to 23; default ${DEFAULT-VALUE}.")
  @Range(min = 13, max = 23)
  private int opset = OnnxExport.Options.DEFAULT_OPSET;

  @Option(names = "--dynamic-batch", description = "Make the batch size dynamic.")
  private boolean dynamicBatch;

  @Option(
      names = "--precision",
      paramLabel = "TYPE",
      description =
          "fp32, or fp16: half the size, computes in half precision, input and output stay fp32;"
              + " default ${DEFAULT-VALUE}.")
  private Precision precision = Precision.FP32;

  @Option(names = "--fold-bn", description = "Fold batch norm into the convolutions.")
  private boolean foldBatchNorm;

  @Option(
      names = "--include-preprocessing",
      description =
          "Include the normalization in the graph: its input is pixels, uint8 [N, H, W, C], of a"
              + " resized and cropped image.")
  private boolean includePreprocessing;

  @Mixin private OutputStrideOption outputStride = new OutputStrideOption();

  @Mixin private PreprocessingOption preprocessing = new PreprocessingOption();

  @Parameters(paramLabel = "OUT", description = "New file, .onnx.")
  @Output(endings = ".onnx")
  private Path out = Path.of("");

  enum Format {
    ONNX
  }

  enum Precision {
    FP32,
    FP16
  }

  @Override
  public Integer call() throws IOException {
    var options = new ModelOptions();
    options.model = model;
    options.weights = weights;
    if (weights != null || model != null) {
      Weights found = options.findWeights();
      ResNet network = outputStride.apply(options.loadNetwork(found));
      options.requireFiniteWeights(network);
      if (!network.spec().includeTop()) {
        OnnxExport.write(network, Shape.usualInput(network.spec()), out, exportOptions());
      } else {
        OnnxExport.write(
            ModelOptions.modelOf(found, network, preprocessing.file), out, exportOptions());
      }
      return report(network);
    }
    Model classifier = options.loadClassifier(preprocessing.file, null);
    Model embedded = classifier.withNetwork(outputStride.apply(classifier.network()));
    OnnxExport.write(embedded, out, exportOptions());
    return report(embedded.network());
  }

  private OnnxExport.Options exportOptions() {
    var chosen = OnnxExport.Options.defaults().withOpset(opset);
    chosen = dynamicBatch ? chosen.withDynamicBatch() : chosen;
    chosen = precision == Precision.FP16 ? chosen.withFloat16() : chosen;
    chosen = foldBatchNorm ? chosen.withFoldedBatchNorm() : chosen;
    return includePreprocessing ? chosen.withPreprocessing() : chosen;
  }

  private int report(ResNet network) throws IOException {
    System.err.printf(
        "%,d parameters -> %s (%,d bytes)%n",
        network.spec().parameterCount(), out, Files.size(out));
    return Main.OK;
  }
}
