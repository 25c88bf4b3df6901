package io.github.resnet4j.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.resnet4j.Architecture;
import io.github.resnet4j.ResNet;
import io.github.resnet4j.checkpoint.CheckpointWriter;
import io.github.resnet4j.checkpoint.Npy;
import io.github.resnet4j.checkpoint.StoredTensor;
import io.github.resnet4j.cli.Command.Run;
import io.github.resnet4j.tensor.Tensor;
import io.github.resnet4j.tensor.TorchRandom;
import java.awt.Color;
import java.awt.image.BufferedImage;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import javax.imageio.ImageIO;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import picocli.CommandLine;

/** The examples of every command's help, run one after the other in a folder with their files. */
class ExamplesIT {
  private static final Path CHECKPOINTS =
      Path.of("../core/src/test/resources/golden/checkpoints").toAbsolutePath().normalize();

  private static final Path SHARDS =
      Path.of("../datasets/src/test/resources/golden/shards").toAbsolutePath().normalize();

  /** Tested elsewhere, because they need a server or Spark, or measure for long. */
  private static final List<String> EXCLUDED =
      List.of("serve", "spark-classify", "spark-train", "bench", "plan", "help");

  @TempDir private static Path home;

  @Test
  void helpExamplesRun() throws IOException {
    Command.unpack(home);
    Path folder = home.resolve("resnet4j");
    prepare(folder);
    var commands = new CommandLine(new Main());
    var names = new ArrayList<>(commands.getSubcommands().keySet());
    names.removeAll(EXCLUDED);
    names.sort((a, b) -> Boolean.compare(b.equals("train"), a.equals("train"))); // makes run2/
    names.add("");
    var lines = new ArrayList<String>();
    // The output of the example that downloads weights.
    lines.add("train\t-d\tphotos/\t-m\tresnet8\t--epochs\t1\t-o\trun1/");
    lines.add("export\tfrom-pytorch.onnx\t-w\tmy.pth");
    lines.add(
        "export\twith-softmax.onnx\t-w\tmy.pth"); // --drop-softmax also accepts a file without
    // softmax
    for (String name : names) {
      for (Example example : Example.of(commands, name)) {
        if (!example.needsDownload()
            && !example.isOfAnotherProgram()
            && !example.line().contains("--measure")) { // sixteen networks
          lines.add(String.join("\t", shortened(example.arguments())));
        }
      }
    }
    Run run =
        new Command(home, home)
            .runProcess(
                Map.of("XDG_CACHE_HOME", home.resolve("cache").toString()),
                String.join("\n", lines) + "\n",
                List.of(
                    Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                    "-Xmx1g",
                    "-Djava.awt.headless=true",
                    "--enable-native-access=ALL-UNNAMED",
                    "-cp",
                    folder.resolve("lib") + "/*:" + System.getProperty("java.class.path"),
                    Runner.class.getName()));
    var failed = run.lines().stream().filter(line -> line.startsWith("FAILED")).toList();
    assertEquals(List.of(), failed, run.err());
    assertTrue(run.lines().contains("DONE " + lines.size()), run.err());
  }

  /** Reduces the number of epochs. */
  private static List<String> shortened(List<String> arguments) {
    var words = new ArrayList<>(arguments);
    words.replaceAll(word -> word.equals("20") ? "1" : word.equals("40") ? "2" : word); // epochs
    if (words.getFirst().equals("train") && !words.contains("--epochs")) {
      words.addAll(List.of("--epochs", "1"));
    }
    return words;
  }

  private static void prepare(Path folder) throws IOException {
    for (String shape : List.of("disc", "square")) {
      Path images = Files.createDirectories(folder.resolve("photos").resolve(shape));
      for (int i = 0; i < 5; i++) {
        draw(shape, i, images.resolve(i + ".jpg"));
      }
    }
    draw("disc", 7, folder.resolve("cat.jpg"));
    draw("disc", 8, folder.resolve("photo.jpg"));
    Files.writeString(folder.resolve("names.txt"), "disc\nsquare\n");
    Files.writeString(folder.resolve("imagenet.json"), "{\"crop_size\": 32}");
    Path shards = Files.createDirectories(folder.resolve("shards"));
    for (String name : List.of("train-001.tar.gz", "val-000.tar.gz")) {
      Files.copy(SHARDS.resolve(name), shards.resolve(name));
    }
    Files.createDirectories(folder.resolve("docs"));
    var spec = Architecture.named("resnet20").toBuilder().numClasses(2).build();
    ResNet network = ResNet.initialize(spec, TorchRandom.manualSeed(0));
    for (String name :
        List.of(
            "my.pth",
            "a.pth",
            "b.pth",
            "before.pth",
            "after.safetensors",
            "my.safetensors",
            "resnet50.pth",
            "resnet50-11ad3fa6.pth")) {
      network.save(folder.resolve(name), Map.of());
    }
    Files.copy(CHECKPOINTS.resolve("training.pth"), folder.resolve("training.pth"));
    Files.copy(
        CHECKPOINTS.resolve("hugging-face/model.safetensors"),
        folder.resolve("microsoft.safetensors"));
    Tensor x = TorchRandom.manualSeed(1).randn(1, 3, 64, 64);
    Npy.write(folder.resolve("x.npy"), x);
    var tensors = new LinkedHashMap<String, StoredTensor>();
    tensors.put("fc", StoredTensor.of(Tensor.zeros(1, 2)));
    CheckpointWriter.write(folder.resolve("python.safetensors"), tensors, Map.of());
  }

  private static void draw(String shape, int i, Path file) throws IOException {
    var image = new BufferedImage(64, 48, BufferedImage.TYPE_INT_RGB);
    var pen = image.createGraphics();
    pen.setColor(new Color(200, 60 + 20 * i, 40));
    if (shape.equals("disc")) {
      pen.fillOval(4 + i, 4, 36, 36);
    } else {
      pen.fillRect(4 + i, 4, 36, 36);
    }
    pen.dispose();
    ImageIO.write(image, "jpg", file.toFile());
  }

  /** Runs the command lines on stdin, words separated by tabs, in one process. */
  static final class Runner {
    private Runner() {}

    public static void main(String[] none) throws IOException {
      int done = 0;
      try (var lines =
          new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8))) {
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
          int code = Main.execute(new Main(), line.split("\t"));
          System.out.println();
          if (code != 0 && !(line.startsWith("diff") && code == 4)) {
            System.out.println("FAILED " + code + " " + line);
          }
          done++;
        }
      }
      System.out.println("DONE " + done);
    }
  }
}
