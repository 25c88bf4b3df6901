package io.github.resnet4j.nn;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import io.github.resnet4j.Architecture;
import io.github.resnet4j.Golden;
import io.github.resnet4j.ResNet;
import io.github.resnet4j.engine.TrainingSession;
import io.github.resnet4j.tensor.TorchRandom;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Compares losses and gradients with PyTorch's, in float64. */
class LossTest {
  /** Both sides compute in float64; the logarithms of small probabilities lose three digits. */
  private static final double TOLERANCE = 1e-12;

  private static final Map<String, Map<String, Object>> GOLDEN = Golden.json("losses.json");

  private static List<Float> weights() {
    return Golden.list(GOLDEN.get("data").get("weights")).stream()
        .map(value -> (float) Golden.number(value))
        .toList();
  }

  static Stream<Map.Entry<String, Loss>> losses() {
    return Stream.of(
        Map.entry("cross_entropy", new Loss.CrossEntropy(List.of())),
        Map.entry("cross_entropy probabilities", new Loss.CrossEntropy(List.of())),
        Map.entry("cross_entropy weights", new Loss.CrossEntropy(weights())),
        Map.entry("binary_cross_entropy", new Loss.BinaryCrossEntropy(List.of())),
        Map.entry("binary_cross_entropy smooth", new Loss.BinaryCrossEntropy(List.of())),
        Map.entry("binary_cross_entropy weights", new Loss.BinaryCrossEntropy(weights())),
        Map.entry("focal", new Loss.Focal(0.25, 2)),
        Map.entry("focal without alpha", new Loss.Focal(-1, 1.5)),
        Map.entry("focal smooth", new Loss.Focal(0.25, 2)),
        Map.entry("distillation", new Loss.Distillation(new Loss.CrossEntropy(List.of()), 4, 0.3)),
        Map.entry("mse", new Loss.MeanSquaredError()),
        Map.entry("smooth_l1", new Loss.SmoothL1(1)),
        Map.entry("smooth_l1 beta", new Loss.SmoothL1(0.25)));
  }

  @ParameterizedTest
  @MethodSource("losses")
  void lossAndGradientEqualPytorch(Map.Entry<String, Loss> named) {
    float[][] outputs = rows(GOLDEN.get("data").get("outputs"));
    Map<String, Object> expected = GOLDEN.get(named.getKey());
    float[][] targets = rows(expected.get("targets"));
    List<?> gradients = Golden.list(expected.get("gradient"));
    double sum = 0;
    for (int n = 0; n < outputs.length; n++) {
      double[] gradient = new double[outputs[n].length];
      sum += named.getValue().apply(outputs[n], targets[n], gradient);
      for (int k = 0; k < gradient.length; k++) {
        double value = Golden.number(Golden.list(gradients.get(n)).get(k));
        assertEquals(value, gradient[k] / outputs.length, TOLERANCE, n + ", " + k);
      }
    }
    assertEquals(Golden.number(expected.get("loss")), sum / outputs.length, TOLERANCE * sum);
  }

  /** The session's gradient of the head's bias is the mean of the loss's gradients. */
  @Test
  void sessionTrainsWithTheLoss() {
    var network = ResNet.initialize(Architecture.named("resnet20"), TorchRandom.manualSeed(0));
    var loss = new Loss.BinaryCrossEntropy(List.of());
    var options = TrainingSession.Options.of(4, 32, 32);
    try (var session = new TrainingSession(network.layers(), network.state(), 3, loss, options)) {
      float[] images = new float[3 * 3 * 32 * 32];
      for (int i = 0; i < images.length; i++) {
        images[i] = (float) Math.sin(i);
      }
      float[] targets = new float[30];
      targets[0] = 1;
      targets[4] = 1;
      targets[27] = 1;
      double found = session.accumulate(images, targets, 3, 1);
      float[] logits = new float[40];
      session.logits(logits);
      double[] bias = new double[10];
      double sum = 0;
      for (int n = 0; n < 3; n++) {
        float[] row = Arrays.copyOfRange(logits, n * 10, n * 10 + 10);
        float[] target = Arrays.copyOfRange(targets, n * 10, n * 10 + 10);
        double[] gradient = new double[10];
        sum += loss.apply(row, target, gradient);
        for (int k = 0; k < 10; k++) {
          bias[k] += gradient[k] / 3;
        }
      }
      assertEquals(sum / 3, found, 1e-15);
      float[] gradients = session.parameters().gradients();
      int from = session.parameters().ranges().getLast().from();
      for (int k = 0; k < 10; k++) {
        assertEquals(bias[k], gradients[from + k], 2 * Math.ulp(0.1f)); // three roundings to float
      }
    }
  }

  @Test
  void valuesOutOfRangeAreRejected() {
    assertThrows(IllegalArgumentException.class, () -> new Loss.SmoothL1(0));
    assertThrows(IllegalArgumentException.class, () -> new Loss.Focal(2, 2));
    assertThrows(IllegalArgumentException.class, () -> new Loss.CrossEntropy(List.of(-1f)));
    var labels = new Loss.CrossEntropy(List.of());
    assertThrows(IllegalArgumentException.class, () -> new Loss.Distillation(labels, 0, 0.5));
    assertThrows(IllegalArgumentException.class, () -> new Loss.Distillation(labels, 4, 1.5));
  }

  private static float[][] rows(Object value) {
    List<?> rows = Golden.list(value);
    float[][] found = new float[rows.size()][];
    for (int n = 0; n < found.length; n++) {
      List<?> row = Golden.list(rows.get(n));
      found[n] = new float[row.size()];
      for (int k = 0; k < row.size(); k++) {
        found[n][k] = (float) Golden.number(row.get(k));
      }
    }
    return found;
  }
}
