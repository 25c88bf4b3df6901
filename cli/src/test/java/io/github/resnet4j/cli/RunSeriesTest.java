package io.github.resnet4j.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.awt.Color;
import java.awt.image.BufferedImage;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;
import javax.imageio.ImageIO;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Several trainings with one command line, in this process. */
class RunSeriesTest {
  @TempDir private Path folder;

  private void draw() throws IOException {
    for (int i = 0; i < 12; i++) {
      var image = new BufferedImage(16, 16, BufferedImage.TYPE_INT_RGB);
      var pen = image.createGraphics();
      pen.setColor(i % 2 == 0 ? Color.RED : Color.BLUE);
      pen.fillRect(i / 2, 4, 8, 8);
      pen.dispose();
      Path file = folder.resolve("photos/%s/%d.png".formatted(i % 2 == 0 ? "red" : "blue", i));
      Files.createDirectories(file.getParent());
      ImageIO.write(image, "png", file.toFile());
    }
  }

  private record Outcome(int code, String out, String err) {}

  private Outcome train(String... more) {
    return trainOn(folder.resolve("photos"), more);
  }

  private Outcome trainOn(Path data, String... more) {
    var words = new ArrayList<>(List.of("train", "-d", data.toString()));
    words.addAll(List.of("-m", "resnet8", "-b", "4", "--epochs", "1", "-t", "1"));
    words.addAll(List.of("-o", folder.resolve("out").toString()));
    words.addAll(List.of(more));
    PrintStream out = System.out;
    PrintStream err = System.err;
    var printed = new ByteArrayOutputStream();
    var errors = new ByteArrayOutputStream();
    System.setOut(new PrintStream(printed, true, StandardCharsets.UTF_8));
    System.setErr(new PrintStream(errors, true, StandardCharsets.UTF_8));
    try {
      int code = Main.execute(new Main(), words.toArray(String[]::new));
      return new Outcome(
          code, printed.toString(StandardCharsets.UTF_8), errors.toString(StandardCharsets.UTF_8));
    } finally {
      System.setOut(out);
      System.setErr(err);
    }
  }

  private List<String[]> table(String name) throws IOException {
    return Files.readAllLines(folder.resolve("out").resolve(name)).stream()
        .map(line -> line.split(",", -1))
        .toList();
  }

  @Test
  void foldsAreHeldOutOnceEachAndSummarized() throws IOException {
    draw();
    Outcome made = train("--folds", "3", "--lr-scheduler", "constant", "--lr", "0.01");
    assertEquals(0, made.code(), made.err());
    List<String[]> runs = table("runs.csv");
    assertEquals("fold,epoch,val_loss,val_accuracy", String.join(",", runs.getFirst()));
    double[] scores =
        runs.stream().skip(1).mapToDouble(row -> Double.parseDouble(row[3])).toArray();
    assertEquals(3, scores.length);
    double mean = (scores[0] + scores[1] + scores[2]) / 3;
    double squares = Stream.of(0, 1, 2).mapToDouble(i -> Math.pow(scores[i] - mean, 2)).sum();
    String[] summary = table("summary.csv").get(1);
    assertEquals("3", summary[0]);
    // The table has six digits.
    assertEquals(100 * mean, Double.parseDouble(summary[1]), 1e-3);
    assertEquals(100 * Math.sqrt(squares / 2), Double.parseDouble(summary[2]), 1e-3);
    var held = new ArrayList<String>();
    for (int fold = 1; fold <= 3; fold++) {
      List<String> some = Files.readAllLines(folder.resolve("out/fold=" + fold + "/held-out.txt"));
      assertEquals(2, some.stream().filter(name -> name.contains("red")).count(), "" + some);
      held.addAll(some);
    }
    assertEquals(12, held.stream().distinct().count());
    assertTrue(Files.exists(folder.resolve("out/runs.svg")));
  }

  /** A table with absolute paths in a folder that is named by a relative one. */
  @Test
  void imagesOutsideOfTheTablesFolderAreHeldOut() throws IOException {
    draw();
    var rows = new ArrayList<>(List.of("path,label"));
    try (Stream<Path> files = Files.walk(folder.resolve("photos"))) {
      files
          .filter(Files::isRegularFile)
          .forEach(file -> rows.add(file.toAbsolutePath() + "," + file.getParent().getFileName()));
    }
    Path table = Path.of("target/held-out-test.csv"); // relative to the current folder
    Files.createDirectories(table.getParent());
    Files.write(table, rows);
    try {
      Outcome made = trainOn(table);
      assertEquals(0, made.code(), made.err());
    } finally {
      Files.delete(table);
    }
    List<String> held = Files.readAllLines(folder.resolve("out/held-out.txt"));
    assertTrue(held.size() == 2 && held.getFirst().contains("photos"), held.toString());
  }

  @Test
  void combinationsAreTrainedAndDivergedOnesAreEmpty() throws IOException {
    draw();
    Outcome made = train("--sweep", "lr=0.01,1e30", "--sweep", "optimizer=sgd,adamw");
    assertEquals(0, made.code(), made.err());
    List<String[]> runs = table("runs.csv");
    assertEquals("lr,optimizer,epoch,val_loss,val_accuracy", String.join(",", runs.getFirst()));
    assertEquals(5, runs.size());
    assertTrue(made.err().contains("lr=1e30,optimizer=sgd: diverged"), made.err());
    assertEquals("1e30,sgd,,,", String.join(",", runs.get(3)));
    assertTrue(Files.exists(folder.resolve("out/lr=0.01,optimizer=adamw/best.safetensors")));
    assertTrue(made.out().contains("lr=0.01,optimizer=adamw "), made.out());
  }

  @Test
  void wrongSweepsAreRejectedBeforeTheFirstRun() {
    assertError("--sweep must be OPTION=VALUE,… with an option of train, was 'lrr=1'", "lrr=1");
    assertError("--sweep: --epochs is given as an option, too; leave one of them out", "epochs=2");
    assertError("--sweep: --output cannot be varied", "output=a,b");
    assertError("--sweep: --lr must be above 0, was -1.0", "lr=0.1,-1");
    assertTrue(Files.notExists(folder.resolve("out")));
  }

  private void assertError(String expected, String sweep) {
    Outcome outcome = train("--sweep", sweep);
    assertEquals(2, outcome.code());
    assertTrue(outcome.err().startsWith("resnet4j: " + expected), outcome.err());
  }
}
