package io.github.resnet4j.train;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.NotDirectoryException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Locale;
import java.util.Random;
import java.util.Set;
import java.util.stream.Stream;

/**
 * Pictures with their classes, as folders have them: {@code DIR/train/<class>/*.jpg} and {@code
 * DIR/val/<class>/*.jpg}, or {@code DIR/<class>/*.jpg}, of which a part is held out.
 *
 * @param classes the folders' names in order; a label is an index into them
 * @param train to learn from
 * @param val held out
 */
public record PictureFolder(List<String> classes, List<Example> train, List<Example> val) {
  private static final Set<String> ENDINGS = Set.of("jpg", "jpeg", "png", "bmp", "gif", "webp");

  /** A picture and the index of its class. */
  public record Example(Path file, int label) {}

  public PictureFolder {
    classes = List.copyOf(classes);
    train = List.copyOf(train);
    val = List.copyOf(val);
  }

  /**
   * Lists the pictures of a folder; none is opened yet.
   *
   * @param split which part of each class is held out where there are no folders train and val
   * @param seed draws which ones
   * @throws IOException if the folder cannot be read, or says nothing to learn from: fewer than two
   *     classes, an empty class, or one in val that train lacks
   */
  public static PictureFolder of(Path folder, double split, long seed) throws IOException {
    if (!Files.isDirectory(folder)) {
      throw new NotDirectoryException(folder + ": is not a folder");
    }
    Path train = folder.resolve("train");
    if (Files.isDirectory(train)) {
      List<String> classes = classes(train);
      Path val = folder.resolve("val");
      var held = new ArrayList<Example>();
      if (Files.isDirectory(val)) {
        for (String name : subfolders(val)) {
          int label = classes.indexOf(name);
          if (label < 0) {
            throw new IOException(
                "%s: train has no class of this name; it has %s"
                    .formatted(val.resolve(name), String.join(", ", classes)));
          }
          examples(val.resolve(name), label, held);
        }
      }
      var learnt = new ArrayList<Example>();
      for (int label = 0; label < classes.size(); label++) {
        examplesOf(train, classes, label, learnt);
      }
      return new PictureFolder(classes, learnt, held);
    }
    if (!(split >= 0 && split < 1)) {
      throw new IllegalArgumentException("the part held out must be in [0, 1), was " + split);
    }
    List<String> classes = classes(folder);
    var learnt = new ArrayList<Example>();
    var held = new ArrayList<Example>();
    var random = new Random(seed);
    for (int label = 0; label < classes.size(); label++) {
      var all = new ArrayList<Example>();
      examplesOf(folder, classes, label, all);
      Collections.shuffle(all, random);
      int count = (int) Math.min(all.size() - 1, Math.round(all.size() * split));
      held.addAll(all.subList(0, count));
      learnt.addAll(all.subList(count, all.size()));
    }
    return new PictureFolder(classes, learnt, held);
  }

  private static List<String> classes(Path folder) throws IOException {
    List<String> classes = subfolders(folder);
    if (classes.size() < 2) {
      throw new IOException(
          "%s: needs a folder for each class, at least two; has %s"
              .formatted(folder, classes.isEmpty() ? "none" : String.join(", ", classes)));
    }
    return classes;
  }

  private static List<String> subfolders(Path folder) throws IOException {
    try (Stream<Path> entries = Files.list(folder)) {
      return entries
          .filter(Files::isDirectory)
          .map(path -> path.getFileName().toString())
          .filter(name -> !name.startsWith("."))
          .sorted()
          .toList();
    }
  }

  private static void examplesOf(Path folder, List<String> classes, int label, List<Example> found)
      throws IOException {
    int before = found.size();
    Path ofClass = folder.resolve(classes.get(label));
    examples(ofClass, label, found);
    if (found.size() == before) {
      throw new IOException(
          ofClass
              + ": has no pictures ("
              + String.join(", ", ENDINGS.stream().sorted().toList())
              + ")");
    }
  }

  private static void examples(Path folder, int label, List<Example> found) throws IOException {
    try (Stream<Path> entries = Files.walk(folder)) {
      entries
          .filter(PictureFolder::isPicture)
          .sorted()
          .forEach(path -> found.add(new Example(path, label)));
    }
  }

  private static boolean isPicture(Path path) {
    String name = path.getFileName().toString().toLowerCase(Locale.ROOT);
    return ENDINGS.contains(name.substring(name.lastIndexOf('.') + 1)) && Files.isRegularFile(path);
  }
}
