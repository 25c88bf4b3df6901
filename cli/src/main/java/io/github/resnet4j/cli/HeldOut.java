package io.github.resnet4j.cli;

import io.github.resnet4j.train.Dataset;
import io.github.resnet4j.train.Dataset.Example;
import io.github.resnet4j.train.ShardedExamples;
import io.github.resnet4j.train.Trainer;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.AbstractList;
import java.util.List;
import java.util.Objects;
import java.util.Optional;
import java.util.Set;
import java.util.stream.IntStream;

/**
 * Writes the list of images that a training held out for validation from a folder without train and
 * val, so that 'evaluate' does not use images that the model was trained on.
 *
 * @param output the output folder of the training
 * @param data the folder with the images, the table that lists them, or the shards
 * @param splits whether the validation images are part of it
 */
record HeldOut(Path output, Path data, Dataset images, boolean splits) implements Trainer.Listener {
  private static final String FILE = "held-out.txt";

  @Override
  public void begin(Trainer.Start start) throws IOException {
    boolean inShards = images.val() instanceof ShardedExamples;
    if (!splits || Files.isDirectory(data.resolve("train")) || !(inShards || Files.exists(data))) {
      return;
    }
    List<String> names =
        images.val().stream()
            .filter(example -> inShards || Files.exists(Path.of(example.name())))
            .map(example -> relative(data, example))
            .toList();
    if (!names.isEmpty()) {
      Files.write(output.resolve(FILE), names);
    }
  }

  private static String relative(Path data, Example example) {
    Path image = Path.of(example.name()).toAbsolutePath(); // a table may have absolute paths
    Path folder = (Files.isDirectory(data) ? data : data.resolveSibling("")).toAbsolutePath();
    return Objects.equals(folder.getRoot(), image.getRoot())
        ? folder.relativize(image).toString()
        : image.toString(); // on another drive
  }

  /** The list beside a model, if there is one. */
  static Optional<Path> beside(Path weights) {
    Path file = weights.toAbsolutePath().resolveSibling(FILE);
    return Files.isRegularFile(file) ? Optional.of(file) : Optional.empty();
  }

  /**
   * The images that a list contains. Empty if some of them are missing, because the folder is then
   * not that of the training.
   */
  static List<Example> select(Path file, Path data, List<Example> all) throws IOException {
    Set<String> names = Set.copyOf(Files.readAllLines(file));
    int[] found =
        IntStream.range(0, all.size())
            .filter(i -> names.contains(relative(data, all.get(i))))
            .toArray();
    return found.length != names.size()
        ? List.of()
        : new AbstractList<>() {
          @Override
          public Example get(int index) {
            return all.get(found[index]);
          }

          @Override
          public int size() {
            return found.length;
          }
        };
  }
}
