package io.github.resnet4j.examples;

import io.github.resnet4j.train.Dataset;
import io.github.resnet4j.train.FineTuning;
import java.io.IOException;
import java.nio.file.Path;

/** Fine-tunes a pretrained network on a folder of images. */
public final class FineTune {
  private FineTune() {}

  /**
   * @param args a folder with a folder of images for each class; a network such as {@code resnet50}
   *     or a file with weights; and a folder for the new model
   */
  public static void main(String[] args) throws IOException, InterruptedException {
    var data = Dataset.of(Path.of(args[0]));
    var result = FineTuning.of(args[1], data).run(Path.of(args[2]));
    System.out.printf("accuracy: %.1f %%%n", 100 * result.evaluation().score());
    System.out.println("classes: " + result.best().labels());
  }
}
