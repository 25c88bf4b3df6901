package io.github.resnet4j.cli;

import io.github.resnet4j.Architecture;
import io.github.resnet4j.PublishedWeights;
import io.github.resnet4j.ResNetSpec;
import io.github.resnet4j.ResNetSpec.Downsampling;
import io.github.resnet4j.Stem;
import java.io.IOException;
import java.nio.file.FileSystems;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.Callable;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

@Command(
    name = "models",
    mixinStandardHelpOptions = true,
    description = "Lists the networks that can be used by name.",
    footerHeading = "%nExamples:%n",
    footer = {
      "  resnet4j models",
      "  resnet4j models '*50*' --format csv",
      "  resnet4j models --family resnext",
    })
final class ModelsCommand implements Callable<Integer> {
  @Mixin private FormatOption output = new FormatOption();

  @Option(
      names = "--family",
      paramLabel = "FAMILY",
      description =
          "Only this family: resnet, resnext, wide_resnet, cifar, se, eca, blur, aa or rs.")
  private @Nullable Family family;

  @Parameters(
      arity = "0..*",
      paramLabel = "PATTERN",
      description = "Only names that match, such as '*50*'.")
  private List<String> patterns = List.of();

  /** Families of networks, named as in their papers or in timm. */
  enum Family {
    RESNET,
    RESNEXT,
    WIDE_RESNET,
    CIFAR,
    SE,
    ECA,
    BLUR,
    AA,
    RS;

    boolean has(String name, ResNetSpec spec) {
      return switch (this) {
        case RESNET -> name.matches("resnet\\d.*") && !(spec.stem() instanceof Stem.SmallImage);
        case RESNEXT -> spec.groups() > 1;
        case WIDE_RESNET -> name.startsWith("wide_");
        case CIFAR -> spec.stem() instanceof Stem.SmallImage;
        case SE -> name.startsWith("se");
        case ECA -> name.startsWith("eca");
        case BLUR -> spec.downsampling() == Downsampling.BLUR;
        case AA -> spec.downsampling() == Downsampling.AVERAGE;
        case RS -> name.startsWith("resnetrs");
      };
    }
  }

  private boolean isListed(String name, ResNetSpec spec) {
    var file = Path.of(name);
    return (family == null || family.has(name, spec))
        && (patterns.isEmpty()
            || patterns.stream()
                .anyMatch(pattern ->
                    FileSystems.getDefault().getPathMatcher("glob:" + pattern).matches(file)));
  }

  @Override
  public Integer call() throws IOException {
    var rows = new ArrayList<List<Object>>();
    Architecture.catalogue()
        .forEach((name, spec) -> {
          if (isListed(name, spec)) {
            rows.add(
                List.of(
                    name,
                    spec.blockKinds().stream()
                        .map(kind -> kind.name().toLowerCase(Locale.ROOT))
                        .collect(Collectors.joining(", ")),
                    spec.blocks().stream().map(String::valueOf).collect(Collectors.joining("-")),
                    spec.groups(),
                    spec.widthPerGroup(),
                    spec.numClasses(),
                    spec.parameterCount(),
                    spec.layers().parameters().size(),
                    PublishedWeights.catalogue().stream()
                        .filter(weights -> weights.model().equals(name))
                        .map(PublishedWeights::name)
                        .collect(Collectors.joining(" "))));
          }
        });
    if (rows.isEmpty()) {
      throw new IllegalArgumentException(
          "no network matches "
              + String.join(", ", patterns)
              + (family == null ? "" : " in this family")
              + "; 'resnet4j models' lists all");
    }
    new Table(
            List.of(
                "model",
                "block",
                "blocks",
                "groups",
                "width",
                "classes",
                "parameters",
                "state_dict",
                "weights"),
            rows,
            List.of("state_dict", "groups", "width", "classes"))
        .print(output.format, System.out);
    return Main.OK;
  }
}
