package io.github.resnet4j.cli;

import io.github.resnet4j.ResNetSpec;
import io.github.resnet4j.inspect.PaperTable;
import io.github.resnet4j.inspect.Shape;
import io.github.resnet4j.inspect.ShapedLayer;
import io.github.resnet4j.inspect.Summary;
import java.io.IOException;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

@Command(
    name = "summary",
    mixinStandardHelpOptions = true,
    description = {
      "Summarizes a network: output shape, parameters and multiply-adds of every layer.",
      "",
      "Multiply-adds (MACs) as papers, torchvision and fvcore count them: one multiplication"
          + " with its addition, in convolutions and the fully connected layer. FLOPs are twice"
          + " as many.",
    },
    footerHeading = "%nExamples:%n",
    footer = {
      "  resnet4j summary resnet50",
      "  resnet4j summary resnet50 --depth 2 --input-size 3x320x320 --format markdown",
      "  resnet4j summary my.pth --format csv > layers.csv",
      "  resnet4j summary --paper",
      "  resnet4j summary --paper resnet50 resnext50_32x4d",
    })
final class SummaryCommand implements Callable<Integer> {
  private static final List<String> OF_THE_PAPER =
      List.of("resnet18", "resnet34", "resnet50", "resnet101", "resnet152");

  @Mixin private NetworkOptions options = new NetworkOptions();

  @Option(
      names = "--depth",
      paramLabel = "N",
      description = "1 shows stages, 2 blocks, 3 layers; default: everything.")
  @Range(min = 1)
  private int depth = Summary.EVERYTHING;

  @Option(
      names = "--paper",
      description = "Networks side by side, as in table 1 of Deep Residual Learning.")
  private boolean paper;

  @Mixin private FormatOption output = new FormatOption();

  @Parameters(arity = "0..*", paramLabel = "MODEL", description = NetworkOptions.MODEL)
  private List<String> models = List.of();

  @Override
  public Integer call() throws IOException {
    if (paper) {
      paperTable(models.isEmpty() ? OF_THE_PAPER : models);
      return Main.OK;
    }
    if (models.size() != 1) {
      throw new UsageException(
          "name one network, or several with --paper; 'resnet4j models' lists them");
    }
    ResNetSpec spec = options.spec(models.getFirst());
    var summary = Summary.of(spec.layers(), options.image(spec), depth);
    var rows = new ArrayList<List<Object>>();
    for (Summary.Row row : summary.rows()) {
      rows.add(output.isForPeople() ? people(row) : programs(row));
    }
    new Table(
            output.isForPeople()
                ? List.of(
                    "layer",
                    "kind",
                    "output",
                    "kernel",
                    "parameters",
                    "multiply-adds",
                    "activations",
                    "receptive field")
                : List.of(
                    "layer",
                    "level",
                    "kind",
                    "channels",
                    "height",
                    "width",
                    "kernel",
                    "stride",
                    "groups",
                    "dilation",
                    "parameters",
                    "multiply_adds",
                    "activation_bytes",
                    "receptive_field"),
            rows,
            output.isForPeople() ? List.of("receptive field", "activations", "kind") : List.of())
        .print(output.format, System.out);
    if (output.isForPeople()) {
      totals(summary.network());
    }
    return Main.OK;
  }

  private static List<Object> people(Summary.Row row) {
    String kernel = row.kernel() > 0 ? row.kernel() + "×" + row.kernel() : "";
    if (row.stride() > 1) {
      kernel += (kernel.isEmpty() ? "stride " : ", stride ") + row.stride();
    }
    if (row.groups() > 1) {
      kernel += ", %d groups".formatted(row.groups());
    }
    if (row.dilation() > 1) {
      kernel += ", dilation " + row.dilation();
    }
    return List.of(
        "  ".repeat(row.level() - 1) + row.name(),
        row.kind(),
        row.output().toString(),
        kernel,
        row.parameters(),
        row.multiplyAdds(),
        memory(row.activationBytes()),
        row.receptiveField());
  }

  private static List<Object> programs(Summary.Row row) {
    return List.of(
        row.name(),
        row.level(),
        row.kind(),
        row.output().channels(),
        row.output().height(),
        row.output().width(),
        row.kernel(),
        row.stride(),
        row.groups(),
        row.dilation(),
        row.parameters(),
        row.multiplyAdds(),
        row.activationBytes(),
        row.receptiveField());
  }

  private static void totals(ShapedLayer network) {
    System.out.printf(
        Locale.ROOT,
        "%n%,d parameters (%.1f MB in fp32)%n%,d multiply-adds = %s for an input of %s"
            + " (%sFLOPs)%n"
            + "%s of activations in fp32, if every layer's output is kept%n",
        network.parameters(),
        network.parameters() * Float.BYTES / 1e6,
        network.multiplyAdds(),
        count(network.multiplyAdds()),
        network.input(),
        count(2 * network.multiplyAdds()),
        memory(network.activationBytes()));
  }

  private static String count(long operations) {
    return operations < 100_000_000
        ? String.format(Locale.ROOT, "%.2f M", operations / 1e6)
        : String.format(Locale.ROOT, "%.2f G", operations / 1e9);
  }

  private static String memory(long bytes) {
    if (bytes < 1000) {
      return bytes + " B";
    }
    return bytes < 100_000
        ? String.format(Locale.ROOT, "%.1f kB", bytes / 1e3)
        : String.format(Locale.ROOT, "%.1f MB", bytes / 1e6);
  }

  private void paperTable(List<String> names) throws IOException {
    var specs = new LinkedHashMap<String, ResNetSpec>();
    Shape image = null;
    for (String name : names) {
      ResNetSpec spec = options.spec(name);
      specs.put(options.title(name), spec);
      image = image == null ? options.image(spec) : image;
    }
    if (image == null) {
      throw new IllegalStateException();
    }
    var table = PaperTable.of(specs, image);
    new Table(
            table.columns(),
            output.format == Table.Format.TEXT ? stacked(table) : cells(table),
            List.copyOf(specs.sequencedKeySet().reversed()))
        .print(output.format, System.out);
  }

  private static List<List<Object>> cells(PaperTable table) {
    return table.rows().stream().map(List::<Object>copyOf).toList();
  }

  /** The layers of a block one below the other, as in the paper. */
  private static List<List<Object>> stacked(PaperTable table) {
    var rows = new ArrayList<List<Object>>();
    for (List<String> row : table.rows()) {
      List<List<String>> cells = row.stream().map(cell -> List.of(cell.split("; ", -1))).toList();
      int lines = cells.stream().mapToInt(List::size).max().orElse(0);
      for (int i = 0; i < lines; i++) {
        int line = i;
        rows.add(
            cells.stream().<Object>map(cell -> line < cell.size() ? cell.get(line) : "").toList());
      }
    }
    return rows;
  }
}
