package io.github.resnet4j;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.resnet4j.engine.CompileOptions.Algorithm;
import io.github.resnet4j.engine.KernelChoice;
import io.github.resnet4j.engine.Precision;
import io.github.resnet4j.engine.TrainingSession;
import io.github.resnet4j.nn.StateDict;
import io.github.resnet4j.tensor.Tensor;
import io.github.resnet4j.tensor.TorchRandom;
import io.github.resnet4j.train.Optimizer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.junit.jupiter.api.Test;

/** Training in bfloat16, compared with PyTorch's float64 and with its autocast to bfloat16. */
class HalfTrainingTest {
  private static final Map<String, Tensor> EXPECTED = Golden.tensors("half-steps.safetensors");

  private static TrainingSession session(
      ResNet network, int[] shape, int threads, Precision precision, KernelChoice kernels) {
    var options =
        new TrainingSession.Options(
            shape[0],
            shape[2],
            shape[3],
            threads,
            Set.of(),
            false,
            0,
            Algorithm.AUTO,
            precision,
            kernels);
    return new TrainingSession(network.layers(), network.state(), shape[1], options);
  }

  private static float[] targets(int images) {
    float[] targets = new float[images * 10];
    for (int n = 0; n < images; n++) {
      targets[n * 10 + n % 10] = 1;
    }
    return targets;
  }

  /** The same as {@code few} in golden.py. */
  private static List<Float> few(float[] values) {
    var few = new ArrayList<Float>();
    for (int i = 0; i < values.length; i += Math.ceilDiv(values.length, 16)) {
      few.add(values[i]);
    }
    return few;
  }

  /** The distance of the weights' changes from those in float64, relative to their norm. */
  private static double distance(StateDict before, StateDict after, float[] expected) {
    double squares = 0;
    double differences = 0;
    int k = 0;
    for (Map.Entry<String, Tensor> entry : after.entries().entrySet()) {
      List<Float> from = few(before.get(entry.getKey()).data());
      List<Float> to = few(entry.getValue().data());
      for (int i = 0; i < to.size(); i++, k++) {
        double change = (double) to.get(i) - from.get(i);
        squares += (double) expected[k] * expected[k];
        differences += Math.pow(expected[k] - change, 2);
      }
    }
    assertEquals(expected.length, k);
    return Math.sqrt(differences / squares);
  }

  private static void tenSteps(TrainingSession session, float[] x, int images) {
    var optimizer =
        new Optimizer(
            session,
            new Optimizer.Method.Sgd(0.9f, false),
            1e-4f,
            _ -> true,
            _ -> false,
            _ -> 1,
            0);
    for (int step = 0; step < 10; step++) {
      session.clearGradients();
      session.accumulate(x, targets(images), images, 1);
      optimizer.step(0.005f);
    }
  }

  private static double rootMeanSquare(double[] values) {
    return Math.sqrt(Arrays.stream(values).map(v -> v * v).average().orElseThrow());
  }

  private static int[] shape(Map<String, Object> golden) {
    return Golden.list(golden.get("input")).stream().mapToInt(extent -> (Integer) extent).toArray();
  }

  private static ResNet network(Map<String, Object> golden) {
    var spec = (Map<?, ?>) golden.get("spec");
    return spec.get("model") instanceof String model
        ? RelativesTest.draw(RelativesTest.shallow(model, spec))
        : ResNet.initialize(LogitsTest.spec(spec), TorchRandom.manualSeed(0));
  }

  /**
   * Both distances are of random roundings: that of one input varies by a quarter with the order of
   * sums alone. So the mean of a network over five inputs has a standard error of a tenth, and the
   * mean over eight networks one of a twentieth: the limits are one and two of them above equality.
   */
  @Test
  void tenStepsAreAsCloseToFloat64AsPytorchs() {
    double sum = 0;
    var golden = Golden.json("half-steps.json");
    for (var each : golden.entrySet()) {
      double ratio = ratio(each);
      assertTrue(ratio <= 1.2, each.getKey() + ": " + ratio);
      sum += ratio;
    }
    double all = sum / golden.size();
    System.out.printf("mean of the networks %.3f%n", all);
    assertTrue(all <= 1.05, () -> "mean " + all);
  }

  /** The distance from float64 divided by that of PyTorch's autocast. */
  private static double ratio(Map.Entry<String, Map<String, Object>> golden) {
    String name = golden.getKey();
    int[] shape = shape(golden.getValue());
    ResNet network = network(golden.getValue());
    double[] theirs =
        Golden.list(golden.getValue().get("distances")).stream()
            .mapToDouble(each -> ((Number) each).doubleValue())
            .toArray();
    double[] ours = new double[theirs.length];
    for (int i = 0; i < ours.length; i++) {
      int seed = 2 + i; // as HALF_INPUTS in golden.py
      float[] x = TorchRandom.manualSeed(seed).randn(shape).data();
      try (var session = session(network, shape, 2, Precision.BF16, KernelChoice.AUTO)) {
        tenSteps(session, x, shape[0]);
        StateDict end = session.parameters().toTensors(session.parameters().weights());
        float[] expected = EXPECTED.get(name + "/" + seed).data();
        ours[i] = distance(network.state(), end, expected);
      }
    }
    System.out.printf(
        "%-16s %.4f, PyTorch's autocast %.4f%n",
        name, rootMeanSquare(ours), rootMeanSquare(theirs));
    return rootMeanSquare(ours) / rootMeanSquare(theirs);
  }
}
