package io.github.resnet4j.cli;

import io.github.resnet4j.messages.Reason;
import java.io.BufferedOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.PrintStream;
import java.io.PrintWriter;
import java.io.UncheckedIOException;
import java.nio.charset.Charset;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.Properties;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.IVersionProvider;

/** The command {@code resnet4j}; see {@code resnet4j --help}. */
@Command(
    name = "resnet4j",
    mixinStandardHelpOptions = true,
    versionProvider = Main.Version.class,
    description = "ResNet inference, training and conversion in plain Java.",
    subcommands = {
      ClassifyCommand.class,
      ForwardCommand.class,
      ModelsCommand.class,
      WeightsCommand.class,
      ConvertCommand.class,
      QuantizeCommand.class,
      ExportCommand.class,
      ImportCommand.class,
      DataCommand.class,
      TrainCommand.class,
      PushCommand.class,
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
      CompletionCommand.class,
      CommandLine.HelpCommand.class,
    },
    synopsisSubcommandLabel = "COMMAND",
    exitCodeListHeading = "%nExit codes:%n",
    exitCodeList = {
      "0:success",
      "1:failure: a file, a download, a checkpoint that does not match the network",
      "2:wrong command line",
      "3:some images could not be read; the others were processed",
      "4:'diff' found a difference",
    },
    footerHeading = "%nExamples:%n",
    footer = {
      "  resnet4j classify samples/digit-6.png",
      "  resnet4j classify photos/ --format csv > labels.csv",
      "  resnet4j classify --help",
    })
public final class Main {
  static final int OK = 0;
  static final int FAILED = 1;
  static final int SOME_UNREADABLE = 3;

  Main() {}

  /** Runs the command and ends the process with its exit code. */
  public static void main(String[] arguments) {
    run(new Main(), arguments);
  }

  /** Runs one of the given commands and ends the process with its exit code. */
  static void run(Object commands, String[] arguments) {
    var output = new StandardOutput();
    System.setOut(
        new PrintStream(new BufferedOutputStream(output, 1 << 13), false, outputEncoding()));
    // Without this, drawing to a file opens a connection to the display.
    System.setProperty("java.awt.headless", System.getProperty("java.awt.headless", "true"));
    // Warnings of the library are one line, like those of the command.
    System.setProperty("java.util.logging.SimpleFormatter.format", "resnet4j: %5$s%n");
    int code = execute(commands, arguments);
    System.out.flush();
    System.exit(output.check(code));
  }

  /**
   * The output is data that other programs read: UTF-8 on every system. Consoles of Windows show
   * another encoding.
   */
  private static Charset outputEncoding() {
    String encoding = System.getProperty("stdout.encoding", "UTF-8");
    return encoding.equals("UTF-8") || System.console() == null
        ? StandardCharsets.UTF_8
        : Charset.forName(encoding, StandardCharsets.UTF_8);
  }

  /** Runs a command within this process; returns its exit code. */
  static int execute(Object commands, String... arguments) {
    try {
      var command = Arguments.checked(new CommandLine(commands));
      HelpText.install(command);
      return command
          .setOut(new PrintWriter(System.out, true))
          .setExecutionExceptionHandler((e, failed, _) ->
              e instanceof UsageException ? Arguments.refuse(Reason.of(e), failed) : report(e))
          .setUsageHelpAutoWidth(true)
          .execute(arguments);
    } catch (OutOfMemoryError e) {
      return report(e);
    }
  }

  /** Prints the path of a file that a command has written, on stderr: stdout is for results. */
  static void wrote(Path file) {
    System.err.println("wrote " + file);
  }

  /** Errors in files and options are one line; any other exception shows its stack trace. */
  private static int report(Throwable e) {
    System.out.flush();
    switch (e) {
      case IOException _, UncheckedIOException _, IllegalArgumentException _ ->
          System.err.println("resnet4j: " + Reason.of(e));
      case OutOfMemoryError _ ->
          System.err.printf(
              "resnet4j: out of memory: the Java heap is limited to %,d MB; use smaller images or"
                  + " batches, or a larger heap with RESNET4J_JAVA_OPTS=-Xmx…%n",
              Runtime.getRuntime().maxMemory() >> 20);
      default -> {
        System.err.println("resnet4j: internal error; please report it with the command line");
        e.printStackTrace();
      }
    }
    return FAILED;
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
