package io.github.resnet4j;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.resnet4j.ResNetSpec.Stage;
import io.github.resnet4j.checkpoint.Checkpoint;
import io.github.resnet4j.engine.Calibration;
import io.github.resnet4j.engine.CompileOptions;
import io.github.resnet4j.engine.CompileOptions.Algorithm;
import io.github.resnet4j.engine.KernelChoice;
import io.github.resnet4j.engine.ParameterArrays;
import io.github.resnet4j.engine.Precision;
import io.github.resnet4j.engine.Quantization;
import io.github.resnet4j.engine.TrainingSession;
import io.github.resnet4j.image.Preprocessing;
import io.github.resnet4j.nn.Layer;
import io.github.resnet4j.nn.Parameter;
import io.github.resnet4j.tensor.Tensor;
import io.github.resnet4j.tensor.TorchRandom;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.SequencedMap;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * Compares backbones, with dilation instead of strides, with timm's {@code features_only} and
 * {@code output_stride}, and with torchvision's {@code IntermediateLayerGetter}.
 */
class BackboneTest {
  private static final Map<String, Tensor> EXPECTED = Golden.tensors("backbones.safetensors");

  /** float32 sums of thousands of terms in another order, as for {@link RelativesTest}. */
  private static final double TOLERANCE = 1e-4;

  @TempDir private Path folder;

  static Stream<Map.Entry<String, Map<String, Object>>> maps() {
    return cases(true);
  }

  static Stream<Map.Entry<String, Map<String, Object>>> learning() {
    return cases(false);
  }

  private static Stream<Map.Entry<String, Map<String, Object>>> cases(boolean maps) {
    return Golden.json("backbones.json").entrySet().stream()
        .filter(golden -> golden.getValue().containsKey("maps") == maps);
  }

  private static ResNet network(Map<String, Object> fields) {
    ResNetSpec spec = RelativesTest.shallow((String) fields.get("model"), fields);
    return RelativesTest.draw(spec).withOutputStride((Integer) fields.get("outputStride"));
  }

  /** timm's name for the result of the stem's last ReLU. */
  private static String[] names(Set<String> timm) {
    return timm.stream().map(name -> name.equals("act1") ? "relu" : name).toArray(String[]::new);
  }

  @ParameterizedTest
  @MethodSource("maps")
  @SuppressWarnings("unchecked")
  void featureMapsMatch(Map.Entry<String, Map<String, Object>> golden) {
    var shapes = (Map<String, List<Integer>>) golden.getValue().get("maps");
    ResNet network = network(golden.getValue());
    Tensor x = TorchRandom.manualSeed(2).randn(RelativesTest.shape(golden.getValue()));
    String[] names = names(shapes.keySet());
    compare(golden.getKey(), "reference", shapes, network.featureMaps(x, names));
    var options = CompileOptions.defaults().withThreads(2).withTaps(names);
    try (var session = network.compile(options)) {
      SequencedMap<String, Tensor> results = session.runAll(x);
      results.remove("output");
      compare(golden.getKey(), "compiled", shapes, results);
    }
    List<Stage> stages = network.spec().stages();
    for (Stage stage : stages) {
      List<Integer> shape = shapes.get(stage.name());
      assertEquals(shape.get(1), stage.channels());
      assertEquals(Math.ceilDiv(x.dim(2), stage.stride()), shape.get(2));
    }
    assertEquals(golden.getValue().get("outputStride"), stages.getLast().stride());
  }

  private static void compare(
      String key,
      String engine,
      Map<String, List<Integer>> shapes,
      SequencedMap<String, Tensor> found) {
    assertArrayEquals(names(shapes.keySet()), found.keySet().toArray());
    double worst = 0;
    for (String timm : shapes.keySet()) {
      Tensor map = found.get(timm.equals("act1") ? "relu" : timm);
      assertEquals(shapes.get(timm), Arrays.stream(map.shape()).boxed().toList());
      Tensor samples = EXPECTED.get(key + "/" + timm);
      int step = Math.ceilDiv(map.size(), 96);
      double largest = 0;
      double error = 0;
      for (int i = 0; i < samples.size(); i++) {
        largest = Math.max(largest, Math.abs(samples.data()[i]));
        error = Math.max(error, Math.abs(samples.data()[i] - map.data()[i * step]));
      }
      worst = Math.max(worst, error / largest);
    }
    System.out.printf("%-24s %-9s relative error %.1e%n", key, engine, worst);
    assertTrue(worst <= TOLERANCE, key + ", " + engine + ": " + worst);
  }

  @ParameterizedTest
  @MethodSource("learning")
  void gradientsMatch(Map.Entry<String, Map<String, Object>> golden) {
    Map<String, Object> fields = golden.getValue();
    int[] shape = RelativesTest.shape(fields);
    ResNet network = network(fields);
    // PyTorch's own float32 has this distance from its float64; sums in another order may have 4
    // times the distance.
    double noise = 4 * Golden.number(fields.get("noise"));
    Tensor x = TorchRandom.manualSeed((Integer) fields.get("seed")).randn(shape);
    float[] targets = new float[shape[0] * 10];
    for (int n = 0; n < shape[0]; n++) {
      targets[n * 10 + n] = 1;
    }
    boolean frozen = (Boolean) fields.get("frozen");
    Set<String> norms =
        network
            .layers()
            .walk()
            .filter(Layer.BatchNorm2d.class::isInstance)
            .flatMap(norm -> norm.parameters().stream())
            .map(Parameter::name)
            .collect(Collectors.toSet());
    var options =
        new TrainingSession.Options(
            shape[0],
            shape[2],
            shape[3],
            2,
            frozen ? norms : Set.of(),
            frozen,
            0,
            Algorithm.DIRECT,
            Precision.FP32,
            KernelChoice.AUTO);
    try (var session = new TrainingSession(network.layers(), network.state(), shape[1], options)) {
      double loss = session.accumulate(x.data(), targets, shape[0], 1);
      assertEquals(Golden.number(fields.get("loss")), loss, 1e-5);
      ParameterArrays parameters = session.parameters();
      parameters
          .toTensors(parameters.gradients())
          .entries()
          .forEach((name, gradient) -> {
            if (frozen && norms.contains(name)) {
              return;
            }
            Tensor expected = EXPECTED.get(golden.getKey() + "/" + name);
            int step = Math.ceilDiv(gradient.size(), 24);
            double squares = 0;
            double differences = 0;
            for (int i = 0; i < expected.size(); i++) {
              double wanted = expected.data()[i];
              squares += wanted * wanted;
              differences += Math.pow(wanted - gradient.data()[i * step], 2);
            }
            double error = differences == 0 ? 0 : Math.sqrt(differences / squares);
            assertTrue(error <= noise, () -> name + ": " + error + " of " + noise);
          });
    }
  }

  /** Rounding to bfloat16 or bytes changes the result little, also where zeros are averaged. */
  @Test
  void bf16AndInt8AreCloseToFp32() {
    ResNet network = network(Golden.json("backbones.json").get("resnet18d 8"));
    Tensor x = TorchRandom.manualSeed(2).randn(2, 3, 75, 53);
    Tensor expected = network.forward(x);
    var options = CompileOptions.defaults().withThreads(2);
    try (var session = network.compile(options.withPrecision(Precision.BF16))) {
      // Eight bits of mantissa in about fifteen layers.
      assertTrue(LogitsTest.relativeError(expected, session.run(x)) <= 0.05);
    }
    Quantization quantization;
    try (var calibration = new Calibration(network.compile(options))) {
      calibration.observe(x);
      quantization = calibration.quantization(Calibration.Method.MIN_MAX);
    }
    ResNet quantized = network.withQuantization(quantization);
    try (var session = quantized.compile(options.withPrecision(Precision.INT8))) {
      assertTrue(LogitsTest.relativeError(expected, session.run(x)) <= 0.15);
    }
    assertEquals(8, quantized.withOutputStride(8).spec().outputStride());
    var refusal =
        assertThrows(IllegalArgumentException.class, () -> quantized.withOutputStride(16));
    assertEquals(
        "the network was calibrated with output stride 8; set the output stride of the fp32"
            + " network, then calibrate it",
        refusal.getMessage());
  }

  @ParameterizedTest
  @CsvSource({
    "resnet50, 4, '[true, true, true]'",
    "resnet50, 8, '[false, true, true]'",
    "resnet50, 32, '[false, false, false]'",
    "resnet20, 2, '[false, true]'",
  })
  void lastStagesAreDilated(String name, int stride, String dilated) {
    ResNetSpec spec = Architecture.named(name).withOutputStride(stride);
    assertEquals(dilated, spec.dilated().toString());
    assertEquals(stride, spec.outputStride());
    assertEquals(Architecture.named(name).layers().parameters(), spec.layers().parameters());
    var original = Architecture.named(name);
    assertEquals(original, spec.withOutputStride(original.outputStride()));
  }

  @Test
  void impossibleStridesAndUnknownLayersAreRejected() {
    var spec = Architecture.named("resnet18");
    var refusal = assertThrows(IllegalArgumentException.class, () -> spec.withOutputStride(12));
    assertEquals("outputStride must be one of [4, 8, 16, 32], was 12", refusal.getMessage());
    ResNet network = ResNet.initialize(spec, TorchRandom.manualSeed(0));
    Tensor x = Tensor.zeros(1, 3, 32, 32);
    var unknown =
        assertThrows(IllegalArgumentException.class, () -> network.featureMaps(x, "layer5"));
    assertTrue(unknown.getMessage().contains("layer5"), unknown.getMessage());
    assertThrows(IllegalArgumentException.class, () -> network.featureMaps(x, "fc"));
  }

  /** A saved backbone is loaded with its output stride, which its weights do not show. */
  @Test
  void savedBackboneKeepsItsStride() throws IOException {
    Path file = folder.resolve("x.safetensors");
    ResNetSpec spec =
        Architecture.named("resnet18").withOutputStride(8).toBuilder().includeTop(false).build();
    var network = ResNet.initialize(spec, TorchRandom.manualSeed(0));
    new Model(network, Preprocessing.imagenet(256, 224), List.of()).save(file);
    Model loaded = Model.load(file);
    assertEquals(spec, loaded.network().spec());
    try (var checkpoint = Checkpoint.open(file)) {
      assertFalse(checkpoint.tensors().isEmpty());
    }
  }
}
