package io.github.resnet4j.cli;

import io.github.resnet4j.figures.LineChart;
import io.github.resnet4j.figures.LineChart.Line;
import io.github.resnet4j.train.Trainer.Epoch;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

@Command(
    name = "curves",
    mixinStandardHelpOptions = true,
    description = {
      "Draws the curves of several trainings into one picture.",
      "",
      "Writes NAME.png and NAME.svg. Each RUN is a folder that 'train' wrote, with a name before it"
          + " if its own does not say enough: plain=run1/.",
    },
    footerHeading = "%nExamples:%n",
    footer = {
      "  resnet4j curves run1/ run2/ -o comparison",
      "  resnet4j curves residual=run1/ plain=run2/ --of error -o docs/plain",
    })
final class CurvesCommand implements Callable<Integer> {
  @Parameters(paramLabel = "RUN", arity = "1..*", description = "Folders of trainings.")
  private List<String> runs = List.of();

  @Option(
      names = {"-o", "--output"},
      paramLabel = "NAME",
      required = true,
      description = "The pictures' name, without ending.")
  private Path output = Path.of("");

  @Option(
      names = "--of",
      paramLabel = "WHAT",
      description = "error (the part that is wrong) or loss; default ${DEFAULT-VALUE}.")
  private What what = What.ERROR;

  @Option(names = "--title", paramLabel = "TEXT", description = "Stands above.")
  private String title = "";

  enum What {
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
      List<Epoch> epochs =
          Files.readAllLines(folder.resolve("metrics.csv")).stream()
              .skip(1)
              .map(Epoch::of)
              .toList();
      List<Double> numbers = epochs.stream().map(epoch -> (double) epoch.number()).toList();
      boolean error = what == What.ERROR;
      lines.add(
          new Line(
              name + ", training",
              numbers,
              epochs.stream()
                  .map(epoch -> error ? 100 * (1 - epoch.trainAccuracy()) : epoch.trainLoss())
                  .toList(),
              true));
      lines.add(
          new Line(
              name + ", held out",
              numbers,
              epochs.stream()
                  .map(epoch -> error ? 100 * (1 - epoch.valAccuracy()) : epoch.valLoss())
                  .toList(),
              false));
    }
    Path folder = output.toAbsolutePath().getParent();
    if (folder == null || !Files.isDirectory(folder)) {
      throw new IllegalArgumentException(output + ": its folder is not there");
    }
    String y = what == What.ERROR ? "error, %" : "cross-entropy";
    new LineChart(title, "epoch", y, lines).write(folder, String.valueOf(output.getFileName()));
    return Main.OK;
  }
}
