package io.github.resnet4j.cli;

import java.nio.file.Path;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Option;

/** The preprocessing option. */
final class PreprocessingOption {
  @Option(
      names = "--preprocessing",
      paramLabel = "FILE",
      description =
          "Preprocessing as JSON, with the fields of torchvision (resize_size, crop_size), timm"
              + " (config.json) or Hugging Face (preprocessor_config.json); default: the"
              + " settings in the weights, or the usual ones.")
  @Nullable Path file;
}
