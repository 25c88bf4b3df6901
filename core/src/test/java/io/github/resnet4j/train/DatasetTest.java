package io.github.resnet4j.train;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
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

/** Data sets. */
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
  void cifar10IsRead() throws IOException {
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
    Pixels image = data.train().get(2).source().read();
    int at = 2 * 3073 + 1;
    for (int i : new int[] {0, 31, 32, 1023}) {
      for (int c = 0; c < 3; c++) {
        assertEquals(first[at + c * 1024 + i], image.data()[3 * i + c]);
      }
    }
  }

  @Test
  void cifar100FineLabelsAreRead() throws IOException {
    Files.write(home.resolve("fine_label_names.txt"), List.of("apple", "baby", "bear"));
    Files.write(home.resolve("train.bin"), records(6, 2));
    Files.write(home.resolve("test.bin"), records(3, 2));
    Dataset data = Dataset.of(home, 0.2, 0);
    assertEquals(6, data.train().size());
    assertEquals(2, data.train().get(5).label());
  }

  @Test
  void invalidCifarFilesAreRejected() throws IOException {
    Files.write(home.resolve("batches.meta.txt"), List.of("cat", "dog"));
    Files.write(home.resolve("data_batch_1.bin"), new byte[3072]);
    assertTrue(failure().contains("not a multiple of the record size of 3,073"), failure());
    Files.write(home.resolve("data_batch_1.bin"), records(3, 1));
    assertTrue(
        failure().contains("record 2 has the class 2, but there are only 2 names"), failure());
  }

  private String failure() {
    return assertThrows(IOException.class, () -> Dataset.of(home, 0, 0)).getMessage();
  }

  private void image(String file) throws IOException {
    Path path = home.resolve(file);
    Files.createDirectories(path.getParent());
    Files.writeString(path, file);
  }

  private static List<String> names(Dataset data, int label) {
    return java.util.stream.Stream.concat(data.train().stream(), data.val().stream())
        .filter(example -> example.label() == label)
        .map(example -> Path.of(example.name()).getFileName().toString())
        .toList();
  }

  /** As torchvision.datasets.ImageFolder: links to the folder, to classes and to files. */
  @Test
  void symbolicLinksAreFollowed() throws IOException {
    image("real/cat/1.jpg");
    image("real/cat/inner/2.jpg");
    image("elsewhere/dogs/3.jpg");
    image("elsewhere/4.jpg");
    Files.createSymbolicLink(home.resolve("real/dog"), home.resolve("elsewhere/dogs"));
    Files.createSymbolicLink(home.resolve("real/cat/linked.jpg"), home.resolve("elsewhere/4.jpg"));
    Files.createSymbolicLink(home.resolve("real/cat/more"), home.resolve("elsewhere/dogs"));
    Files.createSymbolicLink(home.resolve("linked"), home.resolve("real"));
    Dataset data = Dataset.of(home.resolve("linked"), 0, 0);
    assertEquals(List.of("cat", "dog"), data.classes());
    assertEquals(
        List.of("1.jpg", "2.jpg", "3.jpg", "linked.jpg"),
        names(data, 0).stream().sorted().toList());
    assertEquals(List.of("3.jpg"), names(data, 1));
  }

  /** The image is stored rotated; Pillow's exif_transpose applies the orientation. */
  @Test
  void exifOrientationIsAppliedOnRequest() throws IOException {
    for (String name : List.of("data/cat/1.jpg", "data/dog/2.jpg")) {
      Files.createDirectories(home.resolve(name).getParent());
      Files.copy(Golden.path("images/exif-6.jpg"), home.resolve(name));
    }
    var upright = new ImageDecoder(true, ImageDecoder.DEFAULT_MAX_PIXELS);
    Pixels stored = ImageDecoder.DEFAULT.decode(Golden.path("images/exif-6.jpg"));
    Dataset asStored = Dataset.of(home.resolve("data"), 0, 0);
    Dataset turned = Dataset.of(home.resolve("data"), upright, 0, 0);
    assertArrayEquals(stored.data(), asStored.train().getFirst().source().read().data());
    for (var example :
        List.of(
            turned.train().getFirst(),
            Dataset.toEvaluate(home.resolve("data"), upright).val().getFirst())) {
      Pixels pixels = example.source().read();
      assertEquals(stored.width(), pixels.height());
      assertArrayEquals(upright.decode(Path.of(example.name())).data(), pixels.data());
    }
    assertNotEquals(asStored.fields(), turned.fields(), "no run may be resumed with the other");
    var small = new ImageDecoder(false, 10_000);
    assertEquals(
        "10000", Dataset.of(home.resolve("data"), small, 0, 0).fields().get("maximum pixels"));
  }

  @Test
  void cyclesOfLinksAreDetected() throws IOException {
    image("data/cat/1.jpg");
    image("data/dog/2.jpg");
    Files.createSymbolicLink(home.resolve("data/cat/all"), home.resolve("data"));
    // Each level links to the next one twice: 2^20 paths.
    for (int i = 0; i < 20; i++) {
      Path level = Files.createDirectories(home.resolve("levels/" + i));
      for (String link : List.of("a", "b")) {
        Files.createSymbolicLink(level.resolve(link), home.resolve("levels/" + (i + 1)));
      }
    }
    image("levels/20/deep.jpg");
    Files.createSymbolicLink(home.resolve("data/dog/levels"), home.resolve("levels/0"));
    Dataset data = Dataset.of(home.resolve("data"), 0, 0);
    assertEquals(List.of("2.jpg", "deep.jpg"), names(data, 1).stream().sorted().toList());
    assertTrue(names(data, 0).contains("1.jpg"));
  }

  @Test
  void extensionsAreCaseInsensitive() throws IOException {
    for (String ending : ImageDecoder.EXTENSIONS) {
      image("data/a/lower." + ending);
      image("data/b/UPPER." + ending.toUpperCase(java.util.Locale.ROOT));
    }
    image("data/a/notes.txt");
    image("data/a/jpg"); // without a dot
    Dataset data = Dataset.of(home.resolve("data"), 0, 0);
    assertEquals(ImageDecoder.EXTENSIONS.size(), names(data, 0).size());
    assertEquals(ImageDecoder.EXTENSIONS.size(), names(data, 1).size());
  }

  /** Python sorts by code points, Java's strings by UTF-16: the order of these two differs. */
  @Test
  void classesHavePythonOrder() throws IOException {
    String fullwidth = "\uff21";
    String emoji = "\ud83d\ude00";
    org.junit.jupiter.api.Assumptions.assumeTrue(canName(emoji));
    for (String name : List.of("b", "B", "a", emoji, fullwidth)) {
      image("data/" + name + "/1.jpg");
    }
    assertEquals(
        List.of("B", "a", "b", fullwidth, emoji), Dataset.of(home.resolve("data"), 0, 0).classes());
  }

  private boolean canName(String name) {
    try {
      return home.resolve(name) != null;
    } catch (java.nio.file.InvalidPathException e) {
      return false; // the locale does not have these characters
    }
  }

  @Test
  void evaluationAllowsOneClassAndEmptyClasses() throws IOException {
    image("one/cat/1.jpg");
    Dataset one = Dataset.toEvaluate(home.resolve("one"));
    assertEquals(List.of("cat"), one.classes());
    assertEquals(1, one.val().size());
    Files.createDirectories(home.resolve("one/dog"));
    Dataset two = Dataset.toEvaluate(home.resolve("one"));
    assertEquals(List.of("cat", "dog"), two.classes());
    assertEquals(1, two.val().size());
    Files.createDirectories(home.resolve("none/dog"));
    var e = assertThrows(IOException.class, () -> Dataset.toEvaluate(home.resolve("none")));
    assertTrue(e.getMessage().contains("has no images ("), e.getMessage());
  }

  @Test
  void embeddedDigitsMatchSamples() throws IOException {
    Dataset digits = Dataset.digits();
    assertEquals(1437, digits.train().size());
    assertEquals(360, digits.val().size());
    // Each sample, created with Pillow, is a validation image.
    for (int digit = 0; digit < 10; digit++) {
      byte[] sample =
          ImageDecoder.DEFAULT.decode(Path.of("../samples/digit-" + digit + ".png")).data();
      int label = digit;
      assertTrue(
          digits.val().stream()
              .filter(example -> example.label() == label)
              .anyMatch(example -> java.util.Arrays.equals(sample, pixels(example))));
    }
    // The validation images are those of scikit-learn's split in the golden file.
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
