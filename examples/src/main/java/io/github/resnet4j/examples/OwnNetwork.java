package io.github.resnet4j.examples;

import io.github.resnet4j.Classifier;
import io.github.resnet4j.Model;
import io.github.resnet4j.ResNetSpec;
import io.github.resnet4j.ResNetSpec.Block;
import io.github.resnet4j.Stem;
import io.github.resnet4j.figures.NetworkFigure;
import io.github.resnet4j.inspect.Summary;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;

/** Defines a residual network of one's own, prints and draws it, and runs it. */
public final class OwnNetwork {
  private OwnNetwork() {}

  /**
   * @param args an image, and the new drawing, a .svg or .png
   */
  public static void main(String[] args) throws IOException {
    ResNetSpec spec =
        ResNetSpec.builder(Block.BOTTLENECK, 2, 3, 2).channels(16).stem(Stem.SMALL_IMAGE).build();
    System.out.println(Summary.of(spec));
    NetworkFigure.network("My network", spec).write(Path.of(args[1]));
    Model untrained = Model.initialize(spec, List.of("cat", "dog"), 0);
    try (var classifier = Classifier.of(untrained)) {
      System.out.println(classifier.classify(Path.of(args[0]), 2));
    }
  }
}
