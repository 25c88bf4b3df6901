package io.github.resnet4j.examples;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.resnet4j.Model;
import io.github.resnet4j.train.Dataset;
import java.awt.image.BufferedImage;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.List;
import java.util.stream.Stream;
import javax.imageio.ImageIO;
import jdk.jshell.tool.JavaShellToolBuilder;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Runs the examples as a reader would. */
class ExamplesTest {
  private static final Path SAMPLES = Path.of("../samples");

  @TempDir Path folder;

  /** A program; what it prints. */
  private interface Program {
    void run() throws Exception;
  }

  private static List<String> output(Program program) throws Exception {
    var bytes = new ByteArrayOutputStream();
    PrintStream before = System.out;
    System.setOut(new PrintStream(bytes, true, StandardCharsets.UTF_8));
    try {
      program.run();
    } finally {
      System.setOut(before);
    }
    return bytes.toString(StandardCharsets.UTF_8).lines().toList();
  }

  private static String sample(int digit) {
    return SAMPLES.resolve("digit-" + digit + ".png").toString();
  }

  @Test
  void classify() throws Exception {
    List<String> lines = output(() -> Classify.main(new String[] {sample(6)}));
    assertEquals(3, lines.size());
    assertTrue(lines.getFirst().startsWith("6 "), lines.toString());
  }

  @Test
  void search() throws Exception {
    String index = folder.resolve("index").toString();
    List<String> lines =
        output(() -> Search.main(new String[] {SAMPLES.toString(), sample(3), index}));
    assertEquals(3, lines.size());
    assertEquals("1.000 " + sample(3), lines.getFirst());
  }

  /** As an image folder, the embedded digits 0 and 1, which the embedded model knows. */
  @Test
  void fineTune() throws Exception {
    int count = 0;
    for (Dataset.Example example : Dataset.digits().val()) {
      if (example.label() < 2 && count++ < 60) {
        Path file = folder.resolve("photos/class-" + example.label() + "/" + count + ".png");
        Files.createDirectories(file.getParent());
        var pixels = example.source().read();
        var image = new BufferedImage(pixels.width(), pixels.height(), BufferedImage.TYPE_INT_RGB);
        for (int i = 0; i < pixels.width() * pixels.height(); i++) {
          int gray = pixels.data()[3 * i] & 0xff;
          image.setRGB(i % pixels.width(), i / pixels.width(), gray * 0x010101);
        }
        ImageIO.write(image, "png", file.toFile());
      }
    }
    Path base = folder.resolve("digits.safetensors");
    Model.embedded().save(base);
    Path run = folder.resolve("run");
    String[] arguments = {folder.resolve("photos").toString(), base.toString(), run.toString()};
    List<String> lines = output(() -> FineTune.main(arguments));
    assertEquals("classes: [class-0, class-1]", lines.getLast());
    // A circle and a stroke, told apart by a network that was trained on them: guessing gives 50 %.
    String accuracy = lines.getFirst().replaceAll("[^0-9.]", "");
    assertTrue(Double.parseDouble(accuracy) >= 90, lines.getFirst());
    assertEquals(
        List.of("class-0", "class-1"), Model.load(run.resolve("best.safetensors")).labels());
  }

  @Test
  void export() throws Exception {
    Path file = folder.resolve("digits.onnx");
    List<String> lines = output(() -> Export.main(new String[] {file.toString()}));
    assertEquals(List.of("labels: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]"), lines);
  }

  @Test
  void ownNetwork() throws Exception {
    Path drawing = folder.resolve("network.svg");
    List<String> lines =
        output(() -> OwnNetwork.main(new String[] {sample(6), drawing.toString()}));
    assertTrue(lines.getFirst().startsWith("layer "), lines.getFirst());
    assertEquals(7, lines.stream().filter(line -> line.contains(" Block ")).count());
    assertTrue(lines.getLast().contains("cat") && lines.getLast().contains("dog"));
    assertTrue(Files.readString(drawing).startsWith("<svg"));
  }

  @Test
  void jshellScript() throws Exception {
    Path script = folder.resolve("classify.jsh");
    Files.writeString(
        script, Files.readString(Path.of("classify.jsh")).replace("samples/", SAMPLES + "/"));
    String classPath =
        System.getProperty("surefire.test.class.path", System.getProperty("java.class.path"));
    var errors = new ByteArrayOutputStream();
    List<String> lines =
        output(() -> {
          try (var printed = new PrintStream(errors, true, StandardCharsets.UTF_8)) {
            JavaShellToolBuilder.builder()
                .in(InputStream.nullInputStream(), null)
                .out(printed)
                .err(printed)
                .persistence(new HashMap<>())
                .start("--execution", "local", "--class-path", classPath, script.toString());
          }
        });
    assertEquals("", errors.toString(StandardCharsets.UTF_8));
    assertEquals(3, lines.size(), lines.toString());
    assertTrue(lines.getFirst().startsWith("6 "), lines.toString());
  }

  static Stream<Path> programs() throws IOException {
    try (var files = Files.list(Path.of("src/main/java/io/github/resnet4j/examples"))) {
      return files.filter(file -> !file.endsWith("package-info.java")).toList().stream();
    }
  }

  /** The statements of main; a statement over several lines counts once for each. */
  @ParameterizedTest
  @MethodSource("programs")
  void haveAtMostTenLines(Path file) throws IOException {
    List<String> lines = Files.readAllLines(file);
    int from = 0;
    while (!lines.get(from).contains("void main(")) {
      from++;
    }
    int end = from;
    while (!lines.get(end).equals("  }")) {
      end++;
    }
    long count = lines.subList(from + 1, end).stream().filter(line -> !line.isBlank()).count();
    assertTrue(count <= 10, file + ": " + count);
  }
}
