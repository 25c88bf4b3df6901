package io.github.resnet4j.benchmarks;

import io.github.resnet4j.Architecture;
import io.github.resnet4j.Model;
import io.github.resnet4j.ResNet;
import io.github.resnet4j.tensor.TorchRandom;
import java.io.IOException;
import java.nio.file.Path;

/** Writes a network with initial weights to a file; benchmarks need no trained weights. */
public final class InitialWeights {
  private InitialWeights() {}

  /**
   * @param arguments the name of a network, and the output file
   */
  public static void main(String[] arguments) throws IOException {
    ResNet network = ResNet.initialize(Architecture.named(arguments[0]), TorchRandom.manualSeed(0));
    new Model(
            network,
            Model.usualPreprocessing(network.spec()),
            Model.numbered(network.spec().numClasses()))
        .save(Path.of(arguments[1]));
  }
}
