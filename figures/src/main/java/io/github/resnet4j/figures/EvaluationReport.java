package io.github.resnet4j.figures;

import io.github.resnet4j.figures.LineChart.Line;
import io.github.resnet4j.figures.LineChart.Stroke;
import io.github.resnet4j.train.Counts;
import io.github.resnet4j.train.Dataset.Example;
import io.github.resnet4j.train.Evaluation;
import io.github.resnet4j.train.Metrics.RocCurve;
import io.github.resnet4j.train.MultiLabelEvaluation;
import io.github.resnet4j.train.RegressionEvaluation;
import io.github.resnet4j.train.SingleLabelEvaluation;
import io.github.resnet4j.train.SingleLabelEvaluation.Outcome;
import io.github.resnet4j.train.SingleLabelEvaluation.ReliabilityBin;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Base64;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import java.util.function.IntFunction;
import java.util.function.IntPredicate;
import java.util.function.IntToDoubleFunction;
import java.util.stream.IntStream;

/** The report of an evaluation: one self-contained page with all metrics and the worst errors. */
public final class EvaluationReport {
  private static final int ERRORS = 100;
  private static final int CURVES = 3; // more do not fit into the legend on a phone
  private static final int BINS = 15;
  private static final int LEGEND = 12;
  private static final int THUMBNAIL = 96;

  private static final String STYLE =
      """
      :root { color-scheme: light dark; }
      body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto;
             padding: 0 1rem; }
      h1 { font-size: 1.5rem; overflow-wrap: anywhere; }
      h2 { font-size: 1.15rem; margin-top: 2.5rem; }
      .charts { display: grid; gap: 1rem;
                grid-template-columns: repeat(auto-fit, minmax(min(100%, 24rem), 1fr)); }
      .charts svg { display: block; width: 100%; height: auto; border-radius: 6px; }
      .matrix { display: block; max-width: 100%; height: auto; margin: auto; border-radius: 6px; }
      @media (prefers-color-scheme: dark) { .matrix { filter: invert(.93) hue-rotate(180deg); } }
      .wide { overflow-x: auto; }
      table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
      th, td { padding: .3rem .8rem .3rem 0; text-align: right; border-bottom: 1px solid #8884; }
      th:first-child, td:first-child { text-align: left; }
      th button { font: inherit; font-weight: bold; color: inherit; background: none; border: 0;
                  padding: .3rem 0; cursor: pointer; text-align: inherit; }
      th[aria-sort=ascending] button::after { content: " \\2191"; }
      th[aria-sort=descending] button::after { content: " \\2193"; }
      td img { display: block; width: 96px; height: 96px; object-fit: contain;
               background: #8882; border-radius: 4px; }
      td.name { text-align: left; overflow-wrap: anywhere; min-width: 8rem; }
      """;

  /** Sorts a table by the column whose button is pressed. */
  private static final String SCRIPT =
      """
      for (const button of document.querySelectorAll("th button")) {
        button.addEventListener("click", () => {
          const head = button.parentNode, table = head.closest("table");
          const column = [...head.parentNode.children].indexOf(head);
          const down = head.getAttribute("aria-sort") !== "descending";
          for (const other of head.parentNode.children) other.removeAttribute("aria-sort");
          head.setAttribute("aria-sort", down ? "descending" : "ascending");
          const value = row => {
            const cell = row.children[column];
            return cell.dataset.value === undefined ? cell.textContent : Number(cell.dataset.value);
          };
          const rows = [...table.tBodies[0].rows];
          rows.sort((a, b) => {
            const x = value(a), y = value(b);
            const order = typeof x === "number" ? (Number.isNaN(x) ? -1e300 : x)
                - (Number.isNaN(y) ? -1e300 : y) : String(x).localeCompare(String(y));
            return down ? -order : order;
          });
          table.tBodies[0].append(...rows);
        });
      }
      """;

  private EvaluationReport() {}

  /** A column of a table: numbers with a format, by which the table can be sorted. */
  private record Column(String title, String format, IntToDoubleFunction value) {}

  /**
   * Writes the page.
   *
   * @param title the title of the page
   * @param details further lines, such as a confidence interval
   */
  public static void write(Path file, String title, List<String> details, Evaluation evaluation)
      throws IOException {
    var page = new StringBuilder();
    page.append("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
    page.append(
        "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>");
    page.append(Figure.escaped(title)).append("</title>\n<style>\n").append(STYLE);
    page.append("</style>\n</head>\n<body>\n<main>\n<h1>").append(Figure.escaped(title));
    page.append("</h1>\n<ul>\n");
    var lines = new ArrayList<>(summary(evaluation));
    lines.addAll(details);
    lines.forEach(line -> page.append("<li>").append(Figure.escaped(line)).append('\n'));
    page.append("</ul>\n");
    switch (evaluation) {
      case SingleLabelEvaluation single -> single(single, page);
      case MultiLabelEvaluation several -> several(several, page);
      case RegressionEvaluation numbers -> numbers(numbers, page);
    }
    page.append("</main>\n<script>\n").append(SCRIPT).append("</script>\n</body>\n</html>\n");
    FigureFile.write(page.toString().getBytes(StandardCharsets.UTF_8), file);
  }

  private static List<String> summary(Evaluation evaluation) {
    List<Counts> counts =
        switch (evaluation) {
          case SingleLabelEvaluation single -> single.counts();
          case MultiLabelEvaluation several -> several.counts();
          case RegressionEvaluation _ -> List.of();
        };
    var lines = new ArrayList<String>();
    lines.add(format("%,d images", evaluation.count()));
    switch (evaluation) {
      case SingleLabelEvaluation single -> {
        lines.add(format("Top-1 accuracy %.2f %%", 100 * single.accuracy()));
        lines.add(format("Top-5 accuracy %.2f %%", 100 * single.top5Accuracy()));
        lines.add(
            format(
                "Calibration error (ECE, 15 groups) %.2f %%", 100 * single.calibrationError(BINS)));
      }
      case MultiLabelEvaluation several ->
          lines.add(format("Mean average precision (mAP) %.2f %%", 100 * several.score()));
      case RegressionEvaluation numbers ->
          lines.add(format("Mean absolute error %.4g", numbers.score()));
    }
    if (!counts.isEmpty()) {
      lines.add(
          format(
              "Mean over the classes (macro): recall %.2f %%, F1 %.2f %%",
              100 * Counts.mean(counts, Counts::recall), 100 * Counts.mean(counts, Counts::f1)));
    }
    return lines;
  }

  private static IntStream classes(Evaluation evaluation) {
    return IntStream.range(0, evaluation.classes().size());
  }

  private static void single(SingleLabelEvaluation evaluation, StringBuilder page)
      throws IOException {
    var columns = new ArrayList<Column>();
    columns.add(new Column("images", "%,.0f", evaluation::count));
    columns.add(new Column("recall in %", "%.2f", k -> 100 * evaluation.recall(k)));
    columns.add(new Column("precision in %", "%.2f", k -> 100 * evaluation.precision(k)));
    columns.add(new Column("F1 in %", "%.2f", k -> 100 * evaluation.counts(k).f1()));
    page.append("<div class=\"charts\">\n");
    if (evaluation.hasCurves()) {
      columns.add(new Column("ROC AUC", "%.4f", evaluation::rocAuc));
      page.append(roc(evaluation, evaluation::rocAuc, evaluation::rocCurve).toHtml());
    }
    page.append(reliability(evaluation).toHtml());
    page.append("</div>\n<h2>Confusion matrix</h2>\n");
    page.append("<img class=\"matrix\" alt=\"Confusion matrix\" src=\"data:image/png;base64,")
        .append(
            Base64.getEncoder().encodeToString(FigureFile.png(ConfusionMatrix.draw(evaluation))))
        .append("\">\n");
    classTable(evaluation, columns, page);
    List<Outcome> worst =
        evaluation.outcomes().stream()
            .filter(outcome -> !outcome.isCorrect())
            .sorted(Comparator.comparingDouble(Outcome::truthProbability))
            .limit(ERRORS)
            .toList();
    startErrors(worst.size(), List.of("class", "predicted", "its probability in %", "loss"), page);
    for (Outcome outcome : worst) {
      Example example = evaluation.example(outcome);
      image(example, page);
      text(evaluation.classes().get(outcome.truth()), page);
      text(evaluation.classes().get(outcome.predicted()), page);
      number("%.1f", 100 * outcome.probability(), page);
      number("%.2f", -Math.log(Math.max(1e-30, outcome.truthProbability())), page);
      text(example.name(), page);
    }
    endTable(page);
  }

  private static void several(MultiLabelEvaluation evaluation, StringBuilder page)
      throws IOException {
    page.append("<div class=\"charts\">\n");
    page.append(roc(evaluation, evaluation::rocAuc, evaluation::rocCurve).toHtml());
    page.append("</div>\n");
    classTable(
        evaluation,
        List.of(
            new Column("images", "%,.0f", k -> evaluation.counts(k).support()),
            new Column("average precision in %", "%.2f", k -> 100 * evaluation.averagePrecision(k)),
            new Column("threshold", "%.3f", k -> evaluation.thresholds().get(k)),
            new Column("precision in %", "%.2f", k -> 100 * evaluation.counts(k).precision()),
            new Column("recall in %", "%.2f", k -> 100 * evaluation.counts(k).recall()),
            new Column("F1 in %", "%.2f", k -> 100 * evaluation.counts(k).f1()),
            new Column("ROC AUC", "%.4f", evaluation::rocAuc)),
        page);
    List<MultiLabelEvaluation.Outcome> worst =
        evaluation.outcomes().stream()
            .sorted(Comparator.comparingDouble(each -> -crossEntropy(each)))
            .limit(ERRORS)
            .toList();
    startErrors(worst.size(), List.of("classes", "predicted", "loss"), page);
    for (MultiLabelEvaluation.Outcome outcome : worst) {
      image(outcome.example(), page);
      text(names(evaluation, k -> outcome.example().target().classes().contains(k)), page);
      text(
          names(evaluation, k -> outcome.probabilities()[k] >= evaluation.thresholds().get(k)),
          page);
      number("%.2f", crossEntropy(outcome), page);
      text(outcome.example().name(), page);
    }
    endTable(page);
  }

  private static String names(Evaluation evaluation, IntPredicate has) {
    return String.join(
        ", ", classes(evaluation).filter(has).mapToObj(evaluation.classes()::get).toList());
  }

  /** The mean binary cross-entropy of an image. */
  private static double crossEntropy(MultiLabelEvaluation.Outcome outcome) {
    float[] probabilities = outcome.probabilities();
    double sum = 0;
    for (int k = 0; k < probabilities.length; k++) {
      boolean truth = outcome.example().target().classes().contains(k);
      sum -= Math.log(Math.max(1e-30, truth ? probabilities[k] : 1.0 - probabilities[k]));
    }
    return sum / probabilities.length;
  }

  private static void numbers(RegressionEvaluation evaluation, StringBuilder page)
      throws IOException {
    classTable(
        evaluation,
        List.of(
            new Column("mean absolute error", "%.4g", evaluation::meanAbsoluteError),
            new Column("root mean squared error", "%.4g", evaluation::rootMeanSquaredError),
            new Column("R²", "%.3f", evaluation::r2)),
        page);
    for (int k = 0; k < evaluation.classes().size(); k++) {
      int number = k;
      List<RegressionEvaluation.Outcome> worst =
          evaluation.outcomes().stream()
              .sorted(Comparator.comparingDouble(each -> -Math.abs(each.error(number))))
              .limit(Math.ceilDiv(ERRORS, evaluation.classes().size()))
              .toList();
      startErrors(worst.size(), List.of(evaluation.classes().get(k), "predicted", "error"), page);
      for (RegressionEvaluation.Outcome outcome : worst) {
        double value = outcome.values()[number];
        image(outcome.example(), page);
        number("%.4g", value - outcome.error(number), page);
        number("%.4g", value, page);
        number("%.4g", Math.abs(outcome.error(number)), page);
        text(outcome.example().name(), page);
      }
      endTable(page);
    }
  }

  /** The ROC curves of the classes with the smallest areas. */
  private static LineChart roc(
      Evaluation evaluation, IntToDoubleFunction area, IntFunction<RocCurve> curve) {
    List<Integer> shown =
        classes(evaluation)
            .filter(k -> !Double.isNaN(area.applyAsDouble(k)))
            .boxed()
            .sorted(Comparator.comparingDouble(area::applyAsDouble))
            .limit(CURVES)
            .toList();
    var lines = new ArrayList<Line>();
    for (int k : shown) {
      RocCurve found = curve.apply(k);
      lines.add(
          new Line(
              format("%s (%.3f)", shortened(evaluation.classes().get(k)), area.applyAsDouble(k)),
              found.falsePositiveRates(),
              found.truePositiveRates(),
              Stroke.SOLID));
    }
    lines.add(new Line("chance", List.of(0.0, 1.0), List.of(0.0, 1.0), Stroke.DASHED));
    return new LineChart(
        shown.size() < evaluation.classes().size()
            ? "ROC curves with the smallest areas"
            : "ROC curves",
        "false positive rate",
        "true positive rate",
        lines);
  }

  private static String shortened(String name) {
    return name.length() > LEGEND ? name.substring(0, LEGEND - 1) + "…" : name;
  }

  /** The accuracy of images by the probability of their most likely class. */
  public static LineChart reliability(SingleLabelEvaluation evaluation) {
    List<ReliabilityBin> bins = evaluation.reliability(BINS);
    return new LineChart(
        "Reliability",
        "probability of the predicted class",
        "accuracy",
        List.of(
            new Line(
                "model",
                bins.stream().map(ReliabilityBin::confidence).toList(),
                bins.stream().map(ReliabilityBin::accuracy).toList(),
                Stroke.SOLID),
            new Line("calibrated", List.of(0.0, 1.0), List.of(0.0, 1.0), Stroke.DASHED)));
  }

  private static void classTable(Evaluation evaluation, List<Column> columns, StringBuilder page) {
    boolean numbers = evaluation instanceof RegressionEvaluation;
    page.append(numbers ? "<h2>Numbers</h2>\n" : "<h2>Classes</h2>\n");
    startTable(
        numbers ? "Numbers" : "Classes",
        numbers ? "number" : "class",
        columns.stream().map(Column::title).toList(),
        page);
    for (int k = 0; k < evaluation.classes().size(); k++) {
      page.append("<tr>");
      text(evaluation.classes().get(k), page);
      for (Column column : columns) {
        number(column.format, column.value.applyAsDouble(k), page);
      }
    }
    endTable(page);
  }

  private static void startErrors(int count, List<String> columns, StringBuilder page) {
    page.append("<h2>Worst errors</h2>\n<p>The ")
        .append(count)
        .append(" images with the largest errors, the worst first.</p>\n");
    var all = new ArrayList<>(columns);
    all.add("file");
    startTable("Worst errors", "image", all, page);
  }

  private static void startTable(
      String name, String first, List<String> columns, StringBuilder page) {
    page.append("<div class=\"wide\" tabindex=\"0\" role=\"region\" aria-label=\"")
        .append(Figure.escaped(name))
        .append("\"><table>\n<thead><tr><th scope=\"col\">");
    page.append(first.equals("image") ? "image" : "<button>" + Figure.escaped(first) + "</button>");
    for (String column : columns) {
      page.append("<th scope=\"col\"><button>").append(Figure.escaped(column)).append("</button>");
    }
    page.append("\n<tbody>\n");
  }

  private static void endTable(StringBuilder page) {
    page.append("</table></div>\n");
  }

  private static void image(Example example, StringBuilder page) throws IOException {
    byte[] png = FigureFile.png(FigureFile.thumbnail(example.source().read(), THUMBNAIL));
    page.append("<tr><td><img alt=\"\" loading=\"lazy\" src=\"data:image/png;base64,")
        .append(Base64.getEncoder().encodeToString(png))
        .append("\">");
  }

  private static void text(String text, StringBuilder page) {
    page.append("<td class=\"name\">").append(Figure.escaped(text)).append('\n');
  }

  private static void number(String format, double value, StringBuilder page) {
    page.append("<td data-value=\"")
        .append(value)
        .append("\">")
        .append(Double.isNaN(value) ? "–" : format(format, value))
        .append('\n');
  }

  private static String format(String pattern, Object... values) {
    return String.format(Locale.ROOT, pattern, values);
  }
}
