package io.github.resnet4j;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

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
import io.github.resnet4j.image.Preprocessing;
import io.github.resnet4j.kernel.Team;
import io.github.resnet4j.nn.Layer;
import io.github.resnet4j.nn.Layer.GroupNorm;
import io.github.resnet4j.nn.StateDict;
import io.github.resnet4j.tensor.Tensor;
import io.github.resnet4j.tensor.TorchRandom;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Compares networks with group norm with those of PyTorch and timm. */
class GroupNormTest {
  private static final Team TEAM = Team.ofAllCores();
  private static final Map<String, Tensor> EXPECTED = Golden.tensors("group-norm.safetensors");

  /** float32 sums of thousands of terms in another order, as for all networks. */
  private static final double TOLERANCE = 1e-4;

  @TempDir private Path folder;

  @AfterAll
  static void close() {
    TEAM.close();
  }

  static Stream<Map.Entry<String, Map<String, Object>>> cases() {
    return Golden.json("group-norm.json").entrySet().stream();
  }

  static Stream<Map.Entry<String, Map<String, Object>>> learning() {
    return cases().filter(each -> !each.getKey().equals("resnet50_gn"));
  }

  private static ResNet network(Map.Entry<String, Map<String, Object>> golden) {
    return RelativesTest.draw(LogitsTest.spec((Map<?, ?>) golden.getValue().get("spec")));
  }

  private static Tensor input(Map.Entry<String, Map<String, Object>> golden) {
    return TorchRandom.manualSeed(2).randn(RelativesTest.shape(golden.getValue()));
  }

  private static void assertAgrees(String what, Tensor expected, Tensor y) {
    assertArrayEquals(expected.shape(), y.shape());
    double error = LogitsTest.relativeError(expected, y);
    System.out.printf("%-60s relative error %.1e%n", what, error);
    assertTrue(error <= TOLERANCE, () -> what + ": relative error " + error);
  }

  @ParameterizedTest
  @MethodSource("cases")
  void logitsMatchPytorch(Map.Entry<String, Map<String, Object>> golden) {
    ResNet network = network(golden);
    Tensor x = input(golden);
    Tensor expected = EXPECTED.get(golden.getKey());
    assertAgrees(golden.getKey() + ", reference", expected, network.forward(x));
    for (Algorithm algorithm : List.of(Algorithm.AUTO, Algorithm.DIRECT)) {
      var options = CompileOptions.defaults().withThreads(2).withAlgorithm(algorithm);
      try (var session = network.compile(options)) {
        assertAgrees(golden.getKey() + ", " + algorithm, expected, session.run(x));
      }
    }
    assertEquals(
        ((Number) golden.getValue().get("parameters")).longValue(),
        network.spec().parameterCount());
  }

  /** Direct convolution and the moments have a fixed order of additions. */
  @ParameterizedTest
  @MethodSource("learning")
  void directIsBitIdenticalForEveryBatchSizeAndThreadCount(
      Map.Entry<String, Map<String, Object>> golden) {
    ResNet network = network(golden);
    Tensor x = input(golden);
    int pixels = x.size() / x.dim(0);
    Tensor first = Tensor.of(Arrays.copyOf(x.data(), pixels), 1, x.dim(1), x.dim(2), x.dim(3));
    var results = new ArrayList<float[]>();
    for (int threads = 1; threads <= 3; threads++) {
      var options = CompileOptions.defaults().withThreads(threads).withAlgorithm(Algorithm.DIRECT);
      try (var session = network.compile(options)) {
        results.add(session.run(x).data());
        float[] alone = session.run(first).data();
        assertArrayEquals(Arrays.copyOf(results.getFirst(), alone.length), alone);
      }
    }
    results.forEach(result -> assertArrayEquals(results.getFirst(), result));
  }

  @Test
  void bf16IsCloseToFp32() {
    var golden = cases().findFirst().orElseThrow();
    ResNet network = network(golden);
    try (var session =
        network.compile(CompileOptions.defaults().withThreads(2).withPrecision(Precision.BF16))) {
      double error =
          LogitsTest.relativeError(EXPECTED.get(golden.getKey()), session.run(input(golden)));
      assertTrue(error <= 0.02, () -> "error " + error);
    }
  }

  @Test
  void int8IsCloseToFp32() {
    var golden = cases().findFirst().orElseThrow();
    ResNet network = network(golden);
    Tensor x = input(golden);
    var options = CompileOptions.defaults().withThreads(2);
    Quantization quantization;
    try (var calibration = new Calibration(network.compile(options))) {
      calibration.observe(x);
      quantization = calibration.quantization(Calibration.Method.MIN_MAX);
    }
    try (var session =
        network.withQuantization(quantization).compile(options.withPrecision(Precision.INT8))) {
      double error = LogitsTest.relativeError(EXPECTED.get(golden.getKey()), session.run(x));
      System.out.println(golden.getKey() + ", int8: relative error " + error);
      assertTrue(error <= 0.15, () -> "error " + error); // as in RelativesTest
    }
  }

  private static TrainingSession session(
      ResNet network, Tensor x, Set<String> frozen, double depth, KernelChoice kernels) {
    return new TrainingSession(
        network.layers(),
        network.state(),
        x.dim(1),
        new TrainingSession.Options(
            x.dim(0),
            x.dim(2),
            x.dim(3),
            2,
            frozen,
            false,
            depth,
            Algorithm.DIRECT,
            Precision.FP32,
            kernels));
  }

  private static float[] targets(int images) {
    float[] targets = new float[images * 10];
    for (int n = 0; n < images; n++) {
      targets[n * 10 + n] = 1;
    }
    return targets;
  }

  @ParameterizedTest
  @MethodSource("learning")
  void gradientsMatchPytorch(Map.Entry<String, Map<String, Object>> golden) {
    // PyTorch's own float32 has this distance from its float64; sums in another order may have 4
    // times the distance.
    double noise = 4 * Golden.number(golden.getValue().get("noise"));
    Tensor x = input(golden);
    for (KernelChoice kernels : List.of(KernelChoice.AUTO, KernelChoice.SCALAR)) {
      try (var session = session(network(golden), x, Set.of(), 0, kernels)) {
        double loss = session.accumulate(x.data(), targets(x.dim(0)), x.dim(0), 1);
        assertEquals(Golden.number(golden.getValue().get("loss")), loss, 1e-5);
        gradients(session)
            .forEach((name, gradient) -> {
              Tensor expected = EXPECTED.get(golden.getKey() + "/" + name);
              int step = Math.ceilDiv(gradient.size(), 32);
              double squares = 0;
              double differences = 0;
              for (int i = 0; i < expected.size(); i++) {
                double wanted = expected.data()[i];
                squares += wanted * wanted;
                differences += Math.pow(wanted - gradient.data()[i * step], 2);
              }
              double error = Math.sqrt(differences / squares);
              assertTrue(error <= noise, () -> name + ": " + error + " of " + noise);
            });
      }
    }
  }

  private static Map<String, Tensor> gradients(TrainingSession session) {
    ParameterArrays parameters = session.parameters();
    return parameters.toTensors(parameters.gradients()).entries();
  }

  /** The gradient of trained parameters does not depend on frozen ones. */
  @Test
  void frozenParametersDoNotChangeOtherGradients() {
    var golden = cases().findFirst().orElseThrow();
    ResNet network = network(golden);
    Tensor x = input(golden);
    Set<String> frozen =
        Set.of(
            "conv1.weight", "bn1.weight", "bn1.bias", "layer1.0.bn2.weight", "layer1.0.bn2.bias");
    try (var all = session(network, x, Set.of(), 0, KernelChoice.AUTO);
        var some = session(network, x, frozen, 0, KernelChoice.AUTO)) {
      all.accumulate(x.data(), targets(4), 4, 1);
      some.accumulate(x.data(), targets(4), 4, 1);
      Map<String, Tensor> found = gradients(some);
      gradients(all)
          .forEach((name, gradient) -> {
            if (!frozen.contains(name)) {
              assertArrayEquals(gradient.data(), found.get(name).data(), name);
            }
          });
    }
  }

  @Test
  void stochasticDepthIsRejected() {
    var golden = cases().findFirst().orElseThrow();
    var refusal =
        assertThrows(
            IllegalArgumentException.class,
            () -> session(network(golden), input(golden), Set.of(), 0.1, KernelChoice.AUTO));
    assertEquals(
        "layer1.0.bn3: blocks that end with group norm cannot be trained with stochastic depth",
        refusal.getMessage());
  }

  /** Compares with the slope along a direction, by finite differences after the layer. */
  @Test
  void referenceGradientSupportsGroupNorm() {
    ResNet network = network(cases().findFirst().orElseThrow());
    Tensor x = TorchRandom.manualSeed(2).randn(1, 3, 45, 64);
    var found =
        new ReferenceGradient(network.layers(), network.state(), TEAM)
            .of(
                x,
                "layer1",
                logits -> {
                  Tensor seed = Tensor.zeros(logits.shape());
                  seed.data()[3] = 1;
                  return seed;
                });
    var rest =
        new Layer.Sequential(
            "",
            network.layers().layers().stream()
                .dropWhile(layer -> !layer.name().equals("layer2"))
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

  private static double along(
      ReferenceForward forward, Tensor from, Tensor direction, double step) {
    Tensor moved = Tensor.zeros(from.shape());
    for (int i = 0; i < moved.size(); i++) {
      moved.data()[i] = (float) (from.data()[i] + step * direction.data()[i]);
    }
    return forward.run(moved).data()[3];
  }

  /** With a mean far from zero, the sum of squares minus the square of the sum would cancel. */
  @Test
  void meanFarFromZeroDoesNotReduceAccuracy() {
    var norm = new GroupNorm("n", 2, 4);
    var state =
        new StateDict(
            new LinkedHashMap<>(
                Map.of("n.weight", Tensor.filled(1, 4), "n.bias", Tensor.zeros(4))));
    Tensor x = TorchRandom.manualSeed(3).randn(1, 4, 9, 9);
    Tensor shifted = Tensor.of(x.data().clone(), x.shape());
    for (int i = 0; i < x.size(); i++) {
      shifted.data()[i] += 1024;
    }
    Tensor expected = new ReferenceForward(norm, state, TEAM).run(x);
    Tensor found = new ReferenceForward(norm, state, TEAM).run(shifted);
    assertArrayEquals(expected.data(), found.data(), 5e-4f); // the ulp of 1024 is 1.2e-4
  }

  @Test
  void initialNormIsIdentityAndLastNormsCanBeZero() {
    var network = ResNet.initialize(Architecture.named("resnet50_gn"), TorchRandom.manualSeed(0));
    assertEquals(1, network.state().get("layer4.0.bn3.weight").data()[7]);
    assertEquals(0, network.state().get("layer4.0.bn3.bias").data()[7]);
    var zero = network.zeroInitResidual().state();
    assertEquals(0, zero.get("layer4.0.bn3.weight").data()[7]);
    assertEquals(1, zero.get("layer4.0.bn2.weight").data()[7]);
  }

  @ParameterizedTest
  @ValueSource(booleans = {false, true})
  void groupNormIsRecognizedFromWeightsOrMetadata(boolean noted) throws IOException {
    Path file = folder.resolve("x.safetensors");
    var spec = Architecture.named("resnet50_gn").toBuilder().numClasses(10).build();
    if (noted) {
      spec = spec.toBuilder().norm(new Norm.GroupNorm(8)).build();
    }
    ResNet network = ResNet.initialize(spec, TorchRandom.manualSeed(0));
    network.save(
        file,
        noted
            ? ModelNotes.toMetadata(
                spec, Preprocessing.imagenet(256, 224), List.of(), Task.SINGLE_LABEL)
            : Map.of());
    try (var checkpoint = Checkpoint.open(file)) {
      var found = Recognition.require(checkpoint);
      assertEquals(spec, found.spec());
      assertEquals(noted ? "unnamed" : "resnet50_gn", found.name().orElse("unnamed"));
      assertTrue(
          found.describe().contains("group norm (%d groups)".formatted(noted ? 8 : 32)),
          found::describe);
      assertEquals(!noted, found.assumed().contains("32 groups in each group norm"));
    }
  }

  @Test
  void groupsThatDoNotDivideChannelsAreRejected() {
    var builder = ResNetSpec.builder(ResNetSpec.Block.BASIC, 1, 1).channels(24);
    builder.norm(new Norm.GroupNorm(32));
    var refusal = assertThrows(IllegalArgumentException.class, builder::build);
    assertEquals(
        "norm must be of groups that divide the channels of every convolution,"
            + " was GroupNorm[groups=32]",
        refusal.getMessage());
    assertThrows(IllegalArgumentException.class, () -> new Norm.GroupNorm(0));
  }
}
