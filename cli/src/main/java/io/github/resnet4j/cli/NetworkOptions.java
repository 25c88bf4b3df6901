package io.github.resnet4j.cli;

import io.github.resnet4j.Architecture;
import io.github.resnet4j.ResNetSpec;
import io.github.resnet4j.Weights;
import io.github.resnet4j.checkpoint.Download;
import io.github.resnet4j.inspect.Shape;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.InvalidPathException;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.Optional;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** The options that select a network and its input shape, without weights. */
final class NetworkOptions {
  /** The description of the parameter MODEL. */
  static final String MODEL =
      "Network name from 'resnet4j models', or a checkpoint, whose network is recognized.";

  @Option(
      names = {"-i", "--input-size"},
      paramLabel = "CxHxW",
      description = "Input shape; default: 3x224x224, or 3x32x32 for a network for small images.")
  private @Nullable String input;

  @Option(
      names = "--v1",
      description = "Stride in the first 1x1 convolution of a bottleneck, as in the paper.")
  private boolean v1;

  @Option(names = "--plain", description = "Without shortcut connections.")
  private boolean plain;

  @Mixin private OutputStrideOption outputStride = new OutputStrideOption();

  /** Returns the network of that name or checkpoint, modified by the options. */
  ResNetSpec spec(String model) throws IOException {
    ResNetSpec spec = outputStride.apply(find("", model));
    if (v1) {
      spec = spec.toBuilder().stridePlacement(ResNetSpec.StridePlacement.FIRST_1X1).build();
    }
    return plain ? spec.toBuilder().shortcut(ResNetSpec.Shortcut.NONE).build() : spec;
  }

  /**
   * Returns the network of that name or checkpoint.
   *
   * @param option as for {@link #named}
   */
  static ResNetSpec find(String option, String model) throws IOException {
    if (!Architecture.catalogue().containsKey(model) && isFile(model)) {
      return Weights.find(Optional.empty(), model, System.getenv(), new Download((_, _, _) -> {}))
          .requireSpec();
    }
    if (model.contains("/") || model.contains(".")) { // not in the name of a network
      throw new NoSuchFileException(model);
    }
    return named(option, model);
  }

  /**
   * Returns the network of a name.
   *
   * @param option prefix for the error message, such as "--model: "; empty for an argument
   */
  static ResNetSpec named(String option, String model) {
    try {
      return Architecture.named(model);
    } catch (IllegalArgumentException e) {
      throw new UsageException(option + e.getMessage());
    }
  }

  private static boolean isFile(String text) {
    try {
      return Files.exists(Path.of(text));
    } catch (InvalidPathException _) {
      return false;
    }
  }

  /** Returns the title of the network in tables and figures. */
  String title(String model) {
    String name = isFile(model) ? String.valueOf(Path.of(model).getFileName()) : model;
    return name + (v1 ? " (v1)" : "") + (plain ? " (plain)" : "");
  }

  /** Returns the shape of an input image of the network. */
  Shape image(ResNetSpec spec) {
    if (input == null) {
      return Shape.usualInput(spec);
    }
    if (!input.matches("\\d{1,6}[x×]\\d{1,6}[x×]\\d{1,6}")) {
      throw new UsageException("--input-size must be like 3x224x224, was '%s'".formatted(input));
    }
    String[] extents = input.split("[x×]", -1);
    return new Shape(
        Integer.parseInt(extents[0]), Integer.parseInt(extents[1]), Integer.parseInt(extents[2]));
  }
}
