package io.github.resnet4j.examples;

import io.github.resnet4j.Classifier;
import io.github.resnet4j.Prediction;
import java.io.IOException;
import java.nio.file.Path;

/** Classifies an image. */
public final class Classify {
  private Classify() {}

  /**
   * @param args an image; then, optionally, a network such as {@code resnet50}, a file with weights
   *     or {@code hf:owner/name}. Default: the embedded model of handwritten digits
   */
  public static void main(String[] args) throws IOException {
    Path image = Path.of(args[0]);
    try (var classifier = args.length > 1 ? Classifier.load(args[1]) : Classifier.embedded()) {
      for (Prediction prediction : classifier.classify(image, 3)) {
        System.out.println(prediction);
      }
    }
  }
}
