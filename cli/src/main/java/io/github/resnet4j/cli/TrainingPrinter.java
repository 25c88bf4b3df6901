package io.github.resnet4j.cli;

import io.github.resnet4j.train.Evaluation;
import io.github.resnet4j.train.Metric;
import io.github.resnet4j.train.MultiLabelEvaluation;
import io.github.resnet4j.train.Recipe;
import io.github.resnet4j.train.RegressionEvaluation;
import io.github.resnet4j.train.Schedule;
import io.github.resnet4j.train.SingleLabelEvaluation;
import io.github.resnet4j.train.Trainer;
import io.github.resnet4j.train.Trainer.Epoch;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import org.jspecify.annotations.Nullable;

/**
 * Prints the progress of a training: a bar for the current epoch, a table line for each finished
 * epoch, and at the end the path of the model. Lines are flushed at once, also into a file, and fit
 * into 80 columns.
 */
final class TrainingPrinter implements Trainer.Listener, AutoCloseable {
  private static final double LARGE = 1e5;

  /** More unreadable images than these are only counted, in each epoch. */
  static final int NAMED = 20;

  private final Recipe recipe;
  private final Metric metric;
  private final int batch;
  private final boolean strict;
  private final List<Epoch> epochs = new ArrayList<>();
  private @Nullable Progress bar;
  private int unreadable;

  /**
   * @param metric what the scores of epochs are
   * @param batch the batch size of the recipe, or the number of training images if it is smaller
   * @param strict whether an unreadable image stops the training
   */
  TrainingPrinter(Recipe recipe, Metric metric, int batch, boolean strict) {
    this.recipe = recipe;
    this.metric = metric;
    this.batch = batch;
    this.strict = strict;
  }

  List<Epoch> epochs() {
    return epochs;
  }

  private int all() {
    return recipe.schedule().epochs();
  }

  @Override
  public void begin(Trainer.Start start) {
    epochs.addAll(start.epochs());
    if (start.microBatch() < batch) {
      System.err.printf(
          "  micro-batches: up to %,d images; their gradients are accumulated, and%n"
              + "    batch norm takes its statistics from each micro-batch%n",
          start.microBatch());
    }
    if (start.steps() > 0) {
      System.err.printf(
          "resuming after step %,d; %d of %d epochs done%n", start.steps(), epochs.size(), all());
    }
    if (start.plannedEpochs() != all()) {
      System.err.printf(
          "extending the run from %d to %d epochs: %s%n",
          start.plannedEpochs(), all(), extension(recipe.schedule().kind()));
    }
    if (epochs.size() < all()) {
      String heading = metric.heading();
      print("epoch", "loss", heading, "val loss", "val " + heading, "learning rate", "images/s");
    } else {
      System.err.println("nothing is left to train; a larger --epochs extends the run");
    }
  }

  private static String extension(Schedule.Kind kind) {
    return switch (kind) {
      case CONSTANT -> "the learning rate stays as it is";
      case STEPS, PLATEAU -> "the learning rate stays as it is until the next drop";
      case COSINE, ONE_CYCLE ->
          "the learning rate continues on the curve of a run of that length, so it rises again"
              + " first";
    };
  }

  @Override
  public void step(Trainer.Step step) {
    Progress shown = bar;
    if (shown == null) {
      shown = new Progress("epoch %d/%d".formatted(step.epoch(), all()), "", 1);
      bar = shown;
    }
    shown.at(
        step.done(),
        step.all(),
        String.format(Locale.ROOT, "loss %.3f", step.loss())
            + (Double.isNaN(step.accuracy())
                ? ""
                : String.format(Locale.ROOT, ", acc %.1f %%", 100 * step.accuracy())));
  }

  @Override
  public void epoch(Epoch epoch) {
    close();
    unreadable = 0;
    epochs.add(epoch);
    print(
        epoch.number() + "/" + all(),
        number("%.4f", epoch.trainLoss()),
        score(epoch.trainScore()),
        number("%.4f", epoch.valLoss()),
        score(epoch.valScore()),
        number("%.4g", epoch.rate()),
        number("%.1f", epoch.imagesPerSecond()));
  }

  private String score(double value) {
    return metric.isFraction() ? number("%.2f", 100 * value) : number("%.4g", value);
  }

  private static String number(String format, double value) {
    return Double.isNaN(value)
        ? "-"
        : String.format(Locale.ROOT, Math.abs(value) < LARGE ? format : "%.2e", value);
  }

  private static void print(Object... columns) {
    System.out.printf("%-9s %9s %7s  %9s  %9s  %13s %10s%n", columns);
    System.out.flush();
  }

  /** Prints the best epoch, the path of its model, and a command to try it. */
  void printEnd(Path output, Evaluation found) {
    Epoch best = epochs.stream().max(Comparator.comparingDouble(Epoch::score)).orElseThrow();
    String accuracy =
        found.count() == 0
            ? metric == Metric.ACCURACY
                ? "training accuracy " + number("%.2f %%", 100 * best.trainScore())
                : "training loss " + number("%.4f", best.trainLoss())
            : switch (found) {
              case SingleLabelEvaluation single ->
                  "validation accuracy "
                      + number("%.2f %%", 100 * best.valScore())
                      + (found.classes().size() > 5
                          ? ", top-5 " + number("%.2f %%", 100 * single.top5Accuracy())
                          : "");
              case MultiLabelEvaluation _ ->
                  "validation mAP " + number("%.2f %%", 100 * best.valScore());
              case RegressionEvaluation _ ->
                  "validation mean absolute error " + number("%.4g", best.valScore());
            };
    Path model = output.resolve("best.safetensors");
    if (epochs.size() < all()) {
      System.out.printf(
          "stopped early: no better epoch in the last %d%n", epochs.size() - best.number());
    }
    System.out.printf(
        "best epoch: %d of %d, %s%nmodel:  %s%nreport: %s%nnext:   resnet4j classify --weights %s"
            + " IMAGE%n",
        best.number(),
        epochs.size(),
        accuracy,
        model,
        output.resolve("report.html"),
        quoted(model));
    System.out.flush();
  }

  private static String quoted(Path path) {
    String text = path.toString();
    return text.matches("[\\w./\\\\:+-]+") ? text : "'" + text + "'";
  }

  @Override
  public void unreadable(IOException failure) {
    if (strict) {
      throw new IllegalArgumentException(failure.getMessage(), failure);
    }
    unreadable++;
    if (unreadable <= NAMED) {
      System.err.println("resnet4j: " + failure.getMessage());
    }
  }

  @Override
  public void close() {
    if (unreadable > NAMED) {
      System.err.printf("resnet4j: %,d more images cannot be read%n", unreadable - NAMED);
    }
    if (bar != null) {
      bar.close();
      bar = null;
    }
  }
}
