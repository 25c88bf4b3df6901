package io.github.resnet4j.engine.graph;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;

/** The L2 cache of a core. Plans are blocked for its size. */
public final class L2Cache {
  private static final int DEFAULT_BYTES = 1 << 20;

  /** The size of the L2 cache in bytes, as Linux reports it; one megabyte on other systems. */
  public static final int BYTES = read(Path.of("/sys/devices/system/cpu/cpu0/cache/index2/size"));

  private L2Cache() {}

  private static int read(Path file) {
    try {
      String size = Files.readString(file).strip(); // 2048K
      int bytes =
          size.endsWith("K")
              ? Integer.parseInt(size.substring(0, size.length() - 1)) << 10
              : Integer.parseInt(size);
      return Math.clamp(bytes, 256 << 10, 16 << 20);
    } catch (IOException | NumberFormatException e) {
      return DEFAULT_BYTES;
    }
  }
}
