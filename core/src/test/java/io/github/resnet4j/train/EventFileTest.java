package io.github.resnet4j.train;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;

import io.github.resnet4j.Golden;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Compares TensorBoard files with those of its own writer. */
class EventFileTest {
  @TempDir Path home;

  @Test
  void fileMatchesTensorBoardWriter() throws IOException {
    Path file;
    try (var events = new EventFile(home, 1_700_000_000)) {
      events.scalar("train/loss", 1, 2.5, 1_700_000_001.25);
      events.scalar("train/loss", 300, 0.125, 1_700_000_002.5);
      events.scalar("epoch/val_accuracy", 70_000, 0.99, 1_700_000_003.0);
      file = events.file();
    }
    assertArrayEquals(Files.readAllBytes(Golden.path("events.tfevents")), Files.readAllBytes(file));
  }
}
