package io.github.resnet4j;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.resnet4j.checkpoint.CheckpointWriter;
import io.github.resnet4j.checkpoint.Download;
import io.github.resnet4j.checkpoint.ScriptedServer;
import io.github.resnet4j.checkpoint.ScriptedServer.Response;
import io.github.resnet4j.checkpoint.StoredTensor;
import io.github.resnet4j.image.Interpolation;
import io.github.resnet4j.image.Preprocessing;
import io.github.resnet4j.tensor.Tensor;
import io.github.resnet4j.tensor.TorchRandom;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class WeightsTest {
  private static final Download DOWNLOAD =
      new Download(Map.of(), (_, _, _) -> {}, Duration.ofSeconds(2));

  @TempDir private Path folder;

  /** The catalogue contains torchvision's metadata; these rows were copied from its website. */
  @ParameterizedTest
  @CsvSource({
    "resnet18, IMAGENET1K_V1, f37072fd, 256, 69.758",
    "resnet34, IMAGENET1K_V1, b627a593, 256, 73.314",
    "resnet50, IMAGENET1K_V1, 0676ba61, 256, 76.13",
    "resnet101, IMAGENET1K_V1, 63fe2227, 256, 77.374",
    "resnet152, IMAGENET1K_V1, 394f9c45, 256, 78.312",
    "resnet50, IMAGENET1K_V2, 11ad3fa6, 232, 80.858",
    "resnext101_64x4d, IMAGENET1K_V1, 173b62eb, 232, 83.246",
  })
  void catalogueMatchesTorchvision(
      String model, String name, String hash, int resize, double top1) {
    var weights = PublishedWeights.of(model, name);
    assertEquals(hash, weights.sha256Prefix());
    assertTrue(weights.url().toString().endsWith("/" + model + "-" + hash + ".pth"));
    assertEquals(Preprocessing.imagenet(resize, 224), weights.preprocessing());
    assertEquals(top1, weights.top1());
  }

  @Test
  void everyEntryNamesANetworkOfTheCatalogue() {
    assertEquals(17, PublishedWeights.catalogue().size());
    for (var weights : PublishedWeights.catalogue()) {
      assertEquals(Architecture.named(weights.model()).parameterCount(), weights.parameters());
    }
    for (var model : List.of("resnet18", "resnet50", "resnext101_64x4d", "wide_resnet101_2")) {
      assertTrue(PublishedWeights.of(model, "DEFAULT").isDefault());
    }
    assertEquals(1000, PublishedWeights.imagenetLabels().size());
    assertEquals("tench", PublishedWeights.imagenetLabels().getFirst());
    assertEquals("toilet tissue", PublishedWeights.imagenetLabels().getLast());
    List<String> many = PublishedWeights.labels("imagenet-22k");
    assertEquals(21_841, many.size());
    assertEquals(21_841, many.stream().distinct().count());
    assertEquals("benthos (n00005787)", many.get(1)); // two classes have this name
    assertEquals("person", many.get(4));
    assertEquals("knothole", many.getLast()); // n15102894
    var unknown =
        assertThrows(IllegalArgumentException.class, () -> PublishedWeights.labels("imagenet-21k"));
    assertTrue(unknown.getMessage().contains("did you mean imagenet-22k?"), unknown.getMessage());
  }

  @Test
  void unknownNamesListKnownOnes() {
    var name =
        assertThrows(IllegalArgumentException.class, () -> PublishedWeights.of("resnet50", "V3"));
    assertTrue(name.getMessage().endsWith("DEFAULT, IMAGENET1K_V1, IMAGENET1K_V2"));
    var model =
        assertThrows(
            IllegalArgumentException.class, () -> PublishedWeights.of("resnet20", "DEFAULT"));
    assertEquals("torchvision publishes no weights for resnet20", model.getMessage());
  }

  @Test
  void publishedWeightsAreReadFromPytorchCache() throws IOException {
    var environment = Map.of("TORCH_HOME", folder.toString());
    Path cached = folder.resolve("hub/checkpoints/resnet34-b627a593.pth");
    Files.createDirectories(cached.getParent());
    Files.write(cached, new byte[1]);
    var weights = Weights.find(Optional.of("resnet34"), "DEFAULT", environment, DOWNLOAD);
    assertEquals(cached, weights.file());
    assertEquals(Optional.of(Architecture.named("resnet34")), weights.spec());
    assertEquals("tench", weights.labels().orElseThrow().getFirst());
  }

  @Test
  void mirrorReplacesDownloadUrl() throws IOException {
    try (var server = new ScriptedServer()) {
      server.on("/mirror/resnet18-f37072fd.pth", Response.ok(new byte[] {1, 2, 3}));
      var environment =
          Map.of(
              "TORCH_HOME", folder.toString(),
              "RESNET4J_WEIGHTS_URL", server.url("/mirror").toString());
      var error =
          assertThrows(
              IOException.class,
              () -> Weights.find(Optional.of("resnet18"), "DEFAULT", environment, DOWNLOAD));
      // Three bytes are not the published file, which the checksum detects.
      assertTrue(error.getMessage().contains("expected f37072fd"), error.getMessage());
      assertEquals(List.of("GET /mirror/resnet18-f37072fd.pth"), server.requests());
    }
  }

  @Test
  void fileNameAloneDoesNotDetermineLabels() throws IOException {
    Path file = folder.resolve("resnet18-f37072fd.pth");
    ResNetSpec spec = Architecture.named("resnet18");
    ResNet.initialize(spec, TorchRandom.manualSeed(0)).save(file, Map.of());
    for (Optional<String> model : List.of(Optional.<String>empty(), Optional.of("resnet18"))) {
      var weights = Weights.find(model, file.toString(), Map.of(), DOWNLOAD);
      assertEquals(spec, weights.spec().orElseThrow());
      assertEquals(Optional.empty(), weights.labels());
      assertEquals(Optional.empty(), weights.preprocessing());
    }
  }

  /** The SHA-256 of "abc" is an example of FIPS 180-4. */
  @Test
  void publishedWeightsAreRecognizedByHash() throws IOException {
    Path file = Files.writeString(folder.resolve("any.pth"), "abc");
    double megabytes = 0; // three bytes, rounded
    assertTrue(published("ba7816bf", megabytes).isIn(file));
    assertFalse(published("ba7816be", megabytes).isIn(file));
    assertFalse(published("ba7816bf", 44.661).isIn(file));
  }

  private static PublishedWeights published(String sha256Prefix, double megabytes) {
    var known = PublishedWeights.of("resnet18", "DEFAULT");
    return new PublishedWeights(
        known.model(),
        known.name(),
        true,
        known.url(),
        sha256Prefix,
        megabytes,
        known.classes(),
        known.parameters(),
        known.top1(),
        known.top5(),
        known.preprocessing());
  }

  @Test
  void classesOfFineTunedFileAreCounted() throws IOException {
    Path file = Golden.path("checkpoints/training.pth");
    var weights = Weights.find(Optional.of("resnet18"), file.toString(), Map.of(), DOWNLOAD);
    assertEquals(3, weights.spec().orElseThrow().numClasses());
    assertTrue(weights.preprocessing().isEmpty());
  }

  @Test
  void invalidWeightsArgumentIsExplained() {
    var error =
        assertThrows(
            IOException.class,
            () -> Weights.find(Optional.of("resnet18"), "IMAGENET1K_V9", Map.of(), DOWNLOAD));
    assertTrue(error.getMessage().contains("neither a file nor DEFAULT"), error.getMessage());
    var network =
        assertThrows(
            IOException.class,
            () -> Weights.find(Optional.empty(), "resnet51", Map.of(), DOWNLOAD));
    assertTrue(
        network.getMessage().endsWith("with --model (did you mean resnet50 or resnet56?)"),
        network.getMessage());
    var missing =
        assertThrows(
            IOException.class,
            () -> Weights.find(Optional.empty(), "run/best.pth", Map.of(), DOWNLOAD));
    assertTrue(missing.getMessage().endsWith("best.pth: does not exist"), missing.getMessage());
    assertThrows(
        IllegalArgumentException.class,
        () -> Weights.find(Optional.empty(), "DEFAULT", Map.of(), DOWNLOAD));
  }

  @Test
  void transformersRepositoryIsRead() throws IOException {
    Path snapshot = cached("microsoft", "resnet-tiny");
    for (String name : List.of("config.json", "preprocessor_config.json", "model.safetensors")) {
      Files.copy(Golden.path("checkpoints/hugging-face/" + name), snapshot.resolve(name));
    }
    var weights =
        Weights.find(
            Optional.empty(),
            "hf:microsoft/resnet-tiny",
            Map.of("HF_HOME", folder.toString()),
            DOWNLOAD);
    assertEquals(
        ResNetSpec.builder(ResNetSpec.Block.BASIC, 1, 1).channels(8).numClasses(3).build(),
        weights.spec().orElseThrow());
    assertEquals(
        new Preprocessing(
            256,
            224,
            224,
            Interpolation.BICUBIC,
            Preprocessing.IMAGENET_MEAN,
            Preprocessing.IMAGENET_STD),
        weights.preprocessing().orElseThrow());
    assertEquals(List.of("LABEL_0", "LABEL_1", "LABEL_2"), weights.labels().orElseThrow());
  }

  @Test
  void timmRepositoryIsRead() throws IOException {
    Path snapshot = cached("timm", "resnet50.a1_in1k");
    Files.writeString(
        snapshot.resolve("config.json"),
        """
        {"architecture": "resnet50", "num_classes": 1000, "num_features": 2048,
         "pretrained_cfg": {"tag": "a1_in1k", "input_size": [3, 224, 224], "crop_pct": 0.95,
           "interpolation": "bicubic", "crop_mode": "center",
           "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}}
        """);
    writeHead(snapshot.resolve("model.safetensors"), 1000);
    var weights =
        Weights.find(
            Optional.empty(),
            "hf:timm/resnet50.a1_in1k",
            Map.of("HF_HOME", folder.toString()),
            DOWNLOAD);
    assertEquals(Architecture.named("resnet50"), weights.spec().orElseThrow());
    assertEquals(235, weights.preprocessing().orElseThrow().resize());
    assertEquals(1000, weights.labels().orElseThrow().size());
  }

  @Test
  void fineTunedRepositoryWithoutConfigurationHasTheClassesOfItsHead() throws IOException {
    Path snapshot = cached("someone", "flowers");
    writeHead(snapshot.resolve("model.safetensors"), 7);
    var weights =
        Weights.find(
            Optional.of("resnet18"),
            "hf:someone/flowers",
            Map.of("HF_HOME", folder.toString()),
            DOWNLOAD);
    assertEquals(7, weights.spec().orElseThrow().numClasses());
  }

  /** Writes a checkpoint whose only complete layer is its head. */
  private static void writeHead(Path file, int classes) throws IOException {
    var tensors = new LinkedHashMap<String, StoredTensor>();
    tensors.put("conv1.weight", StoredTensor.of(Tensor.zeros(1)));
    tensors.put("fc.weight", StoredTensor.of(Tensor.zeros(classes, 1)));
    tensors.put("fc.bias", StoredTensor.of(Tensor.zeros(classes)));
    CheckpointWriter.write(file, tensors, Map.of());
  }

  private Path cached(String owner, String name) throws IOException {
    Path repository = folder.resolve("hub/models--" + owner + "--" + name);
    String commit = "b".repeat(40);
    Files.createDirectories(repository.resolve("refs"));
    Files.writeString(repository.resolve("refs/main"), commit);
    return Files.createDirectories(repository.resolve("snapshots/" + commit));
  }
}
