package io.github.resnet4j.checkpoint;

import static org.junit.jupiter.api.Assertions.assertTimeoutPreemptively;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.resnet4j.Golden;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.time.Duration;
import java.util.Arrays;
import java.util.SplittableRandom;
import java.util.stream.Stream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * Real files with random damage: a reader may accept them or refuse them with a {@link
 * CheckpointException}, but nothing else may happen. {@code -Dfuzz.rounds=100000} searches longer;
 * {@code tools/fuzz/run} searches guided by coverage, and leaves what it found in {@code corpus}.
 */
@Tag("hostile")
class FuzzTest {
  private static final int ROUNDS = Integer.getInteger("fuzz.rounds", 400);

  @TempDir private Path folder;

  static Stream<Path> corpus() throws IOException {
    return Files.walk(Golden.path("checkpoints")).filter(Files::isRegularFile).sorted();
  }

  @ParameterizedTest
  @MethodSource("corpus")
  void damagedFilesAreReadOrRefused(Path seed) throws IOException {
    byte[] original = Files.readAllBytes(seed);
    Path file = folder.resolve(seed.getFileName().toString());
    var random = new SplittableRandom(original.length);
    for (int round = 0; round < ROUNDS; round++) {
      byte[] bytes = damage(original, random);
      Files.write(file, bytes);
      int number = round;
      assertTimeoutPreemptively(
          Duration.ofSeconds(20), () -> readOrRefuse(file), () -> seed + ", round " + number);
    }
  }

  @Test
  void theCorpusOfEarlierSearchesIsReadOrRefused() throws IOException {
    int files = 0;
    try (var corpus = Files.list(Golden.corpus("checkpoints"))) {
      for (Path found : corpus.toList()) {
        Path file = folder.resolve("corpus");
        Files.copy(found, file, StandardCopyOption.REPLACE_EXISTING);
        assertTimeoutPreemptively(
            Duration.ofSeconds(20), () -> readOrRefuse(file), found::toString);
        files++;
      }
    }
    assertTrue(files > 50, "the corpus has " + files);
  }

  private void readOrRefuse(Path file) throws IOException {
    try {
      if (file.toString().endsWith(".npy")) {
        assertTrue(Npy.read(file).size() >= 0);
        return;
      }
      try (var checkpoint = Checkpoint.open(file)) {
        for (StoredTensor tensor : checkpoint.torchvisionTensors().values()) {
          if (tensor.size() < 1 << 20) {
            tensor.toTensor();
          }
        }
      }
    } catch (CheckpointException e) {
      assertTrue(e.getMessage().startsWith(folder.toString()), e.getMessage());
    }
  }

  private static byte[] damage(byte[] original, SplittableRandom random) {
    byte[] bytes = original.clone();
    int changes = 1 + random.nextInt(4);
    for (int i = 0; i < changes; i++) {
      int at = random.nextInt(bytes.length);
      switch (random.nextInt(6)) {
        case 0 -> bytes[at] ^= (byte) (1 << random.nextInt(8));
        case 1 -> bytes[at] = (byte) random.nextInt(256);
        case 2 -> bytes = Arrays.copyOf(bytes, Math.max(1, at));
        case 3 -> { // a run of one value: lengths become huge or zero
          byte value = (byte) (random.nextBoolean() ? 0xff : 0);
          Arrays.fill(bytes, at, Math.min(bytes.length, at + 8), value);
        }
        case 4 -> { // a piece of the file elsewhere
          int length = random.nextInt(Math.min(64, bytes.length - at) + 1);
          int to = random.nextInt(bytes.length - length + 1);
          System.arraycopy(bytes, at, bytes, to, length);
        }
        default ->
            bytes[Math.min(bytes.length - 1, random.nextInt(512))] ^= (byte) random.nextInt(256);
      }
    }
    return bytes;
  }
}
