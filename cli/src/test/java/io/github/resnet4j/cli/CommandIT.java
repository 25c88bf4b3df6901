package io.github.resnet4j.cli;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.jr.ob.JSON;
import io.github.resnet4j.Architecture;
import io.github.resnet4j.checkpoint.Checkpoint;
import io.github.resnet4j.checkpoint.CheckpointWriter;
import io.github.resnet4j.checkpoint.Npy;
import io.github.resnet4j.checkpoint.StoredTensor;
import io.github.resnet4j.cli.Command.Run;
import io.github.resnet4j.tensor.Tensor;
import java.awt.Color;
import java.awt.image.BufferedImage;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import javax.imageio.ImageIO;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledOnOs;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** The command as users run it, from the unpacked distribution, in a process of its own. */
class CommandIT {
  private static final Path GOLDEN =
      Path.of("../core/src/test/resources/golden").toAbsolutePath().normalize();

  @TempDir private static Path home;
  @TempDir private Path folder;

  private static Path launcher;

  @BeforeAll
  static void unpack() throws IOException {
    Command.unpack(home);
    launcher = home.resolve("resnet4j/resnet4j");
  }

  private Run run(String... arguments) throws IOException {
    return run(Map.of(), "", arguments);
  }

  private Run run(Map<String, String> environment, String input, String... arguments)
      throws IOException {
    return new Command(home, folder).run(environment, input, arguments);
  }

  private Run runProcess(Map<String, String> environment, String input, List<String> command)
      throws IOException {
    return new Command(home, folder).runProcess(environment, input, command);
  }

  @Test
  void classifiesOneImage() throws IOException {
    Run run = run("classify", "samples/digit-6.png");
    assertEquals(0, run.code(), run.err());
    assertEquals("", run.err());
    assertEquals("samples/digit-6.png", run.lines().getFirst());
    assertTrue(run.lines().get(1).matches(" +9\\d\\.\\d %  6 +█+"), run.out());
    assertEquals(6, run.lines().size());
  }

  @Test
  void vectorAndScalarKernelsAgreeOnAFolder() throws IOException {
    Path images = Files.createDirectories(folder.resolve("many"));
    for (int i = 0; i < 40; i++) {
      Files.copy(
          home.resolve("resnet4j/samples/digit-" + i % 10 + ".png"),
          images.resolve("%02d.png".formatted(i)));
    }
    Run vectors =
        run("classify", "-f", "csv", "--top", "1", "--kernels", "vector", images.toString());
    Run scalar =
        run("classify", "-f", "csv", "--top", "1", "--kernels", "scalar", images.toString());
    assertEquals(0, vectors.code(), vectors.err());
    assertEquals(41, vectors.lines().size());
    for (int i = 1; i <= 40; i++) {
      String[] one = vectors.lines().get(i).split(",");
      String[] two = scalar.lines().get(i).split(",");
      assertEquals(List.of(two).subList(0, 4), List.of(one).subList(0, 4));
      assertEquals(Float.parseFloat(two[4]), Float.parseFloat(one[4]), 1e-5);
      assertEquals(String.valueOf((i - 1) % 10), one[3]);
    }
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "vector | no vector kernels: the Vector API is not enabled; start Java with --add-modules"
            + " jdk.incubator.vector",
        "machine | no machine kernels: start Java with --enable-native-access=ALL-UNNAMED",
      })
  @EnabledOnOs(architectures = "amd64")
  void unavailableKernelsAreOneLineErrors(String kernels, String error) throws IOException {
    Path java = Path.of(System.getProperty("java.home"), "bin", "java");
    Run run =
        runProcess(
            Map.of(),
            "",
            List.of(
                java.toString(),
                "-cp",
                home.resolve("resnet4j/lib").toString() + "/*",
                "io.github.resnet4j.cli.Main",
                "classify",
                "--kernels",
                kernels,
                home.resolve("resnet4j/samples/digit-6.png").toString()));
    assertEquals(1, run.code());
    assertEquals("resnet4j: " + error + "\n", run.err());
  }

  @ParameterizedTest
  @ValueSource(strings = {"auto", "vector", "scalar"})
  void launcherEnablesRequestedKernels(String kernels) throws IOException {
    Run run = run("classify", "-f", "csv", "--kernels", kernels, "samples/digit-6.png");
    assertEquals(0, run.code(), run.err());
    assertTrue(run.lines().get(1).startsWith("samples/digit-6.png,1,6,6,"), run.out());
  }

  @Test
  void benchAndPlanPrintTables() throws IOException {
    Run bench =
        run(
            "bench",
            "-m",
            "resnet20",
            "-i",
            "32",
            "-b",
            "1,2",
            "--warmup",
            "0.1",
            "-r",
            "2",
            "-f",
            "csv");
    assertEquals(0, bench.code(), bench.err());
    assertEquals(
        "model,batch size,threads,image size,precision,images/s,median ms,fastest ms",
        bench.lines().getFirst());
    assertEquals(3, bench.lines().size());
    Run tail =
        run(
            "bench",
            "-m",
            "resnet20",
            "-i",
            "32",
            "--warmup",
            "0.1",
            "-r",
            "50",
            "-f",
            "json",
            "--percentiles",
            "--garbage",
            "-t",
            "3");
    assertEquals(0, tail.code(), tail.err());
    var times = JSON.std.mapFrom(tail.lines().getFirst());
    double last = 0;
    for (String column : List.of("fastest ms", "median ms", "p90 ms", "p99 ms", "max ms")) {
      double time = ((Number) times.get(column)).doubleValue();
      assertTrue(time >= last, tail.out());
      last = time;
    }
    Run plan = run("plan", "-m", "resnet20", "-i", "32", "--seconds", "0.2", "-f", "json");
    assertEquals(0, plan.code(), plan.err());
    assertEquals("input", JSON.std.mapFrom(plan.lines().getFirst()).get("step"));
    assertEquals("output", JSON.std.mapFrom(plan.lines().getLast()).get("step"));
    Run wrong = run("plan", "-m", "resnet51");
    assertEquals(2, wrong.code());
    assertTrue(wrong.err().contains("resnet51"), wrong.err());
  }

  @Test
  void classifiesFolderAsJsonLines() throws IOException {
    Path images = Files.createDirectories(folder.resolve("images/deeper"));
    for (int digit : new int[] {3, 5}) {
      Files.copy(
          home.resolve("resnet4j/samples/digit-" + digit + ".png"), images.resolve(digit + ".png"));
    }
    Files.writeString(images.resolve("4.png"), "not an image");
    Files.writeString(images.resolve("notes.txt"), "ignored");

    Run run = run("classify", "--top", "2", "--format", "json", images.getParent().toString());

    assertEquals(3, run.code(), "some images could not be read");
    assertEquals(3, run.lines().size());
    var three = JSON.std.mapFrom(run.lines().get(0));
    assertTrue(three.get("path").toString().endsWith("3.png"));
    var best = (Map<?, ?>) ((List<?>) three.get("predictions")).getFirst();
    assertEquals(List.of("index", "label", "probability"), List.copyOf(best.keySet()));
    assertEquals(3, best.get("index"));
    assertEquals("3", best.get("label"));
    assertEquals(2, ((List<?>) three.get("predictions")).size());
    assertTrue(JSON.std.mapFrom(run.lines().get(1)).get("error").toString().contains("4.png"));
    assertTrue(run.lines().get(2).contains("5.png"));
    assertTrue(run.err().contains("4.png: is not an image in a known format"), run.err());
    assertTrue(run.err().contains("1 of 3 images could not be read"), run.err());
  }

  @Test
  void classifiesPatternAsCsv() throws IOException {
    Run run = run("classify", "--top", "1", "-f", "csv", "samples/digit-[0-4].png");
    assertEquals(0, run.code(), run.err());
    assertEquals("path,rank,index,label,probability", run.lines().getFirst());
    assertEquals(6, run.lines().size());
    for (int digit = 0; digit < 5; digit++) {
      String line = run.lines().get(digit + 1);
      assertTrue(
          line.startsWith("samples/digit-%d.png,1,%d,%d,0.".formatted(digit, digit, digit)), line);
    }
  }

  @Test
  void readsPathsFromStdin() throws IOException {
    Run run =
        run(
            Map.of(),
            "samples/digit-1.png\nsamples/digit-2.png\n",
            "classify",
            "-",
            "--top",
            "1",
            "--format",
            "csv");
    assertEquals(0, run.code(), run.err());
    assertEquals(3, run.lines().size());
  }

  @Test
  void acceptsLabelsPreprocessingAndThreads() throws IOException {
    Path labels = folder.resolve("labels.txt");
    Files.writeString(labels, "null\neins\nzwei\ndrei\nvier\nfünf\nsechs\nsieben\nacht\nneun\n");
    Path preprocessing = folder.resolve("p.json");
    Files.writeString(
        preprocessing,
        "{\"crop_size\": 32, \"mean\": [0.3, 0.3, 0.3], \"std\": [0.35, 0.35, 0.35]}");
    Run run =
        run(
            "classify",
            "--labels",
            labels.toString(),
            "--preprocessing",
            preprocessing.toString(),
            "--threads",
            "1",
            "--top",
            "1",
            "samples/digit-5.png");
    assertEquals(0, run.code(), run.err());
    assertTrue(run.out().contains("fünf"), run.out());

    Files.writeString(labels, "one\ntwo\n");
    Run wrong = run("classify", "--labels", labels.toString(), "samples/digit-5.png");
    assertEquals(1, wrong.code());
    assertTrue(wrong.err().contains("has 2 labels, one per line, but the network has 10 classes"));
  }

  @Test
  void acceptsOwnWeights() throws IOException {
    Path file = folder.resolve("mine.safetensors");
    Run converted =
        run("convert", GOLDEN.resolve("checkpoints/training.pth").toString(), file.toString());
    assertEquals(0, converted.code(), converted.err());
    Run recognized = run("classify", "--weights", file.toString(), "samples/digit-5.png");
    assertEquals(0, recognized.code(), recognized.err());
    assertTrue(recognized.err().contains("contain no preprocessing settings"));
    Path other = folder.resolve("other.safetensors");
    var tensors = new LinkedHashMap<String, StoredTensor>();
    tensors.put("fc.bias", StoredTensor.of(Tensor.zeros(3)));
    CheckpointWriter.write(other, tensors, Map.of());
    Run unknown = run("classify", "--weights", other.toString(), "samples/digit-5.png");
    assertEquals(1, unknown.code());
    assertTrue(
        unknown.err().contains("is no network of the ResNet family: conv1.weight is missing"),
        unknown.err());
    Run wrong = run("classify", "-m", "resnet18", "-w", file.toString(), "samples/digit-5.png");
    assertEquals(1, wrong.code());
    assertTrue(wrong.err().contains("does not fit the network: "), wrong.err());
  }

  @Test
  void forwardMatchesPytorch() throws IOException {
    Tensor logits = golden("logits");
    Path npy = folder.resolve("y.npy");
    Run run =
        run(
            "forward",
            "--model",
            "resnet20",
            "--seed",
            "0",
            "--input",
            GOLDEN.resolve("forward-input.npy").toString(),
            "--output",
            npy.toString());
    assertEquals(0, run.code(), run.err());
    assertEquals("", run.out());
    Tensor y = Npy.read(npy);
    assertArrayEquals(logits.shape(), y.shape());
    assertArrayEquals(logits.data(), y.data(), 1e-5f);

    Path safetensors = folder.resolve("f.safetensors");
    Run features =
        run(
            "forward",
            "--model",
            "resnet20",
            "--seed",
            "0",
            "--features",
            "--input",
            GOLDEN.resolve("forward-input.npy").toString(),
            "--output",
            safetensors.toString());
    assertEquals(0, features.code(), features.err());
    try (var checkpoint = Checkpoint.open(safetensors)) {
      Tensor map = checkpoint.tensors().get("features").toTensor();
      assertArrayEquals(golden("features").shape(), map.shape());
      assertArrayEquals(golden("features").data(), map.data(), 1e-4f);
    }
  }

  private static Tensor golden(String name) throws IOException {
    try (var checkpoint = Checkpoint.open(GOLDEN.resolve("forward.safetensors"))) {
      return checkpoint.tensors().get(name).toTensor();
    }
  }

  @Test
  void convertRoundTripIsLossless() throws IOException {
    Path source = GOLDEN.resolve("checkpoints/zip.pth");
    Path there = folder.resolve("a.safetensors");
    Path back = folder.resolve("b.pth");
    assertEquals(0, run("convert", source.toString(), there.toString()).code());
    assertEquals(0, run("convert", there.toString(), back.toString()).code());
    Path half = folder.resolve("half.safetensors");
    Run run = run("convert", back.toString(), half.toString(), "--precision", "fp16");
    assertEquals(0, run.code(), run.err());
    assertTrue(run.err().startsWith("38 tensors, "), run.err());
    try (var before = Checkpoint.open(source);
        var after = Checkpoint.open(back);
        var small = Checkpoint.open(half)) {
      assertEquals(before.names(), after.names());
      for (String name : before.names()) {
        assertArrayEquals(
            before.tensors().get(name).toTensor().data(),
            after.tensors().get(name).toTensor().data());
      }
      assertEquals("f16[4, 3, 3, 3]", small.tensors().get("conv1.weight").toString());
      assertEquals("i64[]", small.tensors().get("bn1.num_batches_tracked").toString());
    }
    Run wrong = run("convert", source.toString(), "model.onnx");
    assertEquals(2, wrong.code());
    assertTrue(wrong.err().contains("must end in .safetensors, .pth, .pt or .bin"));
  }

  @Test
  void quantizedNetworkPredictsTheSameClass() throws IOException {
    Path file = folder.resolve("digits.safetensors");
    Run made =
        run(
            "quantize",
            file.toString(),
            "--calibration-data",
            "samples",
            "--calibration-samples",
            "8");
    assertEquals(0, made.code(), made.err());
    assertEquals("", made.out());
    assertTrue(
        made.err()
            .matches(
                "(?s).*digits.safetensors: [\\d,]+ bytes\\R"
                    + "int8 compared with fp32: the same top-1 class for 8 of 8 images, relative"
                    + " error of the logits \\d.\\d %\\R"),
        made.err());
    for (String precision : List.of("int8", "auto", "bf16", "fp32")) {
      Run run =
          run("classify", "-w", file.toString(), "--precision", precision, "samples/digit-6.png");
      assertEquals(0, run.code(), run.err());
      assertTrue(run.lines().get(1).matches(" +9\\d\\.\\d %  6 +█+"), run.out());
    }
    // The default precision is that of the weights: the same output as int8, another one than fp32.
    String[] csv = {"classify", "-w", file.toString(), "-f", "csv", "samples/digit-6.png"};
    String unasked = run(csv).out();
    for (String precision : List.of("int8", "fp32")) {
      String[] asked = Arrays.copyOf(csv, csv.length + 2);
      asked[csv.length] = "--precision";
      asked[csv.length + 1] = precision;
      assertEquals(precision.equals("int8"), run(asked).out().equals(unasked), precision);
    }
    Run recognized = run("inspect", file.toString(), "--tensors", "none");
    assertTrue(recognized.out().contains("network: resnet8: basic blocks 1-1-1"), recognized.out());
    Run without = run("classify", "--precision", "int8", "samples/digit-6.png");
    assertEquals(1, without.code());
    assertTrue(without.err().contains("(resnet4j quantize)"), without.err());
    Run wrong = run("quantize", "digits.txt", "--calibration-data", "samples");
    assertEquals(2, wrong.code());
    assertTrue(wrong.err().contains("must end in .safetensors"), wrong.err());
  }

  @Test
  void onnxExportAndImportRoundTrip() throws IOException {
    Path file = folder.resolve("digits.onnx");
    Path back = folder.resolve("back.safetensors");
    Run out =
        run("export", file.toString(), "--dynamic-batch", "--fold-bn", "--include-preprocessing");
    assertEquals(0, out.code(), out.err());
    Run in = run("import", file.toString(), back.toString());
    assertEquals(0, in.code(), in.err());
    String[] classify = {"classify", "samples/", "--format", "csv", "--top", "1"};
    List<String> before = run(classify).lines();
    String[] with = Arrays.copyOf(classify, classify.length + 2);
    with[classify.length] = "-w";
    with[classify.length + 1] = back.toString();
    List<String> after = run(with).lines();
    assertEquals(12, after.size());
    for (int i = 1; i < after.size(); i++) {
      String[] one = before.get(i).split(",");
      String[] two = after.get(i).split(",");
      assertEquals(List.of(one).subList(0, 4), List.of(two).subList(0, 4));
      assertEquals(Float.parseFloat(one[4]), Float.parseFloat(two[4]), 1e-5);
    }
    assertEquals(2, run("export", folder.resolve("x.pb").toString()).code());
    assertEquals(2, run("export", file.toString(), "--opset", "9").code());
    Run odd = run("import", "samples/digit-1.png", back.toString());
    assertEquals(1, odd.code());
    assertTrue(odd.err().contains("is not a valid ONNX file"), odd.err());
  }

  /** Draws squares and discs into a folder each. */
  private static void drawImages(Path to) throws IOException {
    var random = new Random(1);
    for (int i = 0; i < 20; i++) {
      for (String shape : List.of("disc", "square")) {
        var image = new BufferedImage(32, 32, BufferedImage.TYPE_INT_RGB);
        var pen = image.createGraphics();
        pen.setColor(new Color(128 + random.nextInt(128), 128 + random.nextInt(128), 200));
        int x = random.nextInt(10);
        int y = random.nextInt(10);
        if (shape.equals("disc")) {
          pen.fillOval(x, y, 20, 20);
        } else {
          pen.fillRect(x, y, 18, 18);
        }
        pen.dispose();
        Path file = to.resolve(shape).resolve(i + ".png");
        Files.createDirectories(file.getParent());
        ImageIO.write(image, "png", file.toFile());
      }
    }
  }

  @Test
  void trainsEvaluatesAndClassifies() throws IOException {
    Path photos = folder.resolve("shapes");
    drawImages(photos);
    String out = folder.resolve("run").toString();
    String data = photos.toString();
    String[] train = {
      "train", "-d", data, "-m", "resnet20", "-b", "8", "--lr", "0.02", "--epochs", "20", "-o", out
    };
    Run made = run(train);
    assertEquals(0, made.code(), made.err());
    assertEquals(1 + 20 + 4, made.lines().size(), made.out());
    assertTrue(
        made.lines().getFirst().matches("epoch +loss +acc % +val loss +val acc % .*images/s"),
        made.out());
    assertTrue(
        made.lines()
            .get(1)
            .matches("1/20 +\\d\\.\\d{4} +[\\d.]+ +[\\d.]+ +[\\d.]+ +0\\.0008000 +[\\d.]+"),
        made.out());
    assertTrue(
        made.err().contains("32 training images, 8 validation images, 2 classes"), made.err());
    assertTrue(made.err().contains("\n  learning-rate schedule: one cycle\n"), made.err());
    List<String> end = made.lines().subList(21, 25);
    assertTrue(
        end.getFirst().matches("best epoch: \\d+ of 20, validation accuracy [\\d.]+ %"),
        made.out());
    assertEquals("model:  " + out + "/best.safetensors", end.get(1));
    assertEquals(
        "next:   resnet4j classify --weights " + out + "/best.safetensors IMAGE", end.getLast());
    for (String line : made.lines().subList(0, 21)) {
      assertTrue(line.length() < 80, line);
    }

    for (String image : List.of("loss", "accuracy", "rate")) {
      Path svg = folder.resolve("run/" + image + ".svg");
      assertTrue(Files.readString(svg).contains("</svg>"), svg.toString());
      assertEquals(720, ImageIO.read(folder.resolve("run/" + image + ".png").toFile()).getWidth());
    }
    String card = Files.readString(folder.resolve("run/README.md"));
    assertTrue(card.startsWith("---\nlibrary_name: resnet4j\n"), card);
    String report = Files.readString(folder.resolve("run/report.html"));
    assertTrue(report.contains("on 8 validation images"), report.substring(0, 2000));
    assertTrue(report.contains("Most confident correct predictions"));
    try (var files = Files.list(folder.resolve("run"))) {
      assertEquals(
          1,
          files
              .filter(file -> file.getFileName().toString().startsWith("events.out.tfevents."))
              .count());
    }

    Run again = run(train);
    assertEquals(1, again.code());
    assertTrue(again.err().contains("contains a run; continue it with --resume"), again.err());
    String[] resumed = Arrays.copyOf(train, train.length + 1);
    resumed[train.length] = "--resume";
    assertEquals(0, run(resumed).code()); // nothing is left to train

    Path best = folder.resolve("run/best.safetensors");
    Path confusion = folder.resolve("confusion.csv");
    Run found =
        run(
            "evaluate",
            "-w",
            best.toString(),
            "-d",
            data,
            "--format",
            "csv",
            "--confusion-matrix",
            confusion.toString());
    assertEquals(0, found.code(), found.err());
    assertEquals("class,images,recall_percent,precision_percent", found.lines().getFirst());
    assertTrue(found.err().contains("evaluating the 8 images that training held out"), found.err());
    assertTrue(found.err().contains("\n8 images: top-1 accuracy "), found.err());
    Run whole = run("evaluate", "-w", best.toString(), "-d", data, "--include-training");
    assertTrue(whole.err().contains("32 of these 40 images were used to train"), whole.err());
    assertTrue(
        whole.err().matches("(?s).*\\R40 images: top-1 accuracy (?:[89]\\d|100)\\..*"),
        whole.err());
    assertEquals("true class,disc,square", Files.readAllLines(confusion).getFirst());
    Run classified =
        run("classify", "-w", best.toString(), photos.resolve("disc/3.png").toString());
    assertEquals(0, classified.code(), classified.err());

    Path image = folder.resolve("confusion.png");
    assertEquals(
        0,
        run("evaluate", "-w", best.toString(), "-d", data, "--confusion-matrix", image.toString())
            .code());
    assertTrue(ImageIO.read(image.toFile()).getWidth() > 100);

    Run mean = run("train", "-d", data, "-m", "resnet20", "--lr", "1e30", "-o", out + "2");
    assertEquals(1, mean.code());
    assertTrue(mean.err().contains("resnet4j: diverged: the loss is "), mean.err());
    assertTrue(mean.err().contains("try a lower learning rate"), mean.err());
    Run large =
        run(
            Map.of("RESNET4J_JAVA_OPTS", "-Xmx200m"),
            "",
            "train",
            "-d",
            data,
            "-m",
            "resnet50",
            "-b",
            "32",
            "-o",
            out + "4");
    assertEquals(1, large.code(), large.err());
    assertTrue(
        large.err().contains("out of memory: the Java heap is limited to 200 MB"), large.err());
    assertTrue(large.err().contains("RESNET4J_JAVA_OPTS=-Xmx"), large.err());
    Run other =
        run(
            "train",
            "-d",
            data,
            "-m",
            "resnet20",
            "-w",
            "samples/../digits-elsewhere.pth",
            "-o",
            out + "5");
    assertEquals(1, other.code());
    assertTrue(other.err().contains("digits-elsewhere.pth"), other.err());
    Path embedded = Path.of("../core/src/main/resources/io/github/resnet4j/digits.pth");
    Run foreign =
        run(
            "train",
            "-d",
            data,
            "-m",
            "resnet20",
            "-w",
            embedded.toAbsolutePath().toString(),
            "-o",
            out + "5");
    assertEquals(1, foreign.code(), "weights of a smaller network");
    assertTrue(foreign.err().contains("layer1.1.conv1.weight"), foreign.err());
    Files.writeString(photos.resolve("disc/broken.png"), "no image");
    Run strict =
        run("train", "-d", data, "-m", "resnet8", "--epochs", "1", "--strict", "-o", out + "6");
    assertEquals(1, strict.code(), strict.err());
    assertTrue(strict.err().contains("broken.png"), strict.err());
    Files.delete(photos.resolve("disc/broken.png"));
    Run frozen = run("train", "-d", data, "-m", "resnet20", "--freeze", "layer9", "-o", out + "3");
    assertEquals(2, frozen.code());
    assertTrue(frozen.err().contains("--freeze: the network has no layer 'layer9'"), frozen.err());
  }

  private String[] training(String out) {
    return new String[] {
      "train", "-d", folder.resolve("shapes").toString(), "-m", "resnet20", "-b", "8",
      "--trivial-augment", "--ema-decay", "0.9", "--save-every", "0", "--epochs", "3",
      "-o", folder.resolve(out).toString(), "--resume"
    };
  }

  @Test
  void resumingAfterKillsIsBitExact() throws IOException, InterruptedException {
    drawImages(folder.resolve("shapes"));
    assertEquals(0, run(training("whole")).code());
    var command = new ArrayList<>(List.of("sh", launcher.toString()));
    command.addAll(List.of(training("parts")));
    for (int kill = 1; kill <= 3; kill++) {
      Process process =
          new ProcessBuilder(command)
              .directory(home.resolve("resnet4j").toFile())
              .redirectOutput(ProcessBuilder.Redirect.DISCARD)
              .redirectError(ProcessBuilder.Redirect.DISCARD)
              .start();
      Path state = folder.resolve("parts/state.safetensors");
      long before = Files.exists(state) ? Files.getLastModifiedTime(state).toMillis() : 0;
      while (process.isAlive()
          && (!Files.exists(state) || Files.getLastModifiedTime(state).toMillis() <= before)) {
        Thread.sleep(1);
      }
      Thread.sleep(23L * kill); // anywhere between two saved steps, or in the middle of saving
      process.destroyForcibly().waitFor();
    }
    assertTrue(
        Files.notExists(folder.resolve("parts/report.html")),
        "the training finished before it was killed");
    Run end = run(training("parts"));
    assertEquals(0, end.code(), end.err());
    try (var files = Files.newDirectoryStream(folder.resolve("parts"), "{*,.*}.part")) {
      assertFalse(files.iterator().hasNext());
    }
    for (String file : List.of("last.safetensors", "best.safetensors")) {
      assertArrayEquals(
          Files.readAllBytes(folder.resolve("whole").resolve(file)),
          Files.readAllBytes(folder.resolve("parts").resolve(file)),
          file);
    }
  }

  @Test
  void fullDiskKeepsThePreviousState() throws IOException {
    drawImages(folder.resolve("shapes"));
    // No file may be longer than 2 MB: the model fits, the state does not.
    var command = new ArrayList<>(List.of("sh", "-c", "ulimit -f 4000; exec sh \"$@\"", "sh"));
    command.add(launcher.toString());
    command.addAll(List.of(training("run")));
    Run full = runProcess(Map.of(), "", command);
    assertEquals(1, full.code(), full.err());
    assertTrue(full.err().contains("state.safetensors: cannot be written"), full.err());
    assertTrue(Files.notExists(folder.resolve("run/state.safetensors")));
    Run start = run(training("run")); // starts again without the limit
    assertEquals(0, start.code(), start.err());
    byte[] state = Files.readAllBytes(folder.resolve("run/state.safetensors"));
    String[] other = training("run");
    other[6] = "16"; // the batch size
    Run refused = run(other);
    assertEquals(1, refused.code());
    assertTrue(refused.err().contains("batch size was 8, is 16"), refused.err());
    assertArrayEquals(state, Files.readAllBytes(folder.resolve("run/state.safetensors")));
  }

  @Test
  void convertTranslatesNamesToTorchvision() throws IOException {
    Path out = folder.resolve("tv.pth");
    Run run =
        run(
            "convert",
            GOLDEN.resolve("checkpoints/hugging-face/model.safetensors").toString(),
            out.toString(),
            "--names",
            "torchvision");
    assertEquals(0, run.code(), run.err());
    try (var checkpoint = Checkpoint.open(out)) {
      assertTrue(checkpoint.names().contains("layer2.0.downsample.1.running_var"));
      assertTrue(checkpoint.names().contains("fc.bias"));
    }
  }

  @Test
  void modelsAndWeightsAreListed() throws IOException {
    Run models = run("models", "*");
    assertEquals(0, models.code(), models.err());
    assertEquals(108, models.lines().size());
    assertTrue(models.out().contains("25,557,032"));
    assertEquals(108, run("models", "--format", "csv").lines().size());
    String names = run("models").out();
    Architecture.catalogue()
        .keySet()
        .forEach(name -> assertTrue(names.matches("(?s).*  " + name + "\\s.*"), name));

    Path cache = folder.resolve("hub/checkpoints");
    Files.createDirectories(cache);
    Files.write(cache.resolve("resnet34-b627a593.pth"), new byte[1]);
    Run weights = run(Map.of("TORCH_HOME", folder.toString()), "", "weights", "-f", "json");
    assertEquals(17, weights.lines().size());
    for (String line : weights.lines()) {
      var fields = JSON.std.mapFrom(line);
      assertEquals(fields.get("url").toString().contains("b627a593"), fields.get("cached"));
    }
  }

  @Test
  void failedDownloadNamesUrlAndCache() throws IOException {
    var environment =
        Map.of(
            "TORCH_HOME", folder.toString(),
            "RESNET4J_WEIGHTS_URL", "http://127.0.0.1:9/",
            "NO_PROXY", "127.0.0.1");
    Run run = run(environment, "", "classify", "--model", "resnet18", "samples/digit-1.png");
    assertEquals(1, run.code());
    assertTrue(
        run.err().contains("cannot download http://127.0.0.1:9/resnet18-f37072fd.pth"), run.err());
    assertTrue(run.err().contains(folder.resolve("hub/checkpoints").toString()), run.err());
    assertFalse(run.err().contains("Exception"), run.err());
    assertEquals("", run.out());
  }

  @Test
  void missingInputsAreNamed() throws IOException {
    Run absent = run("classify", "no.png");
    assertEquals(1, absent.code());
    assertEquals("resnet4j: no.png: does not exist\n", absent.err());
    Run network = run("summary", "no.pth");
    assertEquals(1, network.code());
    assertEquals("resnet4j: no.pth: does not exist\n", network.err());
    Run data = run("train", "-d", "none", "-m", "resnet8", "-o", folder.resolve("run").toString());
    assertEquals(1, data.code());
    assertEquals("resnet4j: none: does not exist, or is not a folder\n", data.err());
    Run empty = run("classify", folder.toString());
    assertEquals(1, empty.code());
    assertTrue(empty.err().contains("no images in "), empty.err());
    Run pattern = run("classify", "*.none");
    assertTrue(pattern.err().contains("*.none: matches no file"), pattern.err());
    Run model = run("classify", "-m", "resnet51", "samples/digit-1.png");
    assertTrue(model.err().contains("no network is named 'resnet51' (did you mean resnet50"));
    Run top = run("classify", "--top", "0", "samples/digit-1.png");
    assertTrue(top.err().contains("--top must be at least 1"));
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "",
        "classify",
        "forward",
        "models",
        "weights",
        "convert",
        "quantize",
        "export",
        "import",
        "train",
        "evaluate",
        "curves",
        "explain",
        "features",
        "similar",
        "inspect",
        "diff",
        "summary",
        "compare",
        "draw",
        "bench",
        "plan"
      })
  void helpHasExamples(String command) throws IOException {
    Run run = command.isEmpty() ? run("--help") : run(command, "--help");
    assertEquals(0, run.code(), run.err());
    assertTrue(run.out().startsWith("Usage: resnet4j"), run.out());
    assertTrue(run.out().contains("Examples:\n  resnet4j "), run.out());
  }

  @Test
  void wrongCommandLineExitsWithTwo() throws IOException {
    Run option = run("classify", "--tpo", "3", "x.png");
    assertEquals(2, option.code());
    assertTrue(option.err().contains("Unknown option: '--tpo'"), option.err());
    assertEquals(2, run("clasify").code());
    assertEquals(2, run("forward", "--model", "resnet18").code());
    assertEquals(2, run().code(), "no command is a mistake");
  }

  @Test
  void printsBuildVersion() throws IOException {
    Run run = run("--version");
    assertEquals(0, run.code());
    assertTrue(run.out().matches("(?s)resnet4j \\d+\\.\\d+\\.\\d+.*\nJava .*\n"), run.out());
  }

  @Test
  void closedPipeEndsQuietly() throws IOException {
    Run run =
        runProcess(
            Map.of(),
            "",
            List.of("sh", "-c", "sh " + launcher + " classify samples/digit-*.png | head -n 1"));
    assertEquals(0, run.code());
    assertEquals("samples/digit-0.png\n", run.out());
    assertEquals("", run.err());
  }

  @Test
  void commandsOfReadmeAndCommandPageRun() throws IOException {
    Path root = home.resolve("resnet4j");
    Files.copy(
        Path.of("../core/src/main/resources/io/github/resnet4j/digits.pth"),
        root.resolve("digits.pth"));
    Npy.write(root.resolve("x.npy"), Tensor.filled(1, 1, 3, 224, 224));
    drawImages(root.resolve("photos"));
    Files.writeString(
        root.resolve("labels.csv"),
        "path,labels\n"
            + IntStream.range(0, 20)
                .mapToObj(i -> "photos/disc/%d.png,round\nphotos/square/%d.png,\n".formatted(i, i))
                .collect(Collectors.joining()));
    var commands =
        Pattern.compile("^(?:\\| .* \\| `)?(\\./resnet4j [^`\n]*)", Pattern.MULTILINE)
            .matcher(
                Files.readString(root.resolve("README.md"))
                    + Files.readString(Path.of("../docs/commands.md")))
            .results()
            .map(found -> found.group(1))
            .filter(command -> !command.endsWith("# downloads"))
            .distinct()
            .toList();
    assertEquals(36, commands.size(), commands.toString());
    for (String command : commands) {
      Run run = runProcess(Map.of(), "", List.of("sh", "-c", "sh " + command));
      assertEquals(0, run.code(), command + ": " + run.err());
    }
  }

  @Test
  void scaleLrMultipliesLearningRate() throws IOException {
    Path output = folder.resolve("scaled");
    Run run =
        run(
            "train",
            "-d",
            "digits",
            "-m",
            "resnet8",
            "--recipe",
            "small-images",
            "--epochs",
            "1",
            "--batch-size",
            "256",
            "--scale-lr",
            "-o",
            output.toString());
    assertEquals(0, run.code(), run.err());
    // 0.1 for batch size 64, 0.4 for 256; one-cycle begins with 1/25 of it.
    String first = Files.readAllLines(output.resolve("metrics.csv")).get(1).split(",")[1];
    assertEquals(0.016, Double.parseDouble(first), 1e-9);
  }

  @Test
  void launcherWithoutJdkSaysWhatToInstall() throws IOException {
    Path copy = home.resolve("resnet4j/resnet4j-of-the-future");
    Files.writeString(copy, Files.readString(launcher).replace("required=25", "required=99"));
    Run run = runProcess(Map.of(), "", List.of("sh", copy.toString(), "models"));
    assertEquals(1, run.code());
    assertEquals(
        "resnet4j: needs Java 99: install a JDK 99 (for example Eclipse Temurin) or set JAVA_HOME"
            + " to one\n",
        run.err());
  }
}
