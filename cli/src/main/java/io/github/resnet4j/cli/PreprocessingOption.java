package io.github.resnet4j.cli;

import java.nio.file.Path;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Option;

/** The option that says how images become the network's input. */
final class PreprocessingOption {
  @Option(
      names = "--preprocessing",
      paramLabel = "FILE",
      description =
          "How the weights' images were prepared, as JSON: fields of torchvision (resize_size,"
              + " crop_size), timm (config.json) or Hugging Face (preprocessor_config.json). By"
              + " default as the weights say, or as is usual.")
  @Nullable Path file;
}
