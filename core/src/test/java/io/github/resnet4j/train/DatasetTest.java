package io.github.resnet4j.train;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.resnet4j.Golden;
import io.github.resnet4j.image.ImageDecoder;
import io.github.resnet4j.image.Pixels;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Data sets that are not folders of pictures. */
class DatasetTest {
  @TempDir Path home;

  /** Records of {@code labels} bytes and 3072 pixels, planes of R, G, B. */
  private static byte[] records(int count, int labels) {
    byte[] bytes = new byte[count * (labels + 3072)];
    new Random(count).nextBytes(bytes);
    for (int i = 0; i < count; i++) {
      bytes[i * (labels + 3072)] = 1;
      bytes[i * (labels + 3072) + labels - 1] = (byte) (i % 3);
    }
    return bytes;
  }

  @Test
  void readsCifar10() throws IOException {
    Files.write(home.resolve("batches.meta.txt"), List.of("cat", "dog", "ship", ""));
    byte[] first = records(4, 1);
    Files.write(home.resolve("data_batch_1.bin"), first);
    Files.write(home.resolve("data_batch_2.bin"), records(5, 1));
    Files.write(home.resolve("test_batch.bin"), records(2, 1));
    Dataset data = Dataset.of(home, 0.2, 0);
    assertEquals(List.of("cat", "dog", "ship"), data.classes());
    assertEquals(9, data.train().size());
    assertEquals(2, data.val().size());
    assertEquals(2, data.train().get(2).label());
    Pixels picture = data.train().get(2).source().read();
    int at = 2 * 3073 + 1;
    for (int i : new int[] {0, 31, 32, 1023}) {
      for (int c = 0; c < 3; c++) {
        assertEquals(first[at + c * 1024 + i], picture.data()[3 * i + c]);
      }
    }
  }

  @Test
  void readsCifar100sFineLabels() throws IOException {
    Files.write(home.resolve("fine_label_names.txt"), List.of("apple", "baby", "bear"));
    Files.write(home.resolve("train.bin"), records(6, 2));
    Files.write(home.resolve("test.bin"), records(3, 2));
    Dataset data = Dataset.of(home, 0.2, 0);
    assertEquals(6, data.train().size());
    assertEquals(2, data.train().get(5).label());
  }

  @Test
  void refusesCifarOfAnotherLengthAndLabelsWithoutName() throws IOException {
    Files.write(home.resolve("batches.meta.txt"), List.of("cat", "dog"));
    Files.write(home.resolve("data_batch_1.bin"), new byte[3072]);
    assertTrue(failure().contains("no records of 3,073"), failure());
    Files.write(home.resolve("data_batch_1.bin"), records(3, 1));
    assertTrue(failure().contains("record 2 is of class 2, there are 2 names"), failure());
  }

  private String failure() {
    return assertThrows(IOException.class, () -> Dataset.of(home, 0, 0)).getMessage();
  }

  @Test
  void theEmbeddedDigitsAreThoseOfTheSamples() throws IOException {
    Dataset digits = Dataset.digits();
    assertEquals(1437, digits.train().size());
    assertEquals(360, digits.val().size());
    // Each sample, drawn with Pillow, is one of those held out.
    for (int digit = 0; digit < 10; digit++) {
      byte[] sample =
          ImageDecoder.DEFAULT.decode(Path.of("../samples/digit-" + digit + ".png")).data();
      int label = digit;
      assertTrue(
          digits.val().stream()
              .filter(example -> example.label() == label)
              .anyMatch(example -> java.util.Arrays.equals(sample, pixels(example))));
    }
    // The held-out ones are scikit-learn's of the split that the golden file has.
    assertArrayEquals(
        sorted(Golden.tensors("digits.safetensors").get("labels").data()),
        sorted(digits.val().stream().map(Dataset.Example::label).toList()));
  }

  private static byte[] pixels(Dataset.Example example) {
    try {
      return example.source().read().data();
    } catch (IOException e) {
      throw new AssertionError(e);
    }
  }

  private static int[] sorted(float[] labels) {
    int[] all = new int[labels.length];
    for (int i = 0; i < all.length; i++) {
      all[i] = (int) labels[i];
    }
    java.util.Arrays.sort(all);
    return all;
  }

  private static int[] sorted(List<Integer> labels) {
    return labels.stream().mapToInt(Integer::intValue).sorted().toArray();
  }
}
