package io.github.resnet4j.cli;

import picocli.CommandLine.Command;

/**
 * The main class for {@code spark-submit}: only the commands that run in Spark, without the
 * libraries that only other commands need.
 */
@Command(
    name = "resnet4j",
    mixinStandardHelpOptions = true,
    versionProvider = Main.Version.class,
    description = "ResNet inference and training on Apache Spark.",
    subcommands = {SparkClassifyCommand.class, SparkTrainCommand.class},
    synopsisSubcommandLabel = "COMMAND")
public final class SparkMain {
  private SparkMain() {}

  /** Runs a command and ends the driver with its exit code. */
  public static void main(String[] arguments) {
    Main.run(new SparkMain(), arguments);
  }
}
