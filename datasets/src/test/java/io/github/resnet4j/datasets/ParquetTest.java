package io.github.resnet4j.datasets;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.jr.ob.JSON;
import io.github.resnet4j.train.Dataset;
import io.github.resnet4j.train.Target;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Parquet files of Hugging Face's datasets, which also reads them (parquet_sets.py). */
@SuppressWarnings("unchecked")
class ParquetTest {
  private static final Path GOLDEN = Path.of("src/test/resources/golden/parquet");

  @TempDir private Path folder;
  private final List<String> damages = new ArrayList<>();

  private ReadOptions options() {
    return ReadOptions.DEFAULT
        .withSplit(0, 0)
        .withDamages(damage -> damages.add(damage.getMessage()));
  }

  private static Map<String, Object> expected(String file) throws IOException {
    return (Map<String, Object>)
        JSON.std.mapFrom(GOLDEN.resolve("expected.json").toFile()).get(file);
  }

  /** Reads a file and compares its images; returns the targets that datasets has. */
  private List<Map<String, Object>> read(String file, Dataset data) throws Exception {
    var rows = (List<Map<String, Object>>) expected(file).get("rows");
    assertEquals(rows.size(), data.train().size());
    var targets = new ArrayList<Map<String, Object>>();
    for (int i = 0; i < rows.size(); i++) {
      byte[] pixels = data.train().get(i).source().read().data();
      byte[] digest = MessageDigest.getInstance("SHA-256").digest(pixels);
      assertEquals(rows.get(i).get("pixels"), HexFormat.of().formatHex(digest));
      targets.add((Map<String, Object>) rows.get(i).get("target"));
    }
    assertEquals(List.of(), damages);
    return targets;
  }

  private static List<Target> targets(Dataset data) {
    return data.train().stream().map(Dataset.Example::target).toList();
  }

  @Test
  void rowGroupsAndClassNamesAreRead() throws Exception {
    String file = "train-00000-of-00001.parquet";
    Dataset data = Datasets.of(GOLDEN.resolve(file), options());
    List<Target> labels = new ArrayList<>();
    for (Map<String, Object> target : read(file, data)) {
      labels.add(new Target.Label((int) target.get("label")));
    }
    assertEquals(labels, targets(data));
    assertEquals(expected(file).get("classes"), data.classes()); // not sorted
    assertEquals(GOLDEN.resolve(file) + "/0-1/1.png", data.train().get(1).name());
    assertEquals(GOLDEN.resolve(file) + "/1-0", data.train().get(3).name()); // has no path
  }

  @Test
  void severalLabelsNumbersAndTextsAreRead() throws Exception {
    Dataset several = Datasets.of(GOLDEN.resolve("several-zstd.parquet"), options());
    List<Target> labels = new ArrayList<>();
    for (Map<String, Object> target : read("several-zstd.parquet", several)) {
      labels.add(new Target.Labels((List<Integer>) target.get("tags")));
    }
    assertEquals(labels, targets(several));
    Dataset numbers = Datasets.of(GOLDEN.resolve("numbers-none.parquet"), options());
    List<Target> values = new ArrayList<>();
    for (Map<String, Object> target : read("numbers-none.parquet", numbers)) {
      values.add(
          new Target.Values(
              List.of(
                  ((Number) target.get("age")).floatValue(),
                  ((Number) target.get("count")).floatValue())));
    }
    assertEquals(values, targets(numbers));
    assertEquals(List.of("age", "count"), numbers.classes());
    for (String file : List.of("texts-gzip.parquet", "texts-snappy.parquet")) {
      Dataset texts = Datasets.of(GOLDEN.resolve(file), options());
      List<String> names =
          texts.train().stream().map(each -> texts.classes().get(each.label())).toList();
      assertEquals(read(file, texts).stream().map(each -> each.get("label")).toList(), names);
      assertEquals(List.of("cat", "dog"), texts.classes());
    }
  }

  /** As in a repository of Hugging Face's hub. */
  @Test
  void folderOfTheHubIsRead() throws IOException {
    Path inner = Files.createDirectory(folder.resolve("data"));
    Path file = GOLDEN.resolve("train-00000-of-00001.parquet");
    Files.copy(file, inner.resolve("train-00000-of-00001.parquet"));
    Files.copy(file, inner.resolve("validation-00000-of-00001.parquet"));
    Files.copy(file, inner.resolve("test-00000-of-00001.parquet"));
    Dataset data = Datasets.of(folder, options());
    assertEquals(7, data.train().size());
    assertEquals(7, data.val().size());
  }

  /** Cut and overwritten files: an error or reports, and never another exception. */
  @Test
  void damagedFilesAreReported() throws IOException {
    byte[] whole = Files.readAllBytes(GOLDEN.resolve("train-00000-of-00001.parquet"));
    Path file = folder.resolve("x.parquet");
    var random = new Random(1);
    int failures = 0;
    for (int i = 0; i < 60; i++) {
      byte[] bytes = i < 10 ? Arrays.copyOf(whole, whole.length * i / 10) : whole.clone();
      for (int k = 0; i >= 10 && k < 20; k++) {
        bytes[random.nextInt(bytes.length)] = (byte) random.nextInt();
      }
      Files.write(file, bytes);
      try {
        for (Dataset.Example example : Datasets.of(file, options()).train()) {
          example.source().read();
        }
      } catch (IOException e) {
        failures++;
        assertTrue(String.valueOf(e.getMessage()).contains("x.parquet"), e.getMessage());
      }
    }
    assertTrue(failures > 30, "damages were found: " + failures);
  }

  @Test
  void otherParquetFilesAreRejected() throws IOException {
    Path text = Files.writeString(folder.resolve("text.parquet"), "no Parquet file");
    var e = assertThrows(IOException.class, () -> Datasets.of(text, options()));
    assertTrue(e.getMessage().contains("text.parquet: is no Parquet file"), e.getMessage());
    assertTrue(e.getMessage().contains("truncated, or of another kind"), e.getMessage());
    assertFalse(ParquetSet.isParquet(Path.of("a.tar")));
  }
}
