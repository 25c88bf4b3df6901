package io.github.resnet4j.cli;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.jr.ob.JSON;
import io.github.resnet4j.Architecture;
import io.github.resnet4j.Model;
import io.github.resnet4j.ResNet;
import io.github.resnet4j.checkpoint.Checkpoint;
import io.github.resnet4j.checkpoint.CheckpointWriter;
import io.github.resnet4j.checkpoint.Npy;
import io.github.resnet4j.checkpoint.StoredTensor;
import io.github.resnet4j.cli.Command.Run;
import io.github.resnet4j.tensor.Tensor;
import io.github.resnet4j.tensor.TorchRandom;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.attribute.FileTime;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import javax.imageio.ImageIO;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** The commands that analyse networks, checkpoints and predictions, as processes. */
class AnalysisIT {
  private static final Path DIGITS =
      Path.of("../core/src/main/resources/io/github/resnet4j/digits.pth").toAbsolutePath();

  @TempDir private static Path home;
  @TempDir private Path folder;

  @BeforeAll
  static void unpack() throws IOException {
    Command.unpack(home);
  }

  private Run run(String... arguments) throws IOException {
    return new Command(home, folder).run(Map.of(), "", arguments);
  }

  /** Tests the printed form; SummaryTest compares the numbers with fvcore. */
  @ParameterizedTest
  @CsvSource({
    "summary-resnet18.txt, summary resnet18",
    "summary-resnet50-blocks.md, summary resnet50 --depth 2 --format markdown",
    "summary-resnext50-stages.csv, summary resnext50_32x4d --depth 1 --format csv",
    "summary-paper.txt, summary --paper",
    "draw-resnet18-stage-2.mmd, draw resnet18 --figure stage:2",
  })
  void outputMatchesSnapshots(String snapshot, String command) throws IOException {
    Run run = run(command.split(" "));
    assertEquals(0, run.code(), run.err());
    assertEquals(Files.readString(Path.of("src/test/resources/snapshots", snapshot)), run.out());
  }

  @Test
  void compareMeasuresAndDraws() throws IOException {
    String name = folder.resolve("all").toString();
    Run all = run("compare", "--format", "csv", "--output", name);
    assertEquals(0, all.code(), all.err());
    assertEquals(11, all.lines().size());
    assertEquals("resnet50,3×224×224,25557032,4.089,76.13,80.858", all.lines().get(3));
    for (String chart : List.of("all-cost", "all-accuracy")) {
      assertEquals(900, ImageIO.read(folder.resolve(chart + ".png").toFile()).getWidth());
      assertTrue(Files.readString(folder.resolve(chart + ".svg")).contains("</svg>"));
    }
    Run measured = run("compare", "resnet20", DIGITS.toString(), "--measure", "--format", "json");
    assertEquals(0, measured.code(), measured.err());
    assertEquals(2, measured.lines().size());
    var fields = JSON.std.mapFrom(measured.lines().getLast());
    assertEquals("digits.pth", fields.get("model"));
    assertTrue(((Number) fields.get("ms")).doubleValue() > 0);
    assertEquals(2, run("summary", "resnet18", "resnet34").code());
    assertEquals(2, run("summary", "resnet18", "--input-size", "224").code());
    Run absent = run("summary", "resnet51");
    assertTrue(absent.err().contains("no network is named 'resnet51'"), absent.err());
  }

  @Test
  void drawsEveryFigure() throws IOException {
    for (String what :
        List.of("network", "stage:1", "block:layer2.0", "shortcut", "stride", "plain")) {
      Path svg = folder.resolve("x.svg");
      Run run = run("draw", "resnet50", "--figure", what, "--output", svg.toString());
      assertEquals(0, run.code(), run.err());
      assertTrue(Files.readString(svg).startsWith("<svg "), what);
    }
    Path png = folder.resolve("x.png");
    Run dark = run("draw", DIGITS.toString(), "--theme", "dark", "--output", png.toString());
    assertEquals(0, dark.code(), dark.err());
    assertEquals(0x0d1117, ImageIO.read(png.toFile()).getRGB(0, 0) & 0xffffff);
    Path dot = folder.resolve("x.dot");
    assertEquals(
        0, run("draw", "resnet18", "--figure", "block:layer1.0", "-o", dot.toString()).code());
    assertTrue(Files.readString(dot).startsWith("digraph"));
    Run wrong = run("draw", "resnet18", "--figure", "block:layer7.0", "-o", png.toString());
    assertEquals(2, wrong.code());
    assertTrue(wrong.err().contains("the blocks are layer1.0 to layer4.1"), wrong.err());
    Run ending = run("draw", "resnet18", "-o", folder.resolve("x.gif").toString());
    assertEquals(2, ending.code());
    assertTrue(ending.err().contains("must end in .svg, .png, .mmd or .dot"), ending.err());
  }

  @ParameterizedTest
  @CsvSource({"gradcam", "gradcam++", "eigencam", "occlusion"})
  void explainWritesImageAndHeatMap(String method) throws IOException {
    Path image = folder.resolve("six.png");
    Path values = folder.resolve("six.npy");
    Run run =
        run(
            "explain",
            "samples/digit-6.png",
            "--method",
            method,
            "-o",
            image.toString(),
            "--heatmap",
            values.toString());
    assertEquals(0, run.code(), run.err());
    assertTrue(run.lines().getFirst().matches(" +9\\d\\.\\d %  6"), run.out());
    assertTrue(run.err().contains("explanation of '6'"), run.err());
    Tensor heat = Npy.read(values);
    assertArrayEquals(new int[] {32, 32}, heat.shape());
    float most = 0;
    for (float value : heat.data()) {
      assertTrue(value >= 0 && value <= 1.0001f);
      most = Math.max(most, value);
    }
    assertEquals(1, most, 1e-3); // scaled to its largest
    assertTrue(ImageIO.read(image.toFile()).getWidth() > 700);
  }

  @Test
  void explainRejectsWrongOptions() throws IOException {
    Run name = run("explain", "samples/digit-6.png", "--class", "seven");
    assertEquals(2, name.code());
    assertTrue(name.err().contains("no class is named 'seven'"), name.err());
    Run method = run("explain", "samples/digit-6.png", "--method", "magic");
    assertTrue(method.err().contains("--method must be gradcam"), method.err());
    Run layer = run("explain", "samples/digit-6.png", "--layer", "layer9");
    assertTrue(layer.err().contains("no layer 'layer9'"), layer.err());
  }

  @Test
  void featuresInEveryFormat() throws IOException {
    Path images = Files.createDirectories(folder.resolve("images"));
    for (int i = 0; i < 10; i++) {
      Files.copy(home.resolve("resnet4j/samples/digit-" + i + ".png"), images.resolve(i + ".png"));
    }
    Files.writeString(images.resolve("broken.png"), "no image");
    String from = images.toString();

    Run lines = run("features", from);
    assertEquals(3, lines.code(), lines.err());
    assertTrue(lines.err().contains("broken.png"), lines.err());
    assertEquals(11, lines.lines().size());
    var six = JSON.std.mapFrom(lines.lines().get(6));
    assertEquals(List.of(64), six.get("shape"));
    List<?> expected = (List<?>) six.get("features");

    Path npy = folder.resolve("f.npy");
    assertEquals(3, run("features", from, "-o", npy.toString()).code());
    Tensor array = Npy.read(npy);
    assertArrayEquals(new int[] {10, 64}, array.shape());
    List<String> names = Files.readAllLines(folder.resolve("f.paths.txt"));
    int row = names.indexOf(images.resolve("6.png").toString());
    for (int i = 0; i < 64; i++) {
      assertEquals(((Number) expected.get(i)).floatValue(), array.data()[row * 64 + i], 1e-6f);
    }

    Path safetensors = folder.resolve("f.safetensors");
    assertEquals(3, run("features", from, "-o", safetensors.toString()).code());
    try (var checkpoint = Checkpoint.open(safetensors)) {
      assertArrayEquals(array.data(), checkpoint.tensors().get("features").toTensor().data());
      assertEquals(names, checkpoint.metadata().get("paths"));
    }

    Path maps = folder.resolve("maps.npy");
    assertEquals(3, run("features", from, "--layer", "layer2", "-o", maps.toString()).code());
    assertArrayEquals(new int[] {10, 32, 16, 16}, Npy.read(maps).shape());
    Path pooled = folder.resolve("pooled.npy");
    String[] pool = {"features", from, "--layer", "layer2", "--pool", "-o", pooled.toString()};
    assertEquals(3, run(pool).code());
    assertArrayEquals(new int[] {10, 32}, Npy.read(pooled).shape());

    Path parquet = folder.resolve("f.parquet");
    Run columns = run("features", from, "-o", parquet.toString());
    assertEquals(3, columns.code());
    assertFalse(columns.err().contains("SLF4J"), columns.err());
    byte[] bytes = Files.readAllBytes(parquet);
    assertEquals("PAR1", new String(bytes, bytes.length - 4, 4));

    assertEquals(2, run("features", from, "-o", folder.resolve("f.xyz").toString()).code());
    assertEquals(2, run("features", from, "--format", "npy").code());
    assertEquals(1, run("features", images.resolve("broken.png").toString()).code());
  }

  @Test
  void similarUpdatesItsIndex() throws IOException {
    Path images = Files.createDirectories(folder.resolve("images"));
    for (int i = 0; i < 10; i++) {
      Files.copy(home.resolve("resnet4j/samples/digit-" + i + ".png"), images.resolve(i + ".png"));
    }
    Path index = folder.resolve("index");
    Path sheet = folder.resolve("sheet.png");
    String[] search = {
      "similar",
      "samples/digit-6.png",
      images.toString(),
      "--top",
      "3",
      "--format",
      "csv",
      "--index",
      index.toString(),
      "-o",
      sheet.toString()
    };
    Run first = run(search);
    assertEquals(0, first.code(), first.err());
    assertEquals("10 images, 10 new or changed, 0 removed\nwrote " + sheet + "\n", first.err());
    assertEquals(4, first.lines().size());
    assertEquals("1,1.0000," + images.resolve("6.png"), first.lines().get(1));
    assertTrue(ImageIO.read(sheet.toFile()).getWidth() > 700);

    assertTrue(run(search).err().startsWith("10 images, 0 new or changed, 0 removed\n"));

    try (var files = Files.newDirectoryStream(index, "segments_*")) {
      for (Path file : files) {
        Files.write(file, new byte[10]);
      }
    }
    assertEquals(
        "resnet4j: %s: the index is damaged; rebuilding it\n".formatted(index) + first.err(),
        run(search).err());

    Files.delete(images.resolve("6.png"));
    Files.copy(home.resolve("resnet4j/samples/digit-6.png"), images.resolve("again.png"));
    Files.copy(
        images.resolve("3.png"), images.resolve("4.png"), StandardCopyOption.REPLACE_EXISTING);
    Files.setLastModifiedTime(images.resolve("4.png"), FileTime.fromMillis(1_000_000_000_000L));
    Files.writeString(images.resolve("broken.png"), "no image");
    Run changed = run(search);
    assertEquals(3, changed.code());
    assertTrue(changed.err().contains("11 images, 3 new or changed, 1 removed"));
    assertTrue(changed.err().contains("broken.png"));
    assertEquals("1,1.0000," + images.resolve("again.png"), changed.lines().get(1));

    // Embeddings of another layer need another index: here the index is built again.
    String[] other = Arrays.copyOf(search, search.length + 3);
    other[search.length] = "--layer";
    other[search.length + 1] = "layer2";
    other[search.length + 2] = "--pool";
    assertTrue(run(other).err().contains("11 images, 11 new"));
    assertEquals(1, run("similar", "samples/digit-6.png", "samples/digit-1.png").code());
  }

  @Test
  void inspectRecognizesNetworks() throws IOException {
    Path file = folder.resolve("unnamed.pth");
    var spec = Architecture.named("resnet20").toBuilder().numClasses(7).build();
    ResNet.initialize(spec, TorchRandom.manualSeed(0)).save(file, Map.of());
    Path histograms = folder.resolve("histograms.png");
    Run run = run("inspect", file.toString(), "--histograms", histograms.toString());
    assertEquals(0, run.code(), run.err());
    assertTrue(
        run.lines()
            .get(1)
            .startsWith(
                "network: resnet20: basic blocks 3-3-3, stem of one 3×3 for small images,"
                    + " shortcuts A (zeros), 3 channels in, 7 classes"),
        run.out());
    assertTrue(ImageIO.read(histograms.toFile()).getHeight() > 600);
    Run some = run("inspect", file.toString(), "--tensors", "fc.*", "--format", "json");
    assertEquals(2, some.lines().size());
    assertEquals("fc.bias", JSON.std.mapFrom(some.lines().getLast()).get("name"));
    // Other commands recognize the network, too.
    assertTrue(run("summary", file.toString()).out().contains("Shortcut A"));
    assertEquals(0, run("plan", "--model", file.toString(), "--image-size", "32").code());
    Run classified = run("classify", "--weights", file.toString(), "samples/digit-1.png");
    assertEquals(0, classified.code(), classified.err());

    var tensors = new LinkedHashMap<String, StoredTensor>();
    tensors.put("x", StoredTensor.of(Tensor.filled(Float.NaN, 3)));
    CheckpointWriter.write(file, tensors, Map.of());
    Run other = run("inspect", file.toString());
    assertEquals(0, other.code(), other.err());
    assertTrue(other.out().contains("conv1.weight is missing"), other.out());
    assertEquals(2, run("inspect", file.toString(), "--tensors", "(").code());
    assertEquals(1, run("summary", file.toString()).code());
  }

  @Test
  void diffComparesWeightsAndActivations() throws IOException {
    Path changed = folder.resolve("changed.safetensors");
    var tensors = new LinkedHashMap<String, StoredTensor>();
    try (var checkpoint = Checkpoint.open(DIGITS)) {
      tensors.putAll(checkpoint.tensors());
      Tensor weight = tensors.get("layer2.0.conv2.weight").toTensor();
      weight.data()[7] += 1;
      tensors.put("layer2.0.conv2.weight", StoredTensor.of(weight));
      CheckpointWriter.write(changed, tensors, checkpoint.metadata());
    }
    String digits = DIGITS.toString();
    assertEquals(0, run("diff", digits, digits).code());
    Run run =
        run("diff", digits, changed.toString(), "--input", "samples/digit-6.png", "-f", "csv");
    assertEquals(4, run.code(), run.err());
    assertTrue(run.lines().get(1).startsWith("weights,layer2.0.conv2.weight,"), run.out());
    // The first layer that differs, but not the one before it.
    assertTrue(
        run.lines().stream().anyMatch(line -> line.startsWith("activations,layer2.0.conv2,")));
    assertFalse(
        run.lines().stream().anyMatch(line -> line.startsWith("activations,layer2.0.conv1,")));

    // Two networks without weights: their structure.
    Run networks = run("diff", "resnet18", "resnet18d", "-f", "csv");
    assertEquals(4, networks.code(), networks.err());
    assertEquals("structure,conv1.weight,\"[64, 3, 7, 7]\",,,", networks.lines().get(1));
    assertTrue(networks.out().contains("structure,conv1.0.weight,,\"[32, 3, 3, 3]\",,"));
    assertEquals(0, run("diff", "resnet50", "resnet50").code());

    // Activations of another program.
    var classifier = Model.load(DIGITS);
    Tensor x = TorchRandom.manualSeed(1).randn(1, 3, 32, 32);
    Npy.write(folder.resolve("x.npy"), x);
    var expected = new LinkedHashMap<String, StoredTensor>();
    expected.put("fc", StoredTensor.of(classifier.network().forward(x)));
    CheckpointWriter.write(folder.resolve("python.safetensors"), expected, Map.of());
    String[] against = {
      "diff",
      digits,
      "--input",
      folder.resolve("x.npy").toString(),
      "--expected",
      folder.resolve("python.safetensors").toString(),
      "--all"
    };
    Run same = run(against);
    assertEquals(0, same.code(), same.err());
    assertTrue(same.out().contains("activations  fc"), same.out());
    against[1] = changed.toString();
    assertEquals(4, run(against).code());
    assertEquals(2, run("diff", digits).code());
  }
}
