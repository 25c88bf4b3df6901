package io.github.resnet4j.cli;

import picocli.CommandLine.Command;

/**
 * What {@code spark-submit} starts: the commands that run in Spark, and nothing that they do not.
 */
@Command(
    name = "resnet4j",
    mixinStandardHelpOptions = true,
    versionProvider = Main.Version.class,
    description = "Residual networks in plain Java, on Apache Spark.",
    subcommands = {SparkClassifyCommand.class, SparkTrainCommand.class},
    synopsisSubcommandLabel = "COMMAND")
public final class SparkMain {
  private SparkMain() {}

  /** Runs a command and ends the driver with its exit code. */
  public static void main(String[] arguments) {
    Main.run(new SparkMain(), arguments);
  }
}
