package io.github.resnet4j.cli;

import io.github.resnet4j.Classifier;
import io.github.resnet4j.Model;
import io.github.resnet4j.ResNet;
import io.github.resnet4j.Result;
import io.github.resnet4j.image.Preprocessing;
import io.github.resnet4j.inspect.Shape;
import io.github.resnet4j.inspect.ShapedLayer;
import io.github.resnet4j.messages.Suggestion;
import io.github.resnet4j.nn.Layer;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Option;

/** The options that select the layer whose output is used as features. */
final class FeatureOptions {
  @Option(
      names = {"-l", "--layer"},
      paramLabel = "NAME",
      description =
          "Layer whose output is used: layer3, layer4.1, layer2.0.conv1; default: the embedding,"
              + " the mean of the last stage over all pixels.")
  private @Nullable String name;

  @Option(names = "--pool", description = "Average the output of --layer over all pixels.")
  private boolean pool;

  /**
   * Computes the features of images, in their order.
   *
   * @param shape the shape of the features of one image, see {@link #shape}
   */
  Stream<Result<float[]>> features(Classifier classifier, List<Path> images, int[] shape) {
    if (name == null) {
      return classifier.embedAll(images);
    }
    return shape.length == 1
        ? classifier.embedAll(images, name)
        : classifier
            .featureMapsAll(images, name)
            .map(result -> result.map(maps -> maps.firstEntry().getValue().data()));
  }

  /**
   * Returns the shape of the features of one image: {@code [C]} or {@code [C, H, W]}.
   *
   * @throws UsageException if there is no such layer
   */
  int[] shape(Model model) {
    ResNet network = model.network();
    Preprocessing input = model.preprocessing();
    var image = new Shape(input.channels(), input.cropHeight(), input.cropWidth());
    String wanted = name == null ? network.spec().lastStage() : name;
    ShapedLayer shaped = ShapedLayer.of(network.layers(), image);
    Shape shape =
        shaped
            .walk()
            .filter(each -> each.layer().name().equals(wanted) && !wanted.isEmpty())
            .findFirst()
            .orElseThrow(() -> noLayer(wanted, network))
            .output();
    boolean isVector = name == null || pool || shape.height() == 1 && shape.width() == 1;
    return isVector
        ? new int[] {shape.channels()}
        : new int[] {shape.channels(), shape.height(), shape.width()};
  }

  /** Returns the error for an unknown --layer. */
  static UsageException noLayer(String wanted, ResNet network) {
    List<String> names = network.layers().walk().map(Layer::name).toList();
    return new UsageException(
        "--layer: the network has no layer '%s'%s; 'resnet4j summary' lists them"
            .formatted(wanted, Suggestion.of(wanted, names)));
  }

  /**
   * Returns a description of the layer; features with different descriptions are not comparable.
   */
  String describe() {
    return name == null ? "embedding" : name + (pool ? ", mean" : "");
  }
}
