package io.github.resnet4j.examples;

import io.github.resnet4j.Classifier;
import io.github.resnet4j.Result;
import io.github.resnet4j.embeddings.ImageIndex;
import io.github.resnet4j.image.ImageFolder;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;

/** Finds the images of a folder that are most similar to an image. */
public final class Search {
  private Search() {}

  /**
   * @param args the folder, the image, and a folder for the index
   */
  public static void main(String[] args) throws IOException {
    List<Path> images = ImageFolder.images(Path.of(args[0]));
    try (var classifier = Classifier.embedded();
        var index = new ImageIndex(Path.of(args[2]), "digits")) {
      for (Result<float[]> result : classifier.embedAll(images).toList()) {
        index.put(result.name(), result.orElseThrow());
      }
      for (var neighbour : index.nearest(classifier.embed(Path.of(args[1])), 3)) {
        System.out.printf("%.3f %s%n", neighbour.cosine(), neighbour.path());
      }
    }
  }
}
