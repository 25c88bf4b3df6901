package io.github.resnet4j.cli;

import io.github.resnet4j.Model;
import io.github.resnet4j.Weights;
import io.github.resnet4j.messages.Reason;
import io.github.resnet4j.messages.Suggestion;
import io.github.resnet4j.server.Access;
import io.github.resnet4j.server.InferenceServer;
import io.github.resnet4j.server.ServerOptions;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.Properties;
import java.util.concurrent.Callable;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.logging.Level;
import java.util.logging.Logger;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Model.OptionSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Spec;

@Workload(Workload.Kind.SERVER)
@Command(
    name = "serve",
    mixinStandardHelpOptions = true,
    defaultValueProvider = ServeCommand.Defaults.class,
    description = {
      "Serves models over HTTP and gRPC: the Open Inference Protocol 2, /classify, /features,"
          + " /explain, /metrics, and a web page at /.",
      "",
      "Every option can also be set in the environment (RESNET4J_MAX_BATCH_SIZE for"
          + " --max-batch-size) or in a file with lines such as 'max-batch-size=32' that"
          + " RESNET4J_CONFIG names. Priority: command line, environment, file.",
    },
    footerHeading = "%nExamples:%n",
    footer = {
      "  resnet4j serve",
      "  resnet4j serve --model resnet50 --weights resnet50-11ad3fa6.pth --port 9000",
      "  resnet4j serve --model-repository models/ --host 0.0.0.0 \\",
      "    --token-file token.txt",
      "  curl --data-binary @samples/digit-6.png localhost:8080/classify \\",
      "    -H 'Content-Type: image/png'",
    })
final class ServeCommand implements Callable<Integer> {
  // A strong reference: a logger that is garbage collected loses its level.
  private static final Logger OWN = Logger.getLogger("io.github.resnet4j");
  private static final Logger START = Logger.getLogger("io.helidon.webserver.LoomServer");

  @Spec private CommandSpec spec = CommandSpec.create();

  @Mixin private ModelOptions options = new ModelOptions();

  @Mixin private EngineOptions engine = new EngineOptions();

  @Option(
      names = "--host",
      paramLabel = "ADDRESS",
      description =
          "Address to listen on; default ${DEFAULT-VALUE}, which only this machine reaches.")
  private String host = "127.0.0.1";

  @Option(
      names = {"-p", "--port"},
      paramLabel = "N",
      description = "HTTP port, 0 for any free one; default ${DEFAULT-VALUE}.")
  @Range(min = 0, max = 65_535)
  private int port = 8080;

  @Option(
      names = "--grpc-port",
      paramLabel = "N",
      description = "gRPC port, 0 for any free one, -1 for no gRPC; default ${DEFAULT-VALUE}.")
  @Range(min = -1, max = 65_535)
  private int grpcPort = 8081;

  @Option(
      names = "--model-name",
      paramLabel = "NAME",
      description = "Name of the model in requests; default: the name of the network, or digits.")
  private @Nullable String name;

  @Option(
      names = "--model-repository",
      paramLabel = "FOLDER",
      description =
          "Folder with models in NAME/VERSION/, each with a checkpoint and, if the checkpoint"
              + " does not contain them, preprocessing.json and labels.txt.")
  private @Nullable Path models;

  @Option(
      names = "--max-batch-size",
      paramLabel = "N",
      description = "Maximum batch size; default ${DEFAULT-VALUE}.")
  @Range(min = 1, max = 1024)
  private int maxBatch = ServerOptions.Batching.DEFAULT.maxBatchSize();

  @Option(
      names = "--max-batch-delay",
      paramLabel = "MS",
      description =
          "Maximum time that an image waits for others that are being decoded, in milliseconds;"
              + " default ${DEFAULT-VALUE}.")
  @Range(min = 0, below = 60_000)
  private double maxDelay = 2;

  @Option(
      names = "--queue-size",
      paramLabel = "N",
      description =
          "Maximum number of unanswered requests; further ones get 503; default"
              + " ${DEFAULT-VALUE}.")
  @Range(min = 1, max = 1 << 20)
  private int queue = ServerOptions.Batching.DEFAULT.queueSize();

  @Option(
      names = "--request-timeout",
      paramLabel = "SECONDS",
      description = "Request timeout in seconds; default ${DEFAULT-VALUE}.")
  @Range(above = 0)
  private double deadline = 30;

  @Option(
      names = "--max-body-size",
      paramLabel = "MB",
      description = "Maximum size of a request body in MB; default ${DEFAULT-VALUE}.")
  @Range(above = 0, max = 1024)
  private double maxBody = 16;

  @Option(
      names = "--max-pixels",
      paramLabel = "N",
      description = "Maximum number of pixels of an image; default ${DEFAULT-VALUE}.")
  @Range(min = 1)
  private long maxPixels = ServerOptions.Limits.DEFAULT.maxPixels();

  @Option(
      names = "--max-images",
      paramLabel = "N",
      description = "Maximum number of images of a request; default ${DEFAULT-VALUE}.")
  @Range(min = 1)
  private int maxImages = ServerOptions.Limits.DEFAULT.maxImages();

  @Option(
      names = "--idle-timeout",
      paramLabel = "SECONDS",
      description = "Idle timeout of a connection in seconds; default ${DEFAULT-VALUE}.")
  @Range(above = 0)
  private double idle = 30;

  @Option(
      names = "--drain-timeout",
      paramLabel = "SECONDS",
      description =
          "Time in seconds to finish accepted requests when the server stops; default"
              + " ${DEFAULT-VALUE}.")
  @Range(min = 0)
  private double drain = 30;

  @Option(
      names = "--token-file",
      paramLabel = "FILE",
      description = "File with a token that clients must send: Authorization: Bearer TOKEN.")
  private @Nullable Path tokenFile;

  @Option(
      names = "--allowed-hosts",
      paramLabel = "NAME",
      split = ",",
      description =
          "Names of this server, besides localhost, that are accepted in the Host header; * for"
              + " any. At a loopback address all others are rejected.")
  private List<String> allowedHosts = List.of();

  @Option(
      names = "--allowed-origins",
      paramLabel = "ORIGIN",
      split = ",",
      description =
          "Origins (https://example.org) whose web pages may call this server (CORS); * for any."
              + " All others are rejected.")
  private List<String> allowedOrigins = List.of();

  @Option(
      names = "--tls-certificate",
      paramLabel = "FILE",
      description = "TLS certificate (PEM); enables TLS.")
  private @Nullable Path certificate;

  @Option(
      names = "--tls-key",
      paramLabel = "FILE",
      description = "Private key of the certificate (PEM, PKCS#8).")
  private @Nullable Path key;

  @Option(
      names = "--access-log",
      paramLabel = "FILE",
      description = "Access log, one line of JSON per request; default: standard error.")
  private @Nullable Path accessLog;

  @Option(names = "--print-config", description = "Print the value of every option and exit.")
  private boolean printConfig;

  @Mixin private PreprocessingOption preprocessing = new PreprocessingOption();

  @Option(
      names = "--labels",
      paramLabel = "FILE",
      description =
          "Class names: a file with one per line, or imagenet (1,000 classes), or imagenet-22k"
              + " (21,841 classes).")
  private @Nullable Path labels;

  /** Default values from the environment, then from the configuration file. */
  static final class Defaults implements picocli.CommandLine.IDefaultValueProvider {
    private @Nullable Properties file;

    @Override
    public @Nullable String defaultValue(picocli.CommandLine.Model.ArgSpec argument) {
      if (!(argument instanceof OptionSpec option)) {
        return null;
      }
      Properties known = file;
      if (known == null) {
        known = read(option.command());
        file = known;
      }
      String found = System.getenv(environment(option));
      return found == null ? known.getProperty(longName(option)) : found;
    }

    /** Reads the file that RESNET4J_CONFIG names; without one, there are no properties. */
    private static Properties read(CommandSpec command) {
      var properties = new Properties();
      String name = System.getenv("RESNET4J_CONFIG");
      if (name == null || name.isBlank()) {
        return properties;
      }
      Path path = Path.of(name);
      try (var reader = Files.newBufferedReader(path)) {
        properties.load(reader);
      } catch (IOException e) {
        throw wrong(command, Reason.of(path, e));
      } catch (IllegalArgumentException e) {
        throw wrong(command, path + ": " + e.getMessage());
      }
      var names = command.options().stream().map(ServeCommand::longName).toList();
      for (String key : properties.stringPropertyNames()) {
        if (!names.contains(key)) {
          throw wrong(
              command,
              "%s: no option is named '%s'%s".formatted(path, key, Suggestion.of(key, names)));
        }
      }
      return properties;
    }

    private static ParameterException wrong(CommandSpec command, String reason) {
      return new ParameterException(command.commandLine(), "RESNET4J_CONFIG: " + reason);
    }

    private static String environment(OptionSpec option) {
      return "RESNET4J_" + longName(option).replace('-', '_').toUpperCase(Locale.ROOT);
    }
  }

  private static String longName(OptionSpec option) {
    return option.longestName().replaceFirst("^-+", "");
  }

  @Override
  public Integer call() throws IOException, InterruptedException {
    if (printConfig) {
      for (OptionSpec option : spec.options()) {
        String longName = longName(option);
        if (!option.usageHelp() && !option.versionHelp() && !longName.equals("print-config")) {
          Object value = option.getValue();
          if (value instanceof List<?> list) {
            value =
                list.isEmpty()
                    ? null
                    : list.stream().map(String::valueOf).collect(Collectors.joining(","));
          }
          System.out.println(
              (value == null ? "#" : "") + longName + "=" + (value == null ? "" : value));
        }
      }
      return Main.OK;
    }
    Logger.getLogger("").setLevel(Level.WARNING); // Helidon logs much at INFO
    OWN.setLevel(Level.INFO); // the choice of --precision auto
    START.setLevel(Level.OFF); // our own message has the reason of a failed start
    if ((certificate == null) != (key == null)) {
      throw new UsageException("--tls-certificate and --tls-key must be used together");
    }
    var given = new LinkedHashMap<String, Model>();
    if (models == null || options.model != null || options.weights != null) {
      Model model = options.loadModel(preprocessing.file); // a head is not needed
      given.put(name(), ModelOptions.withLabels(model, labels));
    }
    var stop = new CountDownLatch(1);
    var stopped = new CountDownLatch(1);
    try (var server =
        InferenceServer.start(serverOptions(), given, checkpoint -> read(checkpoint))) {
      System.err.println(
          "resnet4j: listening at "
              + server.address()
              + (server.grpcPort() < 0 ? "" : ", gRPC at port " + server.grpcPort()));
      server
          .noModelReason()
          .ifPresent(reason -> System.err.println("resnet4j: warning: " + reason));
      if (server.isUnprotected()) {
        System.err.println("resnet4j: warning: " + InferenceServer.UNPROTECTED_WARNING);
      }
      // The JVM exits after its shutdown hooks: this one waits for the accepted requests.
      Runtime.getRuntime()
          .addShutdownHook(
              new Thread(() -> {
                stop.countDown();
                try {
                  if (!stopped.await((long) drain + 10, TimeUnit.SECONDS)) {
                    System.err.println("resnet4j: stopped before all requests were answered");
                  }
                } catch (InterruptedException _) {
                  Thread.currentThread().interrupt();
                }
              }));
      stop.await();
    } finally {
      stopped.countDown();
    }
    return Main.OK;
  }

  private String name() {
    if (name != null) {
      return name;
    }
    return options.model != null ? options.model : options.weights != null ? "model" : "digits";
  }

  private ServerOptions serverOptions() throws IOException {
    return new ServerOptions(
        host,
        port,
        grpcPort,
        Optional.ofNullable(models),
        new ServerOptions.Batching(maxBatch, millis(maxDelay), queue),
        new ServerOptions.Limits(
            (long) (maxBody * (1 << 20)),
            maxPixels,
            maxImages,
            millis(1000 * deadline),
            millis(1000 * idle)),
        access(),
        certificate == null || key == null
            ? Optional.empty()
            : Optional.of(new ServerOptions.Tls(certificate, key)),
        Optional.ofNullable(accessLog),
        millis(1000 * drain),
        options.compileOptions().withEngine(engine.choice()));
  }

  private Access access() throws IOException {
    Optional<String> token = Optional.empty();
    try {
      if (tokenFile != null) {
        token = Optional.of(Files.readString(tokenFile).strip());
      }
    } catch (IOException e) {
      throw new IOException("--token-file " + Reason.of(tokenFile, e), e);
    }
    return new Access(token, allowedHosts, allowedOrigins);
  }

  private static Duration millis(double value) {
    return Duration.ofNanos(Math.round(value * 1e6));
  }

  /** Reads a checkpoint of the model repository, with the preprocessing and labels beside it. */
  private static Model read(Path checkpoint) throws IOException {
    Path folder = checkpoint.toAbsolutePath().getParent();
    Path preprocessing = folder == null ? checkpoint : folder.resolve("preprocessing.json");
    Path labels = folder == null ? checkpoint : folder.resolve("labels.txt");
    Weights found = ModelOptions.find(Optional.empty(), checkpoint.toString());
    Model model =
        ModelOptions.modelOf(
            found,
            ModelOptions.openNetwork(found),
            Files.exists(preprocessing) ? preprocessing : null);
    return Files.exists(labels) ? model.withLabels(ModelOptions.labels(labels, model)) : model;
  }
}
