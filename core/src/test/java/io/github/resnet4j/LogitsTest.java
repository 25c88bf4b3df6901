package io.github.resnet4j;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.resnet4j.engine.CompileOptions;
import io.github.resnet4j.engine.CompileOptions.Algorithm;
import io.github.resnet4j.nn.Layer.BatchNorm2d;
import io.github.resnet4j.tensor.Tensor;
import io.github.resnet4j.tensor.TorchRandom;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Compares the networks with PyTorch's output, from weights with the same seed. */
class LogitsTest {
  private static final Map<String, Tensor> EXPECTED = Golden.tensors("logits.safetensors");

  /** float32 sums of thousands of terms in another order; measured below 3e-6 in every case. */
  private static final double TOLERANCE = 1e-4;

  static Stream<Map.Entry<String, Map<String, Object>>> cases() {
    return Golden.json("logits.json").entrySet().stream();
  }

  @ParameterizedTest
  @MethodSource("cases")
  void logitsMatchPytorch(Map.Entry<String, Map<String, Object>> golden) {
    ResNetSpec spec = spec((Map<?, ?>) golden.getValue().get("spec"));
    int[] shape =
        Golden.list(golden.getValue().get("input")).stream()
            .mapToInt(extent -> (Integer) extent)
            .toArray();
    var network = ResNet.initialize(spec, TorchRandom.manualSeed(0));
    randomiseBatchNorm(network, TorchRandom.manualSeed(1));
    Tensor x = TorchRandom.manualSeed(2).randn(shape);
    Tensor expected = EXPECTED.get(golden.getKey());

    assertAgrees(golden.getKey() + ", reference", spec, expected, network.forward(x));
    for (Algorithm algorithm : List.of(Algorithm.AUTO, Algorithm.DIRECT)) {
      var options = CompileOptions.defaults().withThreads(2).withAlgorithm(algorithm);
      try (var session = network.compile(options)) {
        assertAgrees(golden.getKey() + ", " + algorithm, spec, expected, session.run(x));
      }
    }
  }

  private static void assertAgrees(String what, ResNetSpec spec, Tensor expected, Tensor y) {
    assertArrayEquals(expected.shape(), y.shape());
    double error = relativeError(expected, y);
    assertTrue(error <= TOLERANCE, () -> what + ": relative error " + error);
    if (spec.includeTop()) {
      assertEquals(topFive(expected), topFive(y));
    }
    System.out.printf("%-38s relative error %.1e%n", what, error);
  }

  /** The largest difference divided by the largest logit. */
  static double relativeError(Tensor expected, Tensor actual) {
    double largest = 0;
    double difference = 0;
    for (int i = 0; i < expected.size(); i++) {
      largest = Math.max(largest, Math.abs(expected.data()[i]));
      difference = Math.max(difference, Math.abs(expected.data()[i] - (double) actual.data()[i]));
    }
    return difference / largest;
  }

  private static List<List<Integer>> topFive(Tensor logits) {
    int classes = logits.dim(1);
    return IntStream.range(0, logits.dim(0))
        .mapToObj(n ->
            IntStream.range(0, classes)
                .boxed()
                .sorted(Comparator.comparing(c -> -logits.data()[n * classes + c]))
                .limit(5)
                .toList())
        .toList();
  }

  /** The same as {@code randomise_batch_norm} in golden.py. */
  static void randomiseBatchNorm(ResNet network, TorchRandom random) {
    network
        .layers()
        .walk()
        .forEach(layer -> {
          if (layer instanceof BatchNorm2d norm) {
            random.uniform(values(network, norm, "weight"), 0.5, 1.5);
            random.normal(values(network, norm, "bias"), 0, 0.1);
            random.normal(values(network, norm, "running_mean"), 0, 0.1);
            random.uniform(values(network, norm, "running_var"), 0.5, 1.5);
          }
        });
  }

  private static float[] values(ResNet network, BatchNorm2d norm, String name) {
    return network.state().get(norm.name() + "." + name).data();
  }

  static ResNetSpec spec(Map<?, ?> fields) {
    ResNetSpec.Builder builder =
        fields.get("model") instanceof String model
            ? Architecture.named(model).toBuilder()
            : ResNetSpec.builder(
                ResNetSpec.Block.valueOf((String) fields.get("block")),
                Golden.list(fields.get("blocks")).toArray(Integer[]::new));
    fields.forEach((name, value) -> {
      switch ((String) name) {
        case "model", "block", "blocks" -> {}
        case "channels" -> builder.channels((Integer) value);
        case "groups" -> builder.groups((Integer) value);
        case "widthPerGroup" -> builder.widthPerGroup((Integer) value);
        case "inChannels" -> builder.inChannels((Integer) value);
        case "normGroups" -> builder.norm(new Norm.GroupNorm((Integer) value));
        case "numClasses" -> builder.numClasses((Integer) value);
        case "includeTop" -> builder.includeTop((Boolean) value);
        case "stem" ->
            builder.stem(
                switch ((String) value) {
                  case "IMAGENET" -> Stem.IMAGENET;
                  case "SMALL_IMAGE" -> Stem.SMALL_IMAGE;
                  default -> throw new IllegalArgumentException("unknown stem " + value);
                });
        case "shortcut" -> builder.shortcut(ResNetSpec.Shortcut.valueOf((String) value));
        case "stridePlacement" ->
            builder.stridePlacement(ResNetSpec.StridePlacement.valueOf((String) value));
        case "dilated" -> builder.dilated(Golden.list(value).toArray(Boolean[]::new));
        default -> throw new IllegalArgumentException("unknown field " + name);
      }
    });
    return builder.build();
  }

  /** The first requirement of this project. */
  @Test
  void resnet34MapsOnesTo1000Logits() {
    var network = ResNet.initialize(Architecture.named("resnet34"), TorchRandom.manualSeed(0));
    Tensor y = network.forward(Tensor.filled(1, 2, 3, 224, 224));
    assertArrayEquals(new int[] {2, 1000}, y.shape());
    // Both images are equal, so their logits are.
    for (int i = 0; i < 1000; i++) {
      assertEquals(y.data()[i], y.data()[1000 + i]);
    }
  }

  @Test
  void featuresAreTheResultWithoutTop() {
    var spec = Architecture.named("resnet18");
    var x = TorchRandom.manualSeed(3).randn(1, 3, 64, 96);
    var whole = ResNet.initialize(spec, TorchRandom.manualSeed(0));
    Tensor features = whole.features(x);
    assertArrayEquals(new int[] {1, 512, 2, 3}, features.shape());
    assertEquals(512, spec.featureChannels());
    assertEquals(32, spec.outputStride());
  }
}
