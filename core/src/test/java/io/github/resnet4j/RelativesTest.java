package io.github.resnet4j;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.resnet4j.ResNetSpec.Downsampling;
import io.github.resnet4j.ResNetSpec.StageWidths;
import io.github.resnet4j.checkpoint.Checkpoint;
import io.github.resnet4j.engine.Calibration;
import io.github.resnet4j.engine.CompileOptions;
import io.github.resnet4j.engine.CompileOptions.Algorithm;
import io.github.resnet4j.engine.KernelChoice;
import io.github.resnet4j.engine.ParameterArrays;
import io.github.resnet4j.engine.Precision;
import io.github.resnet4j.engine.Quantization;
import io.github.resnet4j.engine.TrainingSession;
import io.github.resnet4j.engine.reference.ReferenceForward;
import io.github.resnet4j.engine.reference.ReferenceGradient;
import io.github.resnet4j.inspect.Shape;
import io.github.resnet4j.inspect.ShapedLayer;
import io.github.resnet4j.kernel.Team;
import io.github.resnet4j.nn.Layer;
import io.github.resnet4j.nn.Parameter;
import io.github.resnet4j.nn.StateDict;
import io.github.resnet4j.tensor.Tensor;
import io.github.resnet4j.tensor.TorchRandom;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Compares networks with deep stems and averaging shortcuts with timm's. */
class RelativesTest {
  private static final Team TEAM = Team.ofAllCores();
  private static final Map<String, Tensor> EXPECTED = Golden.tensors("relatives.safetensors");

  /** float32 sums of thousands of terms in another order; measured below 3e-6 with few gates. */
  private static final double TOLERANCE = 1e-4;

  @TempDir private Path folder;

  @AfterAll
  static void close() {
    TEAM.close();
  }

  static Stream<Map.Entry<String, Map<String, Object>>> cases() {
    return Golden.json("relatives.json").entrySet().stream();
  }

  static Stream<String> models() {
    return cases().map(golden -> (String) golden.getValue().get("model")).distinct();
  }

  static Stream<Map.Entry<String, Map<String, Object>>> learning() {
    return Golden.json("relatives-training.json").entrySet().stream();
  }

  static int[] shape(Map<String, Object> golden) {
    return Golden.list(golden.get("input")).stream().mapToInt(extent -> (Integer) extent).toArray();
  }

  private static ResNetSpec spec(String name) {
    return Architecture.named(name).toBuilder().numClasses(10).build();
  }

  /** With the numbers of blocks in the golden file. */
  static ResNetSpec shallow(String name, Map<?, ?> golden) {
    ResNetSpec spec = spec(name);
    Object layers = golden.get("layers");
    if (layers == null) {
      return spec;
    }
    var builder =
        ResNetSpec.builder(
                spec.block(),
                Golden.list(layers).stream().map(Integer.class::cast).toArray(Integer[]::new))
            .channels(spec.channels())
            .groups(spec.groups())
            .widthPerGroup(spec.widthPerGroup())
            .stem(spec.stem())
            .downsampling(spec.downsampling())
            .shortcut(spec.shortcut())
            .attention(spec.attention())
            .norm(spec.norm())
            .activation(spec.activation());
    if (!spec.widths().isEmpty()) {
      var widths = new ArrayList<StageWidths>();
      for (StageWidths stage : spec.widths()) {
        int count = (Integer) Golden.list(layers).get(widths.size());
        widths.add(new StageWidths(stage.out(), stage.inner().subList(0, count)));
      }
      builder.widths(widths);
    }
    return builder.numClasses(10).build();
  }

  /** The same as {@code draw} in golden.py. */
  static ResNet draw(ResNetSpec spec) {
    var random = TorchRandom.manualSeed(1);
    var entries = new LinkedHashMap<String, Tensor>();
    for (Parameter parameter : spec.layers().parameters()) {
      Tensor tensor = Tensor.zeros(parameter.extents());
      entries.put(parameter.name(), tensor);
      if (parameter.role() == Parameter.Role.COUNTER) {
        continue;
      }
      if (tensor.rank() > 1) {
        double deviation = Math.sqrt(2.0 / (tensor.size() / tensor.dim(0)));
        random.normal(tensor.data(), 0, parameter.name().contains(".se.") ? 0.01 : deviation);
      } else if (parameter.name().endsWith("running_var") || parameter.name().endsWith("weight")) {
        random.uniform(tensor.data(), 0.5, 1.5);
      } else {
        random.normal(tensor.data(), 0, 0.1);
      }
    }
    return ResNet.of(spec, new StateDict(entries));
  }

  /** The golden cases of a network differ in the size of the images only. */
  @ParameterizedTest
  @MethodSource("models")
  void logitsMatchTimm(String model) {
    var cases = cases().filter(golden -> golden.getValue().get("model").equals(model)).toList();
    ResNetSpec spec = shallow(model, cases.getFirst().getValue());
    ResNet network = draw(spec);
    for (var golden : cases) {
      assertEquals(spec, shallow(model, golden.getValue()));
      assertLogits(network, golden.getKey(), golden.getValue());
    }
  }

  private static void assertLogits(ResNet network, String name, Map<String, Object> fields) {
    ResNetSpec spec = network.spec();
    int[] shape = shape(fields);
    Tensor x = TorchRandom.manualSeed(2).randn(shape);
    Tensor expected = EXPECTED.get(name);
    double reference = LogitsTest.relativeError(expected, network.forward(x));
    assertTrue(reference <= TOLERANCE, () -> name + ": " + reference);
    for (Algorithm algorithm : List.of(Algorithm.AUTO, Algorithm.DIRECT)) {
      try (var session =
          network.compile(CompileOptions.defaults().withThreads(2).withAlgorithm(algorithm))) {
        double error = LogitsTest.relativeError(expected, session.run(x));
        System.out.printf("%-14s %-7s relative error %.1e%n", name, algorithm, error);
        assertTrue(error <= TOLERANCE, () -> name + ": " + error);
      }
    }
    assertEquals(((Number) fields.get("parameters")).longValue(), spec.parameterCount());
    assertEquals(fields.get("state_dict"), spec.layers().parameters().size());
    var shaped = ShapedLayer.of(spec.layers(), new Shape(shape[1], shape[2], shape[3]));
    assertEquals(((Number) fields.get("multiply_adds")).longValue(), shaped.multiplyAdds());
  }

  /** Rounding to bfloat16 or bytes changes the result little, also with average pooling. */
  @ParameterizedTest
  @MethodSource("learning")
  void bf16AndInt8AreCloseToFp32(Map.Entry<String, Map<String, Object>> golden) {
    String key = golden.getKey() + " 64";
    ResNet network = draw(shallow(golden.getKey(), Golden.json("relatives.json").get(key)));
    Tensor x = TorchRandom.manualSeed(2).randn(2, 3, 64, 64);
    Tensor expected = EXPECTED.get(key);
    if (network.spec().norm() instanceof Norm.StandardizedGroupNorm) {
      // Sixteen blocks of standardized random weights amplify rounding; also PyTorch's float32
      // differs more from its float64 there (1.1e-5) than in other networks (at most 1.1e-6).
      network = draw(shallow(golden.getKey(), golden.getValue()));
      expected = network.forward(x);
    }
    var options = CompileOptions.defaults().withThreads(2);
    try (var session = network.compile(options.withPrecision(Precision.BF16))) {
      double error = LogitsTest.relativeError(expected, session.run(x));
      System.out.printf("%-14s bf16 relative error %.1e%n", golden.getKey(), error);
      // Eight bits of mantissa in about fifteen layers.
      assertTrue(error <= 0.05, () -> golden.getKey() + ", bf16: " + error);
    }
    Quantization quantization;
    try (var calibration = new Calibration(network.compile(options))) {
      calibration.observe(x);
      quantization = calibration.quantization(Calibration.Method.MIN_MAX);
    }
    try (var session =
        network.withQuantization(quantization).compile(options.withPrecision(Precision.INT8))) {
      double error = LogitsTest.relativeError(expected, session.run(x));
      System.out.printf("%-14s int8 relative error %.1e%n", golden.getKey(), error);
      assertTrue(error <= 0.15, () -> golden.getKey() + ", int8: " + error);
    }
  }

  @ParameterizedTest
  @MethodSource("learning")
  void gradientsMatchTimm(Map.Entry<String, Map<String, Object>> golden) {
    int[] shape = shape(golden.getValue());
    ResNet network = draw(shallow(golden.getKey(), golden.getValue()));
    // PyTorch's own float32 has this distance from its float64; sums in another order may have 4
    // times the distance. The input is chosen so that rounding changes no ReLU, which would change
    // gradients by thousandths.
    double noise = 4 * Golden.number(golden.getValue().get("noise"));
    Tensor x = TorchRandom.manualSeed((Integer) golden.getValue().get("seed")).randn(shape);
    float[] targets = new float[shape[0] * 10];
    for (int n = 0; n < shape[0]; n++) {
      targets[n * 10 + n] = 1;
    }
    var options =
        new TrainingSession.Options(
            shape[0],
            shape[2],
            shape[3],
            2,
            Set.of(),
            false,
            0,
            Algorithm.DIRECT,
            Precision.FP32,
            KernelChoice.AUTO);
    try (var session = new TrainingSession(network.layers(), network.state(), shape[1], options)) {
      double loss = session.accumulate(x.data(), targets, shape[0], 1);
      assertEquals(Golden.number(golden.getValue().get("loss")), loss, 1e-5);
      ParameterArrays parameters = session.parameters();
      parameters
          .toTensors(parameters.gradients())
          .entries()
          .forEach((name, gradient) -> {
            Tensor expected = EXPECTED.get(golden.getKey() + "/" + name);
            int step = Math.ceilDiv(gradient.size(), (Integer) golden.getValue().get("samples"));
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

  /** Names and shapes are sufficient: all weights are zero. */
  @ParameterizedTest
  @MethodSource("models")
  void networksAreRecognized(String name) throws IOException {
    Path file = folder.resolve("x.safetensors");
    ResNetSpec spec = spec(name);
    ResNet.of(spec, StateDict.zeros(spec.layers())).save(file, Map.of());
    try (var checkpoint = Checkpoint.open(file)) {
      var found = Recognition.require(checkpoint);
      // Blurs have no weights: one of the two is assumed.
      var strided = spec(name).toBuilder().downsampling(Downsampling.STRIDE).build();
      assertEquals(strided, found.spec());
      found.name().ifPresent(known -> assertEquals(strided, spec(known)));
      assertTrue(found.name().isPresent() || name.equals("seresnetaa50d"), name);
      assertTrue(
          spec(name).equals(strided) || found.describe().contains("strides rather than blurs"));
    }
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "resnet10t",
        "resnet14t",
        "seresnet18",
        "ecaresnet26t",
        "resnetblur18",
        "resnetaa34d"
      })
  void referenceGradientSupportsAveragesAndGates(String name) {
    ResNet network = draw(spec(name));
    Tensor x = TorchRandom.manualSeed(2).randn(1, 3, name.contains("aa") ? 64 : 45, 64);
    var gradient = new ReferenceGradient(network.layers(), network.state(), TEAM);
    // Compares with the slope along a direction, by finite differences after the layer.
    var found =
        gradient.of(
            x,
            "layer2",
            logits -> {
              Tensor seed = Tensor.zeros(logits.shape());
              seed.data()[3] = 1;
              return seed;
            });
    assertArrayEquals(found.activation().shape(), found.gradient().shape());
    var rest =
        new Layer.Sequential(
            "",
            network.layers().layers().stream()
                .dropWhile(layer -> !layer.name().equals("layer3"))
                .toList());
    var forward = new ReferenceForward(rest, network.state(), TEAM);
    Tensor direction = TorchRandom.manualSeed(5).randn(found.gradient().shape());
    double slope = 0;
    for (int i = 0; i < direction.size(); i++) {
      slope += (double) direction.data()[i] * found.gradient().data()[i];
    }
    double step = 1e-3;
    double measured =
        (along(forward, found.activation(), direction, step)
                - along(forward, found.activation(), direction, -step))
            / (2 * step);
    // Finite differences of float32 logits, and ReLUs that change within the step.
    assertEquals(slope, measured, 0.03 * Math.abs(slope) + 1e-2);
  }

  /** The extents below 70 that timm's networks accept, tried one by one. */
  @ParameterizedTest
  @CsvSource({
    "resnetblur18, 17-69",
    "resnetaa50, 31-34 63-66",
    "resnet50d, 1-69",
    "resnet18, 1-69"
  })
  void imagesRejectedByPytorchAreRejected(String name, String accepted) {
    Layer network = spec(name).layers();
    var fitting = new BitSet();
    for (int extent = 1; extent < 70; extent++) {
      int each = extent;
      try {
        network.requireFits(64, each);
        fitting.set(each);
      } catch (IllegalArgumentException e) {
        assertTrue(e.getMessage().startsWith("images of 64×%d do not fit".formatted(each)));
      }
      if (!fitting.get(each)) {
        assertThrows(IllegalArgumentException.class, () -> network.requireFits(each, 64));
      }
    }
    var expected = new BitSet();
    for (String range : accepted.split(" ")) {
      String[] ends = range.split("-");
      expected.set(Integer.parseInt(ends[0]), Integer.parseInt(ends[1]) + 1);
    }
    assertEquals(expected, fitting);
  }

  /** In every engine, and not by an out-of-bounds access. */
  @ParameterizedTest
  @ValueSource(strings = {"scalar", "best"})
  void tooSmallImagesAreRejectedByEveryEngine(String kernels) {
    ResNet network = draw(spec("resnetblur18"));
    Tensor x = TorchRandom.manualSeed(2).randn(2, 3, 16, 40);
    var options = CompileOptions.defaults();
    if (kernels.equals("scalar")) {
      options = options.withKernels(KernelChoice.SCALAR);
    }
    try (var session = network.compile(options)) {
      assertRejected(() -> session.run(x));
    }
    assertRejected(() -> network.forward(x));
    assertRejected(() ->
        new TrainingSession(
            network.layers(), network.state(), 3, TrainingSession.Options.of(2, 16, 40)));
  }

  private static void assertRejected(Executable run) {
    var refusal = assertThrows(IllegalArgumentException.class, run);
    assertTrue(
        refusal.getMessage().contains("images of 16×40 do not fit")
            && refusal.getMessage().contains("layer4.0.aa")
            && refusal.getMessage().endsWith("the next larger size that fits is 17"),
        refusal.getMessage());
  }

  /** Gates that are initially zero would never be trained. */
  @Test
  void initialAttentionMatchesTimm() {
    var network = ResNet.initialize(Architecture.named("seresnet50"), TorchRandom.manualSeed(0));
    var state = network.zeroInitResidual().state();
    assertEquals(Math.sqrt(2.0 / 128), deviation(state.get("layer4.0.se.fc1.weight")), 2e-3);
    assertEquals(Math.sqrt(2.0 / 2048), deviation(state.get("layer4.0.se.fc2.weight")), 1e-3);
    // The standard deviation of uniform numbers is their bound divided by √3.
    assertEquals(1 / Math.sqrt(128 * 3), deviation(state.get("layer4.0.se.fc2.bias")), 3e-3);
    assertEquals(0, state.get("layer4.0.bn3.weight").data()[0]);
    assertEquals(1, state.get("layer4.0.bn2.weight").data()[0]);
    var eca = ResNet.initialize(Architecture.named("ecaresnet26t"), TorchRandom.manualSeed(0));
    for (float weight : eca.state().get("layer1.0.se.conv.weight").data()) {
      assertTrue(weight != 0 && Math.abs(weight) <= 1 / Math.sqrt(3), () -> "weight " + weight);
    }
  }

  private static double deviation(Tensor tensor) {
    double squares = 0;
    for (float each : tensor.data()) {
      squares += (double) each * each;
    }
    return Math.sqrt(squares / tensor.size());
  }

  private static double along(
      ReferenceForward forward, Tensor from, Tensor direction, double step) {
    float[] moved = from.data().clone();
    for (int i = 0; i < moved.length; i++) {
      moved[i] += (float) (step * direction.data()[i]);
    }
    return forward.run(Tensor.of(moved, from.shape())).data()[3];
  }
}
