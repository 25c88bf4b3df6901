package io.github.resnet4j.cli;

import io.github.resnet4j.ResNet;
import io.github.resnet4j.engine.CompileOptions;
import io.github.resnet4j.engine.Session;
import io.github.resnet4j.inspect.Shape;
import io.github.resnet4j.inspect.ShapedLayer;
import io.github.resnet4j.kernel.Scalar;
import io.github.resnet4j.messages.Suggestion;
import io.github.resnet4j.nn.Layer;
import io.github.resnet4j.tensor.Tensor;
import java.util.Arrays;
import java.util.List;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Option;

/** The options that say which layer's results are taken, and how. */
final class FeatureLayer {
  @Option(
      names = {"-l", "--layer"},
      paramLabel = "NAME",
      description =
          "Layer whose output is used: layer3, layer4.1, layer2.0.conv1; default: the embedding,"
              + " the mean of the last stage over all pixels.")
  private @Nullable String name;

  @Option(names = "--pool", description = "Average the output of --layer over all pixels.")
  private boolean pool;

  /** How to compile a network whose layer is wanted. */
  CompileOptions taps(ResNet network, CompileOptions options) {
    return options.withTaps(name == null ? "layer" + network.spec().blocks().size() : name);
  }

  /**
   * The features of images.
   *
   * @param session compiled with {@link #taps}
   * @param shape of one image's, see {@link #shape}
   * @return a row for each image
   */
  float[][] features(Session session, Tensor x, int[] shape) {
    Tensor map = session.runAll(x).firstEntry().getValue();
    Tensor rows = shape.length == 1 && map.rank() == 4 ? Scalar.globalAveragePool(map) : map;
    int size = Tensor.sizeOf(shape);
    float[][] features = new float[x.dim(0)][];
    for (int i = 0; i < features.length; i++) {
      features[i] = Arrays.copyOfRange(rows.data(), i * size, (i + 1) * size);
    }
    return features;
  }

  /**
   * The shape of one image's features: {@code [C]} or {@code [C, H, W]}.
   *
   * @param image what the network takes
   * @throws IllegalArgumentException if there is no such layer
   */
  int[] shape(ResNet network, Shape image) {
    String wanted = name == null ? "layer" + network.spec().blocks().size() : name;
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

  /** What --layer is refused with. */
  static UsageException noLayer(String wanted, ResNet network) {
    List<String> names = network.layers().walk().map(Layer::name).toList();
    return new UsageException(
        "--layer: the network has no layer '%s'%s; 'resnet4j summary' lists them"
            .formatted(wanted, Suggestion.of(wanted, names)));
  }

  /** What tells features apart that cannot be compared. */
  String describe() {
    return name == null ? "embedding" : name + (pool ? ", mean" : "");
  }
}
