package io.github.resnet4j.datasets;

import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;

/** A folder for files that are deleted at the latest when the process ends. */
record TemporaryFolder(Path path) {
  static TemporaryFolder create() throws IOException {
    Path path = Files.createTempDirectory("resnet4j-data-");
    Runtime.getRuntime().addShutdownHook(new Thread(() -> delete(path.toFile())));
    return new TemporaryFolder(path);
  }

  private static void delete(File folder) {
    File[] files = folder.listFiles();
    if (files != null) {
      for (File file : files) {
        file.delete();
      }
    }
    folder.delete();
  }
}
