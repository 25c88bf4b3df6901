package io.github.resnet4j.datasets;

import io.github.resnet4j.train.Dataset;
import io.github.resnet4j.train.Dataset.Example;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.SplittableRandom;
import org.jspecify.annotations.Nullable;

/** Reads which images shards contain, and makes a data set of them. */
final class ShardedSet {
  private static final String CLASSES = "classes.txt";

  private ShardedSet() {}

  /**
   * @param val the files for validation; without any a fraction of the training images is held out
   */
  static Dataset read(List<Path> train, List<Path> val, ReadOptions options) throws IOException {
    TemporaryFolder folder = TemporaryFolder.create();
    var targets = new TargetNames(knownClasses(train.isEmpty() ? val : train));
    try (var training = new ShardIndex.Writer(folder, "train");
        var validation = new ShardIndex.Writer(folder, "val")) {
      var random = new SplittableRandom(options.seed());
      scan(train, training, val.isEmpty() ? validation : null, random, targets, options);
      scan(val, validation, null, random, targets, options);
      List<String> classes = targets.classes();
      ShardIndex trainIndex = training.finish(targets, options);
      ShardIndex valIndex = validation.finish(targets, options);
      if (trainIndex.isEmpty() && valIndex.isEmpty()) {
        throw new IOException((train.isEmpty() ? val : train).getFirst() + ": has no images");
      }
      return new Dataset(classes, trainIndex, valIndex);
    }
  }

  /** All images, for evaluation. */
  static Dataset read(List<Path> files, ReadOptions options) throws IOException {
    Dataset all = read(files, List.of(), options.withSplit(0, 0));
    return new Dataset(all.classes(), List.<Example>of(), all.train());
  }

  /**
   * The classes in the metadata of a Parquet file, or the lines of classes.txt beside the files.
   */
  private static List<String> knownClasses(List<Path> files) throws IOException {
    if (ParquetSet.isParquet(files.getFirst())) {
      return ParquetSet.read(files.getFirst()).classes();
    }
    Path names = files.getFirst().resolveSibling(CLASSES);
    return Files.isRegularFile(names)
        ? Files.readAllLines(names).stream()
            .map(String::strip)
            .filter(line -> !line.isEmpty())
            .toList()
        : List.of();
  }

  private static List<Shard> shards(Path file, ReadOptions.Damages damages) throws IOException {
    if (!ParquetSet.isParquet(file)) {
      return List.of(new TarShard(file));
    }
    try {
      return ParquetSet.read(file).shards();
    } catch (IOException e) {
      damages.found(e);
      return List.of();
    }
  }

  /**
   * @param heldOut receives a fraction of the images, if given
   */
  private static void scan(
      List<Path> files,
      ShardIndex.Writer to,
      ShardIndex.@Nullable Writer heldOut,
      SplittableRandom random,
      TargetNames targets,
      ReadOptions options)
      throws IOException {
    for (Path file : files) {
      for (Shard shard : shards(file, options.damages())) {
        to.begin(shard);
        if (heldOut != null) {
          heldOut.begin(shard);
        }
        shard.scan(
            (name, position, size, target) -> {
              ShardIndex.Writer writer =
                  heldOut != null && random.nextDouble() < options.split() ? heldOut : to;
              int[] code;
              try {
                code = targets.encode(target);
              } catch (IOException e) {
                options
                    .damages()
                    .found(
                        new IOException(
                            "%s/%s: %s".formatted(shard.name(), name, e.getMessage()), e));
                return;
              }
              writer.add(name, position, size, code);
            },
            options.damages());
      }
    }
  }
}
