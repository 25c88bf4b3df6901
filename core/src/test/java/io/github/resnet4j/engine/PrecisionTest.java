package io.github.resnet4j.engine;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.resnet4j.Attention;
import io.github.resnet4j.ResNet;
import io.github.resnet4j.ResNetSpec;
import io.github.resnet4j.ResNetSpec.Block;
import io.github.resnet4j.engine.conv.PackedWeights;
import io.github.resnet4j.engine.graph.AlgorithmChoice;
import io.github.resnet4j.engine.graph.Arithmetic;
import io.github.resnet4j.engine.inference.Plan;
import io.github.resnet4j.engine.inference.PlanCompiler;
import io.github.resnet4j.engine.inference.Workload;
import io.github.resnet4j.engine.step.ExecutionContext;
import io.github.resnet4j.kernel.ConvTile;
import io.github.resnet4j.kernel.Format;
import io.github.resnet4j.kernel.Kernels;
import io.github.resnet4j.tensor.Tensor;
import io.github.resnet4j.tensor.TorchRandom;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Random;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * Networks in bfloat16 and INT8: compared with the same networks in FP32, and with the scalar
 * kernels.
 */
@Tag("kernels")
class PrecisionTest {
  /** Sums of floats in the mean and in the head, in another order. */
  private static final double ORDER = 1e-5;

  /**
   * If kernels do not support a format, plain loops are used: a few networks are enough to test
   * that.
   */
  static IntStream int8Seeds() {
    return IntStream.range(0, Kernels.best().supports(Format.U8) ? 40 : 4);
  }

  static IntStream bf16Seeds() {
    return IntStream.range(0, Kernels.best().supports(Format.BF16) ? 40 : 4);
  }

  private static Quantization calibrate(ResNet network, Tensor x, Calibration.Method method) {
    try (var calibration = new Calibration(network.compile(CompileOptions.defaults()))) {
      calibration.observe(x);
      return calibration.quantization(method);
    }
  }

  /** The norm of the difference divided by the norm of the expected result. */
  private static double error(Tensor expected, Tensor actual) {
    assertArrayEquals(expected.shape(), actual.shape());
    double difference = 0;
    double length = 1e-30;
    for (int i = 0; i < expected.size(); i++) {
      double apart = (double) expected.data()[i] - actual.data()[i];
      difference += apart * apart;
      length += (double) expected.data()[i] * expected.data()[i];
    }
    return Math.sqrt(difference / length);
  }

  private record Case(ResNet network, Tensor x, int threads) {
    static Case of(int seed) {
      var random = new Random(seed);
      ResNetSpec spec =
          SessionTest.randomSpec(random).toBuilder()
              .attention(Attention.NONE) // supports only fp32
              .build();
      var network = SessionTest.network(spec, seed);
      int height = 33 + random.nextInt(10);
      int width = 33 + random.nextInt(10);
      int batch = 1 + random.nextInt(2);
      Tensor x = TorchRandom.manualSeed(seed).randn(batch, spec.inChannels(), height, width);
      return new Case(network, x, 1 + random.nextInt(3));
    }

    Tensor run(ResNet calibrated, Precision precision, KernelChoice kernels) {
      var options =
          CompileOptions.defaults()
              .withThreads(threads)
              .withPrecision(precision)
              .withAlgorithm(CompileOptions.Algorithm.DIRECT)
              .withKernels(kernels);
      try (var session = calibrated.compile(options)) {
        return session.run(x);
      }
    }
  }

  @ParameterizedTest
  @MethodSource("int8Seeds")
  void int8MatchesScalarKernelsAndIsCloseToFp32(int seed) {
    var one = Case.of(seed);
    var method = Calibration.Method.values()[seed % 2];
    Quantization found = calibrate(one.network, one.x, method);
    if (seed % 3 == 0) {
      found = found.withFloatInput();
    }
    var calibrated = one.network.withQuantization(found);
    Tensor expected = one.run(calibrated, Precision.FP32, KernelChoice.AUTO);
    Tensor scalar = one.run(calibrated, Precision.INT8, KernelChoice.SCALAR);
    Tensor actual = one.run(calibrated, Precision.INT8, KernelChoice.AUTO);
    assertTrue(error(scalar, actual) <= ORDER, () -> "scalar: " + error(scalar, actual));
    // Each layer adds noise of half a step of 255 or 127 levels; measured 0.002 to 0.024.
    assertTrue(error(expected, actual) <= 0.05, () -> "floats: " + error(expected, actual));
  }

  @ParameterizedTest
  @MethodSource("bf16Seeds")
  void bf16MatchesScalarKernelsAndIsCloseToFp32(int seed) {
    var one = Case.of(seed);
    Tensor expected = one.run(one.network, Precision.FP32, KernelChoice.AUTO);
    Tensor actual = one.run(one.network, Precision.BF16, KernelChoice.AUTO);
    // Each layer rounds to 8 bits: at most 2^-9 of a number; measured 0.0007 to 0.0064.
    assertTrue(error(expected, actual) <= 0.02, () -> "floats: " + error(expected, actual));
    for (Format format : List.of(Format.BF16, Format.ROUNDED)) {
      Tensor scalar = run(one, format, Kernels.scalar());
      Tensor machine = run(one, format, Kernels.best());
      // Matrices add products in another order. Then a result may be rounded to the next number of
      // 8 bits, as it may be if it is computed with floats; measured up to 0.0012.
      boolean matrices = Kernels.best().conv().multiplyMatrices(new ConvTile.Input(format, 32, 32));
      double tolerance = matrices ? 0.01 : ORDER;
      assertTrue(
          error(scalar, machine) <= tolerance, () -> format + " scalar: " + error(scalar, machine));
      assertTrue(error(expected, machine) <= 0.02, () -> format + " floats");
    }
  }

  /** Runs one image in a format, whether or not it is faster on this processor. */
  private static Tensor run(Case one, Format format, Kernels kernels) {
    Plan plan =
        new PlanCompiler(
                one.network.layers(),
                one.x.dim(1),
                List.of(),
                new Arithmetic(format, null),
                kernels)
            .compile(
                new Workload(one.x.dim(2), one.x.dim(3), one.x.dim(0), 1),
                new PackedWeights(one.network.state()),
                AlgorithmChoice.DIRECT);
    var context = new ExecutionContext();
    context.ensureCapacity(plan.arenaSize());
    context.input = one.x.data();
    var shape = new ArrayList<Integer>(List.of(one.x.dim(0)));
    IntStream.of(plan.outputs().getLast()).forEach(shape::add);
    Tensor y = Tensor.zeros(shape.stream().mapToInt(Integer::intValue).toArray());
    context.outputs = new float[][] {y.data()};
    plan.run(context, one.x.dim(0), 0, () -> {});
    return y;
  }

  /** Winograd's algorithm on rounded floats, which is for processors with slow bfloat16. */
  @Test
  void roundedFloatsWorkWithWinograd() {
    var network = SessionTest.network(ResNetSpec.builder(Block.BASIC, 1, 1).build(), 1);
    Tensor x = TorchRandom.manualSeed(2).randn(4, 3, 40, 40);
    try (var floats = network.compile(CompileOptions.defaults());
        var rounded = network.compile(CompileOptions.defaults().withPrecision(Precision.BF16))) {
      double error = error(floats.run(x), rounded.run(x));
      assertTrue(error > 0 && error <= 0.02, () -> "error " + error);
    }
  }

  @Test
  void tapsAreDecoded() {
    var network =
        SessionTest.network(ResNetSpec.builder(Block.BASIC, 1, 1).channels(32).build(), 1);
    Tensor x = TorchRandom.manualSeed(2).randn(2, 3, 50, 40);
    var calibrated = network.withQuantization(calibrate(network, x, Calibration.Method.MIN_MAX));
    var options = CompileOptions.defaults().withTaps("maxpool", "layer1");
    try (var floats = calibrated.compile(options);
        var bytes = calibrated.compile(options.withPrecision(Precision.INT8))) {
      var expected = floats.runAll(x);
      bytes
          .runAll(x)
          .forEach((name, y) -> {
            double error = error(expected.get(name), y);
            assertTrue(error <= 0.05, () -> name + ": " + error);
          });
    }
  }

  @ParameterizedTest
  @EnumSource
  void rangesMatchObservedValues(Calibration.Method method) {
    var network = SessionTest.network(ResNetSpec.builder(Block.BASIC, 1).channels(16).build(), 3);
    Tensor x = TorchRandom.manualSeed(4).randn(2, 3, 32, 32);
    Quantization found = calibrate(network, x, method);
    assertEquals(
        List.of("input", "conv1", "layer1.0.conv1", "layer1.0.conv2"),
        List.copyOf(found.ranges().keySet()));
    float largest = 0;
    for (float value : x.data()) {
      largest = Math.max(largest, Math.abs(value));
    }
    assertEquals(largest, found.range(Quantization.INPUT).orElseThrow());
    try (var session = network.compile(CompileOptions.defaults().withTaps("layer1"))) {
      float most = 0;
      for (float value : session.runAll(x).get("layer1").data()) {
        largest = Math.max(largest, value);
      }
      float range = found.range("layer1.0.conv2").orElseThrow();
      switch (method) {
        case MIN_MAX -> assertEquals(largest, range, 1e-5 * largest);
        case PERCENTILE, ENTROPY -> assertTrue(range <= largest * 1.0001 && range > largest / 4);
      }
    }
  }

  @Test
  void int8RequiresCalibration() {
    var network = SessionTest.network(ResNetSpec.builder(Block.BASIC, 1).build(), 1);
    var options = CompileOptions.defaults().withPrecision(Precision.INT8);
    var e = assertThrows(IllegalArgumentException.class, () -> network.compile(options));
    assertTrue(String.valueOf(e.getMessage()).contains("quantize"), e.getMessage());
    var other = new LinkedHashMap<String, Float>();
    other.put("conv7", 1f);
    try (var session = network.withQuantization(new Quantization(other)).compile(options)) {
      Tensor x = Tensor.zeros(1, 3, 32, 32);
      var missing = assertThrows(IllegalArgumentException.class, () -> session.run(x));
      assertTrue(String.valueOf(missing.getMessage()).contains("lacks conv1"));
    }
  }

  @Test
  void autoMeasuresThePrecisionsWithFastKernels() {
    var network = SessionTest.network(ResNetSpec.builder(Block.BASIC, 1).build(), 1);
    Tensor x = TorchRandom.manualSeed(2).randn(1, 3, 32, 32);
    var calibrated = network.withQuantization(calibrate(network, x, Calibration.Method.MIN_MAX));
    for (ResNet each : List.of(network, calibrated)) {
      Kernels kernels = Kernels.best();
      var expected = new ArrayList<Precision>();
      if (kernels.isFasterWith(Format.BF16)) {
        expected.add(Precision.BF16);
      }
      if (each == calibrated && kernels.isFasterWith(Format.U8)) {
        expected.add(Precision.INT8);
      }
      if (!expected.isEmpty()) {
        expected.addFirst(Precision.FP32);
      }
      try (var session = each.compile(CompileOptions.defaults().withPrecision(Precision.AUTO));
          var sibling = session.sibling()) {
        PrecisionChoice choice = session.precisionChoice().orElseThrow();
        var measured = choice.candidates().stream().map(PrecisionChoice.Candidate::precision);
        assertEquals(expected, measured.toList());
        assertEquals(choice.precision(), session.precision());
        assertEquals(choice, sibling.precisionChoice().orElseThrow());
        for (var candidate : choice.candidates()) {
          // FP32 has no distance to itself; 8 bits of 24 are noticed, and 30 % would be a mistake.
          boolean exact = candidate.precision() == Precision.FP32;
          double deviation = candidate.deviation();
          assertTrue(exact ? deviation == 0 : deviation > 1e-4 && deviation < 0.3, "" + choice);
          assertTrue(candidate.seconds() > 0);
        }
      }
    }
  }

  @Test
  void autoWithPlainLoopsIsFp32() {
    var network = SessionTest.network(ResNetSpec.builder(Block.BASIC, 1).build(), 1);
    var options = CompileOptions.defaults().withPrecision(Precision.AUTO);
    try (var session = network.compile(options.withKernels(KernelChoice.SCALAR))) {
      assertEquals(Precision.FP32, session.precision());
      assertEquals(List.of(), session.precisionChoice().orElseThrow().candidates());
    }
    try (var session = network.compile(CompileOptions.defaults())) {
      assertTrue(session.precisionChoice().isEmpty());
    }
  }

  @Test
  void autoTakesTheFastestPrecisionWithinTheLimit() {
    assertEquals(Precision.BF16, choice(0.3, 0.01, 0.2, 0.051), "int8 deviates too much");
    assertEquals(Precision.INT8, choice(0.3, 0.01, 0.2, 0.05));
    assertEquals(Precision.BF16, choice(0.3, 0.01, 0.28, 0.01), "int8 is only 7 % faster");
    assertEquals(Precision.FP32, choice(0.95, 0.01, 1.2, 0.01), "bf16 is only 5 % faster");
    assertEquals(Precision.INT8, choice(0.95, 0.01, 0.9, 0.01));
    assertEquals(Precision.FP32, choice(0.3, Double.NaN, 0.2, Double.NaN), "not finite");
  }

  /** The choice if FP32 takes a second. */
  private static Precision choice(double bf16, double deviation, double int8, double deviation8) {
    var measured =
        List.of(
            new PrecisionChoice.Candidate(Precision.FP32, 1, 0),
            new PrecisionChoice.Candidate(Precision.BF16, bf16, deviation),
            new PrecisionChoice.Candidate(Precision.INT8, int8, deviation8));
    return PrecisionChoice.choose(measured).precision();
  }

  @Test
  void rangesMustBePositive() {
    for (float range : new float[] {0, -1, Float.NaN, Float.POSITIVE_INFINITY}) {
      var ranges = new LinkedHashMap<String, Float>();
      ranges.put("conv1", range);
      assertThrows(IllegalArgumentException.class, () -> new Quantization(ranges));
    }
  }
}
