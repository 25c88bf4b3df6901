package io.github.resnet4j.tensor;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import io.github.resnet4j.Golden;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

class TorchRandomTest {
  /**
   * The second normal uses another implementation of logarithm and cosine: some units in the last
   * place.
   */
  private static final float NORMAL_TOLERANCE = 2e-6f;

  static Stream<Map.Entry<String, Tensor>> drawn() {
    return Golden.tensors("random.safetensors").entrySet().stream()
        .filter(entry -> entry.getKey().contains("/"));
  }

  @ParameterizedTest
  @MethodSource("drawn")
  void numbersMatchPytorch(Map.Entry<String, Tensor> golden) {
    String[] parts = golden.getKey().split("/");
    var random = TorchRandom.manualSeed(Long.parseLong(parts[1]));
    int count = Integer.parseInt(parts[2]);
    if (parts[0].equals("rand")) {
      assertArrayEquals(golden.getValue().data(), random.rand(count).data());
    } else {
      assertArrayEquals(golden.getValue().data(), random.randn(count).data(), NORMAL_TOLERANCE);
    }
  }

  @Test
  void mixedDrawsMatchPytorch() {
    float[] expected = Golden.tensors("random.safetensors").get("sequence").data();
    var random = TorchRandom.manualSeed(7);
    float[] actual = new float[expected.length];
    int at = 0;
    for (Tensor part :
        new Tensor[] {
          random.randn(3), random.rand(2), random.randn(20), random.randn(2), random.rand(700)
        }) {
      System.arraycopy(part.data(), 0, actual, at, part.size());
      at += part.size();
    }
    assertEquals(expected.length, at);
    assertArrayEquals(expected, actual, NORMAL_TOLERANCE);
  }
}
