package io.github.resnet4j.engine.graph;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;

/** The second-level cache of a core, which plans are cut to. */
public final class Cache {
  private static final int USUAL = 1 << 20;

  /** Bytes of the second-level cache: as Linux tells, elsewhere a megabyte. */
  public static final int BYTES = read(Path.of("/sys/devices/system/cpu/cpu0/cache/index2/size"));

  private Cache() {}

  private static int read(Path file) {
    try {
      String size = Files.readString(file).strip(); // 2048K
      int bytes =
          size.endsWith("K")
              ? Integer.parseInt(size.substring(0, size.length() - 1)) << 10
              : Integer.parseInt(size);
      return Math.clamp(bytes, 256 << 10, 16 << 20);
    } catch (IOException | NumberFormatException e) {
      return USUAL;
    }
  }
}
