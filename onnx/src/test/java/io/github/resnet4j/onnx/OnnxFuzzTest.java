package io.github.resnet4j.onnx;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTimeoutPreemptively;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.api.io.TempDir;

/**
 * Corrupted files and random graphs are imported or rejected with an {@link OnnxException}, in a
 * heap of 256 MB. {@code -Dfuzz.rounds=100000} runs more rounds.
 */
@Tag("hostile")
class OnnxFuzzTest {
  private static final int ROUNDS = Integer.getInteger("fuzz.rounds", 4000);

  /** Two seconds on an idle machine; build machines may be busy. */
  private static final Duration LIMIT = Duration.ofSeconds(20);

  private static final Path GOLDEN = Path.of("src/test/resources/golden");
  private static final Path HOSTILE = Path.of("src/test/resources/hostile");
  private static final Path CORPUS = Path.of("src/test/resources/corpus");
  private static final Path NO_FILE = Path.of("graph.onnx");

  @TempDir private Path folder;

  private static List<Path> seeds() throws IOException {
    try (var files = Files.list(GOLDEN)) {
      return files.filter(file -> file.toString().endsWith(".onnx")).sorted().toList();
    }
  }

  @Test
  void corruptFilesAreImportedOrRejected() throws IOException {
    List<Path> seeds = seeds();
    var random = new SplittableRandom(Long.getLong("fuzz.seed", 1));
    Path file = folder.resolve("x.onnx");
    for (int round = 0; round < ROUNDS; round++) {
      Path seed = seeds.get(round % seeds.size());
      Files.write(file, damaged(Files.readAllBytes(seed), random));
      int number = round;
      within(() -> importOrReject(file), seed + ", round " + number);
    }
  }

  @Test
  void randomGraphsAreImportedOrRejected() throws IOException {
    List<Path> seeds = seeds();
    var random = new SplittableRandom(Long.getLong("fuzz.seed", 1));
    int imported = 0;
    for (int round = 0; round < ROUNDS; round++) {
      OnnxModel model =
          round % 4 == 0
              ? RandomGraphs.anything(random)
              : RandomGraphs.changed(
                  OnnxReader.read(seeds.get(random.nextInt(seeds.size()))), random);
      boolean[] accepted = {false};
      within(() -> accepted[0] = importOrReject(model), "round " + round);
      imported += accepted[0] ? 1 : 0;
    }
    assertTrue(imported > ROUNDS / 100, "too few graphs are valid: " + imported);
  }

  /** Written by tools/parity/onnx_hostile.py. */
  @Test
  void hostileFilesAreRejected() throws IOException {
    try (var files = Files.list(HOSTILE)) {
      List<Path> all = files.sorted().toList();
      assertTrue(all.size() >= 15, "only " + all.size());
      for (Path hostile : all) {
        within(
            () -> assertThrows(OnnxException.class, () -> OnnxImport.read(hostile)),
            hostile.toString());
      }
    }
  }

  /** The corpus of {@code tools/fuzz/run}, if it exists. */
  @Test
  void fuzzingCorpusIsImportedOrRejected() throws IOException {
    if (Files.isDirectory(CORPUS)) {
      try (var files = Files.list(CORPUS)) {
        for (Path found : files.sorted().toList()) {
          within(() -> importOrReject(found), found.toString());
        }
      }
    }
  }

  private static void within(Executable body, String what) {
    assertTimeoutPreemptively(LIMIT, body, what);
  }

  private static void importOrReject(Path file) throws IOException {
    try {
      OnnxImport.read(file);
    } catch (OnnxException e) {
      assertTrue(e.getMessage().startsWith(file.toString()), e.getMessage());
      assertEquals(1, e.getMessage().lines().count(), e.getMessage());
    }
  }

  private static boolean importOrReject(OnnxModel model) {
    try {
      OnnxImport.of(model, OnnxImport.Options.defaults(), NO_FILE);
      return true;
    } catch (OnnxException e) {
      return false;
    }
  }

  static byte[] damaged(byte[] original, SplittableRandom random) {
    byte[] bytes = original.clone();
    int changes = 1 + random.nextInt(4);
    for (int i = 0; i < changes; i++) {
      int at = random.nextInt(bytes.length);
      switch (random.nextInt(7)) {
        case 0 -> bytes[at] ^= (byte) (1 << random.nextInt(8));
        case 1 -> bytes[at] = (byte) random.nextInt(256);
        case 2 -> bytes = Arrays.copyOf(bytes, Math.max(1, at));
        case 3 -> { // repeat one value: lengths become huge or zero
          byte value = (byte) (random.nextBoolean() ? 0xff : 0);
          Arrays.fill(bytes, at, Math.min(bytes.length, at + 8), value);
        }
        case 4 -> { // copy a piece of the file
          int length = random.nextInt(Math.min(64, bytes.length - at) + 1);
          int to = random.nextInt(bytes.length - length + 1);
          System.arraycopy(bytes, at, bytes, to, length);
        }
        case 5 -> { // insert a piece of the file, so that lengths are wrong
          int length = random.nextInt(Math.min(4096, bytes.length - at) + 1);
          byte[] longer = Arrays.copyOf(bytes, bytes.length + length);
          System.arraycopy(bytes, at, longer, at + length, bytes.length - at);
          bytes = longer;
        }
        default ->
            bytes[Math.min(bytes.length - 1, random.nextInt(4096))] ^= (byte) random.nextInt(256);
      }
    }
    return bytes;
  }
}
