package io.github.resnet4j.cli;

import io.github.resnet4j.engine.Precision;
import io.github.resnet4j.image.ImageDecoder;
import io.github.resnet4j.spark.ClassifyJob;
import java.io.IOException;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

@Command(
    name = "spark-classify",
    mixinStandardHelpOptions = true,
    description = {
      "Classifies images on Apache Spark.",
      "",
      "Reads a folder of images, or a table with their bytes or paths, from any file system that"
          + " Hadoop supports. Writes a table: the input's columns without the bytes, and a"
          + " column prediction with labels, probabilities, embedding and error. An image that"
          + " cannot be read becomes a row with an error. Starts spark-submit from SPARK_HOME or"
          + " the PATH.",
    },
    footerHeading = "%nExamples:%n",
    footer = {
      "  resnet4j spark-classify -i samples -o predictions --master local[2]",
      "  resnet4j spark-classify -i hdfs:///photos -o hdfs:///predictions -m resnet50 \\",
      "    --master yarn --conf spark.executor.cores=8 --conf spark.task.cpus=4",
      "  resnet4j spark-classify -i s3a://shop/products -o predictions --embedding \\",
      "    --input-format parquet --column jpeg -w s3a://models/products.safetensors",
      "  resnet4j spark-classify -i photos -o predictions --master yarn --print-submit",
    })
final class SparkClassifyCommand implements Callable<Integer> {
  @Spec private CommandSpec spec = CommandSpec.create();

  @Mixin private SparkSubmit spark = new SparkSubmit();

  @Option(
      names = {"-i", "--input"},
      paramLabel = "PATH",
      required = true,
      description = "A folder of images, at any depth, a pattern, or a table.")
  private String input = "";

  @Option(
      names = {"-o", "--output"},
      paramLabel = "PATH",
      required = true,
      description = "Folder of the output table; it must not exist yet.")
  private String output = "";

  @Option(
      names = "--input-format",
      paramLabel = "SOURCE",
      description =
          "Input format: binaryFile or image for files; parquet, orc, json or delta for tables;"
              + " text for paths, one per line; default ${DEFAULT-VALUE}.")
  private String from = "binaryFile";

  @Option(
      names = "--column",
      paramLabel = "NAME",
      description = "Column of an input table that contains bytes or paths; default: content.")
  private @Nullable String column;

  @Option(
      names = "--output-format",
      paramLabel = "FORMAT",
      description = "Output format: parquet, orc, json or delta; default ${DEFAULT-VALUE}.")
  private String to = "parquet";

  @Option(names = "--overwrite", description = "Replace an existing output.")
  private boolean overwrite;

  @Option(
      names = {"-m", "--model"},
      paramLabel = "NAME",
      description = "Network name; 'resnet4j models' lists them.")
  private @Nullable String model;

  @Option(
      names = {"-w", "--weights"},
      paramLabel = "WEIGHTS",
      description =
          "DEFAULT, a name that 'resnet4j weights' lists, hf:owner/name, or a file, also on"
              + " Hadoop file systems (hdfs:, s3a:). The driver reads them and broadcasts them.")
  private @Nullable String weights;

  @Option(
      names = "--top",
      paramLabel = "N",
      description = "Number of classes for each image; default ${DEFAULT-VALUE}.")
  @Range(min = 0)
  private int top = 5;

  @Option(
      names = "--embedding",
      description = "Add the embedding: the mean of the last stage over all pixels.")
  private boolean embedding;

  @Option(
      names = {"-b", "--batch-size"},
      paramLabel = "N",
      description = "Batch size; default ${DEFAULT-VALUE}.")
  @Range(min = 1, max = 65_536)
  private int batch = 16;

  @Option(
      names = "--precision",
      paramLabel = "PRECISION",
      description = "fp32, bf16, int8 or auto; default ${DEFAULT-VALUE}.")
  private Precision precision = Precision.FP32;

  @Mixin private EngineOptions engine = new EngineOptions();

  @Option(
      names = "--max-pixels",
      paramLabel = "N",
      description =
          "Maximum number of pixels of an image; larger ones are rejected; default"
              + " ${DEFAULT-VALUE}.")
  @Range(min = 1)
  private long maxPixels = ImageDecoder.DEFAULT_MAX_PIXELS;

  @Override
  public Integer call() throws IOException, InterruptedException {
    if (!SparkSubmit.isInside()) {
      return spark.run(spec, Map.of(), engine.choice());
    }
    var job =
        new ClassifyJob(
            input,
            output,
            from,
            column == null ? "" : column,
            to,
            overwrite,
            model == null ? "" : model,
            weights == null ? "" : weights,
            top,
            embedding,
            batch,
            precision.name().toLowerCase(Locale.ROOT),
            engine.choice(),
            maxPixels);
    ClassifyJob.Outcome outcome = job.run(spark.master());
    System.err.printf(
        "resnet4j: %,d images, %,d of them could not be read; %s%n",
        outcome.images(), outcome.unreadable(), output);
    return outcome.unreadable() == 0
        ? Main.OK
        : outcome.unreadable() == outcome.images() ? Main.FAILED : Main.SOME_UNREADABLE;
  }
}
