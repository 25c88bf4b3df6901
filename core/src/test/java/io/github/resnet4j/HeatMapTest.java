package io.github.resnet4j;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.resnet4j.engine.CompileOptions;
import io.github.resnet4j.explain.Explainer.Method;
import io.github.resnet4j.explain.HeatMap;
import io.github.resnet4j.image.ImageDecoder;
import io.github.resnet4j.tensor.Tensor;
import io.github.resnet4j.tensor.TorchRandom;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Map;
import java.util.OptionalInt;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * Compares heat maps with those of the grad-cam package, on networks and images with the same
 * seeds.
 */
class HeatMapTest {
  private static final Map<String, Tensor> EXPECTED = Golden.tensors("heatmaps.safetensors");
  private static final CompileOptions OPTIONS = CompileOptions.defaults().withThreads(2);

  /**
   * Maps are scaled to 0 to 1. Forward and backward pass differ from PyTorch's by about 1e-6 of the
   * largest value; a map is the result of sums that cancel, divided by its own range. Measured
   * below 1e-5.
   */
  private static final double TOLERANCE = 1e-4;

  static Stream<Map.Entry<String, Map<String, Object>>> cases() {
    return Golden.json("heatmaps.json").entrySet().stream();
  }

  @ParameterizedTest
  @MethodSource("cases")
  void heatMapsMatchGradCamPackage(Map.Entry<String, Map<String, Object>> golden) {
    Map<String, Object> fields = golden.getValue();
    var spec = Architecture.named((String) fields.get("model"));
    int[] shape =
        Golden.list(fields.get("input")).stream().mapToInt(extent -> (Integer) extent).toArray();
    ResNet network = network(spec);
    Tensor x = TorchRandom.manualSeed(2).randn(shape);
    var explainer = network.explainer();
    var index = OptionalInt.of((Integer) fields.get("index"));
    String layer = (String) fields.get("layer");
    for (var method :
        Map.of("gradcam", Method.GRADCAM, "gradcam++", Method.GRADCAM_PLUS_PLUS).entrySet()) {
      String key = golden.getKey() + " " + method.getKey();
      HeatMap map = explainer.explain(x, method.getValue(), index, layer, OPTIONS);
      Tensor expected = EXPECTED.get(key);
      assertArrayEquals(expected.shape(), map.values().shape());
      double error = distance(expected.data(), map.values().data(), 1);
      System.out.printf("%-38s difference %.1e%n", key, error);
      assertTrue(error <= TOLERANCE, () -> key + ": difference " + error);
    }
    eigen(golden.getKey(), explainer.explain(x, Method.EIGENCAM, index, layer, OPTIONS));
  }

  /** As {@code heat_maps} in golden.py. */
  private static ResNet network(ResNetSpec spec) {
    if (spec.activation() == ResNetSpec.Activation.PRE) {
      return RelativesTest.draw(spec.toBuilder().numClasses(1000).build());
    }
    var network = ResNet.initialize(spec, TorchRandom.manualSeed(0));
    LogitsTest.randomiseBatchNorm(network, TorchRandom.manualSeed(1));
    return network;
  }

  /**
   * The sign of an axis is arbitrary: our map must be one of the two, with its negative side set to
   * zero.
   */
  private static void eigen(String name, HeatMap map) {
    Tensor projection = EXPECTED.get(name + " eigencam");
    assertArrayEquals(projection.shape(), map.map().shape());
    double largest = 0;
    float[] one = new float[projection.size()];
    float[] other = new float[projection.size()];
    for (int i = 0; i < one.length; i++) {
      float value = projection.data()[i];
      largest = Math.max(largest, Math.abs(value));
      one[i] = Math.max(value, 0);
      other[i] = Math.max(-value, 0);
    }
    double error =
        Math.min(
            distance(one, map.map().data(), largest), distance(other, map.map().data(), largest));
    System.out.printf("%-38s difference %.1e%n", name + " eigencam", error);
    assertTrue(error <= TOLERANCE, () -> name + ", eigencam: difference " + error);
  }

  private static double distance(float[] expected, float[] actual, double scale) {
    assertEquals(expected.length, actual.length);
    double largest = 0;
    for (int i = 0; i < expected.length; i++) {
      largest = Math.max(largest, Math.abs(expected[i] - actual[i]) / scale);
    }
    return largest;
  }

  /**
   * A digit is recognized by its strokes: covering them must reduce the probability more than
   * covering the border.
   */
  @Test
  void occlusionFindsTheDigit() throws IOException {
    var classifier = Model.embedded();
    Tensor x = classifier.preprocessing().batch(1);
    classifier
        .preprocessing()
        .apply(ImageDecoder.DEFAULT.decode(Path.of("../samples/digit-6.png")), x, 0);
    HeatMap map =
        classifier
            .network()
            .explainer()
            .explain(x, Method.OCCLUSION, OptionalInt.empty(), "", OPTIONS);
    assertEquals(6, map.index());
    int side = map.values().dim(0);
    double border = 0;
    double middle = 0;
    for (int y = 0; y < side; y++) {
      for (int k = 0; k < side; k++) {
        boolean inside = y > side / 4 && y < side * 3 / 4 && k > side / 4 && k < side * 3 / 4;
        boolean outside = y < 2 || k < 2 || y >= side - 2 || k >= side - 2;
        middle = inside ? Math.max(middle, map.values().data()[y * side + k]) : middle;
        border = outside ? Math.max(border, map.values().data()[y * side + k]) : border;
      }
    }
    assertTrue(middle > 2 * border, "middle %.3f, border %.3f".formatted(middle, border));
  }

  @Test
  void invalidRequestsAreRejected() throws IOException {
    var explainer = Model.embedded().network().explainer();
    Tensor x = Tensor.zeros(1, 3, 32, 32);
    assertThrows(
        IllegalArgumentException.class,
        () -> explainer.explain(x, Method.GRADCAM, OptionalInt.of(10), "layer3", OPTIONS));
    assertThrows(
        IllegalArgumentException.class,
        () -> explainer.explain(x, Method.GRADCAM, OptionalInt.empty(), "layer9", OPTIONS));
    assertThrows(
        IllegalArgumentException.class,
        () -> explainer.explain(x, Method.GRADCAM, OptionalInt.empty(), "fc", OPTIONS));
    assertThrows(
        IllegalArgumentException.class,
        () ->
            explainer.explain(
                Tensor.zeros(2, 3, 32, 32),
                Method.GRADCAM,
                OptionalInt.empty(),
                "layer3",
                OPTIONS));
  }
}
