package io.github.resnet4j.cli;

import io.github.resnet4j.Model;
import io.github.resnet4j.figures.ConfusionMatrix;
import io.github.resnet4j.figures.FigureFile;
import io.github.resnet4j.train.Dataset;
import io.github.resnet4j.train.Dataset.Example;
import io.github.resnet4j.train.Evaluation;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

@Workload(Workload.Kind.LONG)
@Command(
    name = "evaluate",
    mixinStandardHelpOptions = true,
    description = {
      "Evaluates a model on labelled images.",
      "",
      "The folder contains CLASS/*.jpg or val/CLASS/*.jpg; its classes are labels of the model,"
          + " all or some of them. Prints recall and precision of each class, and top-1 and"
          + " top-5 accuracy on stderr. If 'train' split the folder itself, only the images that"
          + " it held out for validation are evaluated: held-out.txt beside the model lists"
          + " them.",
    },
    footerHeading = "%nExamples:%n",
    footer = {
      "  resnet4j evaluate -w run1/best.safetensors --data photos/",
      "  resnet4j evaluate -w run1/best.safetensors -d photos/ --confusion-matrix m.csv",
    })
final class EvaluateCommand implements Callable<Integer> {
  @Mixin private ModelOptions options = new ModelOptions();
  @Mixin private DecodingOptions decoding = new DecodingOptions();
  @Mixin private FormatOption format = new FormatOption();

  @Option(
      names = {"-d", "--data"},
      paramLabel = "DIR",
      required = true,
      description =
          "Images, a folder per class; CIFAR's binary files; or 'digits', the validation images"
              + " of the embedded data set.")
  private Path folder = Path.of("");

  @Option(
      names = "--include-training",
      description = "Evaluate all images, including those that the model was trained on.")
  private boolean includeTraining;

  @Option(
      names = "--confusion-matrix",
      paramLabel = "FILE",
      description =
          "Write the confusion matrix (rows: true class, columns: predicted class): CSV, or an"
              + " image if the name ends in .png.")
  @Output
  private @Nullable Path confusion;

  @Mixin private PreprocessingOption preprocessing = new PreprocessingOption();

  @Override
  public Integer call() throws IOException {
    Model model = options.loadClassifier(preprocessing.file, null);
    List<Example> examples = examples(model.labels());
    Evaluation found;
    try (var classifier = options.classifier(model, examples.size(), decoding.decoder()).of(model);
        var progress = new Progress("evaluate", " images", 1)) {
      found =
          Evaluation.of(
              classifier,
              examples,
              done -> progress.at(done, examples.size()),
              failure -> System.err.println("resnet4j: " + failure.getMessage()));
    }
    if (found.count() == 0) {
      throw new IOException(folder + ": none of the images can be read");
    }
    if (found.outcomes().stream().anyMatch(each -> Double.isNaN(each.probability()))) {
      options.requireFiniteWeights(model.network());
      throw new IOException("the network's output contains NaN although its weights are finite");
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
    new Table(List.of("class", "images", "recall_percent", "precision_percent"), rows)
        .print(format.format, System.out);
    System.err.printf(
        "%,d images: top-1 accuracy %s %%, top-5 accuracy %s %%%n",
        found.count(), percent(found.accuracy()), percent(found.top5Accuracy()));
    if (confusion != null) {
      if (confusion.toString().endsWith(".png")) {
        FigureFile.writePng(ConfusionMatrix.draw(found), confusion);
      } else {
        FigureFile.write(
            (String.join("\n", lines(found)) + "\n").getBytes(StandardCharsets.UTF_8), confusion);
      }
      Main.wrote(confusion);
    }
    return Main.OK;
  }

  /** Returns the images with label indices of the model. */
  private List<Example> examples(List<String> labels) throws IOException {
    boolean digits = folder.toString().equals("digits") && !Files.exists(folder);
    Dataset data = digits ? Dataset.digits() : Dataset.toEvaluate(folder, decoding.decoder());
    var examples = new ArrayList<Example>();
    int[] counts = new int[data.classes().size()];
    for (Example example : digits ? data.val() : heldOut(data.val())) {
      counts[example.label()]++;
      String name = data.classes().get(example.label());
      int label = labels.indexOf(name);
      if (label < 0) {
        throw new IOException(
            "%s: the model has no class '%s'; it has %s%s"
                .formatted(
                    example.name(),
                    name,
                    String.join(", ", labels.subList(0, Math.min(10, labels.size()))),
                    labels.size() > 10 ? ", …" : ""));
      }
      examples.add(new Example(example.name(), label, example.source()));
    }
    for (int k = 0; k < counts.length; k++) {
      if (counts[k] == 0) {
        System.err.printf("resnet4j: class '%s' has no images%n", data.classes().get(k));
      }
    }
    return examples;
  }

  /** Removes the images that the model was trained on, if they are known. */
  private List<Example> heldOut(List<Example> all) throws IOException {
    Optional<Path> file =
        options.weights == null
                || options.weights.startsWith("hf:")
                || !Files.isRegularFile(Path.of(options.weights))
            ? Optional.empty()
            : HeldOut.beside(Path.of(options.weights));
    List<Example> held = file.isEmpty() ? all : HeldOut.select(file.get(), folder, all);
    if (file.isEmpty() || held.isEmpty()) {
      return all;
    }
    if (includeTraining) {
      System.err.printf(
          "resnet4j: %,d of these %,d images were used to train the model; on new images its"
              + " accuracy is lower%n",
          all.size() - held.size(), all.size());
      return all;
    }
    System.err.printf(
        "resnet4j: evaluating the %,d images that training held out (%s); --include-training"
            + " evaluates all %,d%n",
        held.size(), file.get().getFileName(), all.size());
    return held;
  }

  private static String percent(double part) {
    return Double.isNaN(part) ? "-" : String.format(Locale.ROOT, "%.2f", 100 * part);
  }

  private static List<String> lines(Evaluation found) {
    var lines = new ArrayList<String>();
    lines.add(Table.csvLine(concat("true class", List.copyOf(found.classes()))));
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
