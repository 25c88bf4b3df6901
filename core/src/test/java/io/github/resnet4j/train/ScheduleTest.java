package io.github.resnet4j.train;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import io.github.resnet4j.Golden;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Compares learning rates with PyTorch's schedulers. */
class ScheduleTest {
  static Stream<Map<String, Object>> cases() {
    return Golden.json("optimizers.json").values().stream()
        .filter(golden -> golden.containsKey("rates"));
  }

  @ParameterizedTest
  @MethodSource("cases")
  void learningRatesMatchPytorch(Map<String, Object> golden) {
    List<?> rates = Golden.list(golden.get("rates"));
    var schedule =
        new Schedule(
            Schedule.Kind.valueOf((String) golden.get("kind")),
            0.3,
            rates.size() / (Integer) golden.get("steps"),
            (Integer) golden.get("warmup"),
            List.of(4, 9));
    int steps = (Integer) golden.get("steps");
    List<Double> losses =
        Golden.list(golden.get("losses")).stream().map(v -> ((Number) v).doubleValue()).toList();
    for (int i = 0; i < rates.size(); i++) {
      int epoch = i / steps;
      // PyTorch multiplies the rate from epoch to epoch: the last digits of a double differ.
      assertEquals(
          ((Number) rates.get(i)).doubleValue(),
          schedule.at(epoch, i % steps, steps, losses.subList(0, Math.min(epoch, losses.size()))),
          1e-14,
          "step " + i);
    }
  }

  @Test
  void warmupOfWholeTrainingIsRejected() {
    assertThrows(
        IllegalArgumentException.class,
        () -> new Schedule(Schedule.Kind.COSINE, 0.1, 5, 5, List.of()));
  }
}
