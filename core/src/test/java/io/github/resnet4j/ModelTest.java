package io.github.resnet4j;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.resnet4j.checkpoint.Checkpoint;
import io.github.resnet4j.checkpoint.CheckpointException;
import io.github.resnet4j.checkpoint.CheckpointWriter;
import io.github.resnet4j.checkpoint.Download;
import io.github.resnet4j.checkpoint.StoredTensor;
import io.github.resnet4j.engine.CompileOptions;
import io.github.resnet4j.engine.Precision;
import io.github.resnet4j.image.Interpolation;
import io.github.resnet4j.image.Pixels;
import io.github.resnet4j.image.Preprocessing;
import io.github.resnet4j.kernel.Scalar;
import io.github.resnet4j.tensor.Tensor;
import io.github.resnet4j.tensor.TorchRandom;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class ModelTest {
  @TempDir private Path folder;

  /** The embeddings of a network are those of its file without the head. */
  @ParameterizedTest
  @ValueSource(booleans = {true, false})
  void weightsWithoutHeadComputeEmbeddings(boolean named) throws IOException {
    var spec = Architecture.named("resnet20").toBuilder().numClasses(10).build();
    var network = ResNet.initialize(spec, TorchRandom.manualSeed(1));
    Path whole = folder.resolve("whole.safetensors");
    Path headless = folder.resolve("headless.safetensors");
    network.save(whole, Map.of());
    try (var checkpoint = Checkpoint.open(whole)) {
      var tensors = new LinkedHashMap<>(checkpoint.tensors());
      tensors.keySet().removeIf(name -> name.startsWith("fc."));
      CheckpointWriter.write(headless, tensors, Map.of());
    }
    var model = named ? Optional.of("resnet20") : Optional.<String>empty();
    var download = new Download((_, _, _) -> {});
    var classifier = Model.of(Weights.find(model, headless.toString(), Map.of(), download));
    assertEquals(List.of(), classifier.labels());
    Tensor x = Tensor.filled(0.5f, 1, 3, 32, 32);
    assertArrayEquals(network.features(x).data(), classifier.network().features(x).data());
    assertArrayEquals(embedding(network, x), embedding(classifier.network(), x));
    var error =
        assertThrows(IllegalArgumentException.class, () -> classifier.top(Tensor.zeros(1, 64), 1));
    assertTrue(error.getMessage().contains("has no head"), error.getMessage());
  }

  /** From the compiled network; the reference's mean over all pixels is nearly equal. */
  private static float[] embedding(ResNet network, Tensor x) {
    float[] expected = Scalar.globalAveragePool(network.features(x)).data();
    try (var session = network.openWithEmbedding(CompileOptions.defaults().withThreads(2))) {
      Tensor embedding = session.runAll(x).firstEntry().getValue();
      assertArrayEquals(new int[] {1, network.spec().featureChannels()}, embedding.shape());
      // Winograd's algorithm, and sums in another order.
      assertArrayEquals(expected, embedding.data(), 1e-4f);
      return embedding.data();
    }
  }

  @Test
  void weightsOfOtherNetworksAreRejectedWithReason() throws IOException {
    Path file = folder.resolve("other.safetensors");
    var tensors = new LinkedHashMap<String, StoredTensor>();
    tensors.put("fc.bias", StoredTensor.of(Tensor.zeros(3)));
    CheckpointWriter.write(file, tensors, Map.of());
    var found =
        Weights.find(Optional.empty(), file.toString(), Map.of(), new Download((_, _, _) -> {}));
    var error = assertThrows(CheckpointException.class, () -> Model.of(found));
    assertTrue(error.getMessage().contains("conv1.weight is missing"), error.getMessage());
  }

  /** The 360 validation digits, enlarged as make.py does. */
  @Test
  void embeddedModelAccuracyOnValidationDigits() throws IOException {
    var classifier = Model.embedded();
    var golden = Golden.tensors("digits.safetensors");
    Tensor digits = golden.get("digits");
    var images = new ArrayList<Pixels>();
    var enlarge = new Preprocessing(160, 160, 160, Interpolation.BICUBIC, List.of(0f), List.of(1f));
    for (int n = 0; n < digits.dim(0); n++) {
      byte[] gray = new byte[64];
      for (int i = 0; i < 64; i++) {
        gray[i] = (byte) (int) Math.rint(digits.data()[64 * n + i] * (255.0 / 16));
      }
      byte[] large = enlarge.crop(new Pixels(8, 8, 1, gray)).data();
      byte[] rgb = new byte[3 * large.length];
      for (int i = 0; i < rgb.length; i++) {
        rgb[i] = large[i / 3];
      }
      images.add(new Pixels(160, 160, 3, rgb));
    }

    Tensor batch = Tensor.zeros(360, 3, 32, 32);
    for (int n = 0; n < 360; n++) {
      classifier.preprocessing().apply(images.get(n), batch, n);
    }
    Tensor logits = classifier.network().forward(batch);

    // The same logits as PyTorch: preprocessing is exact, the rest is float rounding.
    assertArrayEquals(golden.get("logits").data(), logits.data(), 1e-4f);
    var results = classifier.top(logits, 1);
    int right = 0;
    for (int n = 0; n < 360; n++) {
      if (results.get(n).getFirst().index() == (int) golden.get("labels").data()[n]) {
        right++;
      }
    }
    assertEquals(358, right, "make.py reports 358 of 360");
  }

  @ParameterizedTest
  @ValueSource(strings = {"model.pth", "model.safetensors"})
  void savedModelIsLoadedUnchanged(String name) throws IOException {
    var spec =
        ResNetSpec.builder(ResNetSpec.Block.BOTTLENECK, 1, 2, 1)
            .channels(8)
            .groups(2)
            .widthPerGroup(32)
            .stem(Stem.SMALL_IMAGE)
            .stridePlacement(ResNetSpec.StridePlacement.FIRST_1X1)
            .shortcut(ResNetSpec.Shortcut.ZERO_PAD)
            .dilated(false, true)
            .inChannels(1)
            .numClasses(3)
            .build();
    var original =
        new Model(
            ResNet.initialize(spec, TorchRandom.manualSeed(0)),
            new Preprocessing(40, 36, 32, Interpolation.BICUBIC, List.of(0.1f), List.of(0.3f)),
            List.of("ja", "nein", "vielleicht"));
    Path file = folder.resolve(name);
    original.save(file);
    var loaded = Model.load(file);
    assertEquals(original.network().spec(), loaded.network().spec());
    assertEquals(original.preprocessing(), loaded.preprocessing());
    assertEquals(original.labels(), loaded.labels());
    var x = TorchRandom.manualSeed(1).randn(2, 1, 36, 32);
    assertArrayEquals(original.network().forward(x).data(), loaded.network().forward(x).data());
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "zip.pth",
        "legacy.pth",
        "training.pth",
        "without-counters.pth",
        "parameters.pth",
        "plain.safetensors",
      })
  void pytorchCheckpointsMatchItsLogits(String name) throws IOException {
    assertArrayEquals(
        Golden.tensors("checkpoints/expected.safetensors").get("logits").data(),
        logits(name, "expected.safetensors", tiny().build()),
        1e-5f);
  }

  @Test
  void halfPrecisionIsLoadedAsFloat32() throws IOException {
    // Weights with 11 bits: an error of 2^-11 each, in sums of some tens of terms.
    assertArrayEquals(
        Golden.tensors("checkpoints/expected.safetensors").get("logits").data(),
        logits("half.pth", "expected.safetensors", tiny().build()),
        1e-2f);
  }

  @ParameterizedTest
  @ValueSource(strings = {"hugging-face/model.safetensors", "sharded/model.safetensors.index.json"})
  void transformersCheckpointsMatchItsLogits(String name) throws IOException {
    var spec = ResNetSpec.builder(ResNetSpec.Block.BASIC, 1, 1).channels(8).numClasses(3).build();
    assertArrayEquals(
        Golden.tensors("checkpoints/hugging-face-expected.safetensors").get("logits").data(),
        logits(name, "hugging-face-expected.safetensors", spec),
        1e-5f);
  }

  private static ResNetSpec.Builder tiny() {
    return ResNetSpec.builder(ResNetSpec.Block.BASIC, 1, 1)
        .channels(4)
        .stem(Stem.SMALL_IMAGE)
        .numClasses(3);
  }

  private static float[] logits(String name, String expected, ResNetSpec spec) throws IOException {
    Tensor x = Golden.tensors("checkpoints/" + expected).get("input");
    try (var checkpoint = Checkpoint.open(Golden.path("checkpoints/" + name))) {
      return ResNet.load(spec, checkpoint).forward(x).data();
    }
  }

  @Test
  void mismatchOfNetworkIsDescribed() throws IOException {
    try (var checkpoint = Checkpoint.open(Golden.path("checkpoints/zip.pth"))) {
      var longer =
          ResNetSpec.builder(ResNetSpec.Block.BASIC, 2, 1)
              .channels(4)
              .stem(Stem.SMALL_IMAGE)
              .numClasses(3)
              .build();
      assertDescribes("10 missing: layer1.1.conv1.weight, ", longer, checkpoint);
      assertDescribes(
          "the weights are those of another network, unnamed: basic blocks 1-1, ",
          longer,
          checkpoint);
      assertDescribes(
          "load them as that network, on the command line without --model", longer, checkpoint);
      assertDescribes(" and 5 more", longer, checkpoint);
      var wider = tiny().channels(8).build();
      assertDescribes(
          "conv1.weight is [4, 3, 3, 3], the network's [8, 3, 3, 3]", wider, checkpoint);
      var shorter =
          ResNetSpec.builder(ResNetSpec.Block.BASIC, 1)
              .channels(4)
              .stem(Stem.SMALL_IMAGE)
              .numClasses(3)
              .build();
      assertDescribes("unexpected: layer2.0.conv1.weight", shorter, checkpoint);
      assertDescribes("only the head differs", tiny().numClasses(5).build(), checkpoint);
    }
  }

  private static void assertDescribes(String reason, ResNetSpec spec, Checkpoint checkpoint) {
    var error = assertThrows(CheckpointException.class, () -> ResNet.load(spec, checkpoint));
    assertTrue(error.getMessage().contains(reason), error.getMessage());
    assertTrue(error.getMessage().contains("zip.pth: does not fit the network"));
  }

  @Test
  void quantizedModelKnowsTheDigitsOfItsImages(@TempDir Path folder) throws IOException {
    List<Path> images =
        IntStream.range(0, 10).mapToObj(i -> Path.of("../samples/digit-" + i + ".png")).toList();
    Path file = folder.resolve("int8.safetensors");
    Model.embedded().quantized(images).saveQuantized(file);
    try (var classifier = Classifier.builder().precision(Precision.INT8).load(file)) {
      for (int i = 0; i < 10; i++) {
        assertEquals(String.valueOf(i), classifier.classify(images.get(i), 1).getFirst().label());
      }
    }
    Model model = Model.embedded();
    assertThrows(IllegalArgumentException.class, () -> model.quantized(List.of()));
    assertThrows(IOException.class, () -> model.quantized(List.of(folder.resolve("missing.png"))));
  }

  /**
   * Weights: bit-identical to the file. Head: nn.Linear's U(-1/sqrt(in), 1/sqrt(in)), from the
   * numbers that torch.manual_seed(0); torch.rand(4) prints.
   */
  @Test
  void newHeadKeepsAllOtherWeights() throws IOException {
    try (var checkpoint = Checkpoint.open(Golden.path("checkpoints/zip.pth"))) {
      ResNet network = ResNet.load(tiny().build(), checkpoint);
      ResNet other = network.withNewHead(5, TorchRandom.manualSeed(0));
      assertEquals(tiny().numClasses(5).build(), other.spec());
      for (String name : network.state().entries().keySet()) {
        if (!name.startsWith("fc.") && !name.endsWith("num_batches_tracked")) {
          assertArrayEquals(
              checkpoint.tensors().get(name).toTensor().data(),
              other.state().get(name).data(),
              name);
        }
      }
      Tensor head = other.state().get("fc.weight");
      int in = network.spec().featureChannels();
      assertArrayEquals(new int[] {5, in}, head.shape());
      double[] uniform = {0.4963, 0.7682, 0.0885, 0.1320};
      for (int i = 0; i < uniform.length; i++) {
        assertEquals((2 * uniform[i] - 1) / Math.sqrt(in), head.data()[i], 1e-4);
      }
      assertArrayEquals(new int[] {5}, other.state().get("fc.bias").shape());
      var headless = ResNet.load(tiny().includeTop(false).build(), checkpoint);
      assertArrayEquals(
          head.data(),
          headless.withNewHead(5, TorchRandom.manualSeed(0)).state().get("fc.weight").data());
    }
  }

  @Test
  void withoutTopHeadInFileIsIgnored() throws IOException {
    try (var checkpoint = Checkpoint.open(Golden.path("checkpoints/zip.pth"))) {
      var body = ResNet.load(tiny().includeTop(false).build(), checkpoint);
      Tensor x = Golden.tensors("checkpoints/expected.safetensors").get("input");
      assertArrayEquals(
          ResNet.load(tiny().build(), checkpoint).features(x).data(), body.forward(x).data());
    }
  }

  /** As in the command: by structure, or by the given name. */
  @Test
  void pytorchFileIsRecognized() throws IOException {
    var found = Model.load(Golden.path("checkpoints/zip.pth"));
    assertEquals(tiny().build(), found.network().spec());
    assertEquals(List.of("0", "1", "2"), found.labels());
    assertEquals(32, found.preprocessing().cropHeight());
    var expected = Golden.tensors("checkpoints/expected.safetensors");
    assertArrayEquals(
        expected.get("logits").data(),
        found.network().forward(expected.get("input")).data(),
        1e-5f);
    Path file = folder.resolve("fine-tuned.safetensors");
    var spec = Architecture.named("resnet34d").toBuilder().numClasses(7).build();
    ResNet.initialize(spec, TorchRandom.manualSeed(0)).save(file, Map.of());
    assertEquals(spec, Model.load(file, "resnet34d").network().spec());
    assertEquals(spec, Model.load(file.toString()).network().spec());
    assertThrows(CheckpointException.class, () -> Model.load(file, "resnet18"));
  }

  @Test
  void toStringDescribesTheObject() throws IOException {
    var embedded = Model.embedded();
    assertEquals("Model[resnet8, 10 classes, resize 32, crop 32×32]", embedded.toString());
    assertEquals("ResNet[resnet8, 10 classes]", embedded.network().toString());
    assertEquals("six 98.1 %", new Prediction(6, "six", 0.981f).toString());
    assertEquals("Pixels[2×1, 3 channels]", new Pixels(2, 1, 3, new byte[6]).toString());
    Path file = folder.resolve("digits.pth");
    embedded.save(file);
    assertEquals("Weights[digits.pth, resnet8]", Weights.find(file.toString()).toString());
    try (var session = embedded.network().compile(CompileOptions.defaults().withThreads(1))) {
      assertEquals("Session[FP32, 1 threads, " + session.kernels() + "]", session.toString());
    }
  }

  @Test
  void unknownNameSuggestsNetwork() {
    var error = assertThrows(CheckpointException.class, () -> Model.load("resnet51"));
    assertTrue(
        error.getMessage().contains("is neither a network, nor a file, nor hf:owner/name")
            && error.getMessage().contains("resnet50"),
        error.getMessage());
  }

  @Test
  void inconsistentPartsAreNamed() throws IOException {
    var embedded = Model.embedded();
    var labels =
        assertThrows(IllegalArgumentException.class, () -> embedded.withLabels(List.of("a")));
    assertEquals("1 labels for 10 classes", labels.getMessage());
    var gray = new Preprocessing(32, 32, 32, Interpolation.BILINEAR, List.of(0f), List.of(1f));
    assertThrows(IllegalArgumentException.class, () -> embedded.withPreprocessing(gray));
  }
}
