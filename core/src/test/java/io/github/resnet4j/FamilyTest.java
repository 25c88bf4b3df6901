package io.github.resnet4j;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.resnet4j.ResNetSpec.Block;
import io.github.resnet4j.ResNetSpec.Shortcut;
import io.github.resnet4j.ResNetSpec.StridePlacement;
import io.github.resnet4j.nn.Layer;
import io.github.resnet4j.nn.Layer.Residual;
import io.github.resnet4j.nn.Parameter;
import io.github.resnet4j.tensor.Tensor;
import io.github.resnet4j.tensor.TorchRandom;
import java.util.List;
import java.util.Map;
import java.util.function.UnaryOperator;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;

/** Names, counts and shapes of the networks; the expected values are PyTorch's and the papers'. */
class FamilyTest {
  @ParameterizedTest
  @CsvSource({
    "resnet18, 11689512",
    "resnet34, 21797672",
    "resnet50, 25557032",
    "resnet101, 44549160",
    "resnet152, 60192808",
    "resnext50_32x4d, 25028904",
    "resnext101_32x8d, 88791336",
    "resnext101_64x4d, 83455272",
    "wide_resnet50_2, 68883240",
    "wide_resnet101_2, 126886696",
    "resnet8, 75290",
    "resnet20, 269722",
    "resnet32, 464154",
    "resnet44, 658586",
    "resnet56, 853018",
    "resnet110, 1727962",
  })
  void parameterCountsMatchPublishedOnes(String name, long parameters) {
    assertEquals(parameters, Architecture.named(name).parameterCount());
  }

  @ParameterizedTest
  @CsvSource({
    "resnet18, 122",
    "resnet34, 218",
    "resnet50, 320",
    "resnet101, 626",
    "resnet152, 932"
  })
  void stateDictSizesMatchTorchvision(String name, int entries) {
    assertEquals(entries, Architecture.named(name).layers().parameters().size());
  }

  @Test
  void optionBOfCifarNetworksAdds2752Parameters() {
    for (String name : List.of("resnet20", "resnet110")) {
      var optionA = Architecture.named(name);
      var optionB = optionA.toBuilder().shortcut(Shortcut.PROJECTION).build();
      assertEquals(2752, optionB.parameterCount() - optionA.parameterCount());
    }
  }

  static Stream<Map.Entry<String, Map<String, Object>>> initialized() {
    return Golden.json("initial.json").entrySet().stream();
  }

  @ParameterizedTest
  @MethodSource("initialized")
  void initialWeightsMatchPythonWithSameSeed(Map.Entry<String, Map<String, Object>> golden) {
    String[] words = golden.getKey().split(" ");
    var network = ResNet.initialize(Architecture.named(words[0]), TorchRandom.manualSeed(0));
    var state = (words.length > 1 ? network.zeroInitResidual() : network).state().entries();

    assertEquals(List.copyOf(golden.getValue().keySet()), List.copyOf(state.keySet()));
    golden
        .getValue()
        .forEach((name, expected) -> {
          var fields = (Map<?, ?>) expected;
          Tensor tensor = state.get(name);
          assertEquals(fields.get("shape").toString(), tensor.toString(), name);
          float[] data = tensor.data();
          var first = Golden.list(fields.get("first"));
          var last = Golden.list(fields.get("last"));
          for (int i = 0; i < first.size(); i++) {
            // Box-Muller with another implementation of the logarithm: float rounding.
            assertEquals(Golden.number(first.get(i)), data[i], 1e-6, name);
            assertEquals(
                Golden.number(last.get(last.size() - 1 - i)),
                data[data.length - 1 - i],
                1e-6,
                name);
          }
          double sum = 0;
          double absolute = 0;
          for (float value : data) {
            sum += value;
            absolute += Math.abs(value);
          }
          double scale = Math.max(1, absolute);
          assertEquals(Golden.number(fields.get("abs_sum")), absolute, 1e-6 * scale, name);
          assertEquals(Golden.number(fields.get("sum")), sum, 1e-6 * scale, name);
        });
  }

  @Test
  void shortcutChangesStrideAndChannelsWithMainBranch() {
    for (ResNetSpec spec : Architecture.catalogue().values()) {
      spec.layers()
          .walk()
          .forEach(layer -> {
            if (layer instanceof Residual block) {
              var convolutions = block.convolutions();
              int stride =
                  convolutions.stream().mapToInt(Layer.Conv2d::stride).reduce(1, (a, b) -> a * b);
              boolean changes =
                  stride != 1
                      || convolutions.getFirst().inChannels()
                          != convolutions.getLast().outChannels();
              assertEquals(changes, !block.isIdentityBlock(), block.name());
            }
          });
    }
  }

  @Test
  void strideOfV1IsInTheFirst1x1() {
    var v15 = Architecture.named("resnet50");
    var v1 = v15.toBuilder().stridePlacement(StridePlacement.FIRST_1X1).build();
    assertEquals(List.of(1, 2, 1), strides(v15, "layer2.0"));
    assertEquals(List.of(2, 1, 1), strides(v1, "layer2.0"));
    assertEquals(v15.parameterCount(), v1.parameterCount());
  }

  private static List<Integer> strides(ResNetSpec spec, String block) {
    return spec.layers()
        .walk()
        .filter(layer -> layer instanceof Residual && layer.name().equals(block))
        .flatMap(layer -> ((Residual) layer).convolutions().stream())
        .map(Layer.Conv2d::stride)
        .toList();
  }

  @Test
  void withoutTopNetworkHasNoHead() {
    var spec = Architecture.named("resnet50").toBuilder().includeTop(false).build();
    var names = spec.layers().parameters().stream().map(Parameter::name).toList();
    assertFalse(names.contains("fc.weight"));
    assertEquals(318, names.size());
  }

  @Test
  void invalidSpecificationsNameFieldAndValidValues() {
    assertRejected("groups must be 1 for basic blocks", Block.BASIC, b -> b.groups(2));
    assertRejected("widthPerGroup must be 64 for basic", Block.BASIC, b -> b.widthPerGroup(128));
    assertRejected(
        "dilated must be one value for each", Block.BOTTLENECK, b -> b.dilated(true, true));
    assertRejected("numClasses must be 1 to", Block.BOTTLENECK, b -> b.numClasses(0));
    assertRejected("channels must be 1 to", Block.BOTTLENECK, b -> b.channels(-1));
    assertRejected("channels must be such that no", Block.BOTTLENECK, b -> b.channels(1 << 20));
    assertRejected("inner width is not 0", Block.BOTTLENECK, b -> b.channels(4).widthPerGroup(4));
    var none =
        assertThrows(IllegalArgumentException.class, () -> ResNetSpec.builder(Block.BASIC).build());
    assertTrue(none.getMessage().startsWith("blocks must be 1 to 8 stages"), none.getMessage());
  }

  private static void assertRejected(
      String reason, Block block, UnaryOperator<ResNetSpec.Builder> change) {
    var builder = change.apply(ResNetSpec.builder(block, 2, 2));
    var error = assertThrows(IllegalArgumentException.class, builder::build);
    assertTrue(error.getMessage().contains(reason), error.getMessage());
  }

  @Test
  void unknownNameSuggestsSimilarNames() {
    var error = assertThrows(IllegalArgumentException.class, () -> Architecture.named("resnet51"));
    assertTrue(error.getMessage().contains("resnet51"));
    assertTrue(error.getMessage().contains("resnet50"), error.getMessage());
  }

  @Test
  void inputOfWrongShapeIsRejectedWithItsShape() {
    var network = ResNet.initialize(Architecture.named("resnet20"), TorchRandom.manualSeed(0));
    var error =
        assertThrows(
            IllegalArgumentException.class, () -> network.forward(Tensor.zeros(1, 1, 32, 32)));
    assertEquals("the input must be [N, 3, H, W], was [1, 1, 32, 32]", error.getMessage());
  }
}
