package io.github.resnet4j.datasets;

import io.github.resnet4j.image.ImageDecoder;
import io.github.resnet4j.train.Dataset;
import io.github.resnet4j.train.Dataset.Example;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;

/** Opens data sets of any form. */
public final class Datasets {
  private Datasets() {}

  /**
   * The images of a {@linkplain Dataset#of(Path) folder} or a {@linkplain ImageTable table}.
   *
   * @param split the fraction of the images that is held out for validation, if the data does not
   *     say which ones are
   * @param seed the random seed of the split
   * @throws IOException if it cannot be read, or has nothing to train on
   */
  public static Dataset of(Path path, ImageDecoder decoder, double split, long seed)
      throws IOException {
    return ImageTable.isTable(path)
        ? ImageTable.read(path, decoder).dataset(split, seed)
        : Dataset.of(path, decoder, split, seed);
  }

  /**
   * The training images of one table and the validation images of another.
   *
   * @throws IOException if one cannot be read, or a target of the second is not possible in the
   *     first
   */
  public static Dataset of(Path train, Path val, ImageDecoder decoder) throws IOException {
    for (Path each : List.of(train, val)) {
      if (!ImageTable.isTable(each)) {
        throw new IOException(
            each + ": is not a table (.csv, .tsv, .jsonl); a folder contains train/ and val/");
      }
    }
    return ImageTable.read(train, decoder).dataset(ImageTable.read(val, decoder));
  }

  /**
   * The images to evaluate, all in {@link Dataset#val}: of a folder as in {@link
   * Dataset#toEvaluate(Path)}; of a table those for validation, or all if it does not say which
   * ones are.
   *
   * @throws IOException if it cannot be read
   */
  public static Dataset toEvaluate(Path path, ImageDecoder decoder) throws IOException {
    if (!ImageTable.isTable(path)) {
      return Dataset.toEvaluate(path, decoder);
    }
    Dataset all = ImageTable.read(path, decoder).dataset(0, 0);
    List<Example> val = all.val().isEmpty() ? all.train() : all.val();
    return new Dataset(all.classes(), List.of(), val);
  }
}
