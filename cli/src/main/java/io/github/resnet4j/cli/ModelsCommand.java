package io.github.resnet4j.cli;

import io.github.resnet4j.Architecture;
import io.github.resnet4j.Norm;
import io.github.resnet4j.PublishedWeights;
import io.github.resnet4j.ResNetSpec;
import io.github.resnet4j.ResNetSpec.Activation;
import io.github.resnet4j.Stem;
import io.github.resnet4j.inspect.Shape;
import io.github.resnet4j.inspect.ShapedLayer;
import io.github.resnet4j.messages.Suggestion;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.file.FileSystems;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.Callable;
import java.util.regex.PatternSyntaxException;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

@Command(
    name = "models",
    mixinStandardHelpOptions = true,
    description = {
      "Lists the networks that can be used by name.",
      "",
      "Without arguments: their names, by family. With PATTERN or --family: a table with their"
          + " structure, parameters and multiply-adds. --format json and csv are always tables.",
    },
    footerHeading = "%nExamples:%n",
    footer = {
      "  resnet4j models",
      "  resnet4j models seresnet",
      "  resnet4j models --family resnetv2",
      "  resnet4j models '*50*' --format csv",
    })
final class ModelsCommand implements Callable<Integer> {
  private static final int DEFAULT_WIDTH = 80;

  @Mixin private FormatOption output = new FormatOption();

  @Option(
      names = "--family",
      paramLabel = "FAMILY",
      description = "Only this family: ${COMPLETION-CANDIDATES}.")
  private @Nullable Family family;

  @Parameters(
      arity = "0..*",
      paramLabel = "PATTERN",
      description = "Only this family, or names that contain this text or match it, as '*50d'.")
  private List<String> patterns = List.of();

  /** Each network belongs to the first family that has it. */
  enum Family {
    CIFAR("small images of 32x32, arXiv 1512.03385 and 1603.05027"),
    BIT("Big Transfer, arXiv 1912.11370"),
    RESNETV2("pre-activation, arXiv 1603.05027"),
    RS("ResNet-RS, arXiv 2103.07579"),
    SE("squeeze-and-excitation, arXiv 1709.01507"),
    ECA("efficient channel attention, arXiv 1910.03151"),
    BLUR("anti-aliased by blur pooling, arXiv 1904.11486"),
    AA("anti-aliased by average pooling"),
    GN("group norm, arXiv 1803.08494"),
    WIDE_RESNET("wide bottlenecks, arXiv 1605.07146"),
    RESNEXT("grouped convolutions, arXiv 1611.05431"),
    RESNET_D("ResNet-C, -D, -S and -T: deep stems, arXiv 1812.01187"),
    RESNET("residual networks, arXiv 1512.03385");

    private final String description;

    Family(String description) {
      this.description = description;
    }

    static Family of(String name, ResNetSpec spec) {
      for (Family each : values()) {
        if (each.has(name, spec)) {
          return each;
        }
      }
      throw new IllegalStateException(name + " has no family");
    }

    private boolean has(String name, ResNetSpec spec) {
      return switch (this) {
        case CIFAR -> spec.stem() instanceof Stem.SmallImage;
        case BIT -> spec.norm() instanceof Norm.StandardizedGroupNorm;
        case RESNETV2 -> spec.activation() == Activation.PRE;
        case RS, BLUR, AA -> name.startsWith("resnet" + this);
        case SE, ECA, WIDE_RESNET, RESNEXT -> name.startsWith(toString());
        case GN -> spec.norm() instanceof Norm.GroupNorm;
        case RESNET_D -> spec.stem() instanceof Stem.Deep;
        case RESNET -> true;
      };
    }

    @Override
    public String toString() {
      return name().toLowerCase(Locale.ROOT);
    }
  }

  @Override
  public Integer call() throws IOException {
    var found = new LinkedHashMap<String, ResNetSpec>();
    Architecture.catalogue()
        .forEach((name, spec) -> {
          if (isListed(name, spec)) {
            found.put(name, spec);
          }
        });
    if (found.isEmpty()) {
      throw new IllegalArgumentException(
          "no network matches '%s'%s%s; 'resnet4j models' lists all"
              .formatted(
                  String.join("', '", patterns),
                  family == null ? "" : " in the family " + family,
                  Suggestion.of(patterns.getFirst(), Architecture.catalogue().keySet())));
    }
    if (patterns.isEmpty() && family == null && output.format == Table.Format.TEXT) {
      printFamilies(found, System.out);
    } else {
      printTable(found);
    }
    return Main.OK;
  }

  private boolean isListed(String name, ResNetSpec spec) {
    Family of = Family.of(name, spec);
    return (family == null || family == of)
        && (patterns.isEmpty()
            || patterns.stream()
                .map(pattern -> pattern.toLowerCase(Locale.ROOT))
                .anyMatch(pattern ->
                    isFamily(pattern) ? pattern.equals(of.toString()) : matches(name, pattern)));
  }

  private static boolean isFamily(String pattern) {
    return Arrays.stream(Family.values()).anyMatch(each -> pattern.equals(each.toString()));
  }

  private static boolean matches(String name, String pattern) {
    if (!pattern.matches(".*[*?\\[{].*")) {
      return name.contains(pattern);
    }
    try {
      return FileSystems.getDefault().getPathMatcher("glob:" + pattern).matches(Path.of(name));
    } catch (PatternSyntaxException e) {
      throw new IllegalArgumentException(
          "'%s' is not a pattern: %s".formatted(pattern, e.getDescription()), e);
    }
  }

  /** The names, in lines that fit the terminal. */
  private static void printFamilies(Map<String, ResNetSpec> networks, PrintStream out) {
    int width = Integer.getInteger(Table.COLUMNS, DEFAULT_WIDTH);
    var families = new TreeMap<Family, List<String>>();
    networks.forEach((name, spec) ->
        families.computeIfAbsent(Family.of(name, spec), _ -> new ArrayList<>()).add(name));
    for (var entry : families.reversed().entrySet()) {
      out.println(entry.getKey() + ": " + entry.getKey().description);
      var line = new StringBuilder();
      for (String name : entry.getValue()) {
        if (line.length() + 2 + name.length() > width) {
          out.println(line);
          line.setLength(0);
        }
        line.append("  ").append(name);
      }
      out.println(line);
    }
    out.println();
    out.printf(
        "%d networks. Their sizes: 'resnet4j models TEXT' lists the networks%n", networks.size());
    out.println("with this text in their names, or of this family; 'resnet4j models \"*\"' all.");
  }

  private void printTable(Map<String, ResNetSpec> networks) throws IOException {
    var rows = new ArrayList<List<Object>>();
    networks.forEach((name, spec) ->
        rows.add(
            List.of(
                name,
                Family.of(name, spec).toString(),
                spec.blockKinds().stream()
                    .map(kind -> kind.name().toLowerCase(Locale.ROOT))
                    .collect(Collectors.joining(", ")),
                spec.blocks().stream().map(String::valueOf).collect(Collectors.joining("-")),
                spec.groups(),
                spec.widthPerGroup(),
                spec.numClasses(),
                spec.parameterCount(),
                multiplyAdds(spec),
                spec.layers().parameters().size(),
                PublishedWeights.catalogue().stream()
                    .filter(weights -> weights.model().equals(name))
                    .map(PublishedWeights::name)
                    .collect(Collectors.joining(" ")))));
    new Table(
            List.of(
                "model",
                "family",
                "block",
                "blocks",
                "groups",
                "width",
                "classes",
                "parameters",
                "multiply_adds_G",
                "state_dict",
                "weights"),
            rows,
            List.of("state_dict", "groups", "width", "family", "classes", "block"))
        .print(output.format, System.out);
  }

  /** Billions, for one image of the usual size. */
  private static double multiplyAdds(ResNetSpec spec) {
    var shaped = ShapedLayer.of(spec.layers(), Shape.usualInput(spec));
    return Table.rounded(shaped.multiplyAdds() / 1e9, 3);
  }
}
