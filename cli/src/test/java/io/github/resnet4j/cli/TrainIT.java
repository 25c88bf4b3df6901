package io.github.resnet4j.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.resnet4j.cli.Command.Run;
import java.awt.Color;
import java.awt.image.BufferedImage;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import javax.imageio.ImageIO;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The train command, each call a process. */
class TrainIT {
  @TempDir static Path home;
  @TempDir Path folder;
  private Command command = new Command(Path.of(""), Path.of(""));

  @BeforeAll
  static void unpack() throws IOException {
    Command.unpack(home);
  }

  @BeforeEach
  void draw() throws IOException {
    command = new Command(home, folder);
    for (int i = 0; i < 12; i++) {
      for (int label = 0; label < 2; label++) {
        var image = new BufferedImage(32, 32, BufferedImage.TYPE_INT_RGB);
        var pen = image.createGraphics();
        pen.setColor(label == 0 ? Color.RED : Color.BLUE);
        pen.fillRect(i, 10, 12, 12);
        pen.dispose();
        Path file = folder.resolve("photos/%s/%d.png".formatted(label == 0 ? "red" : "blue", i));
        Files.createDirectories(file.getParent());
        ImageIO.write(image, "png", file.toFile());
      }
    }
  }

  private Run run(String... arguments) throws IOException {
    return command.run(Map.of(), "", arguments);
  }

  private String[] train(String... more) {
    var all =
        new ArrayList<>(
            List.of(
                "train", "-d", folder.resolve("photos").toString(), "-m", "resnet8", "-b", "8"));
    all.addAll(List.of("--lr-scheduler", "constant", "--lr", "0.01", "--seed", "1"));
    all.addAll(List.of("-o", folder.resolve("run").toString()));
    all.addAll(List.of(more));
    return all.toArray(String[]::new);
  }

  /** Starts a training with its output in a file; waits until the file has this many lines. */
  private Process start(Path out, int lines, String... arguments)
      throws IOException, InterruptedException {
    var words = new ArrayList<>(List.of("sh", home.resolve("resnet4j/resnet4j").toString()));
    words.addAll(List.of(arguments));
    Process process =
        new ProcessBuilder(words)
            .redirectOutput(out.toFile())
            .redirectError(folder.resolve("errors").toFile())
            .start();
    for (int i = 0; i < 6000 && process.isAlive(); i++) {
      if (Files.readAllLines(out).size() >= lines) {
        return process;
      }
      Thread.sleep(10);
    }
    process.destroyForcibly();
    throw new AssertionError(Files.readString(folder.resolve("errors")));
  }

  /** Trains, evaluates and classifies with a table of labels, then one of numbers. */
  @Test
  void tablesOfLabelsAndNumbersAreTrained() throws Exception {
    var labels = new StringBuilder("path,red,blue\n");
    var numbers = new StringBuilder("path,left\n");
    for (int i = 0; i < 12; i++) {
      labels.append("photos/red/%d.png,1,0\nphotos/blue/%d.png,0,1\n".formatted(i, i));
      numbers.append("photos/red/%d.png,%d\nphotos/blue/%d.png,%d\n".formatted(i, i, i, i));
    }
    Path table = Files.writeString(folder.resolve("labels.csv"), labels);
    String out = folder.resolve("run").toString();
    List<String> common = List.of("-m", "resnet8", "-b", "8", "--lr", "0.05", "--crop", "center");
    var train = new ArrayList<>(List.of("train", "-d", table.toString(), "-o", out));
    train.addAll(common);
    train.addAll(List.of("--epochs", "12", "--loss", "focal", "--focal-alpha", "0.5"));
    Run made = run(train.toArray(String[]::new));
    assertEquals(0, made.code(), made.err());
    assertTrue(made.err().contains("2 classes, several per image"), made.err());
    assertTrue(made.out().contains("validation mAP 100.00 %"), made.out());
    String best = folder.resolve("run/best.safetensors").toString();
    Run found = run("evaluate", "-w", best, "-d", table.toString(), "-f", "csv");
    assertTrue(found.err().contains("5 images: mAP 100.00 %"), found.err());
    assertTrue(found.out().startsWith("class,images,average_precision_percent"), found.out());
    Run one = run("classify", "-w", best, folder.resolve("photos/red/5.png").toString());
    assertTrue(one.out().contains("%  red") && !one.out().contains("%  blue"), one.out());

    Path ages = Files.writeString(folder.resolve("numbers.csv"), numbers);
    train.set(2, ages.toString());
    train.set(4, out + "2");
    Run refused = run(train.toArray(String[]::new));
    assertTrue(refused.err().contains("--loss focal: these images have numbers"), refused.err());
    train.set(train.indexOf("focal"), "smooth_l1");
    Run regression = run(train.toArray(String[]::new));
    assertEquals(0, regression.code(), regression.err());
    best = folder.resolve("run2/best.safetensors").toString();
    Run errors = run("evaluate", "-w", best, "-d", ages.toString());
    assertTrue(errors.out().contains("left"), errors.out());
    assertTrue(errors.err().contains("5 images: mean absolute error"), errors.err());
    Run value = run("classify", "-w", best, folder.resolve("photos/red/5.png").toString());
    assertTrue(value.out().strip().endsWith("left"), value.out());
  }

  @Test
  void epochLinesAreFlushedAtOnce() throws Exception {
    Path out = folder.resolve("log");
    Process process = start(out, 3, train("--epochs", "100000"));
    assertTrue(process.isAlive());
    // SIGTERM, which the JVM answers as Ctrl-C: SIGINT is ignored by what a shell starts with '&'.
    process.destroy();
    assertTrue(process.waitFor(60, TimeUnit.SECONDS));
    List<String> lines = Files.readAllLines(out);
    assertTrue(lines.getFirst().startsWith("epoch "), lines.toString());
    assertTrue(lines.get(2).startsWith("2/100000 "), lines.toString());
  }

  @Test
  void secondTrainingInSameFolderIsRejected() throws Exception {
    Process first = start(folder.resolve("log"), 2, train("--epochs", "100000"));
    Run second = run(train("--epochs", "100000", "--resume"));
    assertEquals(1, second.code());
    assertTrue(second.err().contains("another training is running in this folder"), second.err());
    first.destroyForcibly().waitFor(); // kill -9: the lock goes with the process
    int done = Files.readAllLines(folder.resolve("run/metrics.csv")).size() - 1;
    Run third = run(train("--epochs", String.valueOf(done + 1), "--resume"));
    assertTrue(
        third.code() == 0 || third.err().contains("epochs were already started"), third.err());
  }

  @Test
  void resumeExtendsRunAndRejectsOtherChanges() throws IOException {
    assertEquals(0, run(train("--epochs", "1")).code());
    Run more = run(train("--epochs", "2", "--resume"));
    assertEquals(0, more.code(), more.err());
    assertTrue(more.err().contains("extending the run from 1 to 2 epochs"), more.err());
    assertTrue(more.lines().get(1).startsWith("2/2 "), more.out());
    Run other = run(train("--epochs", "2", "--resume", "--weight-decay", "0.5"));
    assertEquals(1, other.code());
    assertTrue(other.err().contains("weight decay was 0.0005, is 0.5:"), other.err());
    assertEquals(1, other.err().lines().filter(line -> line.startsWith("resnet4j: ")).count());
  }

  /** A batch of 24 images of 224×224 does not fit into this heap. */
  @Test
  void batchIsSplitToFitMemory() throws IOException {
    Run made =
        command.run(
            Map.of("RESNET4J_JAVA_OPTS", "-Xmx1200m"),
            "",
            "train",
            "-d",
            folder.resolve("photos").toString(),
            "-m",
            "resnet18",
            "-t",
            "2",
            "--val-split",
            "0",
            "--epochs",
            "1",
            "-o",
            folder.resolve("large").toString());
    assertEquals(0, made.code(), made.err());
    assertTrue(made.err().contains("batch size: 256\n"), made.err());
    assertTrue(
        made.err().matches("(?s).*micro-batches: up to \\d+ images; their gradients are.*"),
        made.err());
    assertTrue(made.out().contains("best epoch: 1 of 1, training accuracy"), made.out());
  }

  @Test
  void curvesOfDivergedRunAreDrawn() throws IOException {
    Path runs = Files.createDirectories(folder.resolve("diverged"));
    var lines = new ArrayList<String>();
    lines.add(
        "epoch,rate,train_loss,train_accuracy,val_loss,val_accuracy,images_per_second,"
            + "step_images_per_second,load_images_per_second");
    for (int i = 1; i <= 6; i++) {
      String loss = Arrays.asList("0", "1.2", "0.9", "7e21", "NaN", "Infinity", "1e300").get(i);
      lines.add("%d,0.1,%s,0.5,%s,0.4,1,1,1".formatted(i, loss, loss));
    }
    Files.write(runs.resolve("metrics.csv"), lines);
    String name = folder.resolve("chart").toString();
    Run drawn = run("curves", runs.toString(), "--metric", "loss", "-o", name);
    assertEquals(0, drawn.code(), drawn.err());
    assertEquals("wrote %1$s.png\nwrote %1$s.svg\n".formatted(name), drawn.err());
    assertTrue(Files.readString(Path.of(name + ".svg")).contains("</svg>"));
    assertEquals(720, ImageIO.read(Path.of(name + ".png").toFile()).getWidth());
    Run none = run("curves", folder.resolve("photos").toString(), "-o", name);
    assertEquals(1, none.code());
    assertTrue(none.err().contains("metrics.csv: does not exist"), none.err());
  }

  @Test
  void evaluatesSingleAndEmptyClasses() throws IOException {
    assertEquals(0, run(train("--epochs", "1")).code());
    String model = folder.resolve("run/best.safetensors").toString();
    Files.createDirectories(folder.resolve("one"));
    Files.move(folder.resolve("photos/red"), folder.resolve("one/red"));
    Run one = run("evaluate", "-w", model, "-d", folder.resolve("one").toString());
    assertEquals(0, one.code(), one.err());
    assertTrue(one.err().contains("12 images: top-1 accuracy "), one.err());
    assertFalse(one.err().contains("held out"), one.err()); // another folder than that of the run
    Files.createDirectories(folder.resolve("one/blue"));
    Run empty = run("evaluate", "-w", model, "-d", folder.resolve("one").toString());
    assertEquals(0, empty.code(), empty.err());
    assertTrue(empty.err().contains("class 'blue' has no images"), empty.err());
  }
}
