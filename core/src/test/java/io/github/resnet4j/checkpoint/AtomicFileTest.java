package io.github.resnet4j.checkpoint;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledOnOs;
import org.junit.jupiter.api.condition.OS;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.api.io.TempDir;

/** Checks whether a file can be written, without writing it. */
class AtomicFileTest {
  @TempDir private Path folder;

  private List<Path> files() throws IOException {
    try (var files = Files.list(folder)) {
      return files.toList();
    }
  }

  private static void assertRefused(String reason, Executable check) {
    assertEquals(reason, assertThrows(CheckpointException.class, check).getMessage());
  }

  @Test
  void checkLeavesNoFiles() throws IOException {
    AtomicFile.requireWritable(folder.resolve("x.png"));
    AtomicFile.requireWritableFolder(folder);
    AtomicFile.requireWritableFolder(folder.resolve("a/b/c"));
    assertEquals(List.of(), files());
    Path old = Files.writeString(folder.resolve("old.txt"), "old");
    AtomicFile.requireWritable(old);
    assertEquals("old", Files.readString(old));
    assertEquals(List.of(old), files());
  }

  @Test
  void unwritableFilesAreRejectedWithReason() throws IOException {
    Path absent = folder.resolve("absent");
    assertRefused(
        "%s: cannot be written: there is no folder %s".formatted(absent.resolve("x"), absent),
        () -> AtomicFile.requireWritable(absent.resolve("x")));
    assertRefused(
        folder + ": is a folder; name a file in it", () -> AtomicFile.requireWritable(folder));
    Path file = Files.writeString(folder.resolve("file"), "");
    assertRefused(
        "%s: cannot be written: %s is a file, not a folder".formatted(file.resolve("run"), file),
        () -> AtomicFile.requireWritableFolder(file.resolve("run")));
  }

  @Test
  @EnabledOnOs(OS.WINDOWS)
  void windowsKeepsFilesInUse() throws IOException {
    Path file = Files.writeString(folder.resolve("x.txt"), "old");
    AtomicFile.Body body = out -> out.write('n');
    try (var arena = Arena.ofConfined()) {
      Checkpoint.map(file, arena);
      assertRefused(
          file
              + ": cannot be written: permission denied, or a program is using the old file;"
              + " the previous file, if any, is unchanged",
          () -> AtomicFile.write(file, body));
      assertEquals("old", Files.readString(file));
    }
    AtomicFile.write(file, body);
    assertEquals("n", Files.readString(file));
    assertEquals(List.of(file), files());
  }

  @Test
  @EnabledOnOs(OS.WINDOWS)
  void windowsDevicesAreWrittenDirectly() throws IOException {
    AtomicFile.write(folder.resolve("nul"), out -> out.write(1));
    assertEquals(List.of(), files());
  }

  /** Its folders accept no files; the system reports that the new file does not exist. */
  @Test
  @EnabledOnOs(OS.LINUX)
  void fileSystemWithoutNewFilesIsNamed() {
    String reason = "/proc/x: cannot be written: folder /proc: new files are not allowed";
    assertRefused(reason, () -> AtomicFile.requireWritable(Path.of("/proc/x")));
    assertRefused(reason, () -> AtomicFile.requireWritableFolder(Path.of("/proc/x")));
  }
}
