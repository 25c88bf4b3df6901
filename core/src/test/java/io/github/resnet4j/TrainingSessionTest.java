package io.github.resnet4j;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.resnet4j.engine.CompileOptions;
import io.github.resnet4j.engine.CompileOptions.Algorithm;
import io.github.resnet4j.engine.KernelChoice;
import io.github.resnet4j.engine.Precision;
import io.github.resnet4j.engine.TrainingSession;
import io.github.resnet4j.nn.StateDict;
import io.github.resnet4j.tensor.Tensor;
import io.github.resnet4j.tensor.TorchRandom;
import io.github.resnet4j.train.Optimizer;
import java.lang.management.ManagementFactory;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Compares gradients, statistics and ten steps of SGD with PyTorch in float64. */
class TrainingSessionTest {
  private static final Map<String, Tensor> EXPECTED = Golden.tensors("training.safetensors");

  /** The factor of the distance of PyTorch's float32 from its float64: sums have another order. */
  private static final double COARSER = 4;

  private static final Map<String, Tensor> TEN_STEPS = Golden.tensors("ten-steps.safetensors");

  /**
   * Winograd's F(4×4) has ten times the rounding error of direct convolution (docs/engine.md), so
   * that one or two of the hundred thousand ReLUs of a network change: each changes some gradient
   * by a few thousandths.
   */
  private static final double SOME_RELUS = 2e-2;

  /**
   * The effect of ten steps on differences in the last bits, for a loss of about 2; measured: 7e-5.
   */
  private static final double DRIFT = 2e-4;

  static Stream<Map.Entry<String, Map<String, Object>>> cases() {
    return Golden.json("training.json").entrySet().stream();
  }

  private static TrainingSession session(
      ResNet network, int[] shape, int threads, Algorithm algorithm, KernelChoice kernels) {
    var options =
        new TrainingSession.Options(
            shape[0],
            shape[2],
            shape[3],
            threads,
            Set.of(),
            false,
            0,
            algorithm,
            Precision.FP32,
            kernels);
    return new TrainingSession(
        network.layers(), network.state(), network.spec().inChannels(), options);
  }

  private static float[] targets(int images) {
    float[] targets = new float[images * 10];
    for (int n = 0; n < images; n++) {
      targets[n * 10 + n % 10] = 1;
    }
    return targets;
  }

  private static int[] shape(Map<String, Object> golden) {
    return Golden.list(golden.get("input")).stream().mapToInt(extent -> (Integer) extent).toArray();
  }

  /** The same as {@code sample} in golden.py. */
  private static float[] sample(float[] values) {
    int step = Math.ceilDiv(values.length, 1024);
    float[] sample = new float[Math.ceilDiv(values.length, step)];
    for (int i = 0; i < sample.length; i++) {
      sample[i] = values[i * step];
    }
    return sample;
  }

  private static double relativeError(float[] expected, float[] actual) {
    assertEquals(expected.length, actual.length);
    double squares = 0;
    double differences = 0;
    for (int i = 0; i < expected.length; i++) {
      squares += (double) expected[i] * expected[i];
      differences += Math.pow(expected[i] - (double) actual[i], 2);
    }
    return Math.sqrt(differences / squares);
  }

  @ParameterizedTest
  @MethodSource("cases")
  void trainingStepsMatchPytorch(Map.Entry<String, Map<String, Object>> golden) {
    trainingStepsMatchPytorch(golden, Algorithm.DIRECT, KernelChoice.AUTO);
    trainingStepsMatchPytorch(golden, Algorithm.AUTO, KernelChoice.AUTO);
  }

  @Test
  void scalarKernelsMatchPytorch() {
    var golden = Golden.json("training.json");
    for (String name : List.of("basic", "stride first")) {
      trainingStepsMatchPytorch(
          Map.entry(name, golden.get(name)), Algorithm.DIRECT, KernelChoice.SCALAR);
    }
  }

  private static void trainingStepsMatchPytorch(
      Map.Entry<String, Map<String, Object>> golden, Algorithm algorithm, KernelChoice kernels) {
    String name = golden.getKey();
    int[] shape = shape(golden.getValue());
    double noise =
        algorithm == Algorithm.DIRECT
            ? COARSER * ((Number) golden.getValue().get("noise")).doubleValue()
            : SOME_RELUS;
    var network =
        ResNet.initialize(
            LogitsTest.spec((Map<?, ?>) golden.getValue().get("spec")), TorchRandom.manualSeed(0));
    float[] x = TorchRandom.manualSeed(2).randn(shape).data();
    List<?> losses = Golden.list(golden.getValue().get("losses"));
    // Further steps would only show how fast a network diverges after one ReLU changed.
    int steps = algorithm == Algorithm.DIRECT ? losses.size() : 1;
    try (var session = session(network, shape, 2, algorithm, kernels)) {
      float[] momentum = new float[session.parameters().size()];
      for (int step = 0; step < steps; step++) {
        session.clearGradients();
        double loss = session.accumulate(x, targets(shape[0]), shape[0], 1);
        double expected = ((Number) losses.get(step)).doubleValue();
        assertEquals(expected, loss, DRIFT, name + ", step " + step);
        if (step == 0) {
          gradients(session)
              .entries()
              .forEach((key, tensor) -> compare(name, "grad." + key, tensor, noise));
          session
              .state()
              .entries()
              .forEach((key, tensor) -> {
                if (key.contains("running")) {
                  compare(name, key, tensor, noise);
                }
              });
        }
        sgd(session, momentum);
      }
    }
  }

  private static void compare(String name, String key, Tensor actual, double tolerance) {
    Tensor expected = EXPECTED.get(name + "/" + key);
    double error = relativeError(expected.data(), sample(actual.data()));
    assertTrue(error <= tolerance, () -> "%s, %s: %.1e".formatted(name, key, error));
  }

  private static void sgd(TrainingSession session, float[] momentum) {
    float[] weights = session.parameters().weights();
    for (int i = 0; i < momentum.length; i++) {
      float gradient = session.parameters().gradient(i);
      momentum[i] = 0.9f * momentum[i] + gradient + 1e-4f * weights[i];
      weights[i] -= 0.02f * momentum[i];
    }
  }

  static Stream<Map.Entry<String, Map<String, Object>>> wholeNetworks() {
    return Golden.json("ten-steps.json").entrySet().stream();
  }

  /** Ten steps of whole networks: losses, and the change of every parameter and statistic. */
  @ParameterizedTest
  @MethodSource("wholeNetworks")
  void tenStepsOfWholeNetworksMatchPytorch(Map.Entry<String, Map<String, Object>> golden) {
    String name = golden.getKey();
    int[] shape = shape(golden.getValue());
    var spec = Architecture.named(name).toBuilder().numClasses(10).build();
    var network = ResNet.initialize(spec, TorchRandom.manualSeed(0));
    float[] x = TorchRandom.manualSeed(2).randn(shape).data();
    List<?> losses = Golden.list(golden.getValue().get("losses"));
    double drift = ((Number) golden.getValue().get("drift")).doubleValue();
    double noise = ((Number) golden.getValue().get("noise")).doubleValue();
    try (var session = session(network, shape, 2, Algorithm.DIRECT, KernelChoice.AUTO)) {
      var optimizer =
          new Optimizer(
              session,
              new Optimizer.Method.Sgd(0.9f, false),
              1e-4f,
              _ -> true,
              _ -> false,
              _ -> 1,
              0);
      for (int step = 0; step < losses.size(); step++) {
        session.clearGradients();
        double loss = session.accumulate(x, targets(shape[0]), shape[0], 1);
        assertEquals(
            ((Number) losses.get(step)).doubleValue(), loss, COARSER * drift, "step " + step);
        optimizer.step(((Number) golden.getValue().get("rate")).floatValue());
      }
      double squares = 0;
      double differences = 0;
      StateDict end = session.state();
      for (Map.Entry<String, Tensor> entry : TEN_STEPS.entrySet()) {
        if (entry.getKey().startsWith(name + "/")) {
          String key = entry.getKey().substring(name.length() + 1);
          float[] before = network.state().get(key).data();
          float[] after = end.get(key).data();
          float[] expected = entry.getValue().data();
          int every = Math.ceilDiv(after.length, 64);
          for (int i = 0; i < expected.length; i++) {
            double change = (double) after[i * every] - before[i * every];
            squares += (double) expected[i] * expected[i];
            differences += Math.pow(expected[i] - change, 2);
          }
        }
      }
      double error = Math.sqrt(differences / squares);
      assertTrue(error <= COARSER * noise, "%.1e, PyTorch's float32 %.1e".formatted(error, noise));
    }
  }

  /** Compares with finite differences of the loss, independent of other code. */
  @Test
  void gradientMatchesFiniteDifferences() {
    int[] shape = {4, 3, 32, 32};
    var network = ResNet.initialize(Architecture.named("resnet20"), TorchRandom.manualSeed(0));
    float[] x = TorchRandom.manualSeed(2).randn(shape).data();
    try (var session = session(network, shape, 2, Algorithm.AUTO, KernelChoice.AUTO)) {
      session.accumulate(x, targets(4), 4, 1);
      float[] gradient = session.parameters().gradients();
      double squares = 0;
      for (float each : gradient) {
        squares += Math.pow(each, 2);
      }
      float step = (float) (1e-3 / Math.sqrt(squares)); // along the gradient itself
      double[] losses = new double[2];
      for (int side = 0; side < 2; side++) {
        for (int i = 0; i < gradient.length; i++) {
          session.parameters().weights()[i] += (side == 0 ? 1 : -2) * step * gradient[i];
        }
        losses[side] = session.accumulate(x, targets(4), 4, 1);
      }
      double slope = (losses[0] - losses[1]) / (2 * step);
      assertEquals(squares, slope, 0.02 * squares); // ReLUs change within the step
    }
  }

  /**
   * Compares Winograd's weight gradients with the direct ones, with tiles that extend beyond the
   * border.
   */
  @Test
  void winogradGradientsMatchDirectOnes() {
    int[] shape = {5, 3, 29, 31};
    var network = ResNet.initialize(Architecture.named("resnet20"), TorchRandom.manualSeed(0));
    // An input for which the rounding of no sum decides whether a ReLU is active.
    float[] x = TorchRandom.manualSeed(2).randn(shape).data();
    try (var direct = session(network, shape, 2, Algorithm.DIRECT, KernelChoice.AUTO);
        var winograd = session(network, shape, 2, Algorithm.AUTO, KernelChoice.AUTO)) {
      var expected = gradients(direct, x);
      gradients(winograd, x)
          .entries()
          .forEach((name, tensor) -> {
            double error = relativeError(expected.get(name).data(), tensor.data());
            // Measured: up to 5e-6, all of it F(4×4)'s rounding; a changed ReLU would be 1e-3.
            assertTrue(error < 5e-5, () -> "%s: %.1e".formatted(name, error));
          });
    }
  }

  private static StateDict gradients(TrainingSession session, float[] x) {
    session.accumulate(x, targets(5), 5, 1);
    return gradients(session);
  }

  private static StateDict gradients(TrainingSession session) {
    return session.parameters().toTensors(session.parameters().gradients());
  }

  @Test
  void stepAllocatesNothing() {
    int[] shape = {4, 3, 32, 32};
    var network = ResNet.initialize(Architecture.named("resnet20"), TorchRandom.manualSeed(0));
    float[] x = TorchRandom.manualSeed(2).randn(shape).data();
    float[] targets = targets(4);
    var threads = (com.sun.management.ThreadMXBean) ManagementFactory.getThreadMXBean();
    try (var session = session(network, shape, 1, Algorithm.AUTO, KernelChoice.AUTO)) {
      long least = Long.MAX_VALUE;
      for (int i = 0; i < 300; i++) {
        long before = threads.getCurrentThreadAllocatedBytes();
        session.accumulate(x, targets, 4, 1);
        least = Math.min(least, threads.getCurrentThreadAllocatedBytes() - before);
      }
      assertTrue(least < 512, least + " bytes"); // the objects that pass the task to the workers
    }
  }

  @Test
  void loadedStateIsReturned() {
    var spec = LogitsTest.spec((Map<?, ?>) Golden.json("training.json").get("groups").get("spec"));
    var network = ResNet.initialize(spec, TorchRandom.manualSeed(0));
    try (var session =
        session(network, new int[] {2, 3, 48, 48}, 2, Algorithm.AUTO, KernelChoice.AUTO)) {
      StateDict state = session.state();
      assertEquals(network.state().entries().keySet(), state.entries().keySet());
      network
          .state()
          .entries()
          .forEach(
              (name, tensor) -> assertArrayEquals(tensor.data(), state.get(name).data(), name));
    }
  }

  @Test
  void frozenParametersHaveNoGradientAndOthersAreUnchanged() {
    int[] shape = {4, 3, 32, 32};
    var network = ResNet.initialize(Architecture.named("resnet20"), TorchRandom.manualSeed(0));
    float[] x = TorchRandom.manualSeed(2).randn(shape).data();
    Set<String> frozen =
        network.layers().parameters().stream()
            .map(parameter -> parameter.name())
            .filter(name -> !name.startsWith("layer3") && !name.startsWith("fc"))
            .collect(Collectors.toSet());
    var options =
        new TrainingSession.Options(
            4, 32, 32, 2, frozen, false, 0, Algorithm.AUTO, Precision.FP32, KernelChoice.AUTO);
    try (var all = session(network, shape, 2, Algorithm.AUTO, KernelChoice.AUTO);
        var some = new TrainingSession(network.layers(), network.state(), 3, options)) {
      assertEquals(all.accumulate(x, targets(4), 4, 1), some.accumulate(x, targets(4), 4, 1));
      for (var range : some.parameters().ranges()) {
        for (int i = range.from(); i < range.end(); i++) {
          float expected = frozen.contains(range.name()) ? 0 : all.parameters().gradient(i);
          float found = some.parameters().gradient(i);
          if (!range.name().contains("bn") || !frozen.contains(range.name())) {
            assertEquals(expected, found, range.name());
          }
        }
      }
    }
  }

  /**
   * With running statistics images are independent: the logits of each image are those of a network
   * whose branches end in norms of zero or larger ones, and the fractions are the requested ones.
   */
  @ParameterizedTest
  @EnumSource(ResNetSpec.Activation.class)
  void stochasticDepthDropsBranches(ResNetSpec.Activation activation) {
    boolean isPre = activation == ResNetSpec.Activation.PRE;
    int images = 64;
    double rate = 0.5;
    var spec =
        ResNetSpec.builder(ResNetSpec.Block.BASIC, 1, 2)
            .channels(16)
            .stem(Stem.SMALL_IMAGE)
            .attention(isPre ? Attention.NONE : new Attention.SqueezeExcite(16))
            .activation(activation)
            .numClasses(10)
            .build();
    var network = ResNet.initialize(spec, TorchRandom.manualSeed(0));
    Tensor x = TorchRandom.manualSeed(2).randn(images, 3, 16, 16);
    List<String> blocks = List.of(spec.blockName(0, 0), spec.blockName(1, 0), spec.blockName(1, 1));
    var possible = new ArrayList<float[]>();
    for (int choice = 0; choice < 8; choice++) {
      var entries = new LinkedHashMap<>(network.state().entries());
      for (int b = 0; b < blocks.size(); b++) {
        float factor = (choice >> b & 1) == 0 ? 0 : (float) (1 / (1 - rate * b / 2));
        scaleBranch(entries, blocks.get(b), factor);
      }
      try (var session =
          network.withState(new StateDict(entries)).compile(CompileOptions.defaults())) {
        possible.add(session.run(x).data());
      }
    }
    var options =
        new TrainingSession.Options(
            images,
            16,
            16,
            2,
            Set.of(),
            true,
            rate,
            Algorithm.DIRECT,
            Precision.FP32,
            KernelChoice.AUTO);
    int[] chosen = new int[8];
    var plain = new LinkedHashMap<>(network.state().entries());
    for (String block : blocks) {
      scaleBranch(plain, block, 1);
    }
    try (var session = new TrainingSession(network.layers(), new StateDict(plain), 3, options)) {
      float[] logits = new float[images * 10];
      for (int round = 0; round < 8; round++) {
        session.dropBranches(round);
        session.accumulate(x.data(), targets(images), images, 1);
        session.logits(logits);
        for (int n = 0; n < images; n++) {
          int found = -1;
          for (int choice = 0; choice < 8; choice++) {
            if (isNear(possible.get(choice), logits, n * 10)) {
              found = choice;
            }
          }
          assertTrue(found >= 0, "image " + n + " is of no such network");
          chosen[found]++;
        }
      }
    }
    int all = 8 * images;
    for (int b = 0; b < blocks.size(); b++) {
      int kept = 0;
      for (int choice = 0; choice < 8; choice++) {
        kept += (choice >> b & 1) * chosen[choice];
      }
      double share = 1 - rate * b / 2;
      // Four standard deviations of this number of draws.
      assertEquals(share, (double) kept / all, 4 * Math.sqrt(share * (1 - share) / all));
    }
  }

  /**
   * Gates of one half for every input, so that a factor of the norm is a factor of the branch; in a
   * pre-activation block a factor of the last convolution is.
   */
  private static void scaleBranch(Map<String, Tensor> entries, String block, float factor) {
    for (String name : List.of("se.fc2.weight", "se.fc2.bias")) {
      entries.computeIfPresent(block + "." + name, (_, tensor) -> Tensor.zeros(tensor.shape()));
    }
    boolean isPre = entries.containsKey(block + ".norm2.weight");
    for (String name : isPre ? List.of("conv2.weight") : List.of("bn2.weight", "bn2.bias")) {
      entries.computeIfPresent(
          block + "." + name,
          (_, tensor) -> {
            float[] scaled = tensor.data().clone();
            for (int i = 0; i < scaled.length; i++) {
              scaled[i] *= factor;
            }
            return Tensor.of(scaled, tensor.shape());
          });
    }
  }

  private static boolean isNear(float[] expected, float[] found, int from) {
    for (int i = from; i < from + 10; i++) {
      if (Math.abs(expected[i] - found[i]) > 1e-4 * (1 + Math.abs(expected[i]))) {
        return false;
      }
    }
    return true;
  }

  /**
   * Along the gradient the loss increases by the squared gradient norm, with the same branches
   * dropped.
   */
  @ParameterizedTest
  @ValueSource(strings = {"resnet18", "seresnet18", "resnetv2_18"})
  void gradientWithDroppedBranchesMatchesFiniteDifferences(String name) {
    var spec = Architecture.named(name).toBuilder().numClasses(10).build();
    var network = ResNet.initialize(spec, TorchRandom.manualSeed(0));
    int[] shape = {8, 3, 64, 64};
    var options =
        new TrainingSession.Options(
            8,
            64,
            64,
            2,
            Set.of(),
            false,
            0.6,
            Algorithm.DIRECT,
            Precision.FP32,
            KernelChoice.AUTO);
    float[] x = TorchRandom.manualSeed(2).randn(shape).data();
    try (var session = new TrainingSession(network.layers(), network.state(), 3, options)) {
      session.dropBranches(7);
      session.accumulate(x, targets(8), 8, 1);
      float[] weights = session.parameters().weights().clone();
      float[] direction = session.parameters().gradients();
      double squares = 0;
      for (float each : direction) {
        squares += (double) each * each;
      }
      double step = 1e-3 / squares; // the loss changes by a thousandth
      double[] losses = new double[2];
      for (int side = 0; side < 2; side++) {
        for (int i = 0; i < direction.length; i++) {
          session.parameters().weights()[i] =
              (float) (weights[i] + (2 * side - 1) * step * direction[i]);
        }
        losses[side] = session.accumulate(x, targets(8), 8, 1);
      }
      // Float32 losses of 2 that differ by 2e-3, and ReLUs that change within the step.
      assertEquals(2e-3, losses[1] - losses[0], 6e-5);
    }
  }

  @Test
  void networkWithoutHeadIsRejected() {
    var spec = Architecture.named("resnet20").toBuilder().includeTop(false).build();
    var network = ResNet.initialize(spec, TorchRandom.manualSeed(0));
    assertThrows(
        IllegalArgumentException.class,
        () -> session(network, new int[] {1, 3, 32, 32}, 1, Algorithm.AUTO, KernelChoice.AUTO));
  }
}
