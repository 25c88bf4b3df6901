package io.github.resnet4j;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.resnet4j.ResNetSpec.Block;
import io.github.resnet4j.checkpoint.Checkpoint;
import io.github.resnet4j.checkpoint.CheckpointException;
import io.github.resnet4j.checkpoint.CheckpointWriter;
import io.github.resnet4j.checkpoint.StoredTensor;
import io.github.resnet4j.tensor.Tensor;
import io.github.resnet4j.tensor.TorchRandom;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.TreeMap;
import java.util.function.UnaryOperator;
import java.util.stream.Stream;
import java.util.zip.GZIPInputStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * Checkpoints with the names of other libraries and repositories. The names are from {@code
 * tools/parity/namings.py}, which also compares the logits of these files with PyTorch's.
 */
class NamingTest {
  @TempDir private Path folder;

  /** The remark about each naming, by the start of its label. */
  private static final Map<String, String> REMARKS =
      Map.ofEntries(
          Map.entry("CIFAR: ", "CIFAR repositories (linear, shortcut)"),
          Map.entry("CIFAR-100: ", "CIFAR repositories (conv2_x, residual_function)"),
          Map.entry("Hugging Face: ", "those of Hugging Face"),
          Map.entry("Caffe2", "it was trained on BGR pixels from 0 to 255"),
          Map.entry("detectron2", "those of detectron2"),
          Map.entry("torchvision in an nn.Sequential", "the modules of a network without names"),
          Map.entry("Lightning: self.net", "torchvision after 'net.', as in Lightning"),
          Map.entry("Lightning: self.model.resnet", "torchvision after 'model.resnet.'"),
          Map.entry("Lightning: backbone and", "those of torchvision after 'backbone.'"),
          Map.entry("a replaced head", "those of torchvision"),
          Map.entry("a head of two layers", "left out: a head of several layers (fc.0, fc.3)"),
          Map.entry(
              "names of nobody", "its names are unknown; tensors were assigned by their order"),
          Map.entry("numbers", "its names are unknown; tensors were assigned by their order"),
          Map.entry("MoCo v1", "torchvision after 'module.encoder_q.', as in MoCo"),
          Map.entry("MoCo v2", "torchvision after 'module.encoder_q.', as in MoCo"),
          Map.entry("MoCo v3", "torchvision after 'module.base_encoder.', as in MoCo v3"),
          Map.entry("SimSiam", "torchvision after 'module.encoder.', as in SimSiam"),
          Map.entry("SwAV", "torchvision after 'module.', as in SwAV"),
          Map.entry("BarlowTwins", "as in Barlow Twins or VICReg"),
          Map.entry("DINO", "as in DINO"),
          Map.entry("DINO without head", ""),
          Map.entry("mmpretrain: ResNet-", "torchvision after 'backbone.', as in mmpretrain"),
          Map.entry("mmpretrain: ResNetV1c", "mmpretrain (deep stem) after 'backbone.'"),
          Map.entry(
              "mmpretrain: ResNetV1d", "mmpretrain (deep stem, average pooling in shortcuts)"),
          Map.entry("mmpretrain: SEResNet", "those of mmpretrain after 'backbone.'"),
          Map.entry("fastai: xresnet", "those of fastai's xresnet"),
          Map.entry("fastai: resnet18", "left out: a head of several layers (1.2, 1.4, 1.6, 1.8)"),
          Map.entry("lightly: SimCLR", "left out: the projection head (projection_head.layers.0"));

  static Stream<List<String>> golden() throws IOException {
    try (var in = new GZIPInputStream(Files.newInputStream(Golden.path("namings.tsv.gz")))) {
      return new String(in.readAllBytes(), StandardCharsets.UTF_8)
          .lines().map(line -> List.of(line.split("\t"))).toList().stream();
    }
  }

  private static String remarkOf(String label) {
    return REMARKS.entrySet().stream()
        .filter(entry -> label.startsWith(entry.getKey()))
        .max(Map.Entry.comparingByKey(Comparator.comparingInt(String::length)))
        .orElseThrow()
        .getValue();
  }

  /** A narrow network with the structure of one of the catalogue. */
  private static ResNet network(String model, boolean head) {
    ResNetSpec wide = Architecture.named(model);
    var builder = wide.toBuilder().channels(8).numClasses(10);
    if (wide.stem() instanceof Stem.Deep) {
      builder.stem(new Stem.Deep(4, 4, 8, true));
    }
    return random(builder.includeTop(head).build());
  }

  /** Every value differs, so that exchanged tensors are noticed. */
  private static ResNet random(ResNetSpec spec) {
    ResNet network = ResNet.initialize(spec, TorchRandom.manualSeed(0));
    var random = new Random(0);
    network
        .state()
        .entries()
        .forEach((_, tensor) -> {
          for (int i = 0; i < tensor.size(); i++) {
            tensor.data()[i] = random.nextFloat();
          }
        });
    return network;
  }

  private Path write(Map<String, StoredTensor> tensors) throws IOException {
    Path file = folder.resolve("weights.pth");
    CheckpointWriter.write(file, new LinkedHashMap<>(tensors), Map.of());
    return file;
  }

  private static void assertLoads(ResNet expected, Path file, String remark) throws IOException {
    try (var checkpoint = Checkpoint.open(file)) {
      ResNetSpec spec = Recognition.require(checkpoint).spec();
      ResNet loaded = ResNet.load(spec, checkpoint);
      assertEquals(
          expected.state().entries().keySet(), loaded.state().entries().keySet(), file.toString());
      expected
          .state()
          .entries()
          .forEach((name, tensor) ->
              assertArrayEquals(tensor.data(), loaded.state().get(name).data(), name));
      String remarks = String.join("\n", checkpoint.remarks());
      assertEquals(remark.isEmpty(), remarks.isEmpty(), remarks);
      assertTrue(remarks.contains(remark), remarks);
    }
  }

  /** mmsegmentation's stem is a sequence of convolutions, norms and ReLUs, without names. */
  @ParameterizedTest
  @CsvSource({
    "mmpretrain: ResNetV1c-50, mmsegmentation (deep stem) after 'backbone.'",
    "mmpretrain: ResNetV1d-50, 'mmsegmentation (deep stem, average pooling in shortcuts)'"
  })
  void mmsegmentationHasMmpretrainsNamesButForTheStem(String label, String remark)
      throws IOException {
    List<String> line =
        golden().filter(each -> each.getFirst().equals(label)).findFirst().orElseThrow();
    ResNet network = network(line.get(1), false);
    var tensors = new LinkedHashMap<String, StoredTensor>();
    for (String pair : line.subList(3, line.size())) {
      String[] names = pair.split("=");
      if (!names[1].startsWith("fc.")) {
        String theirs = names[0];
        for (int i = 0; i < 3; i++) {
          theirs =
              theirs
                  .replace(".stem.%d.conv.".formatted(i), ".stem.%d.".formatted(3 * i))
                  .replace(".stem.%d.bn.".formatted(i), ".stem.%d.".formatted(3 * i + 1));
        }
        tensors.put(
            theirs,
            theirs.endsWith("num_batches_tracked")
                ? StoredTensor.ofScalar(0)
                : StoredTensor.of(network.state().get(names[1])));
      }
    }
    assertLoads(withoutCounts(network), write(tensors), remark);
  }

  @ParameterizedTest(name = "{0}")
  @MethodSource("golden")
  void everyNamingIsLoadedAndNamed(List<String> line) throws IOException {
    ResNet network = network(line.get(1), line.get(2).equals("head"));
    var tensors = new LinkedHashMap<String, StoredTensor>();
    for (String pair : line.subList(3, line.size())) {
      String name = pair.substring(0, pair.indexOf('='));
      String ours = pair.substring(name.length() + 1);
      if (ours.startsWith("-")) { // of another part of the file
        int[] shape = new int[Integer.parseInt(ours.substring(1))];
        Arrays.fill(shape, 3);
        tensors.put(name, StoredTensor.of(Tensor.zeros(shape)));
      } else if (ours.endsWith("num_batches_tracked")) {
        tensors.put(name, StoredTensor.ofScalar(0));
      } else {
        tensors.put(name, StoredTensor.of(network.state().get(ours)));
      }
    }
    if (line.getFirst().equals("Caffe2")) { // statistics are folded into scale and bias
      network
          .state()
          .entries()
          .forEach((name, tensor) -> {
            if (name.contains("running_")) {
              Arrays.fill(tensor.data(), name.endsWith("mean") ? 0 : 1 - 1e-5f);
            }
          });
    }
    assertLoads(withoutCounts(network), write(tensors), remarkOf(line.getFirst()));
  }

  private static Map<String, StoredTensor> tensors(ResNet network, UnaryOperator<String> rename) {
    var tensors = new LinkedHashMap<String, StoredTensor>();
    network
        .state()
        .entries()
        .forEach((name, tensor) -> {
          if (!name.endsWith("num_batches_tracked")) {
            tensors.put(rename.apply(name), StoredTensor.of(tensor));
          }
        });
    return tensors;
  }

  private static ResNet withoutCounts(ResNet network) {
    network
        .state()
        .entries()
        .forEach((name, tensor) -> {
          if (name.endsWith("num_batches_tracked")) {
            tensor.data()[0] = 0;
          }
        });
    return network;
  }

  private static ResNet narrow(Block block) {
    return withoutCounts(
        random(ResNetSpec.builder(block, 2, 1, 1).channels(8).numClasses(5).build()));
  }

  /** Networks whose author defined the layers of a block in another order than torchvision. */
  @ParameterizedTest
  @CsvSource({
    "BASIC, shortcut first",
    "BASIC, norms last",
    "BASIC, alphabetical",
    "BOTTLENECK, shortcut first",
    "BOTTLENECK, norms last",
    "BOTTLENECK, alphabetical"
  })
  void structureIsRecognizedInAnotherOrder(Block block, String order) throws IOException {
    ResNet network = narrow(block);
    Map<String, StoredTensor> tensors =
        tensors(
            network,
            name ->
                "body."
                    + name.replace("layer", "stage")
                        .replace("conv", "c")
                        .replace("bn", "norm")
                        .replace("downsample", "skip"));
    var keyed = new TreeMap<String, String>();
    int position = 1000;
    for (String name : tensors.keySet()) {
      String blockName = name.replaceFirst("^(body\\.stage\\d+\\.\\d+)\\..*", "$1");
      boolean inBlock = !blockName.equals(name);
      String rank =
          switch (order) {
            case "shortcut first" -> name.contains("skip") ? "0" : "1";
            case "norms last" -> name.contains("skip") ? "2" : name.contains(".norm") ? "1" : "0";
            default -> name;
          };
      String group = name.contains("stage") ? blockName : name.contains("fc") ? "z" : "a";
      keyed.put(
          order.equals("alphabetical") ? name : group + (inBlock ? rank : "") + position++, name);
    }
    var ordered = new LinkedHashMap<String, StoredTensor>();
    keyed.values().forEach(name -> ordered.put(name, tensors.get(name)));
    assertLoads(network, write(ordered), "its names are unknown");
  }

  /** With the same shapes but a batch norm of another size, or without one, nothing is guessed. */
  @Test
  void unknownStructuresAreNotGuessed() throws IOException {
    for (String change : List.of("wider norm", "no norm", "negative variance", "second head")) {
      var tensors = tensors(narrow(Block.BASIC), new Numbers());
      List<String> names = List.copyOf(tensors.keySet());
      switch (change) {
        case "wider norm" -> tensors.put(names.get(4), StoredTensor.of(Tensor.zeros(9)));
        case "no norm" -> names.subList(1, 5).forEach(tensors::remove);
        case "negative variance" ->
            tensors.put(names.get(4), StoredTensor.of(Tensor.filled(-1, 8)));
        default -> tensors.put("more", StoredTensor.of(Tensor.zeros(2, 32)));
      }
      try (var checkpoint = Checkpoint.open(write(tensors))) {
        assertThrows(CheckpointException.class, () -> Recognition.require(checkpoint), change);
        assertEquals(List.of(), checkpoint.remarks(), change);
      }
    }
  }

  /** Names without meaning: n0, n1, … */
  private static final class Numbers implements UnaryOperator<String> {
    private int next;

    @Override
    public String apply(String name) {
      return "n" + next++;
    }
  }

  @Test
  void headsOfSegmentationAreNotLeftOut() throws IOException {
    var tensors = tensors(narrow(Block.BASIC), name -> "backbone." + name);
    tensors.keySet().removeIf(name -> name.contains("fc."));
    tensors.put("classifier.0.weight", StoredTensor.of(Tensor.zeros(2, 32, 3, 3)));
    tensors.put("classifier.4.weight", StoredTensor.of(Tensor.zeros(2, 2, 1, 1)));
    try (var checkpoint = Checkpoint.open(write(tensors))) {
      var e = assertThrows(CheckpointException.class, () -> Recognition.require(checkpoint));
      assertTrue(e.getMessage().contains("a segmentation network"), e.getMessage());
    }
  }

  /** CLIP's RN50 has all of torchvision's names, and others. */
  @Test
  void clipIsRejectedWithTheReason() throws IOException {
    var tensors = tensors(narrow(Block.BOTTLENECK), name -> "visual." + name);
    tensors.keySet().removeIf(name -> name.contains("fc."));
    tensors.put("visual.conv2.weight", StoredTensor.of(Tensor.zeros(8, 8, 3, 3)));
    tensors.put("visual.attnpool.positional_embedding", StoredTensor.of(Tensor.zeros(50, 32)));
    tensors.put("logit_scale", StoredTensor.of(Tensor.zeros(1)));
    try (var checkpoint = Checkpoint.open(write(tensors))) {
      var e = assertThrows(CheckpointException.class, () -> Recognition.require(checkpoint));
      assertTrue(
          e.getMessage().contains("CLIP's ResNet, which is not of this family"), e.getMessage());
    }
  }

  /** Two networks of which neither is a copy: nothing is chosen. */
  @Test
  void ofTwoEqualNetworksNoneIsChosen() throws IOException {
    var tensors = new LinkedHashMap<>(tensors(narrow(Block.BASIC), name -> "left." + name));
    tensors.putAll(tensors(narrow(Block.BASIC), name -> "right." + name));
    try (var checkpoint = Checkpoint.open(write(tensors))) {
      assertFalse(Recognition.of(checkpoint).isPresent());
    }
  }
}
