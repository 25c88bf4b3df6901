package io.github.resnet4j.engine;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.sun.management.ThreadMXBean;
import io.github.resnet4j.Architecture;
import io.github.resnet4j.Attention;
import io.github.resnet4j.ResNet;
import io.github.resnet4j.ResNetSpec;
import io.github.resnet4j.ResNetSpec.Block;
import io.github.resnet4j.Stem;
import io.github.resnet4j.engine.CompileOptions.Algorithm;
import io.github.resnet4j.engine.conv.PackedWeights;
import io.github.resnet4j.engine.graph.AlgorithmChoice;
import io.github.resnet4j.engine.graph.Arithmetic;
import io.github.resnet4j.engine.inference.Plan;
import io.github.resnet4j.engine.inference.PlanCompiler;
import io.github.resnet4j.engine.inference.Workload;
import io.github.resnet4j.engine.reference.ReferenceForward;
import io.github.resnet4j.engine.step.ExecutionContext;
import io.github.resnet4j.engine.step.Workers;
import io.github.resnet4j.kernel.Kernels;
import io.github.resnet4j.kernel.Team;
import io.github.resnet4j.kernel.Winograd;
import io.github.resnet4j.nn.Layer;
import io.github.resnet4j.tensor.Tensor;
import io.github.resnet4j.tensor.TorchRandom;
import java.lang.management.ManagementFactory;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;

/** Compares compiled networks with the reference forward pass. */
@Tag("kernels")
class SessionTest {
  /** float32 sums of thousands of terms in another order; measured below 5e-6. */
  private static final double TOLERANCE = 1e-4;

  private static final CompileOptions TWO = CompileOptions.defaults().withThreads(2);

  /** A small network with every kind of layer. */
  private static ResNetSpec.Builder tiny() {
    return ResNetSpec.builder(Block.BASIC, 1, 2, 1).channels(16).numClasses(10);
  }

  /** Networks of all structures that a specification allows, most of them unusual. */
  static ResNetSpec randomSpec(Random random) {
    int stages = 1 + random.nextInt(3);
    Integer[] blocks = random.ints(stages, 1, 3).boxed().toArray(Integer[]::new);
    boolean bottleneck = random.nextBoolean();
    var builder = ResNetSpec.builder(bottleneck ? Block.BOTTLENECK : Block.BASIC, blocks);
    int channels = new int[] {8, 16, 24, 32, 64}[random.nextInt(5)];
    builder
        .channels(channels)
        .stem(
            switch (random.nextInt(4)) {
              case 0 -> Stem.IMAGENET;
              case 1 -> Stem.SMALL_IMAGE;
              case 2 -> Stem.deep(channels);
              default -> Stem.deepTiered(channels);
            })
        .inChannels(new int[] {1, 3, 4, 17}[random.nextInt(4)])
        .numClasses(1 + random.nextInt(70))
        .includeTop(random.nextInt(4) > 0);
    if (bottleneck) {
      builder.stridePlacement(ResNetSpec.StridePlacement.values()[random.nextInt(2)]);
      if (random.nextBoolean()) {
        builder
            .groups(new int[] {2, 4, 8, 32}[random.nextInt(4)])
            .widthPerGroup(new int[] {4, 8, 12, 16, 24}[random.nextInt(5)])
            .channels(64);
      }
    } else if (random.nextBoolean()) {
      builder.shortcut(ResNetSpec.Shortcut.ZERO_PAD);
    }
    if (random.nextInt(3) == 0) {
      builder.dilated(
          IntStream.range(1, stages).mapToObj(_ -> random.nextBoolean()).toArray(Boolean[]::new));
    }
    if (random.nextInt(3) == 0) {
      builder.shortcut(ResNetSpec.Shortcut.AVERAGE_POOL);
    }
    builder.attention(
        switch (random.nextInt(3)) {
          case 0 -> Attention.NONE;
          case 1 -> new Attention.SqueezeExcite(16);
          default -> new Attention.SqueezeExcite(4);
        });
    return builder.build();
  }

  static ResNet network(ResNetSpec spec, long seed) {
    var network = ResNet.initialize(spec, TorchRandom.manualSeed(seed));
    var random = new Random(seed);
    network
        .state()
        .entries()
        .forEach((name, tensor) -> {
          float[] values = tensor.data();
          for (int i = 0; i < values.length; i++) {
            if (name.endsWith("running_mean")) {
              values[i] = (float) random.nextGaussian() / 10;
            } else if (name.endsWith("running_var")) {
              values[i] = 0.5f + random.nextFloat();
            } else if (name.endsWith(".bias")) {
              values[i] = (float) random.nextGaussian() / 10;
            }
          }
        });
    return network;
  }

  private static void assertClose(Tensor expected, Tensor actual, String what) {
    assertArrayEquals(expected.shape(), actual.shape(), what);
    double largest = 1e-30;
    double difference = 0;
    for (int i = 0; i < expected.size(); i++) {
      largest = Math.max(largest, Math.abs(expected.data()[i]));
      double apart = Math.abs((double) expected.data()[i] - actual.data()[i]);
      difference = Math.max(difference, Double.isNaN(apart) ? Double.MAX_VALUE : apart);
    }
    double error = difference / largest;
    assertTrue(error <= TOLERANCE, () -> what + ": relative error " + error);
  }

  static IntStream seeds() {
    return IntStream.range(0, 40);
  }

  @ParameterizedTest
  @MethodSource("seeds")
  void randomNetworksMatchReference(int seed) {
    var random = new Random(seed);
    ResNetSpec spec = randomSpec(random);
    var network = network(spec, seed);
    int height = 33 + random.nextInt(40);
    int width = 33 + random.nextInt(40);
    int batch = 1 + random.nextInt(5);
    int threads = 1 + random.nextInt(3);
    Tensor x = TorchRandom.manualSeed(seed).randn(batch, spec.inChannels(), height, width);
    Algorithm algorithm = random.nextBoolean() ? Algorithm.AUTO : Algorithm.DIRECT;
    var options =
        CompileOptions.defaults()
            .withThreads(threads)
            .withAlgorithm(algorithm)
            .withTaps("layer1", "layer1.0", "layer1.0.relu1");
    try (var team = new Team(2);
        var session = network.compile(options)) {
      var expected = new ReferenceForward(network.layers(), network.state(), team);
      var wanted = expected.runAll(x, options.taps());
      var results = session.runAll(x);
      assertEquals(wanted.sequencedKeySet().stream().toList(), List.copyOf(results.keySet()));
      results.forEach((name, y) ->
          assertClose(
              wanted.get(name),
              y,
              "%s of %s on %dx%dx%d, %d threads, %s"
                  .formatted(name, spec, batch, height, width, threads, algorithm)));
    }
  }

  /**
   * Each form for all convolutions, also where the rule would not choose it, with tiles that extend
   * beyond the image.
   */
  @ParameterizedTest
  @EnumSource
  void winogradMatchesReferenceForEverySize(Winograd form) {
    var network =
        network(ResNetSpec.builder(Block.BASIC, 1, 1).channels(64).numClasses(5).build(), 3);
    for (int size : new int[] {33, 47, 64}) {
      for (int parts : new int[] {1, 2, 3}) {
        Tensor x = TorchRandom.manualSeed(size).randn(2, 3, size, size + 5);
        Plan plan =
            new PlanCompiler(network.layers(), 3, List.of(), Arithmetic.FLOATS, Kernels.best())
                .compile(
                    new Workload(size, size + 5, 2, parts),
                    new PackedWeights(network.state()),
                    (_, _, _) -> form);
        var context = new ExecutionContext();
        context.ensureCapacity(plan.arenaSize());
        context.input = x.data();
        Tensor y = Tensor.zeros(2, 5);
        context.outputs = new float[][] {y.data()};
        try (var workers = new Workers(parts)) {
          workers.run(part -> plan.run(context, 2, part, workers::barrier));
        }
        assertClose(network.forward(x), y, form + " " + size + " " + parts);
      }
    }
  }

  @ParameterizedTest
  @CsvSource({"32, 4, true", "32, 8, true", "16, 8, true", "64, 4, true", "8, 8, false"})
  void narrowGroupsMatchReference(int groups, int width, boolean interleaved) {
    ResNetSpec spec =
        ResNetSpec.builder(Block.BOTTLENECK, 2, 1)
            .channels(64)
            .groups(groups)
            .widthPerGroup(width)
            .numClasses(10)
            .build();
    var network = network(spec, groups + width);
    Tensor x = TorchRandom.manualSeed(width).randn(3, 3, 64, 50);
    var options = TWO.withTaps("layer1.0.relu1", "layer1.0.relu2", "layer1");
    try (var team = new Team(2);
        var session = network.compile(options)) {
      var wanted =
          new ReferenceForward(network.layers(), network.state(), team).runAll(x, options.taps());
      session
          .runAll(x)
          .forEach((name, y) ->
              assertClose(java.util.Objects.requireNonNull(wanted.get(name)), y, name));
      assertEquals(
          interleaved,
          session.plan(3, 64, 50).stream()
              .anyMatch(step -> step.algorithm().startsWith("grouped")));
    }
  }

  @Test
  void scalarKernelsAreBitIdenticalToVectors() {
    var network = network(tiny().build(), 1);
    Tensor x = TorchRandom.manualSeed(1).randn(1, 3, 40, 56);
    var results = new ArrayList<float[]>();
    for (Kernels kernels : List.of(Kernels.best(), Kernels.scalar())) {
      Plan plan =
          new PlanCompiler(network.layers(), 3, List.of("layer3"), Arithmetic.FLOATS, kernels)
              .compile(
                  new Workload(40, 56, 1, 1),
                  new PackedWeights(network.state()),
                  AlgorithmChoice.DIRECT);
      var context = new ExecutionContext();
      context.ensureCapacity(plan.arenaSize());
      context.input = x.data();
      context.outputs = new float[2][];
      for (int i = 0; i < 2; i++) {
        context.outputs[i] = new float[Tensor.sizeOf(plan.outputs().get(i))];
      }
      plan.run(context, 1, 0, () -> {});
      results.add(context.outputs[0]);
    }
    assertArrayEquals(results.getFirst(), results.getLast());
  }

  @Test
  void directIsBitIdenticalForEveryBatchSizeAndThreadCount() {
    var network = network(Architecture.named("resnet18"), 5);
    Tensor x = TorchRandom.manualSeed(6).randn(5, 3, 64, 64);
    var results = new ArrayList<float[]>();
    for (int threads = 1; threads <= 3; threads++) {
      var options = TWO.withThreads(threads).withAlgorithm(Algorithm.DIRECT);
      try (var session = network.compile(options)) {
        results.add(session.run(x).data());
        float[] oneByOne = new float[x.dim(0) * 1000];
        for (int n = 0; n < 5; n++) {
          int size = 3 * 64 * 64;
          float[] image = Arrays.copyOfRange(x.data(), n * size, (n + 1) * size);
          Tensor y = session.run(Tensor.of(image, 1, 3, 64, 64));
          System.arraycopy(y.data(), 0, oneByOne, n * 1000, 1000);
        }
        results.add(oneByOne);
      }
    }
    for (float[] result : results) {
      assertArrayEquals(results.getFirst(), result);
    }
  }

  @Test
  void runsAllocateNothing() {
    var network = network(tiny().build(), 7);
    var threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
    for (int batch : new int[] {1, 4, 5}) {
      Tensor x = TorchRandom.manualSeed(1).randn(batch, 3, 64, 64);
      try (var session = network.compile(TWO)) {
        Tensor y = session.run(x);
        // Until code is compiled, vectors are objects.
        int warm = 0;
        long allocated = 1;
        for (; warm < 400 && allocated > 0; warm++) {
          long before = threads.getTotalThreadAllocatedBytes();
          for (int i = 0; i < 50; i++) {
            session.run(x, y);
          }
          allocated = threads.getTotalThreadAllocatedBytes() - before;
        }
        assertEquals(0, allocated, "bytes after " + warm * 50 + " runs of batch " + batch);
      }
    }
  }

  @Test
  void nansInOneImageDoNotAffectOthers() {
    var network = network(tiny().inChannels(17).build(), 12);
    Tensor x = TorchRandom.manualSeed(3).randn(1, 17, 41, 41);
    for (Algorithm algorithm : List.of(Algorithm.AUTO, Algorithm.DIRECT)) {
      try (var session = network.compile(TWO.withAlgorithm(algorithm))) {
        float[] before = session.run(x).data();
        float[] spoilt = session.run(Tensor.filled(Float.NaN, 1, 17, 41, 41)).data();
        assertTrue(Float.isNaN(spoilt[0]));
        assertArrayEquals(before, session.run(x).data());
      }
    }
  }

  @Test
  void sessionsAreThreadSafe() throws Exception {
    var network = network(tiny().build(), 8);
    Tensor x = TorchRandom.manualSeed(2).randn(3, 3, 48, 48);
    try (var one = network.compile(TWO);
        var two = network.compile(TWO.withThreads(3));
        var callers = Executors.newFixedThreadPool(4)) {
      float[] expected = one.run(x).data();
      float[] other = two.run(x).data();
      var results = new ArrayList<Future<Boolean>>();
      for (int i = 0; i < 40; i++) {
        boolean first = i % 2 == 0;
        results.add(
            callers.submit(
                () -> Arrays.equals(first ? expected : other, (first ? one : two).run(x).data())));
      }
      for (var result : results) {
        assertTrue(result.get());
      }
    }
  }

  @Test
  void siblingsRunConcurrentlyAndCloseSeparately() throws Exception {
    var network = network(tiny().build(), 8);
    Tensor x = TorchRandom.manualSeed(2).randn(3, 3, 48, 48);
    var siblings = new ArrayList<Session>();
    siblings.add(network.compile(TWO.withThreads(1)));
    for (int i = 0; i < 3; i++) {
      siblings.add(siblings.getFirst().sibling());
    }
    try (var callers = Executors.newFixedThreadPool(4)) {
      var results = new ArrayList<Future<float[]>>();
      for (int i = 0; i < 40; i++) { // they also compile concurrently
        Session session = siblings.get(i % 4);
        results.add(callers.submit(() -> session.run(x).data()));
      }
      float[] expected = network.forward(x).data();
      for (var result : results) {
        assertArrayEquals(results.getFirst().get(), result.get());
        assertArrayEquals(expected, result.get(), 1e-3f); // AccuracyTest has the exact tolerance
      }
    }
    siblings.removeFirst().close();
    for (Session sibling : siblings) {
      sibling.run(x);
      sibling.close();
    }
  }

  @Test
  void closeEndsThreads() throws InterruptedException {
    var session = network(tiny().build(), 9).compile(TWO.withThreads(3));
    Tensor x = Tensor.zeros(1, 3, 32, 32);
    session.run(x);
    assertEquals(2, workers());
    session.close();
    for (int i = 0; i < 500 && workers() > 0; i++) {
      Thread.sleep(10);
    }
    assertEquals(0, workers());
    assertThrows(IllegalStateException.class, () -> session.run(x));
    session.close();
  }

  private static long workers() {
    return Thread.getAllStackTraces().keySet().stream()
        .filter(thread -> thread.getName().startsWith("resnet4j-worker"))
        .count();
  }

  @Test
  void errorsNameTheProblem() {
    var network = network(tiny().build(), 10);
    try (var session = network.compile(TWO)) {
      var wrongChannels =
          assertThrows(
              IllegalArgumentException.class, () -> session.run(Tensor.zeros(1, 4, 32, 32)));
      assertEquals(
          "the input must be [N, 3, H, W], was [1, 4, 32, 32]", wrongChannels.getMessage());
      var wrongOutput =
          assertThrows(
              IllegalArgumentException.class,
              () -> session.run(Tensor.zeros(2, 3, 32, 32), Tensor.zeros(2, 9)));
      assertTrue(wrongOutput.getMessage().contains("[2, 9]"), wrongOutput.getMessage());
      assertThrows(IllegalArgumentException.class, () -> session.run(Tensor.zeros(1, 3, 0, 32)));
    }
    try (var session = network.compile(TWO.withTaps("layer9"))) {
      var error =
          assertThrows(
              IllegalArgumentException.class, () -> session.run(Tensor.zeros(1, 3, 32, 32)));
      assertTrue(error.getMessage().contains("no layer 'layer9'"), error.getMessage());
    }
    assertThrows(IllegalArgumentException.class, () -> TWO.withThreads(0));
  }

  @Test
  void planListsEveryStep() {
    var network = network(tiny().build(), 11);
    try (var session = network.compile(TWO)) {
      List<StepTime> steps = session.measure(2, 64, 64, 50_000_000);
      var names = steps.stream().map(StepTime::name).toList();
      assertEquals(names, session.plan(2, 64, 64).stream().map(StepTime::name).toList());
      network
          .layers()
          .walk()
          .filter(layer -> layer instanceof Layer.Conv2d)
          .forEach(layer -> assertTrue(names.contains(layer.name()), layer.name()));
      assertTrue(steps.stream().allMatch(step -> step.seconds() > 0));
      assertFalse(steps.isEmpty());
    }
  }
}
