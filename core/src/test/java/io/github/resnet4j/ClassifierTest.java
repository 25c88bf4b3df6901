package io.github.resnet4j;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.resnet4j.engine.KernelChoice;
import io.github.resnet4j.explain.Explainer;
import io.github.resnet4j.explain.HeatMap;
import io.github.resnet4j.image.Image;
import io.github.resnet4j.image.ImageDecoder;
import io.github.resnet4j.image.ImageException;
import io.github.resnet4j.image.Interpolation;
import io.github.resnet4j.image.Pixels;
import io.github.resnet4j.image.Preprocessing;
import io.github.resnet4j.tensor.Tensor;
import java.awt.image.BufferedImage;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.OptionalInt;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.stream.IntStream;
import javax.imageio.ImageIO;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * Compares the results for handwritten digits with PyTorch's logits for the same images ({@code
 * tools/digits/make.py}).
 */
class ClassifierTest {
  private static final Path SAMPLES = Path.of("..", "samples");
  private static final int DIGITS = 40;

  @TempDir private static Path folder;

  /** Files of the first validation digits. */
  private static final List<Path> FILES = new ArrayList<>();

  private static final List<Pixels> PIXELS = new ArrayList<>();
  private static Tensor logits = Tensor.zeros(0);

  /** Enlarges the digits as make.py does, and writes them with Java's encoder. */
  @BeforeAll
  static void draw() throws IOException {
    var golden = Golden.tensors("digits.safetensors");
    logits = golden.get("logits");
    float[] digits = golden.get("digits").data();
    var enlarge = new Preprocessing(160, 160, 160, Interpolation.BICUBIC, List.of(0f), List.of(1f));
    for (int n = 0; n < DIGITS; n++) {
      byte[] gray = new byte[64];
      for (int i = 0; i < 64; i++) {
        gray[i] = (byte) (int) Math.rint(digits[64 * n + i] * (255.0 / 16));
      }
      byte[] large = enlarge.crop(new Pixels(8, 8, 1, gray)).data();
      byte[] rgb = new byte[3 * large.length];
      var image = new BufferedImage(160, 160, BufferedImage.TYPE_INT_RGB);
      for (int i = 0; i < large.length; i++) {
        rgb[3 * i] = large[i];
        rgb[3 * i + 1] = large[i];
        rgb[3 * i + 2] = large[i];
        image.setRGB(i % 160, i / 160, (large[i] & 0xff) * 0x010101);
      }
      PIXELS.add(new Pixels(160, 160, 3, rgb));
      Path file = folder.resolve("digit-%02d.png".formatted(n));
      assertTrue(ImageIO.write(image, "png", file.toFile()));
      FILES.add(file);
    }
  }

  /** The probabilities of PyTorch's logits for a digit, for all classes, best first. */
  private static void assertMatchesPytorch(int digit, List<Prediction> found) {
    int classes = logits.dim(1);
    assertEquals(classes, found.size());
    double sum = 0;
    for (int c = 0; c < classes; c++) {
      sum += Math.exp(logits.data()[digit * classes + c]);
    }
    float before = 1;
    for (Prediction each : found) {
      double expected = Math.exp(logits.data()[digit * classes + each.index()]) / sum;
      assertEquals(expected, each.probability(), 1e-4, () -> "digit " + digit + ": " + found);
      assertEquals(String.valueOf(each.index()), each.label());
      assertTrue(each.probability() <= before, found::toString);
      before = each.probability();
    }
  }

  @ParameterizedTest
  @ValueSource(ints = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9})
  void embeddedModelClassifiesSamples(int digit) throws IOException {
    try (var classifier = Classifier.embedded()) {
      List<Prediction> found = classifier.classify(SAMPLES.resolve("digit-" + digit + ".png"), 3);
      assertEquals(3, found.size());
      assertEquals(digit, found.getFirst().index());
      assertTrue(found.getFirst().probability() > 0.8, found.toString());
    }
  }

  @Test
  void everyImageSourceMatchesPytorch() throws IOException {
    try (var classifier = Classifier.embedded()) {
      for (int n = 0; n < 5; n++) {
        Path file = FILES.get(n);
        byte[] bytes = Files.readAllBytes(file);
        for (Image image :
            List.of(
                Image.of(file),
                Image.of("digit", bytes),
                Image.of("digit", new ByteArrayInputStream(bytes)),
                Image.of(ImageIO.read(file.toFile())),
                Image.of(PIXELS.get(n)))) {
          assertMatchesPytorch(n, classifier.classify(image, 10));
        }
        assertMatchesPytorch(n, classifier.classify(file, 10));
      }
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"AUTO", "SCALAR", "VECTOR"})
  void everyKernelChoiceMatchesPytorch(KernelChoice kernels) throws IOException {
    try (var classifier = Classifier.builder().kernels(kernels).threads(2).embedded()) {
      assertMatchesPytorch(1, classifier.classify(FILES.get(1), 10));
    }
  }

  @ParameterizedTest
  @ValueSource(ints = {1, 7, 16, 64})
  void manyImagesKeepTheirOrder(int batchSize) {
    try (var classifier = Classifier.builder().batchSize(batchSize).embedded();
        var results = classifier.classifyAll(FILES, 10)) {
      int n = 0;
      for (Result<List<Prediction>> result : results.toList()) {
        assertEquals(FILES.get(n).toString(), result.name());
        assertMatchesPytorch(n++, result.orElseThrow());
      }
      assertEquals(DIGITS, n);
    }
  }

  @Test
  void unreadableImageIsAResultWithError() throws IOException {
    Path words = Files.writeString(folder.resolve("words.png"), "not an image");
    var files = List.of(FILES.get(0), words, folder.resolve("missing.png"), FILES.get(1));
    try (var classifier = Classifier.builder().batchSize(3).embedded()) {
      var results = classifier.classifyAll(files, 10).toList();
      assertMatchesPytorch(0, results.get(0).orElseThrow());
      assertTrue(results.get(1).error().orElseThrow() instanceof ImageException);
      var error = assertThrows(UncheckedIOException.class, results.get(1)::orElseThrow);
      assertTrue(error.getMessage().contains("words.png: is not an image"), error.getMessage());
      assertTrue(results.get(2).error().orElseThrow().getMessage().contains("does not exist"));
      assertMatchesPytorch(1, results.get(3).orElseThrow());
      assertEquals(
          List.of(true, false, false, true),
          classifier.embedAll(files).map(each -> each.value().isPresent()).toList());
      assertThrows(ImageException.class, () -> classifier.classify(words, 1));
      assertThrows(ImageException.class, () -> classifier.embed(words));
    }
  }

  /**
   * Nothing is read before the first result is requested, then one batch more than the running one.
   */
  @Test
  void nextBatchIsDecodedWhileOneRuns() throws Exception {
    var files = new ArrayList<Path>();
    for (int n = 0; n < 6; n++) {
      files.add(folder.resolve("later-" + n + ".png"));
    }
    try (var classifier = Classifier.builder().batchSize(2).embedded();
        var results = classifier.classifyAll(files, 10)) {
      for (int n = 0; n < 6; n++) {
        Files.copy(FILES.get(n), files.get(n));
      }
      var iterator = results.iterator();
      assertMatchesPytorch(0, iterator.next().orElseThrow());
      awaitDecoding();
      for (Path file : files) {
        Files.writeString(file, "no longer an image");
      }
      for (int n = 1; n < 4; n++) {
        assertMatchesPytorch(n, iterator.next().orElseThrow());
      }
      assertTrue(iterator.next().error().isPresent());
      assertTrue(iterator.next().error().isPresent());
      assertFalse(iterator.hasNext());
    }
  }

  private static void awaitDecoding() throws InterruptedException {
    for (Thread each : Thread.getAllStackTraces().keySet()) {
      if (each.getName().equals("resnet4j-decode")) {
        each.join();
      }
    }
  }

  @Test
  void closedStreamStopsDecoding() {
    try (var classifier = Classifier.builder().batchSize(2).embedded()) {
      var results = classifier.classifyAll(FILES, 1);
      var iterator = results.iterator();
      iterator.next();
      results.close();
      assertFalse(iterator.hasNext());
    }
  }

  @Test
  void classifierIsThreadSafe() throws Exception {
    try (var classifier = Classifier.builder().threads(2).embedded();
        ExecutorService callers = Executors.newFixedThreadPool(8)) {
      float[] embedding = classifier.embed(FILES.get(0));
      var all = new ArrayList<Future<?>>();
      for (int i = 0; i < 64; i++) {
        int n = i % DIGITS;
        all.add(
            callers.submit(() -> {
              assertMatchesPytorch(n, classifier.classify(FILES.get(n), 10));
              assertArrayEquals(embedding, classifier.embed(FILES.get(0)));
              String layer = n % 2 == 0 ? "layer1" : "layer2";
              assertEquals(
                  List.of(layer),
                  List.copyOf(classifier.featureMaps(FILES.get(n), layer).keySet()));
              try (var some = classifier.classifyAll(FILES.subList(n, DIGITS), 10)) {
                assertMatchesPytorch(n, some.findFirst().orElseThrow().orElseThrow());
              }
              return n;
            }));
      }
      for (Future<?> each : all) {
        each.get();
      }
    }
  }

  @Test
  void closeWaitsForRunningCallsAndLaterCallsFail() throws Exception {
    var classifier = Classifier.builder().batchSize(2).threads(2).embedded();
    var stream = classifier.classifyAll(FILES, 1).iterator();
    stream.next();
    stream.next();
    try (ExecutorService callers = Executors.newFixedThreadPool(4)) {
      var all = new ArrayList<Future<?>>();
      for (int i = 0; i < 4; i++) {
        int n = i;
        all.add(
            callers.submit(() -> {
              while (true) {
                assertMatchesPytorch(n, classifier.classify(FILES.get(n), 10));
              }
            }));
      }
      Thread.sleep(50);
      classifier.close();
      for (Future<?> each : all) {
        Throwable end = assertThrows(ExecutionException.class, each::get).getCause();
        assertEquals(IllegalStateException.class, end.getClass(), end::toString);
        assertEquals("the classifier is closed", end.getMessage());
      }
    }
    assertThrows(IllegalStateException.class, stream::next);
    assertThrows(IllegalStateException.class, () -> classifier.embed(FILES.get(0)));
    assertThrows(
        IllegalStateException.class,
        () -> classifier.explain(FILES.get(0), Explainer.Method.GRADCAM));
    classifier.close();
  }

  @Test
  void siblingStaysOpenAfterClose() throws IOException {
    Classifier sibling;
    try (var first = Classifier.embedded()) {
      assertMatchesPytorch(0, first.classify(FILES.get(0), 10));
      sibling = first.sibling();
    }
    try (sibling) {
      assertMatchesPytorch(0, sibling.classify(FILES.get(0), 10));
    }
  }

  /** Compares with the reference forward pass, which other tests compare with PyTorch. */
  @Test
  void embeddingsAndFeatureMapsMatchReference() throws IOException {
    Model model = Model.embedded();
    Tensor map = model.network().features(model.preprocessing().apply(PIXELS.get(3)));
    int plane = map.dim(2) * map.dim(3);
    float[] mean = new float[map.dim(1)];
    for (int c = 0; c < mean.length; c++) {
      int from = c * plane;
      mean[c] =
          (float)
              IntStream.range(from, from + plane)
                  .mapToDouble(i -> map.data()[i])
                  .average()
                  .orElse(-1);
    }
    Model headless = withoutHead(model);
    for (Model each : List.of(model, headless)) {
      try (var classifier = Classifier.of(each)) {
        // Winograd's algorithm, and sums in another order.
        assertArrayEquals(mean, classifier.embed(FILES.get(3)), 1e-4f);
        var maps = classifier.featureMaps(FILES.get(3), "layer3", "layer1");
        assertEquals(List.of("layer3", "layer1"), List.copyOf(maps.keySet()));
        Tensor last = maps.firstEntry().getValue();
        assertArrayEquals(map.shape(), last.shape());
        assertArrayEquals(map.data(), last.data(), 1e-3f);
        var files = FILES.subList(0, 6);
        float[] all = classifier.embedAll(files).toList().get(3).orElseThrow();
        assertArrayEquals(mean, all, 1e-4f);
        float[] byName = classifier.embedAll(files, "layer3").toList().get(3).orElseThrow();
        assertArrayEquals(mean, byName, 1e-4f);
        var allMaps = classifier.featureMapsAll(files, "layer3").toList().get(3).orElseThrow();
        assertArrayEquals(map.shape(), allMaps.firstEntry().getValue().shape());
        assertArrayEquals(map.data(), allMaps.firstEntry().getValue().data(), 1e-3f);
        assertThrows(
            IllegalArgumentException.class, () -> classifier.featureMaps(FILES.get(3), "layer9"));
      }
    }
    try (var classifier = Classifier.of(headless)) {
      assertThrows(IllegalArgumentException.class, () -> classifier.classify(FILES.get(0), 1));
      assertThrows(IllegalArgumentException.class, () -> classifier.classifyAll(FILES, 1));
      assertEquals(
          "Classifier[resnet8, no head, FP32, %d threads]"
              .formatted(Runtime.getRuntime().availableProcessors()),
          classifier.toString());
    }
  }

  private static Model withoutHead(Model model) throws IOException {
    Path file = folder.resolve("digits.safetensors");
    model.save(file);
    ResNetSpec spec = model.network().spec().toBuilder().includeTop(false).build();
    try (var checkpoint = io.github.resnet4j.checkpoint.Checkpoint.open(file)) {
      return new Model(ResNet.load(spec, checkpoint), model.preprocessing(), List.of());
    }
  }

  @Test
  void explanationsMatchExplainer() throws IOException {
    try (var classifier = Classifier.embedded()) {
      Path six = SAMPLES.resolve("digit-6.png");
      Model model = classifier.model();
      Tensor x = model.preprocessing().apply(ImageDecoder.DEFAULT.decode(six));
      HeatMap expected =
          model
              .network()
              .explainer()
              .explain(
                  x, Explainer.Method.GRADCAM, OptionalInt.of(8), "layer3", classifier.options());
      HeatMap found = classifier.explain(six, Explainer.Method.GRADCAM, 8);
      assertArrayEquals(expected.values().data(), found.values().data());
      assertEquals(6, classifier.explain(six, Explainer.Method.GRADCAM).index());
    }
  }

  @Test
  void optionsOverrideModelSettings() throws IOException {
    var labels = List.of("a", "b", "c", "d", "e", "f", "g", "h", "i", "j");
    Preprocessing small =
        new Preprocessing(
            28,
            28,
            28,
            Interpolation.BILINEAR,
            Model.embedded().preprocessing().mean(),
            Model.embedded().preprocessing().std());
    try (var classifier =
        Classifier.builder().threads(1).labels(labels).preprocessing(small).embedded()) {
      assertEquals("g", classifier.classify(SAMPLES.resolve("digit-6.png"), 1).getFirst().label());
      assertEquals(small, classifier.model().preprocessing());
      assertEquals(1, classifier.options().threads());
      assertEquals("Classifier[resnet8, 10 classes, FP32, 1 threads]", classifier.toString());
    }
    var builder = Classifier.builder();
    assertThrows(IllegalArgumentException.class, () -> builder.batchSize(0));
    assertThrows(IllegalArgumentException.class, () -> builder.threads(0));
    assertThrows(
        IllegalArgumentException.class, () -> Classifier.builder().labels(List.of("a")).embedded());
  }

  @Test
  void fileIsLoadedByPathOrName() throws IOException {
    Path file = folder.resolve("saved.pth");
    Model.embedded().save(file);
    for (Classifier each :
        List.of(
            Classifier.load(file),
            Classifier.load(file.toString()),
            Classifier.load(file, "resnet8"))) {
      try (each) {
        assertMatchesPytorch(2, each.classify(FILES.get(2), 10));
      }
    }
  }
}
