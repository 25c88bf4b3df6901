package io.github.resnet4j.cli;

import io.github.resnet4j.Model;
import io.github.resnet4j.Prediction;
import io.github.resnet4j.Result;
import io.github.resnet4j.Task;
import io.github.resnet4j.messages.Reason;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

@Workload(Workload.Kind.PREDICTION)
@Command(
    name = "classify",
    mixinStandardHelpOptions = true,
    description = {
      "Classifies images.",
      "",
      "Without --model and --weights the embedded model for handwritten digits is used. A model"
          + " that was trained for several labels per image gives the labels whose probability"
          + " reaches the threshold in the model, also none; a model for numbers gives the"
          + " numbers.",
    },
    footerHeading = "%nExamples:%n",
    footer = {
      "  resnet4j classify samples/digit-6.png",
      "  resnet4j classify --model resnet50 cat.jpg  # downloads",
      "  resnet4j classify -w my.pth --labels names.txt photos/",
      "  resnet4j classify -w hf:timm/resnet50.a1_in1k cat.jpg  # downloads",
      "  resnet4j classify 'photos/**/*.jpg' -f csv",
      "  find . -name '*.png' | resnet4j classify - --format json",
    })
final class ClassifyCommand implements Callable<Integer> {
  private static final int BAR_LENGTH = 20;
  private static final int TOP = 5;

  @Mixin private ModelOptions options = new ModelOptions();

  @Mixin private EngineOptions engine = new EngineOptions();

  @Option(
      names = "--labels",
      paramLabel = "FILE",
      description =
          "Class names: a file with one per line, or imagenet (1,000 classes), or imagenet-22k"
              + " (21,841 classes).")
  private @Nullable Path labels;

  @Mixin private PreprocessingOption preprocessing = new PreprocessingOption();

  @Option(
      names = "--top",
      paramLabel = "N",
      description =
          "Number of classes to print for each image; default 5, or all that reach their threshold"
              + " if images have several labels.")
  @Range(min = 1)
  private @Nullable Integer top;

  @Option(
      names = {"-b", "--batch-size"},
      paramLabel = "N",
      description = "Batch size; default ${DEFAULT-VALUE}.")
  @Range(min = 1, max = 4096)
  private int batch = 16;

  @Mixin private AugmentationOption augmentation = new AugmentationOption();

  @Mixin private FormatOption output = new FormatOption();

  @Mixin private DecodingOptions decoding = new DecodingOptions();

  @Parameters(
      arity = "1..*",
      paramLabel = "PATH",
      description = "Images, folders, patterns such as '*.jpg', or - to read paths from stdin.")
  private List<String> paths = List.of();

  @Override
  public Integer call() throws IOException {
    PrintStream out = System.out;
    Model model = options.loadClassifier(preprocessing.file, labels);
    List<Path> images = ImageFiles.find(paths);
    if (images.isEmpty()) {
      throw new IOException("no images in " + String.join(", ", paths));
    }
    int unreadable;
    try (var classifier =
        options
            .classifier(model, images.size(), decoding.decoder())
            .engine(engine.choice())
            .batchSize(batch)
            .augmentation(augmentation.views)
            .of(model)) {
      unreadable =
          switch (model.task()) {
            case Task.SingleLabel _, Task.MultiLabel _ -> {
              int usual = model.task() instanceof Task.MultiLabel ? Integer.MAX_VALUE : TOP;
              printHeader(List.of("path", "rank", "index", "label", "probability"), out);
              yield print(
                  classifier.classifyAll(images, top == null ? usual : top),
                  images.size(),
                  (file, predictions) -> {
                    options.requireFinite(predictions, model.network());
                    print(file, predictions, out);
                  },
                  out);
            }
            case Task.Regression _ -> {
              printHeader(List.of("path", "name", "value"), out);
              yield print(
                  classifier.valuesAll(images),
                  images.size(),
                  (file, values) -> {
                    options.requireFinite(values, model.network());
                    print(file, model.labels(), values, out);
                  },
                  out);
            }
          };
    }
    if (unreadable > 0 && images.size() > 1) {
      System.err.printf(
          "resnet4j: %,d of %,d images could not be read%n", unreadable, images.size());
    }
    return unreadable == 0
        ? Main.OK
        : unreadable == images.size() ? Main.FAILED : Main.SOME_UNREADABLE;
  }

  /** Prints the result of an image. */
  private interface ResultPrinter<T> {
    void print(String file, T value) throws IOException;
  }

  /** Prints all results; returns the number of unreadable images. */
  private <T> int print(Stream<Result<T>> all, int count, ResultPrinter<T> printer, PrintStream out)
      throws IOException {
    int unreadable = 0;
    int done = 0;
    try (Stream<Result<T>> results = all;
        var progress = new Progress("classify", " images", 1)) {
      for (var each = results.iterator(); each.hasNext(); ) {
        Result<T> result = each.next();
        if (result.value().isPresent()) {
          printer.print(result.name(), result.value().get());
        } else {
          unreadable++;
          printError(result.name(), Reason.of(result.error().orElseThrow()), out);
        }
        if (++done % batch == 0) {
          progress.at(done, count);
          if (out.checkError()) {
            break;
          }
        }
      }
    }
    return unreadable;
  }

  private void printHeader(List<String> columns, PrintStream out) {
    switch (output.format) {
      case CSV -> out.println(Table.csvLine(List.copyOf(columns)));
      case MARKDOWN -> {
        out.println(Table.markdownLine(columns));
        out.println(Table.markdownLine(columns.stream().map(_ -> "---").toList()));
      }
      case TEXT, JSON -> {}
    }
  }

  private void print(String file, List<String> names, float[] values, PrintStream out)
      throws IOException {
    if (output.format == Table.Format.JSON) {
      var fields = new LinkedHashMap<String, Object>();
      for (int k = 0; k < values.length; k++) {
        fields.put(names.get(k), values[k]);
      }
      out.println(Table.jsonLine(List.of("path", "values"), List.of(file, fields)));
      return;
    }
    if (output.format == Table.Format.TEXT) {
      out.println(file);
    }
    for (int k = 0; k < values.length; k++) {
      List<Object> cells = List.of(file, names.get(k), values[k]);
      out.println(
          switch (output.format) {
            case CSV -> Table.csvLine(cells);
            case MARKDOWN -> Table.markdownLine(cells.stream().map(String::valueOf).toList());
            default -> "%12.6g  %s".formatted(values[k], names.get(k));
          });
    }
  }

  private void printError(String file, String error, PrintStream out) throws IOException {
    out.flush();
    System.err.println("resnet4j: " + error);
    if (output.format == Table.Format.JSON) {
      out.println(Table.jsonLine(List.of("path", "error"), List.of(file, error)));
    }
  }

  private void print(String file, List<Prediction> predictions, PrintStream out)
      throws IOException {
    switch (output.format) {
      case TEXT -> {
        out.println(file);
        if (predictions.isEmpty()) {
          out.println("  no label reaches its threshold");
        }
        for (Prediction prediction : predictions) {
          String bar = "█".repeat(Math.round(prediction.probability() * BAR_LENGTH));
          out.println(
              "%6.1f %%  %-20s  %s"
                  .formatted(100 * prediction.probability(), prediction.label(), bar)
                  .stripTrailing());
        }
      }
      case CSV, MARKDOWN -> {
        int rank = 1;
        for (Prediction prediction : predictions) {
          List<Object> cells =
              List.of(
                  file, rank++, prediction.index(), prediction.label(), prediction.probability());
          out.println(
              output.format == Table.Format.CSV
                  ? Table.csvLine(cells)
                  : Table.markdownLine(cells.stream().map(String::valueOf).toList()));
        }
      }
      case JSON -> {
        var list =
            predictions.stream()
                .map(p ->
                    Table.fields(
                        List.of("index", "label", "probability"),
                        List.of(p.index(), p.label(), p.probability())))
                .toList();
        out.println(Table.jsonLine(List.of("path", "predictions"), List.of(file, list)));
      }
    }
  }
}
