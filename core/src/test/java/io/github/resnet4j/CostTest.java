package io.github.resnet4j;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.resnet4j.inspect.PaperTable;
import io.github.resnet4j.inspect.Shape;
import io.github.resnet4j.inspect.ShapedLayer;
import io.github.resnet4j.inspect.Summary;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Compares shapes and costs with fvcore's counts and torchvision's published ones. */
class CostTest {
  private static final Shape IMAGE = new Shape(3, 224, 224);

  static Stream<Map.Entry<String, Map<String, Object>>> cases() {
    return Golden.json("costs.json").entrySet().stream();
  }

  private static ShapedLayer shaped(Map<String, Object> golden) {
    List<Integer> input =
        Golden.list(golden.get("input")).stream().map(extent -> (Integer) extent).toList();
    ResNetSpec spec = LogitsTest.spec((Map<?, ?>) golden.get("spec"));
    return ShapedLayer.of(spec.layers(), new Shape(input.get(0), input.get(1), input.get(2)));
  }

  @ParameterizedTest
  @MethodSource("cases")
  void parametersAndMultiplyAddsMatchFvcore(Map.Entry<String, Map<String, Object>> golden) {
    var network = shaped(golden.getValue());
    assertEquals(((Number) golden.getValue().get("parameters")).longValue(), network.parameters());
    assertEquals(
        ((Number) golden.getValue().get("multiply_adds")).longValue(), network.multiplyAdds());
    if (golden.getValue().get("published_giga") instanceof Number giga) {
      // Published with three decimals.
      assertEquals(giga.doubleValue(), network.multiplyAdds() / 1e9, 0.0005);
    }
  }

  @ParameterizedTest
  @MethodSource("cases")
  void multiplyAddsOfEveryLayerMatchFvcore(Map.Entry<String, Map<String, Object>> golden) {
    if (!(golden.getValue().get("layers") instanceof Map<?, ?> layers)) {
      return; // published networks have smaller images here, compared layer by layer
    }
    Map<String, Long> found =
        shaped(golden.getValue())
            .walk()
            .filter(layer -> !layer.layer().name().isEmpty() && layer.multiplyAdds() > 0)
            .collect(
                Collectors.toMap(
                    layer -> layer.layer().name(),
                    ShapedLayer::multiplyAdds,
                    Math::max)); // a block with its main branch
    assertTrue(layers.size() > 10);
    layers.forEach((name, count) -> {
      if (found.containsKey((String) name)) {
        assertEquals(((Number) count).longValue(), found.get((String) name), (String) name);
      } else {
        assertTrue(((String) name).matches("stages.*"), "no layer " + name);
      }
    });
  }

  @Test
  void summaryHasARowForEveryLayerAndStage() {
    var network = Architecture.named("resnet50").layers();
    var all = Summary.of(network, IMAGE, Summary.EVERYTHING);
    var layers = all.rows().stream().map(Summary.Row::name).toList();
    assertEquals(layers.size(), layers.stream().distinct().count());
    assertEquals(53, all.rows().stream().filter(row -> row.kind().equals("Conv2d")).count());
    assertEquals(4, all.rows().stream().filter(row -> row.kind().equals("Conv Block")).count());
    assertEquals(
        12, all.rows().stream().filter(row -> row.kind().equals("Identity Block")).count());

    var stages = Summary.of(network, IMAGE, 1);
    assertEquals(
        List.of(
            "conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4", "avgpool",
            "fc"),
        stages.rows().stream().map(Summary.Row::name).toList());
    // With any depth, the rows of the first level include everything.
    assertEquals(25_557_032, stages.rows().stream().mapToLong(Summary.Row::parameters).sum());
    assertThrows(IllegalArgumentException.class, () -> Summary.of(network, IMAGE, 0));
  }

  /** The numbers of torchvision's ResNet18_Weights and of fvcore for 3×224×224. */
  @Test
  void summaryAsTextEndsWithTheTotals() {
    List<String> lines = Summary.of(Architecture.named("resnet18")).toString().lines().toList();
    assertEquals(
        List.of("layer", "kind", "output", "parameters", "multiply-adds"),
        List.of(lines.getFirst().split(" +")));
    assertEquals(
        List.of("total", "1000", "11,689,512", "1,814,073,344"),
        List.of(lines.getLast().split(" +")));
    assertTrue(
        lines.contains(
            "    layer1.0.conv1           Conv2d                             64×56×56        "
                + " 36,864      115,605,504"),
        () -> String.join("\n", lines));
    assertEquals(
        new Shape(3, 32, 32), Summary.of(Architecture.named("resnet20")).network().input());
  }

  /**
   * Expected values by the recurrence of Araujo et al., Computing Receptive Fields (Distill, 2019),
   * table 1.
   */
  @Test
  void receptiveFieldsMatchPublishedOnes() {
    for (var expected : Map.of("resnet50", 483, "resnet101", 1027, "resnet152", 1507).entrySet()) {
      ResNetSpec v1 =
          Architecture.named(expected.getKey()).toBuilder()
              .stridePlacement(ResNetSpec.StridePlacement.FIRST_1X1)
              .build();
      var last =
          ShapedLayer.of(v1.layers(), IMAGE).children().stream()
              .filter(child -> child.layer().name().equals("layer4"))
              .findFirst()
              .orElseThrow();
      assertEquals(expected.getValue(), last.receptiveField().size(), expected.getKey());
      assertEquals(32, last.receptiveField().jump());
    }
  }

  @Test
  void imageOfWrongSizeIsRejected() {
    var network = Architecture.named("resnet18").layers();
    assertThrows(
        IllegalArgumentException.class, () -> ShapedLayer.of(network, new Shape(1, 64, 64)));
  }

  @Test
  void tableMatchesThePaper() {
    var networks = new LinkedHashMap<String, ResNetSpec>();
    networks.put("18-layer", Architecture.named("resnet18"));
    networks.put("50-layer", Architecture.named("resnet50"));
    networks.put("ResNeXt-50", Architecture.named("resnext50_32x4d"));
    var table = PaperTable.of(networks, IMAGE);
    assertEquals(List.of("layer", "output", "18-layer", "50-layer", "ResNeXt-50"), table.columns());
    assertEquals(
        List.of(
            "conv2_x",
            "56×56",
            "3×3 max pool, stride 2; [3×3, 64; 3×3, 64] × 2",
            "3×3 max pool, stride 2; [1×1, 64; 3×3, 64; 1×1, 256] × 3",
            "3×3 max pool, stride 2; [1×1, 128; 3×3, 128, C=32; 1×1, 256] × 3"),
        table.rows().get(1));
    assertEquals(
        List.of("multiply-adds", "", "1.81 G", "4.09 G", "4.23 G"), table.rows().getLast());
    networks.put("resnet20", Architecture.named("resnet20"));
    assertThrows(IllegalArgumentException.class, () -> PaperTable.of(networks, IMAGE));
  }
}
