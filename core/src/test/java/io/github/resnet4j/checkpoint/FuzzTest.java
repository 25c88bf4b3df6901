package io.github.resnet4j.checkpoint;

import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.resnet4j.Golden;
import io.github.resnet4j.Model;
import io.github.resnet4j.Recognition;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.stream.Stream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * Files from grammars and real files with random damage: a reader may accept them or throw a {@link
 * CheckpointException}, within two seconds of processor time and a heap of 256 MB, but nothing else
 * may happen. {@code -Dfuzz.rounds=100000} searches longer; {@code tools/fuzz/run} searches guided
 * by coverage, and stores its findings in {@code corpus}.
 */
@Tag("hostile")
class FuzzTest {
  private static final int ROUNDS = Integer.getInteger("fuzz.rounds", 200);
  private static final long SEED = Long.getLong("fuzz.seed", 1);
  private static final long LIMIT_NANOS = 2_000_000_000;

  @TempDir private Path folder;

  enum Kind {
    ZIP,
    LEGACY,
    SAFETENSORS,
    INDEX,
    NPY;

    byte[] file(RandomFiles random) {
      return switch (this) {
        case ZIP -> random.zip();
        case LEGACY -> random.legacy();
        case SAFETENSORS -> random.safetensors();
        case INDEX -> random.index();
        case NPY -> random.npy();
      };
    }
  }

  @ParameterizedTest
  @EnumSource
  void grammarFilesAreReadOrRejected(Kind kind) throws IOException {
    int accepted = 0;
    for (int round = 0; round < 4 * ROUNDS; round++) {
      long seed = SEED * 1_000_000_007L + round;
      byte[] bytes = kind.file(new RandomFiles(seed));
      accepted += readOrRefuse(kind == Kind.NPY, bytes, kind + " of seed " + seed) ? 1 : 0;
    }
    // A grammar whose files are always rejected tests nothing; an index has no other files here.
    assertTrue(accepted > 0 || kind == Kind.INDEX || ROUNDS < 200, "none of them was read");
  }

  static Stream<Path> corpus() throws IOException {
    return Files.walk(Golden.path("checkpoints")).filter(Files::isRegularFile).sorted();
  }

  @ParameterizedTest
  @MethodSource("corpus")
  void damagedFilesAreReadOrRejected(Path seed) throws IOException {
    byte[] original = Files.readAllBytes(seed);
    boolean npy = seed.toString().endsWith(".npy");
    for (int round = 0; round < ROUNDS; round++) {
      var random = new RandomFiles(SEED * 1_000_000_007L + original.length + round);
      readOrRefuse(npy, random.damaged(original), seed + ", round " + round);
    }
  }

  @Test
  void corpusFilesAreReadOrRejected() throws IOException {
    int files = 0;
    try (var corpus = Files.list(Golden.corpus("checkpoints"))) {
      for (Path found : corpus.toList()) {
        readOrRefuse(false, Files.readAllBytes(found), found.toString());
        files++;
      }
    }
    assertTrue(files > 50, "the corpus has " + files);
  }

  /** Reads everything; returns whether it was a checkpoint or an array. */
  private boolean readOrRefuse(boolean npy, byte[] bytes, String what) throws IOException {
    var clock = ManagementFactory.getThreadMXBean();
    long begin = clock.getCurrentThreadCpuTime();
    try {
      if (npy) {
        return Npy.read(Files.write(folder.resolve("x.npy"), bytes)).size() >= 0;
      }
      readAll(bytes);
      return true;
    } catch (CheckpointException e) {
      assertTrue(e.getMessage().matches("[^\\p{Cntrl}]{1,3000}"), what + ": " + e.getMessage());
      return false;
    } catch (RuntimeException | StackOverflowError | OutOfMemoryError e) {
      Files.write(Path.of("target", "fuzz-" + Integer.toHexString(what.hashCode())), bytes);
      throw new AssertionError(what, e);
    } finally {
      long taken = clock.getCurrentThreadCpuTime() - begin;
      assertTrue(taken < LIMIT_NANOS, what + " took " + taken / 1_000_000 + " ms");
    }
  }

  private void readAll(byte[] bytes) throws IOException {
    Path name = folder.resolve("file");
    try (var checkpoint = Checkpoint.of(name, bytes)) {
      for (StoredTensor tensor : checkpoint.torchvisionTensors().values()) {
        tensor.toTensor();
      }
      Recognition.of(checkpoint);
    }
    try {
      Model.read(name.toString(), bytes);
    } catch (CheckpointException _) {
      // Few have the metadata of a network.
    }
  }
}
