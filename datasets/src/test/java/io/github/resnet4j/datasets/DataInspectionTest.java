package io.github.resnet4j.datasets;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.resnet4j.train.Dataset;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.TreeMap;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class DataInspectionTest {
  @TempDir private Path folder;

  private void write(String name, String content) throws IOException {
    Path file = folder.resolve(name);
    Files.createDirectories(file.getParent());
    Files.write(file, content.getBytes(StandardCharsets.ISO_8859_1));
  }

  private static String pgm(int width, int height, int gray) {
    return "P5 "
        + width
        + " "
        + height
        + " 255\n"
        + String.valueOf((char) gray).repeat(width * height);
  }

  @Test
  void folderIsInspected() throws Exception {
    write("train/cat/1.pgm", pgm(4, 2, 1));
    write("train/cat/2.pgm", pgm(4, 2, 1)); // the same
    write("train/cat/3.pgm", pgm(6, 3, 2));
    write("train/dog/1.pgm", pgm(10, 9, 3));
    write("train/dog/broken.png", "no image");
    write("val/dog/broken.png", "no image"); // no duplicate
    write("val/dog/1.pgm", pgm(6, 3, 2)); // a training image of another class
    write("val/dog/2.pgm", pgm(5, 5, 7));
    write("val/dog/3.pgm", pgm(5, 5, 7));
    Dataset data = Datasets.of(folder, ReadOptions.DEFAULT.withSplit(0, 0));
    DataInspection found = DataInspection.of(data, null, _ -> {});
    assertArrayEquals(new long[] {5, 4}, found.images());
    assertEquals(List.of("cat", "dog"), List.copyOf(found.classes().keySet()));
    assertArrayEquals(new long[] {3, 0}, found.classes().get("cat"));
    assertArrayEquals(new long[] {2, 4}, found.classes().get("dog"));
    assertEquals(4, found.widths().firstKey());
    assertEquals(5, DataInspection.median(found.widths())); // 4 4 5 5 6 6 10
    assertEquals(10, found.widths().lastKey());
    assertEquals(3, DataInspection.median(found.heights())); // 2 2 3 3 5 5 9
    assertEquals(7, found.formats().get("PPM"));
    assertEquals(2, found.unreadable());
    assertTrue(found.reasons().getFirst().contains("broken.png: is not an image"));
    DataInspection.Duplicates duplicates = found.duplicates();
    assertEquals(1, duplicates.train());
    assertEquals(1, duplicates.val());
    assertEquals(1, duplicates.leaked());
    assertEquals(
        List.of(
            new DataInspection.Pair(path("train/cat/1.pgm"), path("train/cat/2.pgm")),
            new DataInspection.Pair(path("train/cat/3.pgm"), path("val/dog/1.pgm")),
            new DataInspection.Pair(path("val/dog/2.pgm"), path("val/dog/3.pgm"))),
        duplicates.pairs());
    assertEquals(4, found.sheet().stream().filter(each -> each.label().equals("dog")).count());
  }

  private String path(String name) {
    return folder.resolve(name).toString();
  }

  /** Shards, a label that never occurs, and validation images with a class of their own. */
  @Test
  void shardsAndOtherValidationImagesAreInspected() throws Exception {
    Path golden = Path.of("src/test/resources/golden");
    ReadOptions reading = ReadOptions.DEFAULT.withSplit(0, 0);
    Dataset train = Datasets.of(golden.resolve("shards/train-001.tar.gz"), reading);
    Dataset val = Datasets.toEvaluate(golden.resolve("shards/names.tar.gz"), reading);
    DataInspection found = DataInspection.of(train, val, _ -> {});
    assertEquals(
        List.of("0", "1", "2", "3", "4", "cat", "dog", "eel"),
        List.copyOf(found.classes().keySet()));
    assertArrayEquals(new long[] {0, 0}, found.classes().get("3")); // never occurs
    assertArrayEquals(new long[] {0, 1}, found.classes().get("dog"));
    assertEquals(
        new TreeMap<>(java.util.Map.of("JPEG", 5L, "PNG", 1L, "WebP", 1L)), found.formats());
    // The data itself, a second time: every validation image is a training image.
    Dataset all = Datasets.toEvaluate(golden.resolve("shards/train-001.tar.gz"), reading);
    assertEquals(4, DataInspection.of(train, all, _ -> {}).duplicates().leaked());
    Dataset numbers = Datasets.of(golden.resolve("parquet/numbers-none.parquet"), reading);
    DataInspection inspected = DataInspection.of(numbers, null, _ -> {});
    assertEquals(0, inspected.classes().size());
    assertEquals(3, inspected.images()[0]);
  }
}
