package io.github.resnet4j.cli;

import io.github.resnet4j.Model;
import io.github.resnet4j.Prediction;
import io.github.resnet4j.Result;
import io.github.resnet4j.messages.Reason;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.Callable;
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
      "Without --model and --weights the embedded model for handwritten digits is used.",
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

  @Mixin private ModelOptions options = new ModelOptions();

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
      description = "Number of classes to print for each image; default ${DEFAULT-VALUE}.")
  @Range(min = 1)
  private int top = 5;

  @Option(
      names = {"-b", "--batch-size"},
      paramLabel = "N",
      description = "Batch size; default ${DEFAULT-VALUE}.")
  @Range(min = 1, max = 4096)
  private int batch = 16;

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
    List<String> columns = List.of("path", "rank", "index", "label", "probability");
    switch (output.format) {
      case CSV -> out.println(Table.csvLine(columns));
      case MARKDOWN -> {
        out.println(Table.markdownLine(columns));
        out.println(Table.markdownLine(columns.stream().map(_ -> "---").toList()));
      }
      case TEXT, JSON -> {}
    }
    int unreadable = 0;
    int done = 0;
    try (var classifier =
            options
                .classifier(model, images.size(), decoding.decoder())
                .batchSize(batch)
                .of(model);
        var results = classifier.classifyAll(images, top);
        var progress = new Progress("classify", " images", 1)) {
      for (var each = results.iterator(); each.hasNext(); ) {
        Result<List<Prediction>> result = each.next();
        if (result.value().isPresent()) {
          List<Prediction> predictions = result.value().get();
          options.requireFinite(predictions, model.network());
          print(result.name(), predictions, out);
        } else {
          unreadable++;
          printError(result.name(), Reason.of(result.error().orElseThrow()), out);
        }
        if (++done % batch == 0) {
          progress.at(done, images.size());
          if (out.checkError()) {
            break;
          }
        }
      }
    }
    if (unreadable > 0 && images.size() > 1) {
      System.err.printf(
          "resnet4j: %,d of %,d images could not be read%n", unreadable, images.size());
    }
    return unreadable == 0
        ? Main.OK
        : unreadable == images.size() ? Main.FAILED : Main.SOME_UNREADABLE;
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
