package io.github.resnet4j.engine;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.resnet4j.Architecture;
import io.github.resnet4j.Attention;
import io.github.resnet4j.ResNet;
import io.github.resnet4j.ResNetSpec;
import io.github.resnet4j.Stem;
import io.github.resnet4j.engine.conv.DirectConv;
import io.github.resnet4j.engine.conv.PackedWeights;
import io.github.resnet4j.engine.conv.WinogradBands;
import io.github.resnet4j.engine.conv.WinogradConv;
import io.github.resnet4j.engine.graph.Activation;
import io.github.resnet4j.engine.graph.AlgorithmChoice;
import io.github.resnet4j.engine.graph.Arithmetic;
import io.github.resnet4j.engine.graph.Border;
import io.github.resnet4j.engine.graph.Convolution;
import io.github.resnet4j.engine.graph.Layout;
import io.github.resnet4j.engine.inference.Plan;
import io.github.resnet4j.engine.inference.PlanCompiler;
import io.github.resnet4j.engine.inference.Tuning;
import io.github.resnet4j.engine.inference.Workload;
import io.github.resnet4j.engine.step.ExecutionContext;
import io.github.resnet4j.engine.step.InputStep;
import io.github.resnet4j.engine.step.Operands;
import io.github.resnet4j.engine.step.OutputStep;
import io.github.resnet4j.engine.step.Step;
import io.github.resnet4j.kernel.Kernels;
import io.github.resnet4j.kernel.Winograd;
import io.github.resnet4j.nn.Layer.BatchNorm2d;
import io.github.resnet4j.nn.Layer.Conv2d;
import io.github.resnet4j.nn.StateDict;
import io.github.resnet4j.tensor.Tensor;
import io.github.resnet4j.tensor.TorchRandom;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.Arrays;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.function.ToDoubleFunction;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledOnOs;
import org.junit.jupiter.api.condition.OS;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * Compares every algorithm with float64, on easy and on difficult inputs. The printed table is in
 * docs/engine.md.
 */
class AccuracyTest {
  private static final int CHANNELS = 64;
  private static final int SIZE = 14;

  /** The distribution of a convolution's inputs. */
  enum Inputs {
    NORMAL("normal", Random::nextGaussian),
    LARGE_MEAN("mean 100", random -> 100 + random.nextGaussian()),
    SCALES("1e-4 to 1e4", random -> random.nextGaussian() * Math.pow(10, random.nextInt(9) - 4)),
    DENORMALS("denormals", random -> random.nextGaussian() * 1e-40),
    ZEROS("zeros", _ -> 0);

    private final String title;
    private final ToDoubleFunction<Random> next;

    Inputs(String title, ToDoubleFunction<Random> next) {
      this.title = title;
      this.next = next;
    }
  }

  /** The largest and the mean error, relative to the largest result. */
  private record Errors(double largest, double mean) {}

  private static Errors errors(double[] exact, float[] computed) {
    double scale = 0;
    double largest = 0;
    double sum = 0;
    for (int i = 0; i < exact.length; i++) {
      scale = Math.max(scale, Math.abs(exact[i]));
      double error = Math.abs(exact[i] - computed[i]);
      largest = Math.max(largest, error);
      sum += error;
    }
    return scale == 0
        ? new Errors(largest, sum)
        : new Errors(largest / scale, sum / exact.length / scale);
  }

  /**
   * Tolerances are ten times the errors of direct convolution and F(2×2); for F(4×4) it is the
   * documented error.
   */
  @ParameterizedTest
  @EnumSource
  void algorithmErrorsAreWithinTolerance(Inputs inputs) {
    var random = new Random(1);
    float[] x = new float[CHANNELS * SIZE * SIZE];
    for (int i = 0; i < x.length; i++) {
      x[i] = (float) inputs.next.applyAsDouble(random);
    }
    float[] w = new float[CHANNELS * CHANNELS * 9];
    for (int i = 0; i < w.length; i++) {
      w[i] = (float) (random.nextGaussian() / Math.sqrt(CHANNELS * 9));
    }
    double[] exact = convolve(x, w);
    for (Winograd form : new Winograd[] {null, Winograd.F2, Winograd.F4}) {
      Errors errors = errors(exact, run(x, w, form));
      double tolerance =
          inputs == Inputs.DENORMALS
              ? 1e-2 // few bits remain: one input is large compared with the result
              : form == Winograd.F4 ? 1e-4 : 1e-5;
      System.out.printf(
          "| %s | %s | %.1e | %.1e |%n",
          inputs.title, form == null ? "direct" : form, errors.largest, errors.mean);
      if (inputs == Inputs.ZEROS) {
        assertEquals(0, errors.largest);
      }
      assertTrue(errors.largest <= tolerance, () -> form + ": " + errors);
    }
  }

  private static double[] convolve(float[] x, float[] w) {
    double[] y = new double[CHANNELS * SIZE * SIZE];
    for (int o = 0; o < CHANNELS; o++) {
      for (int row = 0; row < SIZE; row++) {
        for (int column = 0; column < SIZE; column++) {
          double sum = 0;
          for (int c = 0; c < CHANNELS; c++) {
            for (int ky = Math.max(0, 1 - row); ky < Math.min(3, SIZE + 1 - row); ky++) {
              for (int kx = Math.max(0, 1 - column); kx < Math.min(3, SIZE + 1 - column); kx++) {
                sum +=
                    (double) w[(o * CHANNELS + c) * 9 + 3 * ky + kx]
                        * x[(c * SIZE + row + ky - 1) * SIZE + column + kx - 1];
              }
            }
          }
          y[(o * SIZE + row) * SIZE + column] = sum;
        }
      }
    }
    return y;
  }

  /** One convolution in the engine, with a batch norm that changes nothing. */
  private static float[] run(float[] x, float[] w, Winograd form) {
    var layer = new Conv2d("conv", CHANNELS, CHANNELS, 3, 1, 1, 1, 1);
    var norm = new BatchNorm2d("bn", CHANNELS);
    var entries = new LinkedHashMap<String, Tensor>();
    entries.put("conv.weight", Tensor.of(w, CHANNELS, CHANNELS, 3, 3));
    entries.put("bn.weight", Tensor.filled(1, CHANNELS));
    entries.put("bn.bias", Tensor.zeros(CHANNELS));
    entries.put("bn.running_mean", Tensor.zeros(CHANNELS));
    entries.put("bn.running_var", Tensor.filled((float) (1 - BatchNorm2d.EPS), CHANNELS));
    var weights = new PackedWeights(new StateDict(entries));

    Kernels kernels = Kernels.best();
    Border border = form == null ? Border.of(1) : Border.of(form, SIZE, SIZE);
    Layout out = Layout.of(CHANNELS, SIZE, SIZE, CHANNELS);
    Layout in = out.withBorder(border);
    var conv = new Convolution(layer, norm, in, out, null, false);
    int end = in.size() + out.size();
    var operands = new Operands(new Activation(in, 0), new Activation(out, in.size()), null);
    Step step;
    if (form == null) {
      var packing = DirectConv.packing(conv, kernels);
      weights.pack(List.of(packing));
      step = new DirectConv(conv, operands, weights.get(packing), kernels);
    } else {
      var packing = WinogradConv.packing(conv, form, kernels);
      weights.pack(List.of(packing));
      var bands = WinogradBands.of(conv, form, 1, 1, kernels);
      step = new WinogradConv(conv, bands, operands, end, weights.get(packing), kernels);
      end += bands.workspace(conv);
    }
    var context = new ExecutionContext();
    context.ensureCapacity(end);
    context.input = x;
    context.outputs = new float[][] {new float[CHANNELS * SIZE * SIZE]};
    new InputStep(operands.in()).run(context, 0, 1, 0, 0, 1);
    step.run(context, 0, 1, 0, 0, 1);
    new OutputStep("output", operands.out(), 0).run(context, 0, 1, 0, 0, 1);
    return context.outputs[0];
  }

  /**
   * Without those that only have more groups or blocks, whose weights are large, and without the
   * one whose sums overflow with untrained statistics after 333 blocks.
   */
  static List<String> networks() {
    return Architecture.catalogue().entrySet().stream()
        .filter(entry -> entry.getValue().parameterCount() < 30_000_000)
        .filter(entry -> !entry.getKey().equals("resnetv2_1001"))
        .map(Map.Entry::getKey)
        .toList();
  }

  /** After fifty layers of F(4×4) the top five classes are still the same. */
  @ParameterizedTest
  @MethodSource("networks")
  void errorsOfWholeNetworksAreWithinTolerance(String name) {
    var spec = Architecture.named(name);
    var network = ResNet.initialize(spec, TorchRandom.manualSeed(1));
    if (!spec.attention().equals(Attention.NONE)) {
      calm(network);
    }
    int size = spec.stem() instanceof Stem.SmallImage ? 32 : 64;
    Tensor x = TorchRandom.manualSeed(2).randn(1, 3, size, size);
    float[] direct = run(network, x, AlgorithmChoice.DIRECT);
    float[] winograd = run(network, x, (_, _, _) -> Winograd.F4);
    double scale = 0;
    double difference = 0;
    for (int i = 0; i < direct.length; i++) {
      scale = Math.max(scale, Math.abs(direct[i]));
      difference = Math.max(difference, Math.abs(direct[i] - (double) winograd[i]));
    }
    double error = difference / scale;
    System.out.printf("%-20s F4 against direct: %.1e%n", name, error);
    assertTrue(error <= 1e-4, () -> name + ": " + error); // the documented error
    assertEquals(topFive(direct), topFive(winograd));
  }

  /**
   * Makes branches weaker than initially, as training does. A hundred branches at full strength
   * give gates of 0 and 1, so that any rounding changes the network.
   */
  private static void calm(ResNet network) {
    network
        .state()
        .entries()
        .forEach((name, tensor) -> {
          if (name.matches(
              network.spec().block() == ResNetSpec.Block.BASIC
                  ? ".*\\.bn2\\.weight"
                  : ".*\\.bn3\\.weight")) {
            Arrays.fill(tensor.data(), 0.2f);
          }
        });
  }

  private static float[] run(ResNet network, Tensor x, AlgorithmChoice choice) {
    Plan plan =
        new PlanCompiler(network.layers(), 3, List.of(), Arithmetic.FLOATS, Kernels.best())
            .compile(
                new Workload(x.dim(2), x.dim(3), 1, 1), new PackedWeights(network.state()), choice);
    var context = new ExecutionContext();
    context.ensureCapacity(plan.arenaSize());
    context.input = x.data();
    context.outputs = new float[][] {new float[plan.outputs().getFirst()[0]]};
    plan.run(context, 1, 0, () -> {});
    return context.outputs[0];
  }

  private static List<Integer> topFive(float[] logits) {
    return IntStream.range(0, logits.length)
        .boxed()
        .sorted(Comparator.comparing(i -> -logits[i]))
        .limit(5)
        .toList();
  }

  @Test
  void damagedTuningFileIsIgnored(@TempDir Path folder) throws IOException {
    var file = folder.resolve("tuning.txt");
    Layout in = Layout.of(64, 56, 56, 64);
    Layout out = Layout.of(64, 56, 56, 64);
    var conv =
        new Convolution(
            new Conv2d("c", 64, 64, 3, 1, 1, 1, 1), new BatchNorm2d("b", 64), in, out, null, true);

    var tuning = Tuning.load(file, 1_000_000); // does not exist yet
    assertEquals(Winograd.F4, tuning.winograd(conv, 1, 1)); // by rule
    tuning.put(conv, 1, 1, null);
    tuning.put(conv, 2, 1, Winograd.F2);
    tuning.save();
    var read = Tuning.load(file, 1_000_000);
    assertEquals(null, read.winograd(conv, 1, 1));
    assertEquals(Winograd.F2, read.winograd(conv, 2, 1));
    assertTrue(read.knows(conv, 2, 1));

    Files.write(file, new byte[] {(byte) 0xff, 0, '=', ' ', '\n'});
    assertEquals(Winograd.F4, Tuning.load(file, 1_000_000).winograd(conv, 1, 1));
    Files.writeString(
        file, "64x56x56 to 64x56x56 of a network of 1 MB, 1 images, 1 threads = F99\nnonsense\n");
    assertEquals(Winograd.F4, Tuning.load(file, 1_000_000).winograd(conv, 1, 1));

    tuning.save();
    assertTrue(Tuning.load(file, 1_000_000).knows(conv, 1, 1));
    Files.writeString(file, "#".repeat(1 << 21), StandardOpenOption.APPEND);
    assertFalse(Tuning.load(file, 1_000_000).knows(conv, 1, 1));
    tuning.save();
    assertTrue(Tuning.load(file, 1_000_000).knows(conv, 1, 1));
    try (var files = Files.list(folder)) {
      assertEquals(List.of(file), files.toList());
    }
  }

  /** A user who can write the file controls which kernels run. */
  @Test
  @EnabledOnOs({OS.LINUX, OS.MAC})
  void tuningFileWritableByOthersIsIgnored(@TempDir Path folder) throws IOException {
    var file = folder.resolve("tuning.txt");
    Layout shape = Layout.of(64, 56, 56, 64);
    var conv =
        new Convolution(
            new Conv2d("c", 64, 64, 3, 1, 1, 1, 1),
            new BatchNorm2d("b", 64),
            shape,
            shape,
            null,
            true);
    var tuning = Tuning.load(file, 1_000_000);
    tuning.put(conv, 1, 1, null);
    tuning.save();
    assertTrue(Tuning.load(file, 1_000_000).knows(conv, 1, 1));

    Files.setPosixFilePermissions(file, PosixFilePermissions.fromString("rw-rw-rw-"));
    assertFalse(Tuning.load(file, 1_000_000).knows(conv, 1, 1));
    Files.setPosixFilePermissions(file, PosixFilePermissions.fromString("rw-------"));
    Path link = Files.createSymbolicLink(folder.resolve("link.txt"), file);
    assertFalse(Tuning.load(link, 1_000_000).knows(conv, 1, 1));

    Files.setPosixFilePermissions(folder, PosixFilePermissions.fromString("rwxrwxrwx"));
    assertFalse(Tuning.load(file, 1_000_000).knows(conv, 1, 1));
    Files.delete(file);
    tuning.save();
    assertFalse(Files.exists(file));
  }
}
