package io.github.resnet4j.image;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import io.github.resnet4j.Classifier;
import io.github.resnet4j.Golden;
import io.github.resnet4j.Model;
import io.github.resnet4j.Prediction;
import java.io.IOException;
import java.util.Arrays;
import java.util.Base64;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** Compares the views with torchvision's, and averages with the single views. */
class TestTimeAugmentationTest {
  private static final Map<String, Object> GOLDEN = Golden.json("runs.json").get("ten crops");

  private static byte[] bytes(String name) {
    return Base64.getDecoder().decode((String) GOLDEN.get(name));
  }

  private static final Pixels IMAGE = new Pixels(31, 20, 3, bytes("pixels"));

  @Test
  void cropsEqualTorchvision() {
    var preprocessing =
        new Preprocessing(
            16, 11, 13, Interpolation.BILINEAR, List.of(0f, 0f, 0f), List.of(1f, 1f, 1f));
    byte[] expected = bytes("crops");
    int size = 11 * 13 * 3;
    List<Pixels> ten = TestTimeAugmentation.TEN_CROP.of(IMAGE, preprocessing);
    for (int i = 0; i < 10; i++) {
      byte[] one = Arrays.copyOfRange(expected, i * size, (i + 1) * size);
      assertArrayEquals(one, ten.get(i).data(), "crop " + i);
    }
    List<Pixels> five = TestTimeAugmentation.FIVE_CROP.of(IMAGE, preprocessing);
    for (int i = 0; i < 5; i++) {
      assertArrayEquals(ten.get(i).data(), five.get(i).data());
    }
    List<Pixels> two = TestTimeAugmentation.FLIP.of(IMAGE, preprocessing);
    assertArrayEquals(ten.get(4).data(), two.get(0).data());
    assertArrayEquals(ten.get(4).mirrored().data(), two.get(1).data());
  }

  @ParameterizedTest
  @EnumSource
  void outputsAreMeansOfLogits(TestTimeAugmentation augmentation) throws IOException {
    Model model = Model.embedded();
    Preprocessing preprocessing = model.preprocessing();
    byte[] other = IMAGE.data().clone();
    Arrays.fill(other, 0, 900, (byte) 0);
    List<Pixels> images = List.of(IMAGE, new Pixels(31, 20, 3, other));
    try (var plain = Classifier.of(model);
        var averaging = Classifier.builder().augmentation(augmentation).of(model)) {
      var batch = averaging.prepare(images.stream().map(Image::of).toList());
      var found = averaging.run(batch.input()).logits().orElseThrow();
      assertEquals(2, found.dim(0));
      for (int n = 0; n < 2; n++) {
        List<Pixels> views = augmentation.of(images.get(n), preprocessing);
        assertEquals(augmentation.views(), views.size());
        double[] mean = new double[10];
        for (Pixels view : views) {
          var one = preprocessing.batch(1);
          preprocessing.normalize(view, one, 0);
          float[] logits = plain.run(one).logits().orElseThrow().data();
          for (int k = 0; k < 10; k++) {
            mean[k] += logits[k] / views.size();
          }
        }
        for (int k = 0; k < 10; k++) {
          // Up to ten numbers are added in float.
          assertEquals(mean[k], found.row(n)[k], 1e-5 * Math.max(1, Math.abs(mean[k])));
        }
        List<Prediction> top = averaging.classify(Image.of(images.get(n)), 10);
        float[] probabilities = model.probabilities(found.row(n));
        for (Prediction each : top) {
          assertEquals(probabilities[each.index()], each.probability(), 1e-6);
        }
      }
    }
  }
}
