package io.github.resnet4j.figures;

import io.github.resnet4j.figures.LineChart.Line;
import io.github.resnet4j.figures.LineChart.Stroke;
import io.github.resnet4j.train.Counts;
import io.github.resnet4j.train.Dataset.Example;
import io.github.resnet4j.train.Evaluation;
import io.github.resnet4j.train.Metric;
import io.github.resnet4j.train.MultiLabelEvaluation;
import io.github.resnet4j.train.RegressionEvaluation;
import io.github.resnet4j.train.SingleLabelEvaluation;
import io.github.resnet4j.train.SingleLabelEvaluation.Outcome;
import io.github.resnet4j.train.Trainer.Epoch;
import java.awt.image.BufferedImage;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.Base64;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import java.util.function.ToDoubleFunction;

/** The report of a training: charts as images, and a self-contained page {@code report.html}. */
public final class TrainingReport {
  private static final int EXAMPLES = 12;
  private static final int THUMBNAIL = 128;

  private static final String STYLE =
      """
      :root { color-scheme: light dark; }
      body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto;
             padding: 0 1rem; }
      h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2.5rem; }
      .charts { display: grid; gap: 1rem;
                grid-template-columns: repeat(auto-fit, minmax(min(100%, 24rem), 1fr)); }
      .charts svg { display: block; width: 100%; height: auto; border-radius: 6px; }
      .matrix { display: block; max-width: 100%; height: auto; margin: auto; border-radius: 6px; }
      @media (prefers-color-scheme: dark) { .matrix { filter: invert(.93) hue-rotate(180deg); } }
      table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
      th, td { padding: .2rem .8rem .2rem 0; text-align: right; border-bottom: 1px solid #8884; }
      th:first-child, td:first-child { text-align: left; }
      .examples { display: grid; gap: 1rem;
                  grid-template-columns: repeat(auto-fill, minmax(132px, 1fr)); }
      figure { margin: 0; } figure img { width: 128px; height: 128px; object-fit: contain;
               background: #8882; border-radius: 4px; }
      figcaption { font-size: .85rem; overflow-wrap: anywhere; }
      code { overflow-wrap: anywhere; }
      """;

  private TrainingReport() {}

  /** The charts of a training: loss, accuracy or another metric, learning rate. */
  public static List<LineChart> charts(List<Epoch> epochs) {
    Metric metric = epochs.isEmpty() ? Metric.ACCURACY : epochs.getFirst().metric();
    double unit = metric.isFraction() ? 100 : 1;
    return List.of(
        new LineChart(
            "Loss",
            "epoch",
            metric == Metric.ACCURACY ? "cross-entropy" : "loss",
            List.of(
                line("training", epochs, Epoch::trainLoss),
                line("validation", epochs, Epoch::valLoss))),
        new LineChart(
            title(metric),
            "epoch",
            switch (metric) {
              case ACCURACY -> "top-1 accuracy in %";
              case MEAN_AVERAGE_PRECISION -> "mAP in %";
              case MEAN_ABSOLUTE_ERROR -> "mean absolute error";
            },
            metric == Metric.ACCURACY
                ? List.of(
                    line("training", epochs, epoch -> unit * epoch.trainScore()),
                    line("validation", epochs, epoch -> unit * epoch.valScore()))
                : List.of(line("validation", epochs, epoch -> unit * epoch.valScore()))),
        new LineChart(
            "Learning rate",
            "epoch",
            "learning rate",
            List.of(line("learning rate", epochs, Epoch::rate))));
  }

  private static String title(Metric metric) {
    return switch (metric) {
      case ACCURACY -> "Accuracy";
      case MEAN_AVERAGE_PRECISION -> "Mean average precision";
      case MEAN_ABSOLUTE_ERROR -> "Mean absolute error";
    };
  }

  private static Line line(String name, List<Epoch> epochs, ToDoubleFunction<Epoch> value) {
    return new Line(
        name,
        epochs.stream().map(epoch -> (double) epoch.number()).toList(),
        epochs.stream().map(value::applyAsDouble).toList(),
        Stroke.SOLID);
  }

  /**
   * Writes {@code loss}, {@code accuracy} (for other tasks {@code map} or {@code mae}) and {@code
   * rate} as PNG and SVG, for images of one class each {@code confusion.png}, and {@code
   * report.html}.
   *
   * @param title the title of the page
   * @param details the recipe, one line per entry
   * @param evaluation the evaluation of the best model on the validation images; may be empty
   */
  public static void write(
      Path folder, String title, List<String> details, List<Epoch> epochs, Evaluation evaluation)
      throws IOException {
    List<LineChart> charts = charts(epochs);
    String metric = (epochs.isEmpty() ? Metric.ACCURACY : epochs.getFirst().metric()).id();
    List<String> names = List.of("loss", metric, "rate");
    var page = new StringBuilder();
    page.append("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
    page.append(
        "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>");
    page.append(Figure.escaped(title)).append("</title>\n<style>\n").append(STYLE);
    page.append("</style>\n</head>\n<body>\n<h1>").append(Figure.escaped(title)).append("</h1>\n");
    if (evaluation.count() > 0) {
      String score =
          switch (evaluation) {
            case SingleLabelEvaluation single ->
                format("Top-1 accuracy <strong>%.2f %%</strong>", 100 * single.accuracy())
                    + (single.classes().size() > 5
                        ? format(", top-5 accuracy %.2f %%", 100 * single.top5Accuracy())
                        : "");
            case MultiLabelEvaluation several ->
                format("Mean average precision <strong>%.2f %%</strong>", 100 * several.score());
            case RegressionEvaluation numbers ->
                format("Mean absolute error <strong>%.4g</strong>", numbers.score());
          };
      page.append("<p>")
          .append(score)
          .append(
              format(", of the best epoch on %,d validation images.</p>\n", evaluation.count()));
    }
    page.append("<div class=\"charts\">\n");
    for (int i = 0; i < charts.size(); i++) {
      charts.get(i).write(folder, names.get(i));
      page.append(charts.get(i).toHtml());
    }
    page.append("</div>\n");
    if (evaluation.count() > 0) {
      switch (evaluation) {
        case SingleLabelEvaluation single -> single(folder, single, page);
        case MultiLabelEvaluation several -> labels(several, page);
        case RegressionEvaluation numbers -> numbers(numbers, page);
      }
    }
    page.append("<h2>Recipe</h2>\n<ul>\n");
    details.forEach(
        line -> page.append("<li><code>").append(Figure.escaped(line)).append("</code>\n"));
    page.append("</ul>\n</body>\n</html>\n");
    FigureFile.write(
        page.toString().getBytes(StandardCharsets.UTF_8), folder.resolve("report.html"));
  }

  private static void single(Path folder, SingleLabelEvaluation evaluation, StringBuilder page)
      throws IOException {
    BufferedImage matrix = ConfusionMatrix.draw(evaluation);
    FigureFile.writePng(matrix, folder.resolve("confusion.png"));
    page.append("<h2>Confusion matrix</h2>\n");
    page.append(image(matrix, "Confusion matrix").replace("<img ", "<img class=\"matrix\" "));
    page.append('\n');
    classes(evaluation, page);
    examples(
        "Top losses",
        evaluation.outcomes().stream()
            .filter(outcome -> !outcome.isCorrect())
            .sorted(Comparator.comparingDouble(Outcome::truthProbability))
            .limit(EXAMPLES)
            .toList(),
        evaluation,
        page);
    examples(
        "Most confident correct predictions",
        evaluation.outcomes().stream()
            .filter(Outcome::isCorrect)
            .sorted(Comparator.comparingDouble(Outcome::truthProbability).reversed())
            .limit(EXAMPLES)
            .toList(),
        evaluation,
        page);
  }

  private static void labels(MultiLabelEvaluation evaluation, StringBuilder page) {
    page.append(
        "<h2>Classes</h2>\n<table>\n<tr><th>class<th>images<th>average precision<th>threshold"
            + "<th>precision<th>recall<th>F1\n");
    for (int k = 0; k < evaluation.classes().size(); k++) {
      Counts counts = evaluation.counts(k);
      if (counts.support() > 0) {
        page.append(
            format(
                "<tr><td>%s<td>%,d<td>%.2f %%<td>%.3f<td>%.2f %%<td>%.2f %%<td>%.2f %%\n",
                Figure.escaped(evaluation.classes().get(k)),
                counts.support(),
                100 * evaluation.averagePrecision(k),
                evaluation.thresholds().get(k),
                100 * counts.precision(),
                100 * counts.recall(),
                100 * counts.f1()));
      }
    }
    page.append("</table>\n");
  }

  private static void numbers(RegressionEvaluation evaluation, StringBuilder page)
      throws IOException {
    page.append(
        "<h2>Numbers</h2>\n<table>\n<tr><th>number<th>mean absolute error"
            + "<th>root mean squared error<th>R²\n");
    for (int k = 0; k < evaluation.classes().size(); k++) {
      page.append(
          format(
              "<tr><td>%s<td>%.4g<td>%.4g<td>%.3f\n",
              Figure.escaped(evaluation.classes().get(k)),
              evaluation.meanAbsoluteError(k),
              evaluation.rootMeanSquaredError(k),
              evaluation.r2(k)));
    }
    page.append("</table>\n");
    for (int k = 0; k < evaluation.classes().size(); k++) {
      int number = k;
      page.append("<h2>Largest errors: ").append(Figure.escaped(evaluation.classes().get(k)));
      page.append("</h2>\n<div class=\"examples\">\n");
      List<RegressionEvaluation.Outcome> worst =
          evaluation.outcomes().stream()
              .sorted(Comparator.comparingDouble(each -> -Math.abs(each.error(number))))
              .limit(EXAMPLES)
              .toList();
      for (RegressionEvaluation.Outcome outcome : worst) {
        double value = outcome.values()[number];
        String caption =
            format("<strong>%.4g</strong>, predicted %.4g", value - outcome.error(number), value);
        figure(outcome.example(), "an image with a large error", caption, page);
      }
      page.append("</div>\n");
    }
  }

  private static void classes(SingleLabelEvaluation evaluation, StringBuilder page) {
    page.append("<h2>Classes</h2>\n<table>\n<tr><th>class<th>images<th>recall<th>precision\n");
    for (int k = 0; k < evaluation.classes().size(); k++) {
      if (evaluation.count(k) > 0) {
        page.append(
            format(
                "<tr><td>%s<td>%,d<td>%.2f %%<td>%s\n",
                Figure.escaped(evaluation.classes().get(k)),
                evaluation.count(k),
                100 * evaluation.recall(k),
                Double.isNaN(evaluation.precision(k))
                    ? "–"
                    : format("%.2f %%", 100 * evaluation.precision(k))));
      }
    }
    page.append("</table>\n");
  }

  private static void examples(
      String title, List<Outcome> outcomes, SingleLabelEvaluation evaluation, StringBuilder page)
      throws IOException {
    if (outcomes.isEmpty()) {
      return;
    }
    page.append("<h2>").append(title).append("</h2>\n<div class=\"examples\">\n");
    for (Outcome outcome : outcomes) {
      String truth = evaluation.classes().get(outcome.truth());
      String predicted = evaluation.classes().get(outcome.predicted());
      String percent = format("%.1f %%", 100 * outcome.probability());
      String caption =
          "<strong>%s</strong>".formatted(Figure.escaped(truth))
              + (truth.equals(predicted)
                  ? " (%s)".formatted(percent)
                  : ", predicted %s (%s)".formatted(Figure.escaped(predicted), percent));
      figure(evaluation.example(outcome), "an image of class " + truth, caption, page);
    }
    page.append("</div>\n");
  }

  private static void figure(
      Example example, String description, String caption, StringBuilder page) throws IOException {
    String name = example.name();
    page.append("<figure>")
        .append(image(FigureFile.thumbnail(example.source().read(), THUMBNAIL), description))
        .append("<figcaption>")
        .append(caption)
        .append("<br>")
        .append(Figure.escaped(name.substring(name.lastIndexOf('/') + 1)))
        .append("</figcaption></figure>\n");
  }

  private static String image(BufferedImage image, String description) throws IOException {
    return "<img alt=\"%s\" src=\"data:image/png;base64,%s\">"
        .formatted(
            Figure.escaped(description), Base64.getEncoder().encodeToString(FigureFile.png(image)));
  }

  private static String format(String pattern, Object... values) {
    return String.format(Locale.ROOT, pattern, values);
  }
}
