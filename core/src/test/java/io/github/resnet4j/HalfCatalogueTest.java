package io.github.resnet4j;

import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.resnet4j.engine.CompileOptions.Algorithm;
import io.github.resnet4j.engine.KernelChoice;
import io.github.resnet4j.engine.Precision;
import io.github.resnet4j.engine.TrainingSession;
import io.github.resnet4j.kernel.Format;
import io.github.resnet4j.kernel.Kernels;
import io.github.resnet4j.nn.StateDict;
import io.github.resnet4j.tensor.TorchRandom;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Trains every structure of the catalogue in bfloat16. */
class HalfCatalogueTest {
  private static final float[] TARGETS = targets();

  /** Image n has class n. */
  private static float[] targets() {
    float[] targets = new float[5 * 10];
    for (int n = 0; n < 5; n++) {
      targets[n * 10 + n] = 1;
    }
    return targets;
  }

  /**
   * Every kind of block, stem, shortcut, attention, norm and group, with one block per stage. A
   * fifth of them if the processor has no instructions for bfloat16: plain loops take minutes.
   */
  static Stream<ResNetSpec> structures() {
    List<ResNetSpec> all = all().toList();
    int step = Kernels.best().supports(Format.BF16) ? 1 : 5;
    return IntStream.range(0, all.size()).filter(i -> i % step == 0).mapToObj(all::get);
  }

  private static Stream<ResNetSpec> all() {
    return Architecture.catalogue().values().stream()
        // Wider networks of BiT and ResNeXt have the same structures.
        .filter(
            spec -> !(spec.norm() instanceof Norm.StandardizedGroupNorm) || spec.channels() == 64)
        .filter(spec -> spec.groups() * spec.widthPerGroup() <= 256 || !spec.widths().isEmpty())
        .map(spec ->
            new ResNetSpec(
                    spec.block(),
                    spec.blocks().stream().map(_ -> 1).toList(),
                    spec.channels(),
                    spec.groups(),
                    spec.widthPerGroup(),
                    spec.widths().stream()
                        .map(of ->
                            new ResNetSpec.StageWidths(of.out(), List.of(of.inner().getFirst())))
                        .toList(),
                    spec.stem(),
                    spec.stridePlacement(),
                    spec.downsampling(),
                    spec.shortcut(),
                    spec.attention(),
                    spec.norm(),
                    spec.activation(),
                    spec.dilated(),
                    spec.inChannels(),
                    spec.head())
                .toBuilder().numClasses(10).build())
        .distinct();
  }

  /**
   * A step of every structure, with stochastic depth where it is supported, two micro-batches of
   * different sizes, and rows and columns that no block of the kernels divides. Rounding is random:
   * the gradients have nearly the direction of those in fp32, and a wrong one would be
   * perpendicular.
   */
  @ParameterizedTest
  @MethodSource("structures")
  void everyStructureTrains(ResNetSpec spec) {
    ResNet network = RelativesTest.draw(spec);
    // Means of 2×2 pixels fit the shortcut's strides only where extents are even throughout.
    boolean isEven = spec.downsampling() == ResNetSpec.Downsampling.AVERAGE;
    int[] shape = isEven ? new int[] {5, 3, 63, 64} : new int[] {5, 3, 49, 67};
    float[] x = TorchRandom.manualSeed(4).randn(shape).data();
    boolean isDropped =
        spec.activation() == ResNetSpec.Activation.PRE || spec.norm().equals(Norm.BATCH);
    var options =
        new TrainingSession.Options(
            shape[0],
            shape[2],
            shape[3],
            2,
            Set.of(),
            false,
            isDropped ? 0.2 : 0,
            Algorithm.DIRECT,
            Precision.FP32,
            KernelChoice.AUTO);
    var steps = new ArrayList<StateDict>();
    for (Precision precision : List.of(Precision.FP32, Precision.BF16)) {
      try (var session =
          new TrainingSession(
              network.layers(), network.state(), 3, options.withPrecision(precision))) {
        session.dropBranches(3);
        session.accumulate(x, TARGETS, 5, 0.5f);
        session.accumulate(x, TARGETS, 3, 0.5f);
        steps.add(session.parameters().toTensors(session.parameters().gradients()));
      }
    }
    steps
        .getFirst()
        .entries()
        .forEach((name, exact) -> {
          double cosine = cosine(exact.data(), steps.getLast().get(name).data());
          assertTrue(cosine > 0.7, () -> "%s, %s: %.3f".formatted(spec, name, cosine));
        });
  }

  private static double cosine(float[] a, float[] b) {
    double products = 0;
    double first = 0;
    double second = 0;
    for (int i = 0; i < a.length; i++) {
      products += (double) a[i] * b[i];
      first += (double) a[i] * a[i];
      second += (double) b[i] * b[i];
    }
    return first == 0 && second == 0 ? 1 : products / Math.sqrt(first * second);
  }
}
