package io.github.resnet4j.cli;

import io.github.resnet4j.Classifier;
import io.github.resnet4j.Model;
import io.github.resnet4j.Task;
import io.github.resnet4j.datasets.Datasets;
import io.github.resnet4j.datasets.ImageNet;
import io.github.resnet4j.datasets.ReadOptions;
import io.github.resnet4j.figures.ConfusionMatrix;
import io.github.resnet4j.figures.EvaluationReport;
import io.github.resnet4j.figures.FigureFile;
import io.github.resnet4j.train.Bootstrap;
import io.github.resnet4j.train.Dataset;
import io.github.resnet4j.train.Dataset.Example;
import io.github.resnet4j.train.Evaluation;
import io.github.resnet4j.train.MultiLabelEvaluation;
import io.github.resnet4j.train.RegressionEvaluation;
import io.github.resnet4j.train.SingleLabelEvaluation;
import io.github.resnet4j.train.Target;
import io.github.resnet4j.train.TemperatureScaling;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
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
      "The folder contains CLASS/*.jpg or val/CLASS/*.jpg; its classes are labels of the model, all"
          + " or some of them. Tables (.csv, .tsv, .jsonl) are read as by 'train'. Prints recall"
          + " and precision of each class, and top-1 and top-5 accuracy on stderr; for several"
          + " labels per image also the average precision; for numbers the mean absolute error. If"
          + " 'train' split the data itself, only the images that it held out for validation are"
          + " evaluated: held-out.txt beside the model lists them.",
      "",
      "For a model with ImageNet's 1,000 classes, folders may also be named by synset (n01440764),"
          + " or 0 to 999 as in ImageNet-V2.",
    },
    footerHeading = "%nExamples:%n",
    footer = {
      "  resnet4j evaluate -w run1/best.safetensors -d photos/ --report report.html",
      "  resnet4j evaluate -w run1/best.safetensors --data photos/",
      "  resnet4j evaluate -w run1/best.safetensors -d photos/ --confusion-matrix m.csv",
    })
final class EvaluateCommand implements Callable<Integer> {
  @Mixin private ModelOptions options = new ModelOptions();

  @Mixin private EngineOptions engine = new EngineOptions();
  @Mixin private DecodingOptions decoding = new DecodingOptions();
  @Mixin private FormatOption format = new FormatOption();

  @Option(
      names = {"-d", "--data"},
      paramLabel = "DIR",
      required = true,
      description =
          "Images, a folder per class; a table, of which the images for validation are used, or all"
              + " if it has no column 'split'; shards (.tar, .tgz, .parquet); CIFAR's binary files;"
              + " or 'digits', the validation images of the embedded data set.")
  private Path folder = Path.of("");

  @Option(
      names = "--ground-truth",
      paramLabel = "FILE",
      description =
          "The classes of ImageNet's validation images (ILSVRC2012_val_00000001.JPEG …):"
              + " LOC_val_solution.csv, a text with a synset in each line, or with an image and its"
              + " class (val.txt), or ReaL's real.json, with several right classes.")
  private @Nullable Path groundTruth;

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

  @Option(
      names = "--bootstrap",
      paramLabel = "N",
      description =
          "Print the 95 %% confidence interval of the accuracy, mAP or mean absolute error, from N"
              + " resamples of the images; 1000 is usual.")
  @Range(min = 1, max = 1_000_000)
  private @Nullable Integer bootstrap;

  @Option(
      names = "--calibrate",
      paramLabel = "FILE",
      description =
          "Temperature scaling: write the model (.safetensors) with the temperature that makes its"
              + " probabilities fit these images best; the images must not be those of the"
              + " training.")
  @Output
  private @Nullable Path calibrated;

  @Mixin private AugmentationOption augmentation = new AugmentationOption();

  @Option(
      names = "--report",
      paramLabel = "FILE",
      description =
          "Write a page (.html) with all metrics, ROC curves, a reliability diagram, the confusion"
              + " matrix and the worst errors.")
  @Output
  private @Nullable Path report;

  @Mixin private PreprocessingOption preprocessing = new PreprocessingOption();

  @Override
  public Integer call() throws IOException {
    Model model = options.loadClassifier(preprocessing.file, null);
    List<Example> examples = examples(model.labels());
    if (calibrated != null
        && model.task() instanceof Task.SingleLabel
        && examples.stream().anyMatch(each -> !(each.target() instanceof Target.Label))) {
      throw new UsageException("--calibrate: needs images with one right class each");
    }
    Evaluation found;
    try (var classifier = classifier(model, examples.size());
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
    if (isNotFinite(found)) {
      options.requireFiniteWeights(model.network());
      throw new IOException("the network's output contains NaN although its weights are finite");
    }
    var printer = new EvaluationPrinter(format.format);
    switch (found) {
      case SingleLabelEvaluation single -> printer.print(single);
      case MultiLabelEvaluation several -> printer.print(several);
      case RegressionEvaluation numbers -> printer.print(numbers);
    }
    var details = new ArrayList<String>();
    if (bootstrap != null) {
      var interval = Bootstrap.interval(found, bootstrap, 0);
      printer.print(found, interval);
      details.add(
          "95 %% confidence interval of the main metric: %.4g to %.4g"
              .formatted(interval.low(), interval.high()));
    }
    if (report != null) {
      String title = "%s on %s".formatted(options.weights, folder);
      EvaluationReport.write(report, title, details, found);
      Main.wrote(report);
    }
    if (calibrated != null) {
      calibrate(model, examples, calibrated);
    }
    if (confusion != null) {
      if (!(found instanceof SingleLabelEvaluation single)) {
        throw new UsageException("--confusion-matrix: there is none for several labels or numbers");
      }
      if (confusion.toString().endsWith(".png")) {
        FigureFile.writePng(ConfusionMatrix.draw(single), confusion);
      } else {
        FigureFile.writeLines(lines(single), confusion);
      }
      Main.wrote(confusion);
    }
    return Main.OK;
  }

  private Classifier classifier(Model model, int images) {
    return options
        .classifier(model, images, decoding.decoder())
        .engine(engine.choice())
        .augmentation(augmentation.views)
        .of(model);
  }

  private void calibrate(Model model, List<Example> examples, Path file) throws IOException {
    Model result;
    try (var classifier = classifier(model, examples.size())) {
      result = model.withTask(TemperatureScaling.fit(classifier, examples));
    }
    try (var classifier = classifier(result, examples.size())) {
      if (Evaluation.of(classifier, examples) instanceof SingleLabelEvaluation after) {
        System.err.printf(
            "temperature %.4f: calibration error (ECE) %.2f %%%n",
            ((Task.SingleLabel) result.task()).temperature(), 100 * after.calibrationError(15));
      }
    }
    result.save(file);
    Main.wrote(file);
  }

  private static boolean isNotFinite(Evaluation found) {
    return switch (found) {
      case SingleLabelEvaluation single ->
          single.outcomes().stream().anyMatch(each -> Double.isNaN(each.probability()));
      case MultiLabelEvaluation several ->
          several.outcomes().stream().anyMatch(each -> hasNaN(each.probabilities()));
      case RegressionEvaluation numbers ->
          numbers.outcomes().stream().anyMatch(each -> hasNaN(each.values()));
    };
  }

  private static boolean hasNaN(float[] values) {
    for (float value : values) {
      if (Float.isNaN(value)) {
        return true;
      }
    }
    return false;
  }

  /** Returns the images with label indices of the model. */
  private List<Example> examples(List<String> labels) throws IOException {
    if (groundTruth != null) {
      return ImageNet.validation(folder, groundTruth, labels, reading()).val();
    }
    if (ImageNet.isFlat(folder)) {
      throw new UsageException(
          folder
              + ": contains ImageNet's validation images without folders of classes; name the file"
              + " with their classes: --ground-truth FILE");
    }
    boolean digits = DataCommand.isDigits(folder.toString());
    Dataset data = digits ? Dataset.digits() : Datasets.toEvaluate(folder, reading());
    if (ImageNet.hasClasses(labels)
        && data.classes().stream()
            .anyMatch(name -> !labels.contains(name) && ImageNet.index(name).isPresent())) {
      System.err.println(
          "resnet4j: the classes are found by synset or number among ImageNet's 1,000 classes");
    }
    List<Example> chosen = digits ? data.val() : heldOut(data.val());
    List<Example> examples = new LabelMapping(data.classes(), labels).map(chosen);
    if (!(data.task() instanceof Task.Regression)) {
      long[] counts = data.counts(chosen);
      for (int k = 0; k < counts.length; k++) {
        if (counts[k] == 0) {
          System.err.printf("resnet4j: class '%s' has no images%n", data.classes().get(k));
        }
      }
    }
    return examples;
  }

  private ReadOptions reading() {
    return ReadOptions.DEFAULT
        .withDecoder(decoding.decoder())
        .withDamages(damage -> System.err.println("resnet4j: " + damage.getMessage()));
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

  private static List<String> lines(SingleLabelEvaluation found) {
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
