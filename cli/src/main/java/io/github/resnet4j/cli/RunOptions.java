package io.github.resnet4j.cli;

import io.github.resnet4j.Model;
import io.github.resnet4j.Weights;
import io.github.resnet4j.figures.FigureFile;
import io.github.resnet4j.figures.LineChart;
import io.github.resnet4j.figures.LineChart.Line;
import io.github.resnet4j.figures.LineChart.Scale;
import io.github.resnet4j.figures.LineChart.Stroke;
import io.github.resnet4j.train.Distillation;
import io.github.resnet4j.train.LearningRateRange;
import io.github.resnet4j.train.LearningRateRange.Point;
import io.github.resnet4j.train.Trainer;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.OptionalDouble;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Option;

/** Options of a training run beside its recipe: teacher, range test, kept models. */
final class RunOptions {
  private static final double SMALLEST_RATE = 1e-7;
  private static final double LARGEST_RATE = 10;
  private static final int STEPS = 100;

  /** The files of a run that are sent to MLflow. */
  static final List<String> FILES =
      List.of(
          "README.md",
          "metrics.csv",
          "report.html",
          "loss.png",
          "accuracy.png",
          "map.png",
          "mae.png",
          "rate.png",
          "confusion.png");

  @Option(
      names = "--keep",
      paramLabel = "N",
      description =
          "Also keep the models of the N best epochs, as epoch-NUMBER.safetensors; default 0.")
  @Range(min = 0)
  int keep;

  @Option(
      names = "--find-lr",
      description =
          "Learning-rate range test instead of a training: 100 steps with a learning rate from 1e-7"
              + " to 10. Writes find-lr.csv, .png and .svg, and prints a suggestion for --lr.")
  boolean findLearningRate;

  @Option(
      names = "--teacher",
      paramLabel = "WEIGHTS",
      description =
          "Distillation: weights of a network with the same classes, as for 'classify', whose"
              + " outputs are learned besides the labels.")
  private @Nullable String teacher;

  @Option(
      names = "--teacher-model",
      paramLabel = "NAME",
      description = "Network of --teacher, if its file does not determine it.")
  private @Nullable String teacherModel;

  @Option(
      names = "--temperature",
      paramLabel = "T",
      description = "Distillation temperature; default ${DEFAULT-VALUE}.")
  @Range(above = 0)
  private double temperature = 4;

  @Option(
      names = "--distill-weight",
      paramLabel = "W",
      description = "Fraction of the teacher in the loss, 0 to 1; default ${DEFAULT-VALUE}.")
  @Range(min = 0, max = 1)
  private double distillWeight = 0.5;

  /** The settings that are not those of the recipe, one line each. */
  List<String> lines() {
    return teacher == null
        ? List.of()
        : List.of(
            "teacher: %s, temperature %s, weight %s"
                .formatted(TrainingOptions.fileName(teacher), temperature, distillWeight));
  }

  /**
   * The teacher, if there is one.
   *
   * @param classes those of the images, for a teacher without names of classes
   */
  Optional<Distillation> distillation(List<String> classes) throws IOException {
    if (teacher == null) {
      return Optional.empty();
    }
    Weights found = ModelOptions.find(ModelOptions.named(teacherModel), teacher);
    Model model = Model.of(found);
    if (found.labels().isEmpty() && model.labels().size() == classes.size()) {
      model = model.withLabels(classes);
    }
    return Optional.of(new Distillation(model, temperature, distillWeight));
  }

  static void printWarning(String message) {
    System.err.println("resnet4j: " + message);
  }

  /** Runs a range test; writes its curve and prints its suggestion. */
  static void findLearningRate(Trainer trainer, Path output)
      throws IOException, InterruptedException {
    LearningRateRange found = trainer.findLearningRate(SMALLEST_RATE, LARGEST_RATE, STEPS);
    Files.createDirectories(output);
    var lines = new ArrayList<>(List.of("learning_rate,loss,smoothed_loss"));
    for (Point point : found.points()) {
      lines.add(
          String.format(
              Locale.ROOT, "%.6g,%.6g,%.6g", point.rate(), point.loss(), point.smoothed()));
    }
    Path csv = output.resolve("find-lr.csv");
    FigureFile.writeLines(lines, csv);
    List<Double> rates = found.points().stream().map(Point::rate).toList();
    var curves = new ArrayList<Line>();
    curves.add(
        new Line(
            "smoothed",
            rates,
            found.points().stream().map(Point::smoothed).toList(),
            Stroke.SOLID));
    curves.add(
        new Line("loss", rates, found.points().stream().map(Point::loss).toList(), Stroke.SOLID));
    OptionalDouble suggestion = found.suggestion();
    suggestion.ifPresent(rate -> {
      Point at = found.points().stream().filter(point -> point.rate() == rate).findFirst().get();
      curves.add(new Line("steepest slope", List.of(rate), List.of(at.smoothed()), Stroke.SOLID));
    });
    new LineChart("Learning-rate range test", "learning rate", "loss", curves, Scale.LOGARITHMIC)
        .write(output, "find-lr");
    for (String ending : List.of("csv", "png", "svg")) {
      Main.wrote(output.resolve("find-lr." + ending));
    }
    System.out.println(
        suggestion.isPresent()
            ? String.format(
                Locale.ROOT, "suggested learning rate: --lr %.2g", suggestion.getAsDouble())
            : "no suggestion: the loss diverged after a few steps");
  }
}
