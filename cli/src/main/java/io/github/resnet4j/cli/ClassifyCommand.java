package io.github.resnet4j.cli;

import io.github.resnet4j.Model;
import io.github.resnet4j.Prediction;
import io.github.resnet4j.ResNet;
import io.github.resnet4j.engine.Session;
import io.github.resnet4j.tensor.Tensor;
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
  /** Vector kernels, which take seconds to warm up, are used if the rest takes longer than this. */
  private static final double LONG_SECONDS = 10;

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
  private int batch = Batches.SIZE;

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
    Model classifier = options.classifier(preprocessing.file, labels);
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
    int unreadable;
    try (var run = new Run(classifier, images)) {
      var decoder = decoding.decoder();
      new Batches(images, decoder, classifier.preprocessing(), batch, options.threads).forEach(run);
      unreadable = run.unreadable;
    }
    if (unreadable > 0 && images.size() > 1) {
      System.err.printf(
          "resnet4j: %,d of %,d images could not be read%n", unreadable, images.size());
    }
    return unreadable == 0
        ? Main.OK
        : unreadable == images.size() ? Main.FAILED : Main.SOME_UNREADABLE;
  }

  /** Classifies the batches. */
  private final class Run implements Batches.Consumer, AutoCloseable {
    private final Model classifier;
    private final List<Path> images;
    private final Progress progress = new Progress("classify", " images", 1);
    private Session session;
    int unreadable;

    @SuppressWarnings("MustBeClosedChecker") // closed with this
    Run(Model classifier, List<Path> images) {
      this.classifier = classifier;
      this.images = images;
      ResNet network = classifier.network();
      this.session = network.compile(options.atFirst(network, images.size()));
    }

    @Override
    public boolean accept(Batches.Batch batch) throws IOException {
      long start = System.nanoTime();
      Tensor logits = session.run(batch.tensor());
      options.requireFinite(logits, classifier.network());
      double seconds = (System.nanoTime() - start) * 1e-9;
      unreadable += print(batch, classifier.top(logits, top), System.out);
      int done = batch.from() + batch.files().size();
      progress.at(done, images.size());
      if (batch.from() == 0 && seconds / done * (images.size() - done) > LONG_SECONDS) {
        var compile = options.forLong();
        if (compile.isPresent()) {
          session.close();
          session = classifier.network().compile(compile.get());
        }
      }
      return !System.out.checkError();
    }

    @Override
    public void close() {
      progress.close();
      session.close();
    }
  }

  /** Prints the predictions of a batch; returns the number of images that could not be read. */
  private int print(Batches.Batch batch, List<List<Prediction>> predictions, PrintStream out)
      throws IOException {
    int unreadable = 0;
    for (int i = 0; i < batch.files().size(); i++) {
      Path file = batch.files().get(i);
      String error = batch.errors()[i];
      if (error == null) {
        print(file, predictions.get(i), out);
      } else {
        unreadable++;
        out.flush();
        System.err.println("resnet4j: " + error);
        if (output.format == Table.Format.JSON) {
          out.println(Table.jsonLine(List.of("path", "error"), List.of(file.toString(), error)));
        }
      }
    }
    return unreadable;
  }

  private void print(Path file, List<Prediction> predictions, PrintStream out) throws IOException {
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
        out.println(Table.jsonLine(List.of("path", "predictions"), List.of(file.toString(), list)));
      }
    }
  }
}
