package io.github.resnet4j.cli;

import io.github.resnet4j.checkpoint.Checkpoint;
import io.github.resnet4j.checkpoint.CheckpointWriter;
import io.github.resnet4j.checkpoint.DType;
import io.github.resnet4j.checkpoint.StoredTensor;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Locale;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

@Command(
    name = "convert",
    mixinStandardHelpOptions = true,
    description = "Converts a checkpoint to another format or precision.",
    footerHeading = "%nExamples:%n",
    footer = {
      "  resnet4j convert resnet50.pth resnet50.safetensors",
      "  resnet4j convert training.pth weights-only.pth",
      "  resnet4j convert resnet50.pth half.safetensors --precision fp16",
      "  resnet4j convert microsoft.safetensors torchvision.pth --names torchvision",
    })
final class ConvertCommand implements Callable<Integer> {
  /** The number formats of weights. */
  enum Precision {
    FP64,
    FP32,
    FP16,
    BF16;

    DType type() {
      return switch (this) {
        case FP64 -> DType.F64;
        case FP32 -> DType.F32;
        case FP16 -> DType.F16;
        case BF16 -> DType.BF16;
      };
    }
  }

  /** The naming scheme of the tensors. */
  enum Names {
    ORIGINAL,
    TORCHVISION;

    @Override
    public String toString() {
      return name().toLowerCase(Locale.ROOT);
    }
  }

  @Parameters(
      index = "0",
      paramLabel = "IN",
      description = "Checkpoint: .pth, .pt, .bin, .safetensors, or the index file of shards.")
  private Path in = Path.of("");

  @Parameters(
      index = "1",
      paramLabel = "OUT",
      description = "New file; its extension sets the format: .pth, .pt, .bin, .safetensors.")
  @Output(endings = {".safetensors", ".pth", ".pt", ".bin"})
  private Path out = Path.of("");

  @Option(
      names = {"-p", "--precision"},
      paramLabel = "TYPE",
      description = "fp64, fp32, fp16 or bf16 for floating-point tensors; default: unchanged.")
  private @Nullable Precision precision;

  @Option(
      names = "--names",
      paramLabel = "NAMES",
      description =
          "Tensor names: original, or torchvision (without wrappers' prefixes, translated from the"
              + " names of other libraries, without heads of self-supervised training); default"
              + " ${DEFAULT-VALUE}.")
  private Names names = Names.ORIGINAL;

  @Override
  public Integer call() throws IOException {
    long elements = 0;
    int count;
    try (var checkpoint = Checkpoint.open(in)) {
      var source =
          names == Names.TORCHVISION ? checkpoint.torchvisionTensors() : checkpoint.tensors();
      if (names == Names.TORCHVISION) {
        checkpoint.remarks().forEach(remark -> System.err.printf("resnet4j: %s: %s%n", in, remark));
      }
      DType target = precision == null ? null : precision.type();
      var tensors = new LinkedHashMap<String, StoredTensor>();
      for (var entry : source.entrySet()) {
        StoredTensor tensor = entry.getValue();
        elements += tensor.size();
        tensors.put(
            entry.getKey(),
            target != null && tensor.dtype().isFloatingPoint() ? tensor.as(target) : tensor);
      }
      count = tensors.size();
      CheckpointWriter.write(out, tensors, checkpoint.metadata());
    }
    System.err.printf(
        "%,d tensors, %,d elements: %s (%,d bytes) -> %s (%,d bytes)%n",
        count, elements, in, Files.size(in), out, Files.size(out));
    return Main.OK;
  }
}
