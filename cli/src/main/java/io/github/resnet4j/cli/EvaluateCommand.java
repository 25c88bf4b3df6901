package io.github.resnet4j.cli;

import io.github.resnet4j.Classifier;
import io.github.resnet4j.engine.Session;
import io.github.resnet4j.figures.ConfusionMatrix;
import io.github.resnet4j.figures.PictureFile;
import io.github.resnet4j.train.Dataset;
import io.github.resnet4j.train.Dataset.Example;
import io.github.resnet4j.train.Evaluation;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

@Command(
    name = "evaluate",
    mixinStandardHelpOptions = true,
    description = {
      "Counts how often a model is right on pictures whose classes are known.",
      "",
      "The folder holds CLASS/*.jpg, or val/CLASS/*.jpg beside train/; the classes are labels of"
          + " the model. Prints a table of the classes, and how many were right on stderr.",
    },
    footerHeading = "%nExamples:%n",
    footer = {
      "  resnet4j evaluate -w run1/best.safetensors --data photos/",
      "  resnet4j evaluate -w run1/best.safetensors -d photos/ --confusion confusion.csv",
    })
final class EvaluateCommand implements Callable<Integer> {
  @Mixin private ModelOptions options = new ModelOptions();
  @Mixin private FormatOption format = new FormatOption();

  @Option(
      names = {"-d", "--data"},
      paramLabel = "DIR",
      required = true,
      description =
          "The pictures, a folder for each class; or 'digits', the embedded ones that are held"
              + " out.")
  private Path folder = Path.of("");

  @Option(
      names = "--confusion",
      paramLabel = "FILE",
      description =
          "Writes a row for each class and a column for each that it was taken for: CSV, or a"
              + " picture if the name ends with .png.")
  private @Nullable Path confusion;

  @Mixin private PreprocessingOption preprocessing = new PreprocessingOption();

  @Override
  public Integer call() throws IOException {
    Classifier classifier = options.classifier(preprocessing.file, null);
    List<Example> examples = examples(classifier.labels());
    Evaluation found;
    var compile = options.forAll(classifier.network(), examples.size());
    try (Session session = classifier.network().compile(compile);
        var progress = new Progress("evaluate", " pictures", 1)) {
      found =
          Evaluation.of(
              classifier,
              examples,
              session,
              done -> progress.at(done, examples.size()),
              failure -> System.err.println("resnet4j: " + failure.getMessage()));
    }
    if (found.count() == 0) {
      throw new IOException(folder + ": none of the pictures can be read");
    }
    if (found.outcomes().stream().anyMatch(each -> Double.isNaN(each.probability()))) {
      options.requireFiniteWeights(classifier.network());
      throw new IOException("the network's result holds NaN, though its weights do not");
    }
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
    new Table(List.of("class", "pictures", "recall_percent", "precision_percent"), rows)
        .print(format.format, System.out);
    System.err.printf(
        "%,d pictures: %s %% right, %s %% among the first five%n",
        found.count(), percent(found.accuracy()), percent(found.topFiveAccuracy()));
    if (confusion != null) {
      if (confusion.toString().endsWith(".png")) {
        PictureFile.writePng(ConfusionMatrix.draw(found), confusion);
      } else {
        Files.write(confusion, lines(found));
      }
    }
    return Main.OK;
  }

  /** The pictures, with the model's labels. */
  private List<Example> examples(List<String> labels) throws IOException {
    boolean digits = folder.toString().equals("digits") && !Files.exists(folder);
    Path held = folder.resolve("val");
    Dataset data =
        digits ? Dataset.digits() : Dataset.of(Files.isDirectory(held) ? held : folder, 0, 0);
    var examples = new ArrayList<Example>();
    for (Example example : data.val().isEmpty() ? data.train() : data.val()) {
      String name = data.classes().get(example.label());
      int label = labels.indexOf(name);
      if (label < 0) {
        throw new IOException(
            "%s: the model has no class of this name; it has %s%s"
                .formatted(
                    example.name(),
                    String.join(", ", labels.subList(0, Math.min(10, labels.size()))),
                    labels.size() > 10 ? ", …" : ""));
      }
      examples.add(new Example(example.name(), label, example.source()));
    }
    return examples;
  }

  private static String percent(double part) {
    return Double.isNaN(part) ? "-" : String.format(Locale.ROOT, "%.2f", 100 * part);
  }

  private static List<String> lines(Evaluation found) {
    var lines = new ArrayList<String>();
    lines.add(Table.csvLine(concat("truth", List.copyOf(found.classes()))));
    for (int k = 0; k < found.classes().size(); k++) {
      var counts = new ArrayList<Object>();
      for (long count : found.confusion()[k]) {
        counts.add(count);
      }
      lines.add(Table.csvLine(concat(found.classes().get(k), counts)));
    }
    return lines;
  }

  private static List<Object> concat(String first, List<?> others) {
    var all = new ArrayList<Object>();
    all.add(first);
    all.addAll(others);
    return all;
  }
}
