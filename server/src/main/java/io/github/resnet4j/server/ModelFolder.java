package io.github.resnet4j.server;

import java.io.IOException;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.BasicFileAttributes;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Optional;
import java.util.regex.Pattern;

/**
 * The folder of models as it is at the moment: {@code NAME/VERSION/} with one checkpoint each.
 * Symbolic links are followed; what is hidden, and what is not a folder where one belongs, is
 * passed over.
 */
record ModelFolder(Path root) {
  /** Names are names, not ways to somewhere else. */
  private static final Pattern NAME = Pattern.compile("[A-Za-z0-9][A-Za-z0-9_.-]{0,127}");

  private static final Pattern DIGITS = Pattern.compile("[0-9]{1,18}");
  private static final Pattern VERSION = Pattern.compile("0|[1-9][0-9]{0,17}");
  private static final Pattern CHECKPOINT = Pattern.compile("[^.].*\\.(safetensors|pth|pt|bin)");
  private static final String INDEX = ".index.json";

  /** The highest number first. */
  static final Comparator<String> BY_NUMBER =
      Comparator.comparingLong((String version) -> Long.parseLong(version))
          .reversed()
          .thenComparing(Comparator.naturalOrder());

  /**
   * All that tells whether a version's files are what they were.
   *
   * @param files each with its size and times
   */
  record Stamp(List<String> files) {}

  /** A version, and what is wrong with its folder's name, if anything. */
  record Version(String number, Path folder, Optional<String> fault) {
    /**
     * The file that is read: the only checkpoint, or the index of one that lies in several files.
     *
     * @throws IOException if there is none, or more than one
     */
    Path checkpoint() throws IOException {
      if (fault.isPresent()) {
        throw new IOException(fault.get());
      }
      List<Path> files = children(folder).stream().filter(Files::isRegularFile).toList();
      List<Path> found = files.stream().filter(file -> nameOf(file).endsWith(INDEX)).toList();
      if (found.isEmpty()) {
        found = files.stream().filter(file -> CHECKPOINT.matcher(nameOf(file)).matches()).toList();
      }
      if (found.size() != 1) {
        throw new IOException(
            "there must be one checkpoint in its folder (*.safetensors, *.pth, *.pt, *.bin; or"
                + " *.safetensors.index.json with its files), there are "
                + found.size());
      }
      return found.getFirst();
    }

    Stamp stamp() throws IOException {
      var files = new ArrayList<String>();
      for (Path file : children(folder)) {
        if (!Files.exists(file)) {
          continue; // a link to nothing
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
      return new Stamp(files);
    }
  }

  static boolean isName(String name) {
    return NAME.matcher(name).matches();
  }

  /** Whether a text can be a version's. */
  static boolean isNumber(String version) {
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

  /** Whether there is a model of this name. */
  boolean has(String name) {
    return isName(name) && Files.isDirectory(root.resolve(name));
  }

  /** The versions of a model, also those that cannot be read. */
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
                    : Optional.of("a version's folder is a number without leading zeros")));
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
