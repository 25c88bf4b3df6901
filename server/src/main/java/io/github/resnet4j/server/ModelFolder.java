package io.github.resnet4j.server;

import java.io.IOException;
import java.nio.file.DirectoryStream;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.BasicFileAttributes;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Optional;
import java.util.regex.Pattern;

/**
 * The folder of models: {@code NAME/VERSION/} with one checkpoint each; every call reads the folder
 * again. Symbolic links are followed; hidden entries, and files where a folder is expected, are
 * ignored.
 */
record ModelFolder(Path root) {
  /** Excludes path separators and {@code ..}. */
  private static final Pattern NAME = Pattern.compile("[A-Za-z0-9][A-Za-z0-9_.-]{0,127}");

  private static final Pattern DIGITS = Pattern.compile("[0-9]{1,18}");
  private static final Pattern VERSION = Pattern.compile("0|[1-9][0-9]{0,17}");
  private static final Pattern CHECKPOINT = Pattern.compile("[^.].*\\.(safetensors|pth|pt|bin)");
  private static final String INDEX = ".index.json";

  /** Orders versions from the highest number to the lowest. */
  static final Comparator<String> BY_NUMBER =
      Comparator.comparingLong((String version) -> Long.parseLong(version))
          .reversed()
          .thenComparing(Comparator.naturalOrder());

  /**
   * The state of a version's files; if it is equal, they have not changed.
   *
   * @param files the name, size, times and key of each
   */
  record FileState(List<String> files) {}

  /** A version; {@code error} says what is wrong with its folder's name, if anything. */
  record Version(String number, Path folder, Optional<String> error) {
    /**
     * The checkpoint to read: the only one in the folder, or the index of a sharded one.
     *
     * @throws IOException if there is none, or more than one
     */
    Path checkpoint() throws IOException {
      if (error.isPresent()) {
        throw new IOException(error.get());
      }
      List<Path> files = children(folder).stream().filter(Files::isRegularFile).toList();
      List<Path> found = files.stream().filter(file -> nameOf(file).endsWith(INDEX)).toList();
      if (found.isEmpty()) {
        found = files.stream().filter(file -> CHECKPOINT.matcher(nameOf(file)).matches()).toList();
      }
      if (found.size() != 1) {
        throw new IOException(
            "its folder must contain one checkpoint (*.safetensors, *.pth, *.pt, *.bin, or"
                + " *.safetensors.index.json with its files), but contains "
                + found.size());
      }
      return found.getFirst();
    }

    /** The reason why it cannot be loaded, without paths, for clients. */
    String reason(Throwable e) {
      return switch (e) {
        case OutOfMemoryError _ -> "there is not enough memory to load it (-Xmx)";
        case StackOverflowError _ -> "its structure is nested too deeply";
        case FileSystemException f ->
            "its file %s cannot be read (%s)"
                .formatted(Path.of(f.getFile()).getFileName(), f.getClass().getSimpleName());
        case IOException _, IllegalArgumentException _ ->
            String.valueOf(e.getMessage())
                .replace(folder.toAbsolutePath() + "/", "")
                .replace(folder + "/", "")
                .lines()
                .findFirst()
                .orElse("");
        default -> "it cannot be loaded; the server's log contains the reason";
      };
    }

    FileState fileState() throws IOException {
      var files = new ArrayList<String>();
      for (Path file : children(folder)) {
        if (!Files.exists(file)) {
          continue; // a broken link
        }
        var attributes = Files.readAttributes(file, BasicFileAttributes.class);
        boolean unix = file.getFileSystem().supportedFileAttributeViews().contains("unix");
        files.add(
            "%s %d %s %s %s"
                .formatted(
                    nameOf(file),
                    attributes.size(),
                    attributes.lastModifiedTime(),
                    attributes.fileKey(),
                    unix ? Files.getAttribute(file, "unix:ctime") : ""));
      }
      return new FileState(files);
    }
  }

  static boolean isName(String name) {
    return NAME.matcher(name).matches();
  }

  /** Whether a string is a version number. */
  static boolean isVersionNumber(String version) {
    return DIGITS.matcher(version).matches();
  }

  /** The names of all models. */
  List<String> names() throws IOException {
    return children(root).stream()
        .filter(Files::isDirectory)
        .map(ModelFolder::nameOf)
        .filter(ModelFolder::isName)
        .toList();
  }

  /** Whether the folder contains a model of this name. */
  boolean has(String name) {
    return isName(name) && Files.isDirectory(root.resolve(name));
  }

  /** The versions of a model, including those that cannot be read. */
  List<Version> versions(String name) throws IOException {
    var versions = new ArrayList<Version>();
    for (Path folder : children(root.resolve(name))) {
      String number = nameOf(folder);
      if (DIGITS.matcher(number).matches() && Files.isDirectory(folder)) {
        versions.add(
            new Version(
                number,
                folder,
                VERSION.matcher(number).matches()
                    ? Optional.empty()
                    : Optional.of("a version's folder must be a number without leading zeros")));
      }
    }
    return versions;
  }

  private static List<Path> children(Path folder) throws IOException {
    try (DirectoryStream<Path> children = Files.newDirectoryStream(folder)) {
      var all = new ArrayList<Path>();
      for (Path child : children) {
        if (!nameOf(child).startsWith(".")) {
          all.add(child);
        }
      }
      all.sort(Comparator.naturalOrder());
      return all;
    } catch (java.nio.file.DirectoryIteratorException e) {
      throw e.getCause();
    }
  }

  private static String nameOf(Path file) {
    return String.valueOf(file.getFileName());
  }
}
