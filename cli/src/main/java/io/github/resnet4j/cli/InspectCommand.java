package io.github.resnet4j.cli;

import io.github.resnet4j.Recognition;
import io.github.resnet4j.checkpoint.Checkpoint;
import io.github.resnet4j.checkpoint.CheckpointException;
import io.github.resnet4j.checkpoint.StoredTensor;
import io.github.resnet4j.figures.FigureFile;
import io.github.resnet4j.figures.HistogramSheet;
import io.github.resnet4j.inspect.TensorStatistics;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.Callable;
import java.util.regex.Pattern;
import java.util.regex.PatternSyntaxException;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

@Command(
    name = "inspect",
    mixinStandardHelpOptions = true,
    description = {
      "Shows the tensors of a checkpoint (names, shapes, types, statistics) and its network.",
      "",
      "The network is recognized from names and shapes alone. Nothing in the file is executed.",
    },
    footerHeading = "%nExamples:%n",
    footer = {
      "  resnet4j inspect resnet50-11ad3fa6.pth",
      "  resnet4j inspect my.safetensors --tensors 'layer4.*' --format json",
      "  resnet4j inspect my.pth --histograms weights.png",
    })
final class InspectCommand implements Callable<Integer> {
  /** The maximum number of charts on one image. */
  private static final int MAX_CHARTS = 240;

  @Mixin private FormatOption format = new FormatOption();

  @Option(
      names = "--tensors",
      paramLabel = "PATTERN",
      description = "Only tensors whose names match this regular expression.")
  private String pattern = ".*";

  @Option(
      names = "--histograms",
      paramLabel = "FILE",
      description = "Draw histograms of the weights with two or more dimensions, .png.")
  @Output(endings = ".png")
  private @Nullable Path histograms;

  @Parameters(
      paramLabel = "CHECKPOINT",
      description = "A .pth, .pt, .bin, .safetensors, or the index file of shards.")
  private Path file = Path.of("");

  @Override
  public Integer call() throws IOException {
    Pattern namePattern;
    try {
      namePattern = Pattern.compile(pattern);
    } catch (PatternSyntaxException e) {
      throw new UsageException(
          "--tensors must be a regular expression, was '%s': %s"
              .formatted(pattern, e.getDescription()));
    }
    try (var checkpoint = Checkpoint.open(file)) {
      var rows = new ArrayList<List<Object>>();
      var charts = new LinkedHashMap<String, TensorStatistics>();
      long elements = 0;
      for (var entry : checkpoint.tensors().entrySet()) {
        if (!namePattern.matcher(entry.getKey()).matches()) {
          continue;
        }
        StoredTensor tensor = entry.getValue();
        elements += tensor.size();
        var found = TensorStatistics.of(tensor.read());
        rows.add(row(entry.getKey(), tensor, found));
        if (tensor.shape().size() > 1 && tensor.dtype().isFloatingPoint()) {
          charts.put(entry.getKey(), found);
        }
      }
      if (format.isForPeople()) {
        describe(checkpoint, rows.size(), elements);
      }
      new Table(
              List.of(
                  "name",
                  "type",
                  "shape",
                  "bytes",
                  "min",
                  "max",
                  "mean",
                  "std",
                  "zeros",
                  "non_finite"),
              rows,
              List.of("bytes", "zeros", "non_finite", "min", "max"))
          .print(format.format, System.out);
      if (histograms != null) {
        if (charts.isEmpty() || charts.size() > MAX_CHARTS) {
          throw new UsageException(
              "--histograms draws 1 to %d tensors, not %d; choose them with --tensors"
                  .formatted(MAX_CHARTS, charts.size()));
        }
        FigureFile.writePng(HistogramSheet.draw(charts), histograms);
        Main.wrote(histograms);
      }
    }
    return Main.OK;
  }

  private List<Object> row(String name, StoredTensor tensor, TensorStatistics found) {
    return List.of(
        name,
        tensor.dtype().toString(),
        tensor.shape().toString(),
        tensor.size() * tensor.dtype().bytes,
        number(found.min()),
        number(found.max()),
        number(found.mean()),
        number(found.deviation()),
        found.zeros(),
        found.notFinite());
  }

  private Object number(double value) {
    if (format.isForPeople()) {
      return Double.isNaN(value) ? "-" : String.format(Locale.ROOT, "%.4g", value);
    }
    return Double.isNaN(value) ? "" : value;
  }

  private void describe(Checkpoint checkpoint, int tensors, long elements) throws IOException {
    System.out.printf(
        Locale.ROOT,
        "%s: %,d bytes, %,d tensors, %,d elements%n",
        file,
        Files.size(file),
        tensors,
        elements);
    try {
      System.out.println("network: " + Recognition.require(checkpoint).describe());
    } catch (CheckpointException e) {
      String reason = String.valueOf(e.getMessage());
      System.out.println(
          "network: not recognized: " + reason.replaceFirst("; 'resnet4j inspect .*", ""));
    }
    checkpoint.remarks().forEach(remark -> System.out.println("names: " + remark));
    for (var note : checkpoint.metadata().entrySet()) {
      String text = String.valueOf(note.getValue());
      System.out.printf(
          "%s: %s%n", note.getKey(), text.length() > 200 ? text.substring(0, 199) + "…" : text);
    }
    System.out.println();
  }
}
