package io.github.resnet4j.datasets;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;

/**
 * The files of a set of shards. In a folder, also in its folder {@code data}, the beginning of
 * their names says what they are for, as Hugging Face has it: {@code train}, {@code val}, {@code
 * valid}, {@code validation}, {@code dev} or {@code test}.
 *
 * @param train for training: also those whose names say nothing
 * @param val for validation
 * @param test for a final test
 */
record ShardFiles(List<Path> train, List<Path> val, List<Path> test) {
  private static final Pattern BRACES = Pattern.compile("\\{([^{}]*)}");
  private static final Pattern RANGE = Pattern.compile("([0-9]{1,9})\\.\\.([0-9]{1,9})");
  private static final Pattern VAL = Pattern.compile("(val|valid|validation|dev)([^a-z].*)?");
  private static final Pattern TEST = Pattern.compile("test([^a-z].*)?");
  private static final int MAX_FILES = 1_000_000;

  /** Whether a path names shards: a file, a pattern with braces, or a folder with such files. */
  static boolean isShards(Path path) throws IOException {
    if (Files.isDirectory(path)) {
      return !inFolder(path).isEmpty();
    }
    return isShard(path);
  }

  private static boolean isShard(Path file) {
    return TarShard.isTar(file) || ParquetSet.isParquet(file);
  }

  /**
   * @throws IOException if there are none, or one does not exist
   */
  static ShardFiles of(Path path) throws IOException {
    if (!Files.isDirectory(path)) {
      List<Path> files = expand(path.toString()).stream().map(Path::of).toList();
      for (Path file : files) {
        if (!Files.isRegularFile(file)) {
          throw new IOException(file + ": does not exist, or is not a file");
        }
      }
      return new ShardFiles(files, List.of(), List.of());
    }
    var found = new ShardFiles(new ArrayList<>(), new ArrayList<>(), new ArrayList<>());
    for (Path file : inFolder(path)) {
      String name = file.getFileName().toString().toLowerCase(Locale.ROOT);
      if (VAL.matcher(name).matches()) {
        found.val.add(file);
      } else if (TEST.matcher(name).matches()) {
        found.test.add(file);
      } else {
        found.train.add(file);
      }
    }
    return found;
  }

  /** The shards in a folder, or else in its folder {@code data}, sorted by name. */
  private static List<Path> inFolder(Path folder) throws IOException {
    for (Path each : List.of(folder, folder.resolve("data"))) {
      if (Files.isDirectory(each)) {
        try (Stream<Path> entries = Files.list(each)) {
          List<Path> found =
              entries.filter(file -> isShard(file) && Files.isRegularFile(file)).sorted().toList();
          if (!found.isEmpty()) {
            return found;
          }
        }
      }
    }
    return List.of();
  }

  /** {@code a-{00..02}.tar} is three names, {@code {a,b}.tar} two. */
  static List<String> expand(String pattern) throws IOException {
    Matcher braces = BRACES.matcher(pattern);
    if (!braces.find()) {
      return List.of(pattern);
    }
    var parts = new ArrayList<String>();
    Matcher range = RANGE.matcher(braces.group(1));
    if (range.matches()) {
      int first = Integer.parseInt(range.group(1));
      int last = Integer.parseInt(range.group(2));
      if (Math.abs(last - first) >= MAX_FILES) {
        throw tooMany(pattern);
      }
      boolean padded = range.group(1).startsWith("0") && range.group(1).length() > 1;
      String format = padded ? "%0" + range.group(1).length() + "d" : "%d";
      for (int i = first; i != last; i += Integer.signum(last - first)) {
        parts.add(format.formatted(i));
      }
      parts.add(format.formatted(last));
    } else {
      parts.addAll(List.of(braces.group(1).split(",", -1)));
    }
    var all = new ArrayList<String>();
    List<String> ends = expand(pattern.substring(braces.end()));
    for (String part : parts) {
      for (String end : ends) {
        all.add(pattern.substring(0, braces.start()) + part + end);
      }
      if (all.size() > MAX_FILES) {
        throw tooMany(pattern);
      }
    }
    return all;
  }

  private static IOException tooMany(String pattern) {
    return new IOException(pattern + ": stands for more than 1,000,000 files");
  }
}
