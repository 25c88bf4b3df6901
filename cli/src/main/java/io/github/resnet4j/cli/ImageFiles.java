package io.github.resnet4j.cli;

import io.github.resnet4j.image.ImageException;
import io.github.resnet4j.image.ImageFolder;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileSystems;
import java.nio.file.Files;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** Finds the image files that arguments name: files, folders, patterns, a list on stdin. */
final class ImageFiles {
  private ImageFiles() {}

  /**
   * Returns the files, sorted within each argument. A file named explicitly is taken whatever its
   * extension. Symbolic links are followed; the images of a folder that is linked twice are found
   * once.
   */
  static List<Path> find(List<String> arguments) throws IOException {
    var found = new ArrayList<Path>();
    for (String argument : arguments) {
      if (argument.equals("-")) {
        var lines =
            new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8)).lines();
        lines.filter(line -> !line.isBlank()).map(Path::of).forEach(found::add);
      } else {
        addFound(argument, found);
      }
    }
    return found;
  }

  private static void addFound(String argument, List<Path> found) throws IOException {
    Path path = path(argument);
    if (path != null && Files.isDirectory(path)) {
      ImageFolder.images(path).stream().sorted().forEach(found::add);
    } else if (path != null && Files.exists(path)) {
      found.add(path);
    } else if (argument.matches(".*[*?\\[{].*")) {
      int before = found.size();
      addMatching(argument, found);
      if (found.size() == before) {
        throw new ImageException(argument, "matches no file");
      }
    } else if (path == null) {
      throw new ImageException(argument, "is not a path");
    } else {
      found.add(path); // reported as missing when it is read; the others are processed
    }
  }

  private static @Nullable Path path(String argument) {
    try {
      return Path.of(argument);
    } catch (InvalidPathException _) {
      return null; // Windows does not allow '*' in a path
    }
  }

  private static void addMatching(String pattern, List<Path> found) throws IOException {
    String normal = pattern.replace('\\', '/');
    int wildcard = normal.split("[*?\\[{]", 2)[0].lastIndexOf('/');
    Path root = Path.of(wildcard < 0 ? "." : normal.substring(0, Math.max(1, wildcard)));
    var matcher =
        FileSystems.getDefault().getPathMatcher("glob:" + (wildcard < 0 ? "./" : "") + normal);
    int depth =
        normal.contains("**")
            ? Integer.MAX_VALUE
            : 1 + (int) normal.chars().filter(c -> c == '/').count();
    if (!Files.isDirectory(root)) {
      return;
    }
    ImageFolder.files(root, depth).stream()
        .filter(matcher::matches)
        .map(file -> wildcard < 0 ? root.relativize(file) : file)
        .sorted()
        .forEach(found::add);
  }
}
