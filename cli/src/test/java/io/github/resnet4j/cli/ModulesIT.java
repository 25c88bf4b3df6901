package io.github.resnet4j.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.io.File;
import java.io.IOException;
import java.lang.module.ModuleFinder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.spi.ToolProvider;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The jars of the distribution on the module path and on the class path. */
class ModulesIT {
  /** A small program of a user. */
  private static final String PROGRAM =
      """
      package example;

      import io.github.resnet4j.Classifier;
      import io.github.resnet4j.figures.NetworkFigure;
      import io.github.resnet4j.image.Image;
      import io.github.resnet4j.onnx.OnnxImport;
      import java.nio.file.Files;
      import java.nio.file.Path;

      public final class Example {
        public static void main(String[] arguments) throws Exception {
          Path file = Path.of("samples/digit-6.png");
          try (var classifier = Classifier.embedded()) {
            System.out.println(classifier.classify(file, 1).getFirst().label());
            var image = Image.of("six", Files.readAllBytes(file));
            System.out.println(classifier.embed(image).length);
          }
          System.out.println(OnnxImport.class.getModule().getName());
          System.out.println(NetworkFigure.class.getModule().getName());
        }
      }
      """;

  private static final String DESCRIPTOR =
      """
      module example {
        requires io.github.resnet4j;
        requires io.github.resnet4j.figures;
        requires io.github.resnet4j.onnx;
      }
      """;

  @TempDir private static Path home;
  @TempDir private Path folder;

  @BeforeAll
  static void unpack() throws IOException {
    Command.unpack(home);
  }

  @Test
  void everyJarHasAModuleName() throws IOException {
    var names = new TreeMap<String, String>();
    for (Path jar : jars("resnet4j")) {
      names.put(
          jar.getFileName().toString().replaceFirst("-\\d.*|\\.jar$", ""),
          ModuleFinder.of(jar).findAll().iterator().next().descriptor().name());
    }
    assertEquals(
        Map.of(
            "resnet4j", "io.github.resnet4j",
            "resnet4j-cli", "io.github.resnet4j.cli",
            "resnet4j-datasets", "io.github.resnet4j.datasets",
            "resnet4j-embeddings", "io.github.resnet4j.embeddings",
            "resnet4j-figures", "io.github.resnet4j.figures",
            "resnet4j-onnx", "io.github.resnet4j.onnx",
            "resnet4j-onnxruntime", "io.github.resnet4j.onnxruntime",
            "resnet4j-server", "io.github.resnet4j.server",
            "resnet4j-spark", "io.github.resnet4j.spark"),
        names);
  }

  @Test
  void programRunsOnModulePath() throws IOException {
    Path sources = Files.createDirectories(folder.resolve("src/example"));
    Path program = Files.writeString(sources.resolve("Example.java"), PROGRAM);
    Path descriptor = Files.writeString(sources.resolveSibling("module-info.java"), DESCRIPTOR);
    Path classes = folder.resolve("classes");
    compile("-p", path(), "-d", classes.toString(), descriptor.toString(), program.toString());
    String modules = classes + File.pathSeparator + path();
    var run = run("-p", modules, "-m", "example/example.Example");
    assertEquals("", run.err());
    assertEquals(
        List.of("6", "64", "io.github.resnet4j.onnx", "io.github.resnet4j.figures"), run.lines());
  }

  @Test
  void programRunsOnClassPath() throws IOException {
    Path program = Files.writeString(folder.resolve("Example.java"), PROGRAM);
    Path classes = folder.resolve("classes");
    compile("-cp", path(), "-d", classes.toString(), program.toString());
    var run = run("-cp", classes + File.pathSeparator + path(), "example.Example");
    assertEquals("", run.err());
    assertEquals(List.of("6", "64", "null", "null"), run.lines());
  }

  private static List<Path> jars(String prefix) throws IOException {
    try (Stream<Path> jars = Files.list(home.resolve("resnet4j/lib"))) {
      return jars.filter(jar -> jar.getFileName().toString().startsWith(prefix)).sorted().toList();
    }
  }

  /** The jars of ours that the program needs, and those that they need. */
  private static String path() throws IOException {
    var all = new ArrayList<Path>();
    for (String prefix :
        List.of(
            "resnet4j-0",
            "resnet4j-figures",
            "resnet4j-onnx",
            "jackson",
            "protobuf",
            "xchart",
            "VectorGraphics2D")) {
      all.addAll(jars(prefix));
    }
    return all.stream().map(Path::toString).collect(Collectors.joining(File.pathSeparator));
  }

  private static void compile(String... arguments) {
    assertEquals(
        0, ToolProvider.findFirst("javac").orElseThrow().run(System.out, System.err, arguments));
  }

  private Command.Run run(String... arguments) throws IOException {
    var command =
        new ArrayList<>(List.of(Path.of(System.getProperty("java.home"), "bin/java").toString()));
    command.add(
        "--enable-native-access="
            + (arguments[0].equals("-p") ? "io.github.resnet4j" : "ALL-UNNAMED"));
    command.addAll(List.of(arguments));
    return new Command(home, folder).runProcess(Map.of(), "", command);
  }
}
