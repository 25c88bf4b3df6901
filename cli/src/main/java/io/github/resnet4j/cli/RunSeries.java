package io.github.resnet4j.cli;

import io.github.resnet4j.figures.FigureFile;
import io.github.resnet4j.figures.LineChart;
import io.github.resnet4j.figures.LineChart.Line;
import io.github.resnet4j.figures.LineChart.Scale;
import io.github.resnet4j.figures.LineChart.Stroke;
import io.github.resnet4j.messages.Suggestion;
import io.github.resnet4j.train.Metric;
import io.github.resnet4j.train.Trainer.Epoch;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.SequencedMap;
import java.util.TreeMap;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;

/** Options for several trainings with the same command line, and what they have in common. */
final class RunSeries {
  private static final int MAX_SWEPT = 3;
  private static final double LOGARITHMIC = 10;

  @Option(
      names = "--folds",
      paramLabel = "N",
      description =
          "Cross-validation: train N times, each time with another N-th of the training images held"
              + " out for validation (scikit-learn's StratifiedKFold, shuffled by --seed).")
  @Range(min = 2)
  @Nullable Integer folds;

  @Option(
      names = "--seeds",
      paramLabel = "S",
      split = ",",
      description = "Train once with each of these random seeds.")
  @Range
  private List<Long> seeds = List.of();

  @Option(
      names = "--sweep",
      paramLabel = "OPTION=VALUE,…",
      description =
          "Train once with each of these values of an option, such as lr=0.1,0.01; can be given up"
              + " to three times, for all combinations. Several runs write runs.csv, summary.csv"
              + " and a chart, runs.png and .svg.")
  private List<String> sweep = List.of();

  /** The fold of a run. */
  record Fold(int index, int count, long seed) {}

  /**
   * A run of a series.
   *
   * @param setting the swept options and their values
   * @param repetition the seed and the fold, if there are several
   */
  private record Run(
      SequencedMap<String, String> setting,
      SequencedMap<String, String> repetition,
      @Nullable Fold fold) {
    String name() {
      var all = new LinkedHashMap<>(setting);
      all.putAll(repetition);
      return label(all);
    }
  }

  /** A run and its best epoch; null if it failed. */
  private record Finished(Run run, @Nullable Epoch best, List<Epoch> epochs) {}

  private static String label(Map<String, String> values) {
    return values.entrySet().stream()
        .map(each -> each.getKey() + "=" + each.getValue())
        .collect(Collectors.joining(","));
  }

  /** Whether there are several runs. */
  boolean isRequested() {
    return folds != null || !seeds.isEmpty() || !sweep.isEmpty();
  }

  /** Trains all runs, one after the other; returns the exit code. */
  int train(CommandSpec spec, Path output, long seed) throws IOException {
    List<Run> runs = runs(spec, seed);
    List<CommandLine> commands = runs.stream().map(run -> parsed(run, spec, output)).toList();
    var finished = new ArrayList<Finished>();
    for (int i = 0; i < runs.size(); i++) {
      Run run = runs.get(i);
      System.err.printf("run %d of %d: %s%n", i + 1, runs.size(), run.name());
      finished.add(execute(run, commands.get(i), output.resolve(run.name())));
      System.out.flush();
    }
    if (finished.stream().allMatch(each -> each.best() == null)) {
      throw new IOException("all runs failed");
    }
    write(finished, output);
    return Main.OK;
  }

  private static Finished execute(Run run, CommandLine command, Path folder) throws IOException {
    try {
      ((TrainCommand) command.getCommandSpec().userObject()).call();
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw new IOException("interrupted", e);
    } catch (IOException | IllegalArgumentException e) { // the others may succeed
      System.err.printf("resnet4j: %s: %s%n", run.name(), e.getMessage());
      return new Finished(run, null, List.of());
    }
    List<Epoch> epochs = Epoch.ofCsv(Files.readAllLines(folder.resolve("metrics.csv")));
    return new Finished(
        run, epochs.stream().max(Comparator.comparingDouble(Epoch::score)).orElse(null), epochs);
  }

  private List<Run> runs(CommandSpec spec, long seed) {
    List<SequencedMap<String, String>> settings = List.of(new LinkedHashMap<>());
    if (sweep.size() > MAX_SWEPT) {
      throw new UsageException("--sweep: at most three options can be varied");
    }
    for (String each : sweep) {
      int equals = each.indexOf('=');
      String name = each.substring(0, Math.max(0, equals)).replaceFirst("^--", "");
      requireSweepable(name, each, spec);
      var more = new ArrayList<SequencedMap<String, String>>();
      for (SequencedMap<String, String> setting : settings) {
        for (String value : each.substring(equals + 1).split(",", -1)) {
          var longer = new LinkedHashMap<>(setting);
          longer.put(name, value);
          more.add(longer);
        }
      }
      settings = more;
    }
    var runs = new ArrayList<Run>();
    for (SequencedMap<String, String> setting : settings) {
      for (int s = 0; s < Math.max(1, seeds.size()); s++) {
        for (int f = 0; f < (folds == null ? 1 : folds); f++) {
          var repetition = new LinkedHashMap<String, String>();
          if (!seeds.isEmpty()) {
            repetition.put("seed", String.valueOf(seeds.get(s)));
          }
          if (folds != null) {
            repetition.put("fold", String.valueOf(f + 1));
          }
          runs.add(new Run(setting, repetition, folds == null ? null : new Fold(f, folds, seed)));
        }
      }
    }
    return runs;
  }

  private static void requireSweepable(String name, String text, CommandSpec spec) {
    var options = spec.optionsMap();
    if (name.isEmpty() || !options.containsKey("--" + name)) {
      throw new UsageException(
          "--sweep must be OPTION=VALUE,… with an option of train, was '%s'%s"
              .formatted(
                  text,
                  Suggestion.of(
                      name,
                      options.keySet().stream().map(o -> o.replaceFirst("^-+", "")).toList())));
    }
    if (List.of("output", "data", "resume", "sweep", "seeds", "seed", "folds", "find-lr")
        .contains(name)) {
      throw new UsageException("--sweep: --%s cannot be varied".formatted(name));
    }
    if (spec.commandLine().getParseResult().hasMatchedOption("--" + name)) {
      throw new UsageException(
          "--sweep: --%s is given as an option, too; leave one of them out".formatted(name));
    }
  }

  /** The command line of a run: the words of the series, with other values. */
  private static CommandLine parsed(Run run, CommandSpec spec, Path output) {
    var words = new ArrayList<>(spec.commandLine().getParseResult().originalArgs());
    words.remove(spec.name());
    run.setting.forEach((name, value) -> words.addAll(List.of("--" + name, value)));
    if (run.repetition.containsKey("seed")) {
      words.addAll(List.of("--seed", run.repetition.get("seed")));
    }
    words.addAll(List.of("--output", output.resolve(run.name()).toString()));
    CommandLine command =
        Arguments.checked(new CommandLine(new TrainCommand(run.fold)))
            .setOverwrittenOptionsAllowed(true);
    try {
      Arguments.check(command.parseArgs(words.toArray(String[]::new)));
    } catch (ParameterException e) {
      throw new UsageException("--sweep: " + e.getMessage());
    }
    return command;
  }

  private static double score(Epoch epoch) {
    return epoch.metric().isFraction() ? 100 * epoch.valScore() : epoch.valScore();
  }

  private void write(List<Finished> finished, Path output) throws IOException {
    Metric metric =
        finished.stream()
            .filter(each -> each.best() != null)
            .findFirst()
            .orElseThrow()
            .epochs()
            .getFirst()
            .metric();
    var rows = new ArrayList<String>();
    rows.add(line(finished.getFirst().run(), true, "epoch", "val_loss", "val_" + metric.id()));
    var scores = new LinkedHashMap<SequencedMap<String, String>, List<Double>>();
    for (Finished each : finished) {
      Epoch best = each.best();
      rows.add(
          best == null
              ? line(each.run(), false, "", "", "")
              : line(each.run(), false, best.number(), best.valLoss(), best.valScore()));
      List<Double> all = scores.computeIfAbsent(each.run().setting, _ -> new ArrayList<>());
      if (best != null) {
        all.add(score(best));
      }
    }
    writeLines(rows, output.resolve("runs.csv"));
    var summary = new ArrayList<String>();
    String unit = metric.isFraction() ? metric.id() + "_percent" : metric.id();
    var heading = new ArrayList<Object>(finished.getFirst().run().setting.keySet());
    heading.addAll(List.of("runs", "mean_" + unit, "standard_deviation"));
    summary.add(Table.csvLine(heading));
    System.out.printf("%n%-40s %5s %10s %10s%n", "setting", "runs", metric.heading(), "deviation");
    scores.forEach((setting, values) -> {
      double mean = mean(values);
      double deviation = deviation(values);
      var cells = new ArrayList<Object>(setting.values());
      cells.addAll(List.of(values.size(), text(mean), text(deviation)));
      summary.add(Table.csvLine(cells));
      System.out.printf(
          "%-40s %5d %10s %10s%n",
          setting.isEmpty() ? "all" : label(setting), values.size(), text(mean), text(deviation));
    });
    writeLines(summary, output.resolve("summary.csv"));
    chart(finished, scores, metric).write(output, "runs");
    Main.wrote(output.resolve("runs.png"));
    Main.wrote(output.resolve("runs.svg"));
    System.out.flush();
  }

  private static void writeLines(List<String> lines, Path file) throws IOException {
    FigureFile.writeLines(lines, file);
    Main.wrote(file);
  }

  private static String line(Run run, boolean names, Object... values) {
    var cells = new ArrayList<Object>();
    for (SequencedMap<String, String> part : List.of(run.setting, run.repetition)) {
      cells.addAll(names ? part.keySet() : part.values());
    }
    for (Object value : values) {
      cells.add(value instanceof Double number ? text(number) : value);
    }
    return Table.csvLine(cells);
  }

  private static String text(double value) {
    return Double.isNaN(value) ? "" : String.format(Locale.ROOT, "%.6g", value);
  }

  private static double mean(List<Double> values) {
    return values.stream().mapToDouble(each -> each).average().orElse(Double.NaN);
  }

  /** The standard deviation of a sample; NaN for fewer than two values. */
  static double deviation(List<Double> values) {
    double mean = mean(values);
    double sum = values.stream().mapToDouble(each -> (each - mean) * (each - mean)).sum();
    return values.size() < 2 ? Double.NaN : Math.sqrt(sum / (values.size() - 1));
  }

  /** The means by the first swept option if it has numbers; else the curves of all runs. */
  private static LineChart chart(
      List<Finished> finished,
      Map<SequencedMap<String, String>, List<Double>> scores,
      Metric metric) {
    String y = "validation " + metric.heading();
    boolean numeric =
        scores.size() > 1
            && scores.keySet().stream().allMatch(each -> isNumber(each.firstEntry().getValue()));
    if (!numeric) {
      return new LineChart(
          "Runs",
          "epoch",
          y,
          finished.stream()
              .filter(each -> each.best() != null)
              .map(each ->
                  new Line(
                      each.run().name(),
                      each.epochs().stream().map(epoch -> (double) epoch.number()).toList(),
                      each.epochs().stream().map(RunSeries::score).toList(),
                      Stroke.SOLID))
              .toList());
    }
    var lines = new LinkedHashMap<String, Map<Double, Double>>();
    scores.forEach((setting, values) -> {
      var others = new LinkedHashMap<>(setting);
      double x = Double.parseDouble(others.pollFirstEntry().getValue());
      lines
          .computeIfAbsent(others.isEmpty() ? "mean" : label(others), _ -> new TreeMap<>())
          .put(x, mean(values));
    });
    List<Double> all = lines.values().stream().flatMap(line -> line.keySet().stream()).toList();
    double smallest = all.stream().mapToDouble(each -> each).min().orElse(0);
    double largest = all.stream().mapToDouble(each -> each).max().orElse(0);
    return new LineChart(
        "Sweep",
        scores.keySet().iterator().next().firstEntry().getKey(),
        y,
        lines.entrySet().stream()
            .map(line ->
                new Line(
                    line.getKey(),
                    List.copyOf(line.getValue().keySet()),
                    List.copyOf(line.getValue().values()),
                    Stroke.SOLID))
            .toList(),
        smallest > 0 && largest >= LOGARITHMIC * smallest ? Scale.LOGARITHMIC : Scale.LINEAR);
  }

  private static boolean isNumber(String text) {
    try {
      return Double.isFinite(Double.parseDouble(text));
    } catch (NumberFormatException e) {
      return false;
    }
  }
}
