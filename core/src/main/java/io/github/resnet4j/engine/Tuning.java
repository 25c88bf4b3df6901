package io.github.resnet4j.engine;

import io.github.resnet4j.kernel.Kernels;
import io.github.resnet4j.kernel.Winograd;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.List;
import java.util.TreeMap;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/**
 * What was measured on this machine: for each shape of convolution the fastest algorithm. Kept in
 * the user's cache folder, one line a shape, in a file for each processor and JVM. A file that
 * cannot be read or written does no harm: the rule decides instead.
 */
final class Tuning implements AlgorithmChoice {
  private static final String DIRECT_NAME = "direct";

  private final Path file;
  private final long weightBytes;
  private final TreeMap<String, String> fastest = new TreeMap<>();

  private Tuning(Path file, long weightBytes) {
    this.file = file;
    this.weightBytes = weightBytes;
  }

  /**
   * What is known for these kernels on this machine.
   *
   * @param weightBytes of the whole network: what its layers leave of the caches to each other
   */
  static Tuning load(Kernels kernels, long weightBytes) {
    String home = System.getenv("XDG_CACHE_HOME");
    Path folder =
        home == null || home.isBlank()
            ? Path.of(System.getProperty("user.home"), ".cache")
            : Path.of(home);
    String machine =
        "%s %s %s"
            .formatted(processor(), Runtime.version(), kernels.name())
            .replaceAll("[^A-Za-z0-9.+-]+", "_");
    return load(folder.resolve("resnet4j").resolve("tuning-" + machine + ".txt"), weightBytes);
  }

  static Tuning load(Path file, long weightBytes) {
    var tuning = new Tuning(file, weightBytes);
    try {
      for (String line : Files.readAllLines(file)) {
        String[] parts = line.split(" = ", -1);
        if (parts.length == 2 && isAlgorithm(parts[1])) {
          tuning.fastest.put(parts[0], parts[1]);
        }
      }
    } catch (IOException e) {
      return tuning; // nothing known yet
    }
    return tuning;
  }

  private static boolean isAlgorithm(String name) {
    return name.equals(DIRECT_NAME)
        || name.equals(Winograd.F2.name())
        || name.equals(Winograd.F4.name());
  }

  private static String processor() {
    try {
      var model = Pattern.compile("model name\\s*: (.*)|CPU part\\s*: (.*)");
      for (String line : Files.readAllLines(Path.of("/proc/cpuinfo"))) {
        var matcher = model.matcher(line);
        if (matcher.matches()) {
          return line.substring(line.indexOf(':') + 2);
        }
      }
    } catch (IOException e) {
      return System.getProperty("os.arch");
    }
    return System.getProperty("os.arch");
  }

  boolean knows(Convolution conv, int images, int parts) {
    return fastest.containsKey(key(conv, images, parts));
  }

  void put(Convolution conv, int images, int parts, @Nullable Winograd form) {
    fastest.put(key(conv, images, parts), form == null ? DIRECT_NAME : form.name());
  }

  @Override
  public @Nullable Winograd winograd(Convolution conv, int images, int parts) {
    String name = fastest.get(key(conv, images, parts));
    if (name == null) {
      return AlgorithmChoice.BY_RULE.winograd(conv, images, parts);
    }
    return name.equals(DIRECT_NAME) ? null : Winograd.valueOf(name);
  }

  private String key(Convolution conv, int images, int parts) {
    return "%s to %s of a network of %d MB, %d images, %d threads"
        .formatted(conv.in().shape(), conv.out().shape(), weightBytes / 1_000_000, images, parts);
  }

  /** Writes the file anew; other processes see the old one or the new one. */
  void save() {
    List<String> lines =
        fastest.entrySet().stream().map(e -> e.getKey() + " = " + e.getValue()).toList();
    try {
      Files.createDirectories(file.toAbsolutePath().getParent());
      Path part = Files.createTempFile(file.toAbsolutePath().getParent(), "tuning", ".part");
      Files.write(part, lines);
      Files.move(part, file, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
    } catch (IOException e) {
      System.getLogger("io.github.resnet4j")
          .log(System.Logger.Level.DEBUG, "measurements not kept: " + e);
    }
  }
}
