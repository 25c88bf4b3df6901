package io.github.resnet4j;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.resnet4j.checkpoint.Checkpoint;
import io.github.resnet4j.checkpoint.CheckpointException;
import io.github.resnet4j.checkpoint.CheckpointWriter;
import io.github.resnet4j.checkpoint.Download;
import io.github.resnet4j.checkpoint.StoredTensor;
import io.github.resnet4j.image.Preprocessing;
import io.github.resnet4j.nn.Parameter;
import io.github.resnet4j.tensor.Tensor;
import io.github.resnet4j.tensor.TorchRandom;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.SequencedMap;
import java.util.stream.Stream;
import java.util.zip.GZIPInputStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;

/** Recognizes networks from the names and shapes of their weights. */
class RecognitionTest {
  @TempDir private Path folder;

  /** Every structure of the golden logits, with few channels so that files are written quickly. */
  static Stream<Map.Entry<String, Map<String, Object>>> cases() {
    return Golden.json("logits.json").entrySet().stream()
        .filter(entry -> !entry.getKey().endsWith("224"))
        .filter(entry -> !entry.getKey().matches("(resne.*(101|152)|wide).*"));
  }

  private Path write(ResNetSpec spec) throws IOException {
    Path file = folder.resolve("weights.safetensors");
    ResNet.initialize(spec, TorchRandom.manualSeed(0)).save(file, Map.of());
    return file;
  }

  @ParameterizedTest
  @MethodSource("cases")
  void everyStructureIsRecognized(Map.Entry<String, Map<String, Object>> golden)
      throws IOException {
    ResNetSpec spec = LogitsTest.spec((Map<?, ?>) golden.getValue().get("spec"));
    // Assumptions about what weights do not show are reported.
    var dilated = spec.dilated().stream().map(_ -> false).toList();
    ResNetSpec expected =
        spec.toBuilder()
            .stridePlacement(ResNetSpec.StridePlacement.ON_3X3)
            .dilated(dilated)
            .build();
    try (var checkpoint = Checkpoint.open(write(spec))) {
      var found = Recognition.require(checkpoint);
      assertEquals(expected, found.spec());
      if (!spec.equals(expected)) {
        assertTrue(!found.assumed().isEmpty(), found::describe);
      }
      if (golden.getValue().get("spec") instanceof Map<?, ?> fields
          && fields.size() == 1
          && fields.get("model") instanceof String model) {
        assertEquals(Optional.of(model), found.name());
        assertTrue(found.describe().startsWith(model + ": "), found::describe);
      }
    }
  }

  /**
   * In narrow networks several reductions give the first stage the same number of channels: 8 here.
   */
  @Test
  void stemWidthsAndAttentionReductionsAreRecognized() throws IOException {
    for (int reduction : List.of(2, 4, 8, 16)) {
      ResNetSpec spec =
          ResNetSpec.builder(ResNetSpec.Block.BASIC, 1, 1, 1, 1, 1)
              .channels(16)
              .stem(new Stem.Deep(5, 11, 16, reduction > 4))
              .attention(new Attention.SqueezeExcite(reduction))
              .build();
      try (var checkpoint = Checkpoint.open(write(spec))) {
        assertEquals(spec, Recognition.require(checkpoint).spec());
      }
    }
  }

  /** Weights do not show the position of a bottleneck's stride; our metadata does. */
  @Test
  void metadataIsUsedOnlyIfItFits() throws IOException {
    ResNetSpec v1 =
        ResNetSpec.builder(ResNetSpec.Block.BOTTLENECK, 1, 1)
            .channels(8)
            .stridePlacement(ResNetSpec.StridePlacement.FIRST_1X1)
            .build();
    var preprocessing = Preprocessing.imagenet(256, 224);
    var labels = Model.numbered(1000);
    Path file = folder.resolve("noted.safetensors");
    for (boolean fits : new boolean[] {true, false}) {
      ResNetSpec noted = fits ? v1 : v1.toBuilder().channels(16).build();
      ResNet.initialize(v1, TorchRandom.manualSeed(0))
          .save(file, ModelNotes.toMetadata(noted, preprocessing, labels, Task.SINGLE_LABEL));
      try (var checkpoint = Checkpoint.open(file)) {
        var found = Recognition.require(checkpoint);
        assertEquals(fits, found.spec().equals(v1));
        assertEquals(fits, found.assumed().isEmpty());
        assertEquals(8, found.spec().channels());
      }
    }
  }

  @Test
  void weightsLoadWithoutModelName() throws IOException {
    ResNetSpec spec = Architecture.named("resnet18").toBuilder().numClasses(3).build();
    var found =
        Weights.find(
            Optional.empty(), write(spec).toString(), Map.of(), new Download((_, _, _) -> {}));
    assertEquals(Optional.of(spec), found.spec());
  }

  @Test
  void otherWeightsAreRejectedWithReason() throws IOException {
    ResNetSpec spec = Architecture.named("resnet20");
    var tensors = new LinkedHashMap<String, StoredTensor>();
    ResNet.initialize(spec, TorchRandom.manualSeed(0))
        .state()
        .entries()
        .forEach((name, tensor) -> tensors.put(name, StoredTensor.of(tensor)));
    assertReason(tensors, "layer2.1.bn2.weight", null, "layer2.1.bn2.weight is missing");
    assertReason(
        tensors,
        "layer2.1.conv1.weight",
        Tensor.zeros(32, 16, 3, 3),
        "layer2.1.conv1.weight is [32, 16, 3, 3], expected [32, 32, 3, 3]");
    assertReason(
        tensors, "layer9.0.conv1.weight", Tensor.zeros(1), "layer9.0.conv1.weight belongs to");
    assertReason(tensors, "conv1.weight", Tensor.zeros(16, 3, 5, 5), "neither 7 nor 3");
    assertReason(tensors, "conv1.weight", Tensor.zeros(0, 3, 3, 3), "conv1.weight is [0");
    assertReason(tensors, "conv1.weight", Tensor.zeros(16), "conv1.weight is [16]");
    assertReason(tensors, "conv1.weight", null, "conv1.weight is missing");
  }

  /** ResNet-18 with its own head, with the changes that people make. */
  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      quoteCharacter = '"',
      value = {
        "layer1.0.cbam.weight=1 | resnet18, of which 122 tensors fit; 1 unexpected: "
            + "layer1.0.cbam.weight; 'resnet4j inspect ",
        "conv1.weight=64,3,5,5 | resnet18, of which 121 tensors fit; 1 of another shape: "
            + "conv1.weight is [64, 3, 5, 5], the network's [64, 3, 7, 7]; 'resnet4j",
        "fc.weight=7,2048 fc.bias=7 | resnet18, of which 121 tensors fit; 1 of another shape: "
            + "fc.weight is [7, 2048], the network's [7, 512]; 'resnet4j",
        "layer4.1.bn2.bias=- layer4.1.bn2.weight=- layer4.1.bn1.bias=- layer4.1.bn1.weight=- "
            + "layer4.0.bn1.bias=- fc.bias=- | resnet18, of which 116 tensors fit; 6 missing: "
            + "layer4.0.bn1.bias, layer4.1.bn1.weight, layer4.1.bn1.bias, layer4.1.bn2.weight, "
            + "layer4.1.bn2.bias and 1 more; 'resnet4j",
        "segmentation_head.0.weight=1,16,3,3 | it looks like a U-Net or another decoder on a "
            + "ResNet (segmentation_head.0.weight belongs to no layer); the nearest network is "
            + "resnet18, of which 122 tensors fit; 1 unexpected: segmentation_head",
      })
  void nearestNetworkIsNamedWithDifferences(String changes, String reason) throws IOException {
    var tensors = new LinkedHashMap<String, StoredTensor>();
    for (Parameter each : Architecture.named("resnet18").layers().parameters()) {
      tensors.put(each.name(), StoredTensor.of(Tensor.zeros(each.extents())));
    }
    for (String change : changes.split(" ")) {
      String[] parts = change.split("=");
      if (parts[1].equals("-")) {
        tensors.remove(parts[0]);
      } else {
        int[] extents = Stream.of(parts[1].split(",")).mapToInt(Integer::parseInt).toArray();
        tensors.put(parts[0], StoredTensor.of(Tensor.zeros(extents)));
      }
    }
    assertRejected(tensors, reason);
  }

  @Test
  void twoNetworksInOneFileAreNamed() throws IOException {
    var tensors = new LinkedHashMap<String, StoredTensor>();
    for (Parameter each : Architecture.named("resnet8").layers().parameters()) {
      tensors.put("left." + each.name(), StoredTensor.of(Tensor.zeros(each.extents())));
      tensors.put("right." + each.name(), StoredTensor.of(Tensor.zeros(each.extents())));
    }
    assertRejected(tensors, "it looks like 2 networks in one file; save one of them (");
  }

  /** Names of tensors in torchvision, timm and transformers. */
  static Stream<String> otherNetworks() throws IOException {
    try (var in = new GZIPInputStream(Files.newInputStream(Golden.path("other-networks.tsv.gz")))) {
      return new String(in.readAllBytes(), StandardCharsets.UTF_8).lines().toList().stream();
    }
  }

  @ParameterizedTest
  @MethodSource("otherNetworks")
  void networkOfAnotherKindIsNamed(String line) throws IOException {
    List<String> fields = List.of(line.split("\t"));
    var tensors = new LinkedHashMap<String, StoredTensor>();
    for (String name : fields.subList(2, fields.size())) {
      tensors.put(name, StoredTensor.of(Tensor.zeros(1)));
    }
    Path file = folder.resolve("other.safetensors");
    CheckpointWriter.write(file, tensors, Map.of());
    try (var checkpoint = Checkpoint.open(file)) {
      var e = assertThrows(CheckpointException.class, () -> Recognition.require(checkpoint));
      assertTrue(
          e.getMessage()
              .startsWith(
                  file
                      + ": is no network of the ResNet family: it looks like "
                      + fields.get(1)
                      + " ("),
          e.getMessage());
    }
  }

  @Test
  void resnetsAreNotMistakenForOtherKinds() {
    for (ResNetSpec spec : Architecture.catalogue().values()) {
      List<String> names = spec.layers().parameters().stream().map(Parameter::name).toList();
      assertEquals(Optional.empty(), OtherNetwork.describe(names), spec.toString());
    }
  }

  private void assertReason(
      Map<String, StoredTensor> tensors, String name, Tensor other, String reason)
      throws IOException {
    var changed = new LinkedHashMap<>(tensors);
    if (other == null) {
      changed.remove(name);
    } else {
      changed.put(name, StoredTensor.of(other));
    }
    assertRejected(changed, reason);
  }

  private void assertRejected(SequencedMap<String, StoredTensor> tensors, String reason)
      throws IOException {
    Path file = folder.resolve("changed.safetensors");
    CheckpointWriter.write(file, tensors, Map.of());
    try (var checkpoint = Checkpoint.open(file)) {
      assertEquals(Optional.empty(), Recognition.of(checkpoint));
      var e = assertThrows(CheckpointException.class, () -> Recognition.require(checkpoint));
      assertTrue(e.getMessage().contains(reason), e.getMessage());
    }
  }

  @Test
  void catalogueNamesHaveDistinctStructures() {
    // Two names with the same structure would be indistinguishable.
    List<ResNetSpec> specs = List.copyOf(Architecture.catalogue().values());
    assertEquals(specs.size(), specs.stream().distinct().count());
  }
}
