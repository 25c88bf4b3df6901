package io.github.resnet4j.cli;

import io.github.resnet4j.engine.EngineChoice;
import io.github.resnet4j.spark.SparkExecutors;
import io.github.resnet4j.spark.SparkImages;
import io.github.resnet4j.train.Dataset;
import java.io.IOException;
import java.util.Map;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

@Command(
    name = "spark-train",
    mixinStandardHelpOptions = true,
    description = {
      "Trains a network on Apache Spark: like 'train', but each batch is distributed over"
          + " executors.",
      "",
      "The images are on a file system that all executors can read. Recipes, output files,"
          + " report and --resume are those of 'train'; the output folder is on the driver. Each"
          + " partition of a batch is computed in --grad-accum-steps micro-batches. Starts"
          + " spark-submit from SPARK_HOME or the PATH.",
    },
    footerHeading = "%nExamples:%n",
    footer = {
      "  resnet4j spark-train -d digits -m resnet20 --epochs 4 -o run1 \\",
      "    --master local[2]",
      "  resnet4j spark-train -d hdfs:///imagenet -m resnet50 -o run2 -b 8192 \\",
      "    --scale-lr --partitions 128 --master yarn --conf spark.task.cpus=8 \\",
      "    --conf spark.executor.cores=8 --conf spark.executor.memory=8g",
      "  resnet4j spark-train -d s3a://photos -m resnet18 -w DEFAULT -o run3 \\",
      "    --local-steps 8 --resume",
    })
final class SparkTrainCommand implements Callable<Integer> {
  /**
   * Large pages speed up access to the activations; LZ4 does not compress weights; the results are
   * few but as large as the weights.
   */
  private static final Map<String, String> DEFAULTS =
      Map.of(
          "spark.executor.extraJavaOptions",
          "-XX:+UseTransparentHugePages",
          "spark.broadcast.compress",
          "false",
          "spark.driver.maxResultSize",
          "0",
          "spark.driver.memory",
          "4g");

  @Spec private CommandSpec spec = CommandSpec.create();

  @Mixin private SparkSubmit spark = new SparkSubmit();

  @Mixin private TrainingOptions options = new TrainingOptions();

  @Option(
      names = "--partitions",
      paramLabel = "N",
      description =
          "Number of partitions of a batch, one task each; default: the number of task slots."
              + " There can be more than there are executors at the moment.")
  @Range(min = 0)
  private int partitions;

  @Option(
      names = "--local-steps",
      paramLabel = "K",
      description =
          "Local SGD: number of steps that each partition computes before the weights are"
              + " averaged, which transfers less; default 1, gradients are summed at every step.")
  @Range(min = 1)
  private int localSteps = 1;

  @Override
  public Integer call() throws IOException, InterruptedException {
    options.requireSeveralMachines(localSteps);
    if (!SparkSubmit.isInside()) {
      return spark.run(spec, DEFAULTS, EngineChoice.RESNET4J);
    }
    return options.train(
        () ->
            options.isDigits()
                ? Dataset.digits()
                : SparkImages.ofFolder(options.data, options.valSplit, options.seed),
        true,
        (trainer, start, images, recipe) -> {
          try (var machines =
              SparkExecutors.open(
                  spark.master(),
                  start,
                  images,
                  recipe,
                  trainer.distillation(),
                  partitions,
                  localSteps)) {
            return options.run(trainer.withMachines(machines));
          }
        });
  }
}
