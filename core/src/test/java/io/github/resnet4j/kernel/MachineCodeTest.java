package io.github.resnet4j.kernel;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.github.resnet4j.Attention;
import io.github.resnet4j.ResNet;
import io.github.resnet4j.ResNetSpec;
import io.github.resnet4j.engine.Calibration;
import io.github.resnet4j.engine.CompileOptions;
import io.github.resnet4j.engine.KernelChoice;
import io.github.resnet4j.engine.ParameterArrays;
import io.github.resnet4j.engine.Precision;
import io.github.resnet4j.engine.TrainingSession;
import io.github.resnet4j.nn.StateDict;
import io.github.resnet4j.tensor.Tensor;
import io.github.resnet4j.tensor.TorchRandom;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.Set;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Tests machine code in separate JVMs, since an error ends the JVM. */
class MachineCodeTest {
  @BeforeEach
  void machineCodeWorksHere() {
    assumeTrue(MachineSupport.here().obstacle().isEmpty(), "no machine code here");
  }

  private static String run(Class<?> main, List<String> flags, String... arguments)
      throws IOException, InterruptedException {
    var command = new ArrayList<String>();
    command.add(Path.of(System.getProperty("java.home"), "bin", "java").toString());
    command.addAll(flags);
    command.add("--enable-native-access=ALL-UNNAMED");
    command.addAll(List.of("-cp", System.getProperty("java.class.path"), main.getName()));
    command.addAll(List.of(arguments));
    var process = new ProcessBuilder(command).redirectErrorStream(true).start();
    String output = new String(process.getInputStream().readAllBytes());
    assertEquals(0, process.waitFor(), output);
    return output.strip();
  }

  @ParameterizedTest
  @ValueSource(strings = {"-XX:+UseG1GC", "-XX:+UseParallelGC", "-XX:+UseSerialGC", "-XX:+UseZGC"})
  void kernelsWorkWithEveryGarbageCollector(String collector) throws Exception {
    assertEquals("same", run(Collections.class, List.of(collector, "-Xmx512m")));
  }

  /** Runs networks while other threads allocate memory and request collections. */
  static final class Collections {
    private static volatile Object sink = "";

    public static void main(String[] arguments) throws InterruptedException {
      var spec = ResNetSpec.builder(ResNetSpec.Block.BASIC, 1, 1, 1).channels(32).build();
      var network = ResNet.initialize(spec, TorchRandom.manualSeed(0));
      Tensor x = TorchRandom.manualSeed(1).randn(3, 3, 96, 96);
      var garbage =
          Thread.ofPlatform()
              .daemon()
              .start(() -> {
                for (int i = 0; ; i++) {
                  sink = new byte[i % 100_000];
                  if (i % 1000 == 0) {
                    System.gc();
                  }
                }
              });
      try (var session =
          network.compile(
              CompileOptions.defaults()
                  .withThreads(2)
                  .withAlgorithm(CompileOptions.Algorithm.AUTO))) {
        float[] expected = session.run(x).data();
        long end = System.nanoTime() + 2_000_000_000L;
        boolean same = garbage.isAlive();
        while (System.nanoTime() < end) {
          same &= Arrays.equals(expected, session.run(x).data());
        }
        System.out.println(same ? "same" : "different");
      }
    }
  }

  @ParameterizedTest
  @CsvSource({"machine, 1", "machine256, 1", "machine, 4"})
  void kernelsAccessOnlyTheirOperands(String kernels, String threads) throws Exception {
    assertEquals(
        "same",
        run(
            Guarded.class,
            List.of("-Dresnet4j.guard=true", "-Dresnet4j.kernels=" + kernels),
            threads));
  }

  /** Runs networks on operands next to inaccessible pages, in all precisions. */
  static final class Guarded {
    public static void main(String[] arguments) {
      int threads = Integer.parseInt(arguments[0]);
      for (var spec :
          List.of(
              ResNetSpec.builder(ResNetSpec.Block.BASIC, 1, 1).channels(32).numClasses(10).build(),
              ResNetSpec.builder(ResNetSpec.Block.BOTTLENECK, 1, 1)
                  .channels(32)
                  .numClasses(10)
                  .groups(32)
                  .widthPerGroup(4)
                  .attention(new Attention.SqueezeExcite(16))
                  .downsampling(ResNetSpec.Downsampling.BLUR)
                  .build())) {
        var network = ResNet.initialize(spec, TorchRandom.manualSeed(0));
        Tensor x = TorchRandom.manualSeed(1).randn(1, 3, 25, 22);
        var options = CompileOptions.defaults().withThreads(threads);
        try (var calibration = new Calibration(network.compile(options))) {
          calibration.observe(x);
          network = network.withQuantization(calibration.quantization(Calibration.Method.MIN_MAX));
        }
        if (!trainingStepMatches(spec, threads)) {
          System.out.println("training of %s differs".formatted(spec));
          return;
        }
        for (Precision precision : Precision.values()) {
          try (var session = network.compile(options.withPrecision(precision));
              var scalar =
                  network.compile(
                      options.withPrecision(precision).withKernels(KernelChoice.SCALAR))) {
            float[] expected = scalar.run(x).data();
            float[] actual = session.run(x).data();
            float largest = 0;
            for (float value : expected) {
              largest = Math.max(largest, Math.abs(value));
            }
            for (int i = 0; i < actual.length; i++) {
              // Bytes and bfloat16 may round differently if sums of floats differ in the last bit.
              float tolerance = precision == Precision.FP32 ? 1e-4f : 0.05f;
              if (!(Math.abs(expected[i] - actual[i]) <= tolerance * largest)) {
                System.out.println("%s of %s differs".formatted(precision, spec));
                return;
              }
            }
          }
        }
      }
      System.out.println("same");
    }
  }

  /** One step with machine code and one with plain loops. */
  private static boolean trainingStepMatches(ResNetSpec spec, int threads) {
    var network = ResNet.initialize(spec, TorchRandom.manualSeed(0));
    float[] x = TorchRandom.manualSeed(1).randn(2, 3, 25, 22).data();
    float[] targets = new float[2 * spec.numClasses()];
    targets[0] = 1;
    targets[spec.numClasses() + 1] = 1;
    var gradients = new ArrayList<float[]>();
    for (KernelChoice kernels : List.of(KernelChoice.SCALAR, KernelChoice.AUTO)) {
      var options =
          new TrainingSession.Options(
              2,
              25,
              22,
              threads,
              Set.of(),
              false,
              0,
              CompileOptions.Algorithm.DIRECT,
              Precision.FP32,
              kernels);
      try (var session = new TrainingSession(network.layers(), network.state(), 3, options)) {
        session.accumulate(x, targets, 2, 1);
        ParameterArrays parameters = session.parameters();
        StateDict named = parameters.toTensors(parameters.gradients());
        gradients.add(named.get("conv1.weight").data());
      }
    }
    double squares = 0;
    double differences = 0;
    for (int i = 0; i < gradients.getFirst().length; i++) {
      squares += Math.pow(gradients.getFirst()[i], 2);
      differences += Math.pow(gradients.getFirst()[i] - gradients.getLast()[i], 2);
    }
    return Math.sqrt(differences / squares) < 1e-4; // sums in another order where tiles differ
  }

  @Test
  void jpegKernelsAccessOnlyTheirOperands() throws Exception {
    assumeTrue(MachineSupport.here().isX86(), "no machine code for JPEG here");
    assertEquals("same", run(GuardedJpeg.class, List.of("-Dresnet4j.guard=true")));
  }

  /** Runs the kernels of a JPEG decoder on rows of all widths, next to inaccessible pages. */
  static final class GuardedJpeg {
    public static void main(String[] arguments) {
      for (int width = 1; width < 200; width++) {
        if (!Arrays.equals(
            jpeg(new MachineJpeg(), width, new Random(width)),
            jpeg(new ScalarJpeg(), width, new Random(width)))) {
          System.out.println("different at width " + width);
          return;
        }
      }
      System.out.println("same");
    }
  }

  private static byte[] jpeg(JpegKernels kernels, int width, Random random) {
    int blocks = Math.ceilDiv(width, 8);
    short[] coefficients = new short[64 * blocks];
    long[] nonZero = new long[blocks];
    Arrays.fill(nonZero, -1);
    short[] steps = new short[64];
    for (int i = 0; i < 64; i++) {
      steps[i] = (short) random.nextInt(1, 30);
    }
    for (int i = 0; i < coefficients.length; i++) {
      coefficients[i] = (short) random.nextInt(-20, 20);
    }
    byte[] samples = new byte[8 * 8 * blocks];
    kernels.idct(coefficients, nonZero, 0, blocks, steps, samples, 0, 8 * blocks);
    byte[] wide = new byte[2 * width];
    kernels.upsample(samples, 0, 8 * blocks, width, wide);
    byte[] rgb = new byte[6 * width];
    kernels.rgb(wide, width, wide, 0, samples, 8 * blocks, width, rgb, 0);
    kernels.upsample(samples, 56 * blocks - width, width, wide);
    kernels.interleave(wide, 0, wide, width, samples, 64 * blocks - width, width, rgb, 3 * width);
    return rgb;
  }

  @Test
  void guardStopsOutOfBoundsAccess() throws Exception {
    assumeTrue(MachineSupport.here().isX86(), "the code is for x86-64");
    stops(Beside.class, "SIGSEGV", "EXCEPTION_ACCESS_VIOLATION");
  }

  /** Checks that the JVM is stopped in guard mode. */
  private static void stops(Class<?> main, String signal, String exception, String... arguments)
      throws IOException, InterruptedException {
    var command = new ArrayList<String>();
    command.add(Path.of(System.getProperty("java.home"), "bin", "java").toString());
    command.add("-Dresnet4j.guard=true");
    command.add("-XX:-CreateCoredumpOnCrash");
    command.add("-XX:ErrorFile=" + (MachineCode.WINDOWS ? "nul" : "/dev/null"));
    command.add("--enable-native-access=ALL-UNNAMED");
    command.addAll(List.of("-cp", System.getProperty("java.class.path"), main.getName()));
    command.addAll(List.of(arguments));
    var process = new ProcessBuilder(command).redirectErrorStream(true).start();
    String output = new String(process.getInputStream().readAllBytes());
    assertTrue(
        process.waitFor() != 0 && output.contains(MachineCode.WINDOWS ? exception : signal),
        output);
  }

  /** Reads one float beyond the operand, without checks. */
  static final class Beside {
    public static void main(String[] arguments) throws Throwable {
      var code = new VectorAssembler(Vec.Width.YMM);
      MachineCode.Frame frame = MachineCode.Frame.enter(code);
      code.add(Assembler.Reg.RDI, 4 * 100);
      code.vbroadcastss(Vec.ymm(0), Assembler.mem(Assembler.Reg.RDI));
      frame.leave();
      MachineCode.caller(1, 0)
          .invokeExact(MachineCode.install(code.code()), Floats.of(new float[100]).enter());
    }
  }

  @Test
  void guardStopsKernelsThatChangeTheirCallersRegisters() throws Exception {
    stops(SavedRegister.class, "SIGILL", "EXCEPTION_ILLEGAL_INSTRUCTION", "general");
    if (MachineSupport.here().isX86()) {
      assertEquals("same", run(SavedRegister.class, List.of(), "none"));
      stops(SavedRegister.class, "SIGILL", "EXCEPTION_ILLEGAL_INSTRUCTION", "vector");
    }
  }

  /**
   * Calls a kernel that changes a register of its caller, or none. On x86-64 the calling convention
   * of Windows is checked on every system, since it preserves all that the others do, and more.
   */
  static final class SavedRegister {
    public static void main(String[] arguments) throws Throwable {
      byte[] checked;
      if (MachineSupport.here().isX86()) {
        var code = new VectorAssembler(Vec.Width.YMM);
        switch (arguments[0]) {
          case "general" -> code.mov(Assembler.Reg.RSI, 0);
          case "vector" -> code.vpxor(Vec.xmm(15), Vec.xmm(15), Vec.xmm(15));
          default -> changeAllWithinFrame(code);
        }
        code.ret();
        checked = SavedRegisters.x86(code.code(), true);
      } else {
        var code = new Arm64VectorAssembler();
        code.moviZero(Vec.xmm(15));
        code.ret();
        checked = SavedRegisters.arm64(code.code());
      }
      MachineCode.caller(1, 0)
          .invokeExact(MachineCode.installCoherent(checked), MemorySegment.ofArray(new float[1]));
      System.out.println("same");
    }

    private static void changeAllWithinFrame(VectorAssembler code) {
      MachineCode.Frame frame = MachineCode.Frame.enter(code, true, true);
      for (Assembler.Reg register : Assembler.Reg.values()) {
        if (register != Assembler.Reg.RSP) {
          code.mov(register, 0);
        }
      }
      for (int i = 0; i < 16; i++) {
        code.vpxor(Vec.ymm(i), Vec.ymm(i), Vec.ymm(i));
      }
      frame.leave();
    }
  }

  @ParameterizedTest
  @CsvSource({"YMM, 1", "YMM, 2", "ZMM, 3", "ZMM, 4"})
  void outOfBoundsCallsAreRejected(Vec.Width width, long seed) throws Exception {
    assumeTrue(width == Vec.Width.YMM || MachineSupport.here().hasAvx512(), "no AVX-512 here");
    assertEquals(
        "agree",
        run(Launches.class, List.of(), width.name(), Long.toString(seed)).replaceAll(" .*", ""));
  }

  /**
   * Random calls, many of them slightly out of bounds: each is rejected, or has the results of the
   * scalar kernels, whose accesses Java checks.
   */
  static final class Launches {
    public static void main(String[] arguments) {
      MachineSupport support = MachineSupport.here();
      Kernels kernels =
          support.isX86() ? support.kernels(Vec.Width.valueOf(arguments[0])) : support.kernels();
      var random = new Random(Long.parseLong(arguments[1]));
      int done = 0;
      int refused = 0;
      for (int i = 0; i < 4000; i++) {
        long seed = random.nextLong();
        float[] expected = values(random.nextInt(6000));
        float[] actual = expected.clone();
        Floats weights = Floats.of(values(random.nextInt(9000)));
        try {
          launch(kernels, kernels.lanes(), new Random(seed), Floats.of(actual), weights);
        } catch (IndexOutOfBoundsException | IllegalArgumentException e) {
          refused++;
          continue;
        }
        launch(
            new ScalarKernels(), kernels.lanes(), new Random(seed), Floats.of(expected), weights);
        for (int j = 0; j < expected.length; j++) {
          float difference = Math.abs(expected[j] - actual[j]);
          boolean same = Float.floatToRawIntBits(expected[j]) == Float.floatToRawIntBits(actual[j]);
          if (!same && !(difference <= 1e-3f * Math.max(1, Math.abs(expected[j])))) {
            System.out.println("launch " + i + " differs at " + j);
            return;
          }
        }
        done++;
      }
      System.out.println(
          done > 100 && refused > 100
              ? "agree (%d done, %d refused)".formatted(done, refused)
              : "too few: %d done, %d refused".formatted(done, refused));
    }

    private static float[] values(int size) {
      float[] values = new float[size];
      for (int i = 0; i < size; i++) {
        values[i] = (i * 31 % 255) / 127f - 1;
      }
      return values;
    }

    private static void launch(
        Kernels kernels, int lanes, Random random, Floats arena, Floats weights) {
      switch (random.nextInt(9)) {
        case 0 -> tile(kernels, lanes, random, arena, weights);
        case 1 -> {
          Format format = random.nextBoolean() ? Format.FP32 : Format.U8;
          var in = new Plane(format, 1, 1 + random.nextInt(9), 16, random.nextInt(500));
          var windows = new PoolKernels.Windows(1 + random.nextInt(3), 1 + random.nextInt(2));
          kernels.pool().max(windows, in, in).run(arena, at(random), 3000 + at(random));
        }
        case 2 ->
            kernels.norm().moments(plane(random)).run(arena, at(random), at(random), far(random));
        case 3 -> {
          Plane x = plane(random);
          Plane residual = random.nextBoolean() ? null : like(x, random, 0);
          kernels
              .norm()
              .normalize(x, residual, like(x, random, 0))
              .run(arena, at(random), at(random), at(random), 3000 + at(random));
        }
        case 4 -> {
          Plane x = plane(random);
          NormKernels.Mask mask = NormKernels.Mask.values()[random.nextInt(3)];
          kernels
              .norm()
              .gradientMoments(mask, like(x, random, 16 * 5), x, like(x, random, 0))
              .run(arena, 3000 + at(random), at(random), at(random), at(random), far(random));
        }
        case 5 -> {
          Plane x = plane(random);
          kernels
              .norm()
              .gradient(random.nextBoolean(), like(x, random, 0), x, like(x, random, 16 * 5))
              .run(arena, at(random), at(random), at(random), 3000 + at(random));
        }
        case 6 -> {
          Plane x = bytes(plane(random));
          kernels
              .norm()
              .normalize(x, bytes(like(x, random, 0)), like(x, random, 0))
              .run(arena, at(random), at(random), at(random), 3000 + at(random));
        }
        case 7 -> {
          Plane in = random.nextBoolean() ? plane(random) : bytes(plane(random));
          Axis rows = Axis.of(3, (row, tap) -> (row + tap) % in.rows(), 0.5f, 0.5f);
          Axis columns = Axis.of(in.columns(), (column, _) -> column, 1);
          boolean adds = random.nextBoolean();
          int row = random.nextInt(9) == 0 ? -1 : random.nextInt(4);
          kernels
              .pool()
              .weighted(rows, columns, in, in, adds)
              .run(arena, at(random), row, 3000 + at(random));
        }
        default -> kernels.pool().average(plane(random)).run(arena, at(random), 3000 + at(random));
      }
    }

    /** The same pixels as bytes. */
    private static Plane bytes(Plane plane) {
      return new Plane(Format.U8, plane.rows(), plane.columns(), 4, plane.rowStride());
    }

    private static void tile(
        Kernels kernels, int lanes, Random random, Floats arena, Floats weights) {
      int vectors = 1 + random.nextInt(2);
      boolean bytes = random.nextInt(3) == 0;
      boolean relu = random.nextBoolean();
      int pixels = 1 + random.nextInt(6);
      var in =
          bytes
              ? new ConvTile.Input(
                  Format.U8,
                  random.nextBoolean() ? Format.S8 : Format.S16,
                  random.nextInt(70),
                  1 + random.nextInt(20))
              : new ConvTile.Input(Format.FP32, random.nextInt(70), 1 + random.nextInt(20));
      var out =
          new ConvTile.Output(
              !bytes ? Format.FP32 : relu ? Format.U8 : Format.S8,
              vectors * 16,
              bytes && random.nextBoolean() ? Format.S8 : null,
              relu);
      var shape =
          !bytes && random.nextInt(4) == 0
              ? ConvTile.Shape.ofGroups(pixels, vectors * lanes, in, out, lanes)
              : new ConvTile.Shape(pixels, vectors * lanes, in, out);
      var tiles =
          new ConvTile.Tiles(
              Ints.of(at(random), at(random)),
              // separate, since the scalar kernels accumulate in the output itself
              Ints.of(3000 + at(random), 4500 + at(random)),
              Ints.of(at(random), at(random)));
      kernels
          .conv()
          .tile(shape, tiles, Ints.of(at(random), at(random)))
          .run(
              arena,
              random.nextInt(3) - (random.nextInt(9) == 0 ? 1 : 0),
              random.nextInt(3),
              at(random),
              at(random),
              at(random),
              weights,
              at(random),
              new ConvTile.Reduction(0, random.nextInt(4), at(random)));
    }

    private static Plane plane(Random random) {
      int row = random.nextInt(500);
      return Plane.ofFloats(1 + random.nextInt(4), 1 + random.nextInt(5), 16, row);
    }

    /** The same size, but another row stride. */
    private static Plane like(Plane plane, Random random, int leastRow) {
      int row = leastRow + random.nextInt(400);
      return Plane.ofFloats(plane.rows(), plane.columns(), plane.channels(), row);
    }

    /** An index after everything that the call reads. */
    private static int far(Random random) {
      return 5300 + random.nextInt(800);
    }

    private static int at(Random random) {
      return switch (random.nextInt(12)) {
        case 0 -> -1 - random.nextInt(20);
        case 1 -> random.nextInt();
        default -> random.nextInt(600);
      };
    }
  }
}
