package io.github.resnet4j.datasets;

import io.github.resnet4j.image.ImageDecoder;
import io.github.resnet4j.train.Dataset;
import io.github.resnet4j.train.Dataset.Example;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;

/** Opens data sets of any form. */
public final class Datasets {
  private Datasets() {}

  /**
   * The images of a {@linkplain Dataset#of(Path) folder}, a {@linkplain ImageTable table}, or
   * shards: see {@link #of(Path, ReadOptions)}.
   *
   * @param split the fraction of the images that is held out for validation, if the data does not
   *     say which ones are
   * @param seed the random seed of the split
   * @throws IOException if it cannot be read, or has nothing to train on
   */
  public static Dataset of(Path path, ImageDecoder decoder, double split, long seed)
      throws IOException {
    return of(path, ReadOptions.DEFAULT.withDecoder(decoder).withSplit(split, seed));
  }

  /**
   * The images of a {@linkplain Dataset#of(Path) folder}; a {@linkplain ImageTable table}; or
   * shards, which may have any size, since their images are not listed in memory: tar files as
   * WebDataset writes them ({@code .tar}, {@code .tar.gz}, {@code .tgz}), and Parquet files as
   * Hugging Face's {@code datasets} writes them. Shards are given as a folder, in which names that
   * begin with {@code train}, {@code val} or {@code test} say what they are for, or as a file name,
   * also with a pattern: {@code train-{000..146}.tar}.
   *
   * <p>In a tar file, successive files with the same name up to its first dot belong together: an
   * image, and {@code .cls} (the index or the name of its class), {@code .txt} (the name) or {@code
   * .json} (an object with {@code label}, {@code labels}, or numbers). {@code classes.txt} beside
   * the shards has the names of the classes, one a line.
   *
   * @throws IOException if it cannot be read, or has nothing to train on
   */
  public static Dataset of(Path path, ReadOptions options) throws IOException {
    if (ImageTable.isTable(path)) {
      var table = ImageTable.read(path, options.decoder());
      return trainable(path, table.dataset(options.split(), options.seed()));
    }
    if (!ShardFiles.isShards(path)) {
      return Dataset.of(path, options.decoder(), options.split(), options.seed());
    }
    ShardFiles files = ShardFiles.of(path);
    if (files.train().isEmpty()) {
      throw new IOException(path + ": has no shards for training, only for validation or test");
    }
    return trainable(path, ShardedSet.read(files.train(), files.val(), options));
  }

  private static Dataset trainable(Path path, Dataset data) throws IOException {
    if (data.train().isEmpty()) {
      throw new IOException(path + ": has no images for training");
    }
    if (data.classes().isEmpty()) {
      throw new IOException(path + ": none of the images has a label");
    }
    return data;
  }

  /**
   * The training images of one table, or of shards, and the validation images of another one.
   *
   * @throws IOException if one cannot be read, or a target of the second is not possible in the
   *     first
   */
  public static Dataset of(Path train, Path val, ReadOptions options) throws IOException {
    if (ImageTable.isTable(train) && ImageTable.isTable(val)) {
      ImageDecoder decoder = options.decoder();
      return trainable(
          train, ImageTable.read(train, decoder).dataset(ImageTable.read(val, decoder)));
    }
    if (ShardFiles.isShards(train) && ShardFiles.isShards(val)) {
      ShardFiles other = ShardFiles.of(val);
      List<Path> files = other.val().isEmpty() ? other.train() : other.val();
      return trainable(train, ShardedSet.read(ShardFiles.of(train).train(), files, options));
    }
    throw new IOException(
        ("%s and %s: must be two tables (.csv, .tsv, .jsonl), or two sets of shards (.tar, .tgz,"
                + " .parquet); a folder of images contains train/ and val/")
            .formatted(train, val));
  }

  /**
   * The images to evaluate, all in {@link Dataset#val}: of a folder as in {@link
   * Dataset#toEvaluate(Path)}; of a table or a folder of shards those for validation, or all if it
   * does not say which ones are; of other shards all.
   *
   * @throws IOException if it cannot be read
   */
  public static Dataset toEvaluate(Path path, ReadOptions options) throws IOException {
    if (ImageTable.isTable(path)) {
      Dataset all = ImageTable.read(path, options.decoder()).dataset(0, 0);
      List<Example> val = all.val().isEmpty() ? all.train() : all.val();
      return new Dataset(all.classes(), List.of(), val);
    }
    if (!ShardFiles.isShards(path)) {
      return Dataset.toEvaluate(path, options.decoder());
    }
    ShardFiles files = ShardFiles.of(path);
    return ShardedSet.read(
        Stream.of(files.val(), files.test(), files.train())
            .filter(each -> !each.isEmpty())
            .findFirst()
            .orElseThrow(),
        options);
  }
}
