package io.github.resnet4j.cli;

import io.github.resnet4j.figures.LineChart;
import io.github.resnet4j.figures.LineChart.Line;
import io.github.resnet4j.figures.LineChart.Stroke;
import io.github.resnet4j.train.Trainer.Epoch;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

@Command(
    name = "curves",
    mixinStandardHelpOptions = true,
    description = {
      "Draws the curves of training runs into one chart.",
      "",
      "Writes NAME.png and NAME.svg. Each RUN is an output folder of 'train', optionally with a"
          + " name for the legend: plain=run1/.",
    },
    footerHeading = "%nExamples:%n",
    footer = {
      "  resnet4j curves run1/ run2/ -o comparison",
      "  resnet4j curves residual=run1/ plain=run2/ --metric error -o docs/plain",
    })
final class CurvesCommand implements Callable<Integer> {
  @Parameters(paramLabel = "RUN", arity = "1..*", description = "Output folders of 'train'.")
  private List<String> runs = List.of();

  @Option(
      names = {"-o", "--output"},
      paramLabel = "NAME",
      required = true,
      description = "File name of the charts, without extension.")
  @Output
  private Path output = Path.of("");

  @Option(
      names = "--metric",
      paramLabel = "METRIC",
      description = "error (top-1 error) or loss; default ${DEFAULT-VALUE}.")
  private Metric metric = Metric.ERROR;

  @Option(
      names = "--title",
      paramLabel = "TEXT",
      description = "Title; default: what the chart shows.")
  private @Nullable String title;

  enum Metric {
    ERROR,
    LOSS
  }

  @Override
  public Integer call() throws IOException {
    var lines = new ArrayList<Line>();
    for (String run : runs) {
      int equals = run.indexOf('=');
      Path folder = Path.of(run.substring(equals + 1));
      String name = equals > 0 ? run.substring(0, equals) : String.valueOf(folder.getFileName());
      List<Epoch> epochs = epochs(folder.resolve("metrics.csv"));
      if (metric == Metric.ERROR
          && epochs.stream().anyMatch(each -> !each.metric().id().equals("accuracy"))) {
        throw new IllegalArgumentException(
            folder
                + ": has no top-1 error, since its images have several labels or numbers; draw"
                + " --metric loss");
      }
      List<Double> numbers = epochs.stream().map(epoch -> (double) epoch.number()).toList();
      boolean error = metric == Metric.ERROR;
      lines.add(
          new Line(
              name + ", training",
              numbers,
              epochs.stream()
                  .map(epoch -> error ? 100 * (1 - epoch.trainScore()) : epoch.trainLoss())
                  .toList(),
              Stroke.DASHED));
      lines.add(
          new Line(
              name + ", validation",
              numbers,
              epochs.stream()
                  .map(epoch -> error ? 100 * (1 - epoch.valScore()) : epoch.valLoss())
                  .toList(),
              Stroke.SOLID));
    }
    Path folder = output.toAbsolutePath().resolveSibling("");
    String y = metric == Metric.ERROR ? "top-1 error, %" : "cross-entropy";
    String above = title != null ? title : metric == Metric.ERROR ? "Top-1 error" : "Loss";
    new LineChart(above, "epoch", y, lines).write(folder, String.valueOf(output.getFileName()));
    Main.wrote(Path.of(output + ".png"));
    Main.wrote(Path.of(output + ".svg"));
    return Main.OK;
  }

  private static List<Epoch> epochs(Path metrics) throws IOException {
    if (!Files.exists(metrics)) {
      throw new IOException(metrics + ": does not exist; name the output folder of a training");
    }
    try {
      return Epoch.ofCsv(Files.readAllLines(metrics));
    } catch (IllegalArgumentException e) {
      throw new IOException("%s: %s".formatted(metrics, e.getMessage()), e);
    }
  }
}
