package io.github.resnet4j.embeddings;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.resnet4j.embeddings.ImageIndex.Neighbour;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class ImageIndexTest {
  @TempDir private Path folder;

  private static float[] vector(Random random, int length) {
    float[] vector = new float[length];
    for (int i = 0; i < length; i++) {
      vector[i] = (float) random.nextGaussian();
    }
    return vector;
  }

  private static double cosine(float[] a, float[] b) {
    double ab = 0;
    double aa = 0;
    double bb = 0;
    for (int i = 0; i < a.length; i++) {
      ab += (double) a[i] * b[i];
      aa += (double) a[i] * a[i];
      bb += (double) b[i] * b[i];
    }
    return ab / Math.sqrt(aa * bb);
  }

  /** Embeddings of length 2,048, as of ResNet-50; results are compared with an exact search. */
  @Test
  void findsTheNearestNeighbours() throws IOException {
    var random = new Random(1);
    var vectors = new ArrayList<float[]>();
    try (var index = new ImageIndex(folder, "m")) {
      for (int i = 0; i < 300; i++) {
        vectors.add(vector(random, 2048));
        index.put("p" + i, "1", vectors.get(i));
      }
      index.commit();
      for (int query = 0; query < 10; query++) {
        float[] sought = vector(random, 2048);
        List<String> expected =
            IntStream.range(0, 300)
                .boxed()
                .sorted(Comparator.comparingDouble(i -> -cosine(sought, vectors.get(i))))
                .limit(10)
                .map(i -> "p" + i)
                .toList();
        List<Neighbour> found = index.nearest(sought, 10);
        Set<String> names = found.stream().map(Neighbour::path).collect(Collectors.toSet());
        // The approximate search may miss one result of the exact search.
        long hits = expected.stream().filter(names::contains).count();
        assertTrue(hits >= 9, "found %d of the ten nearest".formatted(hits));
        for (Neighbour neighbour : found) {
          int i = Integer.parseInt(neighbour.path().substring(1));
          // The score is a float32 near one half.
          assertEquals(cosine(sought, vectors.get(i)), neighbour.cosine(), 1e-6);
        }
      }
    }
  }

  @Test
  void indexIsPersistent() throws IOException {
    try (var index = new ImageIndex(folder, "m")) {
      index.put("a", "1", new float[] {1, 0});
      index.put("b", "1", new float[] {0, 1});
      index.put("c", "1", new float[] {1, 1});
      index.commit();
    }
    try (var index = new ImageIndex(folder, "m")) {
      assertEquals(Map.of("a", "1", "b", "1", "c", "1"), index.versions());
      index.put("a", "2", new float[] {0, -1});
      index.remove("c");
      index.commit();
      assertEquals(Map.of("a", "2", "b", "1"), index.versions());
      assertEquals(
          List.of("b", "a"),
          index.nearest(new float[] {0.1f, 2}, 5).stream().map(Neighbour::path).toList());
    }
    try (var index = new ImageIndex(folder, "m")) {
      assertEquals(Map.of("a", "2", "b", "1"), index.versions());
    }
  }

  @Test
  void indexOfAnotherModelIsCleared() throws IOException {
    try (var index = new ImageIndex(folder, "m")) {
      index.put("a", "1", new float[] {1, 0});
      index.commit();
    }
    try (var index = new ImageIndex(folder, "other")) {
      assertEquals(Map.of(), index.versions());
      assertEquals(List.of(), index.nearest(new float[] {1, 0, 0}, 3));
      index.put("a", "1", new float[] {1, 0, 0});
      assertEquals(1, index.nearest(new float[] {1, 0, 0}, 3).size());
    }
  }

  @Test
  void openIndexIsLocked() throws IOException {
    var index = new ImageIndex(folder, "m");
    index.put("a", "1", new float[] {1, 0});
    // The folder is locked while the index is open.
    var e = assertThrows(IOException.class, () -> new ImageIndex(folder, "m").close());
    assertTrue(e.getMessage().contains("another process is writing"), e.getMessage());
    index.close();
  }

  @Test
  void zeroAndNanEmbeddingsAreRejected() throws IOException {
    try (var index = new ImageIndex(folder, "m")) {
      assertThrows(IllegalArgumentException.class, () -> index.put("a", "1", new float[] {0, 0}));
      assertThrows(
          IllegalArgumentException.class, () -> index.put("a", "1", new float[] {Float.NaN, 0}));
      assertEquals(Map.of(), index.versions());
    }
  }

  private void fill(Path at) throws IOException {
    var random = new Random(5);
    try (var index = new ImageIndex(at, "m")) {
      for (int i = 0; i < 2; i++) {
        for (int j = 0; j < 40; j++) {
          index.put("p" + i + "-" + j, "1", vector(random, 256));
        }
        index.commit();
      }
      index.remove("p0-0"); // creates a file of deletions
    }
  }

  private List<Path> files(Path at) throws IOException {
    try (var files = Files.list(at)) {
      return files.filter(file -> !file.endsWith("write.lock")).sorted().toList();
    }
  }

  private interface Change {
    void apply(Path file) throws IOException;
  }

  /** Each file of the index in turn is missing, empty, truncated, or has changed bytes. */
  @Test
  void corruptIndexIsReplaced() throws IOException {
    Path sound = folder.resolve("sound");
    fill(sound);
    Map<String, Change> changes =
        Map.of(
            "missing", Files::delete,
            "empty", file -> Files.write(file, new byte[0]),
            "cut", file -> Files.write(file, Arrays.copyOf(Files.readAllBytes(file), 20)),
            "short",
                file -> {
                  byte[] bytes = Files.readAllBytes(file);
                  Files.write(file, Arrays.copyOf(bytes, bytes.length - 1));
                },
            "start", file -> overwrite(file, 0),
            "inside", file -> overwrite(file, (int) Files.size(file) / 2),
            "end", file -> overwrite(file, (int) Files.size(file) - 8));
    assertTrue(files(sound).size() > 4);
    for (Path file : files(sound)) {
      for (var change : changes.entrySet()) {
        String name = change.getKey() + "-" + file.getFileName();
        Path copy = Files.createDirectory(folder.resolve(name));
        for (Path each : files(sound)) {
          Files.copy(each, copy.resolve(each.getFileName()));
        }
        Files.writeString(copy.resolve("notes.txt"), "foreign");
        change.getValue().apply(copy.resolve(file.getFileName()));
        try (var index = new ImageIndex(copy, "m")) {
          assertTrue(index.wasDamaged(), name);
          assertEquals(Map.of(), index.versions(), name);
          index.put("new", "1", new float[] {1, 2, 3}); // with another length
        }
        try (var index = new ImageIndex(copy, "m")) {
          assertFalse(index.wasDamaged(), name);
          assertEquals(Map.of("new", "1"), index.versions(), name);
          assertEquals("new", index.nearest(new float[] {1, 2, 3}, 1).getFirst().path());
        }
        assertEquals("foreign", Files.readString(copy.resolve("notes.txt")));
      }
    }
  }

  private static void overwrite(Path file, int at) throws IOException {
    byte[] bytes = Files.readAllBytes(file);
    for (int i = Math.max(0, at); i < Math.min(bytes.length, at + 8); i++) {
      bytes[i] ^= 0x5a;
    }
    Files.write(file, bytes);
  }

  /** Lucene deletes unreferenced files with names like its own. */
  @ParameterizedTest
  @ValueSource(strings = {"_img1.jpg", "segments.png", "_report.doc", "segments_list.txt"})
  void foreignFilesAreNotDeleted(String name) throws IOException {
    Files.writeString(folder.resolve(name), "foreign");
    var refused = assertThrows(IOException.class, () -> new ImageIndex(folder, "m").close());
    assertEquals(
        "%s: contains %s, a file name that the index may use and delete; choose another folder for the"
                .formatted(folder, name)
            + " index",
        refused.getMessage());
    assertEquals("foreign", Files.readString(folder.resolve(name)));
  }
}
