package io.github.resnet4j.cli;

import io.github.resnet4j.Architecture;
import io.github.resnet4j.PublishedWeights;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.Callable;
import java.util.stream.Collectors;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;

@Command(
    name = "models",
    mixinStandardHelpOptions = true,
    description = "Lists the networks that have a name.",
    footerHeading = "%nExamples:%n",
    footer = {"  resnet4j models", "  resnet4j models --format csv"})
final class ModelsCommand implements Callable<Integer> {
  @Mixin private FormatOption output = new FormatOption();

  @Override
  public Integer call() throws IOException {
    var rows = new ArrayList<List<Object>>();
    Architecture.catalogue()
        .forEach((name, spec) ->
            rows.add(
                List.of(
                    name,
                    spec.block().name().toLowerCase(Locale.ROOT),
                    spec.blocks().stream().map(String::valueOf).collect(Collectors.joining("-")),
                    spec.groups(),
                    spec.widthPerGroup(),
                    spec.numClasses(),
                    spec.parameterCount(),
                    spec.layers().parameters().size(),
                    PublishedWeights.catalogue().stream()
                        .filter(weights -> weights.model().equals(name))
                        .map(PublishedWeights::name)
                        .collect(Collectors.joining(" ")))));
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
            rows)
        .print(output.format, System.out);
    return Main.OK;
  }
}
