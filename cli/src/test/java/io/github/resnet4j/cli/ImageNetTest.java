package io.github.resnet4j.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.resnet4j.Architecture;
import io.github.resnet4j.Model;
import io.github.resnet4j.PublishedWeights;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * Evaluates small copies of ImageNet's layouts. The model's logits are the same for every image:
 * its most likely classes are 65 (n01751748, sea snake), 2 (n01484850), 999 (n15075141), 10
 * (n01530575) and 0 (n01440764), in this order; then all others. So the expected accuracies are
 * fractions that one counts.
 */
class ImageNetTest {
  private static final Path IMAGE = Path.of("../samples/digit-1.png");

  @TempDir private Path folder;
  private String weights = "";
  private Path data = Path.of("");

  @BeforeEach
  void save() throws IOException {
    data = folder.resolve("data");
    weights = save("model.safetensors", PublishedWeights.imagenetLabels());
  }

  private String save(String name, List<String> labels) throws IOException {
    Model model = Model.initialize(Architecture.named("resnet8"), labels, 0);
    Arrays.fill(model.network().state().get("fc.weight").data(), 0);
    float[] bias = model.network().state().get("fc.bias").data();
    Arrays.fill(bias, 0);
    Map.of(65, 5f, 2, 4f, 999, 3f, 10, 2f, 0, 1f).forEach((k, value) -> bias[k] = value);
    model.save(folder.resolve(name));
    return folder.resolve(name).toString();
  }

  private void image(String name) throws IOException {
    Path file = folder.resolve("data").resolve(name);
    Files.createDirectories(file.getParent());
    Files.copy(IMAGE, file);
  }

  private void images(int count) throws IOException {
    for (int number = 1; number <= count; number++) {
      image("ILSVRC2012_val_%08d.JPEG".formatted(number));
    }
  }

  private record Outcome(int code, String out, String err) {
    void has(String text) {
      assertTrue(err.contains(text), err);
    }
  }

  private Outcome evaluate(String... more) {
    PrintStream outBefore = System.out;
    PrintStream errBefore = System.err;
    var out = new ByteArrayOutputStream();
    var err = new ByteArrayOutputStream();
    System.setOut(new PrintStream(out, true, StandardCharsets.UTF_8));
    System.setErr(new PrintStream(err, true, StandardCharsets.UTF_8));
    String[] first = {"evaluate", "-w", weights, "-d", data.toString(), "-f", "csv"};
    String[] all = Arrays.copyOf(first, first.length + more.length);
    System.arraycopy(more, 0, all, first.length, more.length);
    try {
      int code = Main.execute(new Main(), all);
      return new Outcome(
          code, out.toString(StandardCharsets.UTF_8), err.toString(StandardCharsets.UTF_8));
    } finally {
      System.setOut(outBefore);
      System.setErr(errBefore);
    }
  }

  private Outcome evaluateWith(String name, String content) throws IOException {
    return evaluate("--ground-truth", Files.writeString(folder.resolve(name), content).toString());
  }

  /** Few folders: the place of n15075141 among these three is not its class. */
  @Test
  void foldersAreNamedBySynset() throws IOException {
    image("val/n15075141/a.JPEG");
    image("val/n01751748/b.JPEG");
    image("val/n01751748/c.JPEG");
    image("val/n01443537/d.JPEG"); // goldfish, the sixth most likely class
    Outcome found = evaluate();
    assertEquals(0, found.code(), found.err());
    found.has("4 images: top-1 accuracy 50.00 %, top-5 accuracy 75.00 %");
    found.has("the classes are found by synset or number");
    assertEquals(
        List.of("goldfish,1,0.00,-", "sea snake,2,100.00,50.00", "toilet tissue,1,0.00,-"),
        found.out().lines().skip(1).toList());
    image("val/n00000001/e.JPEG");
    assertEquals(1, evaluate().code());
    evaluate().has("e.JPEG: the model has no class 'n00000001'");
  }

  @Test
  void tablesNameClassesBySynset() throws IOException {
    image("a.png");
    Path table = folder.resolve("data.csv");
    Files.writeString(table, "path,label\ndata/a.png,n15075141\ndata/a.png,n01751748\n");
    data = table;
    evaluate().has("2 images: top-1 accuracy 50.00 %, top-5 accuracy 100.00 %");
  }

  /** Hugging Face's labels, in which two classes are named crane. */
  @Test
  void classesOfTheSameNameAreDistinguished() throws IOException {
    var labels = new ArrayList<>(PublishedWeights.imagenetLabels());
    labels.set(0, "tench, Tinca tinca");
    labels.set(999, "toilet tissue, toilet paper, bathroom tissue");
    labels.set(65, "crane");
    labels.set(2, "crane");
    weights = save("cranes.safetensors", labels);
    image("n01484850/a.JPEG");
    evaluate().has("1 images: top-1 accuracy 0.00 %, top-5 accuracy 100.00 %");
  }

  /** In the order of text, 10 comes before 2, and 999 is the last of these. */
  @Test
  void foldersAreNumberedAsInImageNetV2() throws IOException {
    image("2/a.jpeg");
    image("10/b.jpeg");
    image("65/c.jpeg");
    image("999/d.jpeg");
    image("998/e.jpeg");
    Outcome found = evaluate();
    found.has("5 images: top-1 accuracy 20.00 %, top-5 accuracy 80.00 %");
    assertEquals(
        List.of("great white shark", "brambling", "sea snake", "ear", "toilet tissue"),
        found.out().lines().skip(1).map(line -> line.split(",")[0]).toList());
  }

  @Test
  void validationImagesHaveTheirClassesInAFile() throws IOException {
    images(4);
    String expected = "4 images: top-1 accuracy 50.00 %, top-5 accuracy 75.00 %";
    evaluateWith("synsets.txt", "n01751748\nn01484850\nn01751748\nn01443537\n").has(expected);
    evaluateWith(
            "val.txt",
            """
            ILSVRC2012_val_00000003.JPEG 65
            ILSVRC2012_val_00000004.JPEG 1
            val/ILSVRC2012_val_00000001.JPEG 2
            ILSVRC2012_val_00000002.JPEG n01751748
            """)
        .has(expected);
    Outcome kaggle =
        evaluateWith(
            "LOC_val_solution.csv",
            """
            ImageId,PredictionString
            ILSVRC2012_val_00000004,n01443537 85 1 499 272\s
            ILSVRC2012_val_00000002,n01751748 131 0 499 254 n01751748 1 2 3 4\s
            ILSVRC2012_val_00000001,n01484850 85 1 499 272\s
            ILSVRC2012_val_00000003,n01751748 85 1 499 272\s
            ILSVRC2012_val_00000005,n01751748 85 1 499 272\s
            """);
    kaggle.has(expected);
    kaggle.has("LOC_val_solution.csv: 1 of the 5 images are not in ");
  }

  /** One image without right classes; of the others two have 65 among them, three one of five. */
  @Test
  void realHasSeveralRightClasses() throws IOException {
    images(4);
    image("n01440764/ILSVRC2012_val_00000005_n01440764.JPEG");
    Outcome found = evaluateWith("real.json", "[[3, 65], [65], [], [7, 10], [1, 3]]");
    assertEquals(0, found.code(), found.err());
    found.has("4 images: top-1 accuracy 50.00 %, top-5 accuracy 75.00 %");
    found.has("real.json: 1 of the images have no right class and are left out");
    evaluateWith("real.json", "[[3], [1000]]").has("real.json, image 2: '1000' is not a class num");
    evaluateWith("real.json", "[[3], 4]").has("real.json, image 2: must be a list");
    evaluateWith("real.json", "[[3], ").has("real.json: is not a list in JSON");
    evaluateWith("real.json", "[[3]]").has("00000002.JPEG: ");
    Files.writeString(folder.resolve("real.json"), "[[3, 65], [65], [], [7, 10], [1, 3]]");
    String file = folder.resolve("real.json").toString();
    String output = folder.resolve("x.safetensors").toString();
    evaluate("--ground-truth", file, "--calibrate", output).has("images with one right class each");
  }

  @Test
  void errorsNameTheLine() throws IOException {
    images(2);
    evaluate().has("name the file with their classes: --ground-truth FILE");
    Outcome kit = evaluateWith("ILSVRC2012_validation_ground_truth.txt", "490\n361\n");
    assertEquals(1, kit.code());
    kit.has("ILSVRC2012_validation_ground_truth.txt, line 1: the number 490 without an image");
    evaluateWith("a.txt", "n01751748\n\n\nx").has("a.txt, line 2: must be a synset such as");
    evaluateWith("a.txt", "n01751748\nn00000001").has("a.txt, line 2: 'n00000001' is none of");
    evaluateWith("a.txt", "n01751748\n").has("00000002.JPEG: ");
    evaluateWith("a.txt", "a.JPEG 1\nb/a.JPEG 2").has("a.txt, line 2: lists a again");
    evaluateWith("a.txt", "\n").has("a.txt: lists no images");
    evaluateWith("a.csv", "path,label\nx,y\n").has("a.csv: needs the columns ImageId and Pred");
    evaluate("--ground-truth", folder.resolve("no.txt").toString()).has("no.txt: does not exist");
    weights = folder.resolve("few.safetensors").toString();
    Model.initialize(Architecture.named("resnet8"), List.of("cat", "dog"), 0)
        .save(folder.resolve("few.safetensors"));
    evaluateWith("a.txt", "n01751748\n").has("needs a model with ImageNet's 1,000 classes");
  }
}
