package io.github.resnet4j.tensor;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import org.junit.jupiter.api.Test;

class TensorTest {
  @Test
  void tensorWrapsItsArrayAndPrintsItsShape() {
    float[] data = new float[6];
    Tensor tensor = Tensor.of(data, 1, 2, 3);
    assertSame(data, tensor.data());
    assertEquals("[1, 2, 3]", tensor.toString());
    assertEquals("[6]", tensor.reshape(6).toString());
    assertEquals(1, Tensor.zeros().size());
  }

  @Test
  void invalidShapesAreRejected() {
    var wrong = assertThrows(IllegalArgumentException.class, () -> Tensor.of(new float[5], 2, 3));
    assertTrue(wrong.getMessage().contains("[2, 3] holds 6 values, the array 5"));
    assertThrows(IllegalArgumentException.class, () -> Tensor.zeros(-1));
    assertThrows(IllegalArgumentException.class, () -> Tensor.zeros(1 << 16, 1 << 16));
  }
}
