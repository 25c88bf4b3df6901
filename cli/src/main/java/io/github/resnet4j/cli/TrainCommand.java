package io.github.resnet4j.cli;

import io.github.resnet4j.datasets.ReadOptions;
import io.github.resnet4j.train.CrossValidation;
import io.github.resnet4j.train.Dataset;
import java.io.IOException;
import java.nio.file.Path;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

@Workload(Workload.Kind.TRAINING)
@Command(
    name = "train",
    mixinStandardHelpOptions = true,
    description = {
      "Trains a network on images, from scratch or from pretrained weights (fine-tuning).",
      "",
      "The folder contains train/CLASS/*.jpg and val/CLASS/*.jpg, or CLASS/*.jpg, of which a"
          + " fraction is held out for validation, or CIFAR's binary files. Images with several"
          + " labels or with numbers are listed in a table: CSV, TSV or JSON lines with the column"
          + " path, optionally split (train, val), and label; or labels, separated by |; or a"
          + " column for each class, with 0 or 1; or for each number. Shards, WebDataset's (.tar,"
          + " .tgz) or .parquet, are given as a folder or a pattern. After each epoch the output"
          + " folder contains last.safetensors and best.safetensors, for 'classify' and Python,"
          + " metrics.csv, files for TensorBoard, and the state for --resume; at the end also"
          + " report.html with curves, confusion matrix and examples.",
    },
    footerHeading = "%nExamples:%n",
    footer = {
      "  resnet4j train -d photos/ -m resnet18 -w DEFAULT -o run1/  # downloads",
      "  resnet4j train -d digits -m resnet20 --epochs 20 -o run2/",
      "  resnet4j train -d digits -m resnet20 --epochs 40 -o run2/ --resume",
      "  resnet4j train -d photos/ -w my.pth --freeze stem,layer1 -o run3/",
      "  resnet4j train -d shards/ -m resnet20 --epochs 20 -o run5/",
      "  resnet4j train -d labels.csv -m resnet18 -w DEFAULT -o run4/  # downloads",
      "  resnet4j classify -w run1/best.safetensors photo.jpg",
    })
final class TrainCommand implements Callable<Integer> {
  @Mixin private TrainingOptions options = new TrainingOptions();

  @Option(
      names = "--val-data",
      paramLabel = "FILE",
      description =
          "The validation images, a table or shards, if --data has only the training images.")
  private @Nullable Path validation;

  @Option(
      names = "--shuffle-window",
      paramLabel = "N",
      description =
          "Number of successive images of shards (.tar, .tgz, .parquet) that are shuffled"
              + " together; default ${DEFAULT-VALUE}.")
  @Range(min = 1, max = 1_000_000)
  private int window = ReadOptions.WINDOW;

  @Mixin private DecodingOptions decoding = new DecodingOptions();

  @Mixin private RunSeries series = new RunSeries();

  @Spec private CommandSpec spec = CommandSpec.create();

  private final boolean isRunOfSeries;
  private final RunSeries.@Nullable Fold fold;

  TrainCommand() {
    isRunOfSeries = false;
    fold = null;
  }

  /** A run of a series. */
  TrainCommand(RunSeries.@Nullable Fold fold) {
    isRunOfSeries = true;
    this.fold = fold;
  }

  @Override
  public Integer call() throws IOException, InterruptedException {
    if (series.folds != null && validation != null) {
      throw new UsageException("--folds and --val-data cannot be combined");
    }
    if (series.isRequested() && !isRunOfSeries) {
      return series.train(spec, options.output, options.seed);
    }
    return options.train(
        this::data, validation == null, (trainer, _, _, _) -> options.run(trainer));
  }

  private Dataset data() throws IOException {
    if (fold == null) {
      return options.localData(decoding.decoder(), window, validation);
    }
    options.valSplit = 0; // the fold is held out instead
    Dataset all = options.localData(decoding.decoder(), window, null);
    return CrossValidation.folds(all, fold.count(), fold.seed()).get(fold.index());
  }
}
