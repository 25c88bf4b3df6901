package io.github.resnet4j.embeddings;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.hardwood.InputFile;
import dev.hardwood.reader.ParquetFileReader;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The written file is read by another library. */
class ParquetFeaturesTest {
  @TempDir private Path folder;

  @Test
  void rowsAreReadByAnotherLibrary() throws IOException {
    Path file = folder.resolve("f.parquet");
    try (var features = new ParquetFeatures(file, Map.of("shape", "[3]"))) {
      features.add("a.png", new float[] {1.5f, -2, Float.MIN_VALUE});
      features.addError("b.png", "is damaged");
      features.add("ü.png", new float[] {4, 5, 6});
      assertFalse(Files.exists(file), "the file is created by complete()");
      features.complete();
    }
    try (var reader = ParquetFileReader.open(InputFile.of(file));
        var rows = reader.rowReader()) {
      assertEquals("[3]", reader.getFileMetaData().keyValueMetadata().get("shape"));
      rows.next();
      assertEquals("a.png", rows.getString("path"));
      assertEquals(List.of(1.5f, -2f, Float.MIN_VALUE), rows.getList("features").floats());
      assertTrue(rows.isNull("error"));
      rows.next();
      assertEquals("b.png", rows.getString("path"));
      assertTrue(rows.isNull("features"));
      assertEquals("is damaged", rows.getString("error"));
      rows.next();
      assertEquals("ü.png", rows.getString("path"));
      assertEquals(List.of(4f, 5f, 6f), rows.getList("features").floats());
      assertFalse(rows.hasNext());
    }
    try (var files = Files.list(folder)) {
      assertEquals(List.of(file), files.toList());
    }
  }
}
