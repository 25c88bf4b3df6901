package io.github.resnet4j.engine.inference;

import io.github.resnet4j.engine.graph.AlgorithmChoice;
import io.github.resnet4j.engine.graph.Convolution;
import io.github.resnet4j.kernel.Kernels;
import io.github.resnet4j.kernel.Winograd;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.PosixFileAttributes;
import java.nio.file.attribute.PosixFilePermission;
import java.util.List;
import java.util.Optional;
import java.util.TreeMap;
import java.util.concurrent.ThreadLocalRandom;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/**
 * The measurements of this machine: for each shape of convolution the fastest algorithm. They are
 * stored in the user's cache folder, one line per shape, in a file for each processor and JVM. If
 * the file cannot be read or written, the rule decides instead; also if the file or its folder
 * belongs to another user, is writable by others, or is a link.
 */
public final class Tuning implements AlgorithmChoice {
  private static final String DIRECT_NAME = "direct";
  private static final int MAX_BYTES = 1 << 20;

  /** ResNet-152 has 12 shapes; a line has about 90 bytes. */
  private static final int MAX_SHAPES = 8000;

  private final Optional<Path> file;
  private final long weightBytes;
  private final TreeMap<String, String> fastest = new TreeMap<>();

  private Tuning(Optional<Path> file, long weightBytes) {
    this.file = file;
    this.weightBytes = weightBytes;
  }

  /**
   * Loads the measurements for these kernels on this machine.
   *
   * @param weightBytes the size of the whole network's weights, which determines how much of the
   *     caches is left for one layer
   */
  public static Tuning load(Kernels kernels, long weightBytes) {
    String home = System.getenv("XDG_CACHE_HOME");
    Path folder =
        home == null || home.isBlank()
            ? Path.of(System.getProperty("user.home"), ".cache")
            : Path.of(home);
    if (!folder.isAbsolute()) { // the home folder of a user without one is "?"
      return new Tuning(Optional.empty(), weightBytes);
    }
    String machine =
        "%s %s %s"
            .formatted(processor(), Runtime.version(), kernels.name())
            .replaceAll("[^A-Za-z0-9.+-]+", "_");
    return load(folder.resolve("resnet4j").resolve("tuning-" + machine + ".txt"), weightBytes);
  }

  public static Tuning load(Path file, long weightBytes) {
    var tuning = new Tuning(Optional.of(file), weightBytes);
    try {
      if (!isOwn(file)
          || !isOwn(file.toAbsolutePath().getParent())
          || Files.size(file) > MAX_BYTES) {
        return tuning;
      }
      for (String line : Files.readAllLines(file)) {
        String[] parts = line.split(" = ", -1);
        if (parts.length == 2 && isAlgorithm(parts[1])) {
          tuning.fastest.put(parts[0], parts[1]);
        }
      }
    } catch (IOException e) {
      return tuning; // no measurements yet
    }
    return tuning;
  }

  /**
   * Whether the file belongs to this user or to root, is not a link, and is writable by nobody
   * else.
   */
  private static boolean isOwn(@Nullable Path file) throws IOException {
    if (file == null) {
      return false;
    }
    if (!file.getFileSystem().supportedFileAttributeViews().contains("posix")) {
      return !Files.isSymbolicLink(file);
    }
    var attributes =
        Files.readAttributes(file, PosixFileAttributes.class, LinkOption.NOFOLLOW_LINKS);
    String owner = attributes.owner().getName();
    return !attributes.isSymbolicLink()
        && !attributes.isOther()
        && (owner.equals(System.getProperty("user.name")) || owner.equals("root"))
        && !attributes.permissions().contains(PosixFilePermission.GROUP_WRITE)
        && !attributes.permissions().contains(PosixFilePermission.OTHERS_WRITE);
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

  public boolean knows(Convolution conv, int images, int parts) {
    return fastest.containsKey(key(conv, images, parts));
  }

  public void put(Convolution conv, int images, int parts, @Nullable Winograd form) {
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
    String format = conv.isOfFloats() ? "" : conv.in().format() + " ";
    return "%s%s to %s of a network of %d MB, %d images, %d threads"
        .formatted(
            format, conv.in().shape(), conv.out().shape(), weightBytes / 1_000_000, images, parts);
  }

  /** Replaces the file; other processes read either the old or the new one. */
  public void save() {
    if (file.isEmpty()) {
      return;
    }
    List<String> lines =
        fastest.entrySet().stream()
            .limit(MAX_SHAPES)
            .map(e -> e.getKey() + " = " + e.getValue())
            .toList();
    try {
      Path folder = Files.createDirectories(file.get().toAbsolutePath().getParent());
      if (!isOwn(folder)) {
        throw new IOException(folder + " is writable by other users");
      }
      long number = ThreadLocalRandom.current().nextLong();
      Path part = folder.resolve("tuning-%016x.part".formatted(number));
      try {
        Files.write(part, lines, StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE);
        Files.move(
            part, file.get(), StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
      } finally {
        Files.deleteIfExists(part);
      }
    } catch (IOException e) {
      System.getLogger("io.github.resnet4j")
          .log(System.Logger.Level.DEBUG, "the measurements were not stored: " + e);
    }
  }
}
