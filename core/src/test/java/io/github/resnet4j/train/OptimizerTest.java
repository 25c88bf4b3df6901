package io.github.resnet4j.train;

import static org.junit.jupiter.api.Assertions.assertEquals;

import io.github.resnet4j.Architecture;
import io.github.resnet4j.Golden;
import io.github.resnet4j.ResNet;
import io.github.resnet4j.engine.ParameterArrays;
import io.github.resnet4j.engine.TrainingSession;
import io.github.resnet4j.tensor.TorchRandom;
import io.github.resnet4j.train.Optimizer.Method;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Compares five steps on given gradients with PyTorch's optimizers. */
class OptimizerTest {
  static Stream<Map.Entry<String, Method>> methods() {
    return Stream.of(
        Map.entry("sgd", new Method.Sgd(0.9f, false)),
        Map.entry("nesterov", new Method.Sgd(0.9f, true)),
        Map.entry("adamw", Method.AdamW.DEFAULT),
        Map.entry("clipped", new Method.Sgd(0.9f, false)));
  }

  @ParameterizedTest
  @MethodSource("methods")
  void stepsMatchPytorch(Map.Entry<String, Method> method) {
    var golden = Golden.json("optimizers.json");
    List<?> expected = Golden.list(golden.get(method.getKey()).get("weights"));
    List<?> start = Golden.list(golden.get("data").get("start"));
    var network = ResNet.initialize(Architecture.named("resnet20"), TorchRandom.manualSeed(0));
    try (var session =
        new TrainingSession(
            network.layers(), network.state(), 3, TrainingSession.Options.of(1, 32, 32))) {
      var optimizer =
          new Optimizer(
              session,
              method.getValue(),
              0.01f,
              _ -> true,
              _ -> false,
              _ -> 1,
              method.getKey().equals("clipped") ? 1.5 : 0);
      // The biases of the head, which are contiguous.
      ParameterArrays parameters = session.parameters();
      int at = parameters.ranges().getLast().from();
      for (int i = 0; i < start.size(); i++) {
        parameters.weights()[at + i] = number(start.get(i));
      }
      for (Object gradient : Golden.list(golden.get("data").get("gradients"))) {
        for (int i = 0; i < start.size(); i++) {
          parameters.setGradient(at + i, number(((List<?>) gradient).get(i)));
        }
        optimizer.step(0.1f);
      }
      for (int i = 0; i < expected.size(); i++) {
        float value = number(expected.get(i));
        // Five steps, each rounded once or twice at another place.
        assertEquals(value, parameters.weights()[at + i], 10 * Math.ulp(Math.max(1, value)));
      }
    }
  }

  /** The head's bias is trained from the first step on, its weight from the third. */
  @ParameterizedTest
  @MethodSource("unfreezingMethods")
  void unfreezingMatchesPytorch(Map.Entry<String, Method> method) {
    var golden = Golden.json("runs.json");
    List<?> start = Golden.list(golden.get("data").get("start"));
    List<?> expected = Golden.list(golden.get(method.getKey()).get("weights"));
    var network = ResNet.initialize(Architecture.named("resnet20"), TorchRandom.manualSeed(0));
    try (var session =
        new TrainingSession(
            network.layers(), network.state(), 3, TrainingSession.Options.of(1, 32, 32))) {
      var optimizer =
          new Optimizer(session, method.getValue(), 0.01f, _ -> true, _ -> false, _ -> 1, 1.5);
      ParameterArrays parameters = session.parameters();
      var ranges = parameters.ranges();
      int[] at = {ranges.getLast().from(), ranges.get(ranges.size() - 2).from()};
      assertEquals("fc.weight", ranges.get(ranges.size() - 2).name());
      for (int p = 0; p < 2; p++) {
        for (int i = 0; i < 3; i++) {
          parameters.weights()[at[p] + i] = number(Golden.list(start.get(p)).get(i));
        }
      }
      int step = 0;
      for (Object gradient : Golden.list(golden.get("data").get("gradients"))) {
        boolean frozen = step++ < 2;
        optimizer.startAt(name -> name.equals("fc.bias") ? 0 : frozen ? Long.MAX_VALUE : 2);
        for (int p = 0; p < 2; p++) {
          for (int i = 0; i < 3; i++) {
            Object row = Golden.list(gradient).get(p);
            parameters.setGradient(at[p] + i, number(Golden.list(row).get(i)));
          }
        }
        optimizer.step(0.1f);
      }
      for (int p = 0; p < 2; p++) {
        for (int i = 0; i < 3; i++) {
          float value = number(Golden.list(expected.get(p)).get(i));
          // Five steps, each rounded once or twice at another place.
          assertEquals(value, parameters.weights()[at[p] + i], 10 * Math.ulp(Math.max(1, value)));
        }
      }
    }
  }

  static Stream<Map.Entry<String, Method>> unfreezingMethods() {
    return Stream.of(
        Map.entry("sgd", new Method.Sgd(0.9f, false)), Map.entry("adamw", Method.AdamW.DEFAULT));
  }

  private static float number(Object number) {
    return ((Number) number).floatValue();
  }
}
