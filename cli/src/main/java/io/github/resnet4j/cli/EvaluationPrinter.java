package io.github.resnet4j.cli;

import io.github.resnet4j.train.Bootstrap;
import io.github.resnet4j.train.Counts;
import io.github.resnet4j.train.Evaluation;
import io.github.resnet4j.train.MultiLabelEvaluation;
import io.github.resnet4j.train.RegressionEvaluation;
import io.github.resnet4j.train.SingleLabelEvaluation;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;

/**
 * Prints an evaluation: a row for each class or number on stdout, the summary on stderr.
 *
 * @param format the format of the table
 */
record EvaluationPrinter(Table.Format format) {
  void print(SingleLabelEvaluation found) throws IOException {
    var rows = new ArrayList<List<Object>>();
    for (int k = 0; k < found.classes().size(); k++) {
      if (found.count(k) > 0) {
        rows.add(
            List.of(
                found.classes().get(k),
                found.count(k),
                percent(found.recall(k)),
                percent(found.precision(k))));
      }
    }
    new Table(List.of("class", "images", "recall_percent", "precision_percent"), rows)
        .print(format, System.out);
    System.err.printf(
        "%,d images: top-1 accuracy %s %%, top-5 accuracy %s %%%n",
        found.count(), percent(found.accuracy()), percent(found.top5Accuracy()));
    List<Counts> all = found.counts();
    System.err.printf(
        "precision %s %%, recall %s %%, F1 %s %% (macro); calibration error (ECE) %s %%%n",
        percent(Counts.mean(all, Counts::precision)),
        percent(Counts.mean(all, Counts::recall)),
        percent(Counts.mean(all, Counts::f1)),
        percent(found.calibrationError(15)));
  }

  void print(MultiLabelEvaluation found) throws IOException {
    var rows = new ArrayList<List<Object>>();
    List<Counts> all = found.counts();
    for (int k = 0; k < all.size(); k++) {
      Counts counts = all.get(k);
      if (counts.support() > 0) {
        rows.add(
            List.of(
                found.classes().get(k),
                counts.support(),
                percent(found.averagePrecision(k)),
                "%.4f".formatted(found.thresholds().get(k)),
                percent(counts.recall()),
                percent(counts.precision()),
                percent(counts.f1())));
      }
    }
    List<String> columns =
        List.of(
            "class",
            "images",
            "average_precision_percent",
            "threshold",
            "recall_percent",
            "precision_percent",
            "f1_percent");
    new Table(columns, rows).print(format, System.out);
    System.err.printf(
        "%,d images: mAP %s %%, F1 %s %% (macro), %s %% (micro)%n",
        found.count(),
        percent(found.score()),
        percent(Counts.mean(all, Counts::f1)),
        percent(Counts.sum(all).f1()));
  }

  void print(RegressionEvaluation found) throws IOException {
    var rows = new ArrayList<List<Object>>();
    for (int k = 0; k < found.classes().size(); k++) {
      rows.add(
          List.of(
              found.classes().get(k),
              number(found.meanAbsoluteError(k)),
              number(found.rootMeanSquaredError(k)),
              number(found.r2(k))));
    }
    List<String> columns =
        List.of("number", "mean_absolute_error", "root_mean_squared_error", "r2");
    new Table(columns, rows).print(format, System.out);
    System.err.printf("%,d images: mean absolute error %s%n", found.count(), number(found.score()));
  }

  /** Prints the interval of the main metric. */
  void print(Evaluation found, Bootstrap.Interval interval) {
    System.err.println(
        "95 % confidence interval: "
            + switch (found) {
              case SingleLabelEvaluation _ ->
                  "top-1 accuracy %s to %s %%"
                      .formatted(percent(interval.low()), percent(interval.high()));
              case MultiLabelEvaluation _ ->
                  "mAP %s to %s %%".formatted(percent(interval.low()), percent(interval.high()));
              case RegressionEvaluation _ ->
                  "mean absolute error %s to %s"
                      .formatted(number(interval.low()), number(interval.high()));
            });
  }

  private static String number(double value) {
    return String.format(Locale.ROOT, "%.5g", value);
  }

  private static String percent(double part) {
    return Double.isNaN(part) ? "-" : String.format(Locale.ROOT, "%.2f", 100 * part);
  }
}
