package io.github.resnet4j.cli;

import io.github.resnet4j.engine.EngineChoice;
import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;

/**
 * The options for running on Spark. Outside of Spark a command starts itself again with {@code
 * spark-submit}, with the jars that executors need.
 */
final class SparkSubmit {
  @Option(
      names = "--master",
      paramLabel = "URL",
      description =
          "Spark master: local[2], spark://host:7077, yarn, k8s://…; default: that of Spark's"
              + " configuration, or local[*].")
  private @Nullable String master;

  @Option(
      names = "--conf",
      paramLabel = "KEY=VALUE",
      description =
          "Property of Spark's configuration, as for spark-submit; can be repeated:"
              + " spark.executor.memory=8g, spark.task.cpus=4.")
  private Map<String, String> conf = Map.of();

  @Option(names = "--print-submit", description = "Only print the spark-submit command.")
  private boolean print;

  /** The jars in lib/ that the driver and the executors need; Spark provides the rest. */
  private static final Pattern NEEDED =
      Pattern.compile(
          "(resnet4j-(figures-|spark-|cli-)?\\d|picocli|progressbar|jline-terminal|jackson-jr|xchart|VectorGraphics2D|imageio"
              + "|common-image|common-io|common-lang).*\\.jar");

  /** The jars in lib/ that the engine onnxruntime needs in addition. */
  private static final Pattern NEEDED_BY_ONNX_RUNTIME =
      Pattern.compile("(resnet4j-onnx(runtime)?-\\d|protobuf-java-\\d).*\\.jar");

  /** The value of --master, or an empty string if Spark's configuration sets it. */
  String master() {
    return master == null ? "" : master;
  }

  /** Whether this process runs inside Spark, so that Spark's classes are available. */
  static boolean isInside() {
    try {
      Class.forName(
          "org.apache.spark.sql.SparkSession",
          false,
          Thread.currentThread().getContextClassLoader());
      return true;
    } catch (ClassNotFoundException _) {
      return false;
    }
  }

  /**
   * Starts a command again within Spark; returns its exit code.
   *
   * @param defaults configuration that --conf overrides
   * @param engine the engine that the executors use
   */
  int run(CommandSpec command, Map<String, String> defaults, EngineChoice engine)
      throws IOException, InterruptedException {
    List<String> submit = submit(command, defaults, engine);
    if (print) {
      System.out.println(submit.stream().map(SparkSubmit::quoted).collect(Collectors.joining(" ")));
      return Main.OK;
    }
    var builder = new ProcessBuilder(submit).inheritIO();
    builder.environment().put("JAVA_HOME", System.getProperty("java.home"));
    Process process = builder.start();
    // Terminating this process also terminates the job.
    Runtime.getRuntime().addShutdownHook(new Thread(process::destroy));
    return process.waitFor();
  }

  private List<String> submit(
      CommandSpec command, Map<String, String> defaults, EngineChoice engine) throws IOException {
    var submit = new ArrayList<String>();
    submit.add(
        print
            ? executable().orElse("spark-submit")
            : executable().orElseThrow(SparkSubmit::missing));
    if (master != null) {
      submit.addAll(List.of("--master", master));
    }
    var all = new TreeMap<String, String>(defaults);
    all.put("spark.log.level", "WARN");
    all.putAll(conf);
    all.forEach((key, value) -> submit.addAll(List.of("--conf", key + "=" + value)));
    List<String> jars =
        Arrays.stream(System.getProperty("java.class.path").split(File.pathSeparator, -1))
            .filter(jar -> isNeeded(Path.of(jar), !engine.equals(EngineChoice.RESNET4J)))
            .sorted()
            .toList();
    String own =
        jars.stream()
            .filter(jar -> jar.contains("resnet4j-cli"))
            .findFirst()
            .orElseThrow(
                () -> new IOException("not started from its jars: use the resnet4j script"));
    submit.addAll(
        List.of(
            "--class",
            SparkMain.class.getName(),
            "--jars",
            jars.stream().filter(jar -> !jar.equals(own)).collect(Collectors.joining(",")),
            own));
    command.root().commandLine().getParseResult().originalArgs().stream()
        .filter(argument -> !argument.equals("--print-submit"))
        .forEach(submit::add);
    return submit;
  }

  private static boolean isNeeded(Path jar, boolean onnxRuntime) {
    String name = jar.getFileName().toString();
    return NEEDED.matcher(name).matches()
        || (onnxRuntime && (NEEDED_BY_ONNX_RUNTIME.matcher(name).matches() || isAdded(jar)));
  }

  /** Whether a jar is on the class path because the user's RESNET4J_CLASSPATH names it. */
  private static boolean isAdded(Path jar) {
    String added = System.getenv().getOrDefault("RESNET4J_CLASSPATH", "");
    return Arrays.stream(added.split(File.pathSeparator, -1))
        .anyMatch(entry ->
            entry.endsWith("*") // Java replaces it by the jars in the folder
                ? Path.of(entry.substring(0, entry.length() - 1))
                    .toAbsolutePath()
                    .equals(jar.toAbsolutePath().getParent())
                : Path.of(entry).equals(jar));
  }

  private static Optional<String> executable() {
    var folders = new ArrayList<Path>();
    String home = System.getenv("SPARK_HOME");
    if (home != null && !home.isBlank()) {
      folders.add(Path.of(home, "bin"));
    }
    for (String folder : System.getenv().getOrDefault("PATH", "").split(File.pathSeparator, -1)) {
      if (!folder.isBlank()) {
        folders.add(Path.of(folder));
      }
    }
    return folders.stream()
        .map(folder -> folder.resolve("spark-submit"))
        .filter(Files::isExecutable)
        .map(Path::toString)
        .findFirst();
  }

  private static IOException missing() {
    return new IOException(
        "needs Apache Spark 4.2 or newer, which runs on Java 25: unpack it and set SPARK_HOME to"
            + " its folder, or put spark-submit on the PATH ('pip install pyspark' does)");
  }

  private static String quoted(String word) {
    return word.matches("[\\w@%+=:,./-]+") ? word : "'" + word.replace("'", "'\\''") + "'";
  }
}
