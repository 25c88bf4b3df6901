package io.github.resnet4j.cli;

import java.io.BufferedOutputStream;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.PrintStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.util.Properties;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.IVersionProvider;

/** The command {@code resnet4j}; see {@code resnet4j --help}. */
@Command(
    name = "resnet4j",
    mixinStandardHelpOptions = true,
    versionProvider = Main.Version.class,
    description = "Residual networks in plain Java.",
    subcommands = {
      ClassifyCommand.class,
      ForwardCommand.class,
      ModelsCommand.class,
      WeightsCommand.class,
      ConvertCommand.class,
      QuantizeCommand.class,
      ExportCommand.class,
      ImportCommand.class,
      TrainCommand.class,
      EvaluateCommand.class,
      CurvesCommand.class,
      ExplainCommand.class,
      FeaturesCommand.class,
      SimilarCommand.class,
      InspectCommand.class,
      DiffCommand.class,
      SummaryCommand.class,
      CompareCommand.class,
      DrawCommand.class,
      ServeCommand.class,
      SparkClassifyCommand.class,
      SparkTrainCommand.class,
      BenchCommand.class,
      PlanCommand.class,
    },
    synopsisSubcommandLabel = "COMMAND",
    exitCodeListHeading = "%nExit codes:%n",
    exitCodeList = {
      "0:all went well",
      "1:it could not be done: a file, a download, a network that does not fit",
      "2:the command line was wrong",
      "3:some pictures could not be read; the others were",
      "4:'diff' found a difference",
    },
    footerHeading = "%nExamples:%n",
    footer = {
      "  resnet4j classify samples/digit-6.png",
      "  resnet4j classify --model resnet50 photos/ --format csv > labels.csv",
      "  resnet4j classify --help",
    })
public final class Main {
  static final int OK = 0;
  static final int FAILED = 1;
  static final int SOME_UNREADABLE = 3;

  private Main() {}

  /** Runs the command and ends the process with its exit code. */
  public static void main(String[] arguments) {
    run(new Main(), arguments);
  }

  /** The same for any set of commands. */
  static void run(Object commands, String[] arguments) {
    // The output is data that other programs read: UTF-8 everywhere, buffered.
    var out =
        new PrintStream(
            new BufferedOutputStream(new FileOutputStream(FileDescriptor.out), 1 << 13),
            false,
            StandardCharsets.UTF_8);
    System.setOut(out);
    // Warnings of the library are one line, as the command's own are.
    System.setProperty("java.util.logging.SimpleFormatter.format", "resnet4j: %5$s%n");
    int code =
        new CommandLine(commands)
            .setExecutionExceptionHandler(Main::report)
            .setCaseInsensitiveEnumValuesAllowed(true)
            .setUsageHelpAutoWidth(true)
            .execute(arguments);
    out.flush();
    System.exit(code);
  }

  /** Mistakes of files and options are one line; anything else is a defect and shows its trace. */
  private static int report(Exception e, CommandLine command, CommandLine.ParseResult parsed)
      throws Exception {
    if (e instanceof IOException
        || e instanceof UncheckedIOException // a folder that may not be listed
        || e instanceof IllegalArgumentException) {
      System.out.flush();
      System.err.println("resnet4j: " + (e.getMessage() == null ? e : e.getMessage()));
      return FAILED;
    }
    throw e;
  }

  static final class Version implements IVersionProvider {
    @Override
    public String[] getVersion() throws IOException {
      var properties = new Properties();
      try (InputStream stream = Main.class.getResourceAsStream("version.properties")) {
        if (stream != null) {
          properties.load(stream);
        }
      }
      return new String[] {
        "resnet4j " + properties.getProperty("version", "unknown"),
        "Java " + Runtime.version() + ", " + System.getProperty("os.arch"),
      };
    }
  }
}
