package io.github.resnet4j.image;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.resnet4j.Golden;
import io.github.resnet4j.tensor.Tensor;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Compares augmentation with torchvision's functions on Pillow's images. */
class AdjustmentTest {
  private static final Map<String, Tensor> GOLDEN = Golden.tensors("adjustments.safetensors");

  private static byte[] bytes(Tensor tensor) {
    byte[] bytes = new byte[tensor.data().length];
    for (int i = 0; i < bytes.length; i++) {
      bytes[i] = (byte) tensor.data()[i];
    }
    return bytes;
  }

  private static Pixels image() {
    return new Pixels(37, 26, 3, bytes(GOLDEN.get("image")));
  }

  static Stream<String> names() {
    return GOLDEN.keySet().stream().filter(name -> !name.equals("image"));
  }

  @ParameterizedTest
  @MethodSource("names")
  void pixelsMatchTorchvision(String name) {
    String[] words = name.split(" ");
    Pixels found =
        Adjustment.valueOf(words[0].toUpperCase(Locale.ROOT))
            .apply(image(), Double.parseDouble(words[1]));
    assertArrayEquals(bytes(GOLDEN.get(name)), found.data());
  }

  @Test
  void everyAdjustmentIsTested() {
    for (Adjustment each : Adjustment.values()) {
      assertTrue(
          each == Adjustment.IDENTITY
              || names().anyMatch(name -> name.startsWith(each.name().toLowerCase(Locale.ROOT))),
          each.name());
    }
  }

  @Test
  void erasingSetsARectangleToZero() {
    var augmentation = new Augmentation(Augmentation.Crop.CENTER, false, 0, false, 0, 1);
    Tensor image = Tensor.filled(1, 1, 3, 20, 30);
    augmentation.finish(image, new SplittableRandom(4));
    List<Integer> zeros = zeros(image.data());
    assertTrue(zeros.size() >= 0.01 * 1800 && zeros.size() <= 0.4 * 1800, zeros.toString());
    // The same rectangle in each channel.
    int inOne = zeros.size() / 3;
    for (int i = 0; i < inOne; i++) {
      assertEquals(zeros.get(i) + 600, zeros.get(i + inOne));
      assertEquals(zeros.get(i) + 1200, zeros.get(i + 2 * inOne));
    }
    int width = zeros.stream().mapToInt(i -> i % 30).max().orElse(0) - zeros.getFirst() % 30 + 1;
    int height = zeros.get(inOne - 1) / 30 - zeros.getFirst() / 30 + 1;
    assertEquals(inOne, width * height);
  }

  private static List<Integer> zeros(float[] data) {
    return java.util.stream.IntStream.range(0, data.length)
        .filter(i -> data[i] == 0)
        .boxed()
        .toList();
  }

  @Test
  void augmentationDependsOnlyOnTheSeed() {
    var all = new Augmentation(Augmentation.Crop.RANDOM_RESIZED, true, 0.5, true, 0.4, 0.5);
    var preprocessing = Preprocessing.imagenet(24, 24);
    byte[] first = all.apply(image(), preprocessing, new SplittableRandom(1)).data();
    assertArrayEquals(first, all.apply(image(), preprocessing, new SplittableRandom(1)).data());
    assertNotEquals(
        Arrays.hashCode(first),
        Arrays.hashCode(all.apply(image(), preprocessing, new SplittableRandom(2)).data()));
  }
}
