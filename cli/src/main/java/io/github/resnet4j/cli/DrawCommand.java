package io.github.resnet4j.cli;

import io.github.resnet4j.ResNetSpec;
import io.github.resnet4j.figures.Figure;
import io.github.resnet4j.figures.FigureFile;
import io.github.resnet4j.figures.NetworkFigure;
import io.github.resnet4j.figures.NetworkGraph;
import io.github.resnet4j.inspect.Shape;
import io.github.resnet4j.inspect.ShapedLayer;
import io.github.resnet4j.messages.Suggestion;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

@Command(
    name = "draw",
    mixinStandardHelpOptions = true,
    description = {
      "Draws a network, a stage or a block as a diagram.",
      "",
      "The extension of --output sets the format: .svg (follows the page's light or dark theme),"
          + " .png, .mmd (Mermaid) or .dot (Graphviz). Without --output, Mermaid is printed.",
    },
    footerHeading = "%nExamples:%n",
    footer = {
      "  resnet4j draw resnet50 --output resnet50.svg",
      "  resnet4j draw resnet50 --figure shortcut --output blocks.png --theme dark",
      "  resnet4j draw resnext50_32x4d --figure block:layer2.0 --output block.svg",
      "  resnet4j draw resnet50 --figure stride -o v1-and-v15.svg",
      "  resnet4j draw resnet34 --figure plain -o plain-and-residual.svg",
      "  resnet4j draw resnet18 --figure stage:2",
    })
final class DrawCommand implements Callable<Integer> {
  private static final List<String> PARTS =
      List.of("network", "stage:", "block:", "shortcut", "stride", "activation", "plain");

  @Mixin private NetworkOptions options = new NetworkOptions();

  @Option(
      names = "--figure",
      paramLabel = "FIGURE",
      description =
          "network, stage:N, block:NAME, shortcut (a Conv Block beside an Identity Block),"
              + " stride (v1 beside v1.5), activation (after the addition beside before the"
              + " convolutions) or plain (a block without and with its shortcut);"
              + " default ${DEFAULT-VALUE}.")
  private String figureName = "network";

  @Option(
      names = {"-o", "--output"},
      paramLabel = "FILE",
      description = "Output file, .svg, .png, .mmd or .dot.")
  @Output(endings = {".svg", ".png", ".mmd", ".dot"})
  private @Nullable Path output;

  @Option(
      names = "--theme",
      paramLabel = "THEME",
      description = "light or dark, for .png; default ${DEFAULT-VALUE}.")
  private Figure.Theme theme = Figure.Theme.LIGHT;

  @Parameters(paramLabel = "MODEL", description = NetworkOptions.MODEL)
  private String model = "";

  @Override
  public Integer call() throws IOException {
    ResNetSpec spec = options.spec(model);
    Shape image = options.image(spec);
    String name = output == null ? ".mmd" : output.toString();
    if (name.endsWith(".svg") || name.endsWith(".png")) {
      Figure figure;
      try {
        figure = figure(spec, image);
      } catch (IllegalArgumentException e) { // no such stage or block
        throw figureName.equals("network") || e instanceof UsageException
            ? e
            : new UsageException("--figure: " + e.getMessage());
      }
      figure.write(Path.of(name), theme);
      Main.wrote(Path.of(name));
    } else {
      var graph = NetworkGraph.of(part(spec, ShapedLayer.of(spec.layers(), image)));
      String text = name.endsWith(".dot") ? graph.toDot() : graph.toMermaid();
      if (output == null) {
        System.out.print(text);
      } else {
        FigureFile.write(text.getBytes(StandardCharsets.UTF_8), output);
        Main.wrote(output);
      }
    }
    return Main.OK;
  }

  private Figure figure(ResNetSpec spec, Shape image) {
    String title = options.title(model);
    return switch (figureName) {
      case "network" -> NetworkFigure.network(title, spec, image);
      case "shortcut" -> NetworkFigure.shortcuts(title, spec, image);
      case "stride" -> NetworkFigure.strides(title, spec, image);
      case "plain" -> NetworkFigure.plain(title, spec, image);
      case "activation" -> NetworkFigure.activations(title, spec, image);
      default -> {
        if (figureName.startsWith("block:")) {
          yield NetworkFigure.block(spec, image, figureName.substring("block:".length()));
        }
        if (figureName.matches("stage:\\d{1,3}")) {
          int number = Integer.parseInt(figureName.substring("stage:".length()));
          yield NetworkFigure.stage(title, spec, image, number);
        }
        throw unknown();
      }
    };
  }

  /** The name of a stage, from 1. */
  private static String stage(ResNetSpec spec, int number) {
    String block = spec.blockName(number - 1, 0);
    return block.substring(0, block.lastIndexOf(block.contains(".blocks.") ? ".blocks." : "."));
  }

  private ShapedLayer part(ResNetSpec spec, ShapedLayer network) {
    if (figureName.equals("network")) {
      return network;
    }
    String name =
        figureName.startsWith("block:")
            ? figureName.substring("block:".length())
            : figureName.matches("stage:[1-9]\\d{0,2}")
                ? stage(spec, Integer.parseInt(figureName.substring("stage:".length())))
                : figureName;
    return network
        .walk()
        .filter(layer -> layer.layer().name().equals(name))
        .findFirst()
        .orElseThrow(() ->
            figureName.contains(":")
                ? new UsageException(
                    "--figure: the network has no stage or block '%s'%s"
                        .formatted(
                            name,
                            Suggestion.of(
                                name, network.walk().map(each -> each.layer().name()).toList())))
                : unknown());
  }

  private UsageException unknown() {
    return new UsageException(
        "--figure must be network, stage:N or block:NAME, or for a .svg or .png shortcut, stride,"
            + " activation or plain; was '%s'%s"
                .formatted(figureName, Suggestion.of(figureName, PARTS)));
  }
}
