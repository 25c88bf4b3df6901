package io.github.resnet4j.inspect;

import io.github.resnet4j.ResNetSpec;
import io.github.resnet4j.nn.Layer;
import io.github.resnet4j.nn.Layer.AvgPool2d;
import io.github.resnet4j.nn.Layer.BatchNorm2d;
import io.github.resnet4j.nn.Layer.Block;
import io.github.resnet4j.nn.Layer.BlurPool2d;
import io.github.resnet4j.nn.Layer.Conv2d;
import io.github.resnet4j.nn.Layer.EfficientAttention;
import io.github.resnet4j.nn.Layer.GlobalAveragePool;
import io.github.resnet4j.nn.Layer.GroupNorm;
import io.github.resnet4j.nn.Layer.Identity;
import io.github.resnet4j.nn.Layer.Linear;
import io.github.resnet4j.nn.Layer.MaxPool2d;
import io.github.resnet4j.nn.Layer.PreActivation;
import io.github.resnet4j.nn.Layer.Relu;
import io.github.resnet4j.nn.Layer.Residual;
import io.github.resnet4j.nn.Layer.Sequential;
import io.github.resnet4j.nn.Layer.SqueezeExcite;
import io.github.resnet4j.nn.Layer.SubsampleAndPad;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;

/**
 * A table of a network's layers, with one row per layer.
 *
 * @param network the layers with their shapes
 * @param rows the rows, parents before their children
 */
public record Summary(ShapedLayer network, List<Row> rows) {
  /**
   * The depth that includes all layers: stages have level 1, blocks level 2, their layers lower
   * levels.
   */
  public static final int EVERYTHING = Integer.MAX_VALUE;

  /**
   * A layer. The numbers of a stage or block are sums over its layers.
   *
   * @param name the name in the state_dict
   * @param level 1 for stages and layers outside of them
   * @param kind the kind of layer, for people
   * @param output the shape of its result
   * @param kernel the size of its window; 0 if it has none
   * @param stride its stride; 0 if it has none
   * @param groups the number of groups; 0 if it is not a convolution
   * @param dilation the dilation; 0 if it is not a convolution
   * @param parameters the number of trained parameters
   * @param multiplyAdds see {@link ShapedLayer#multiplyAdds()}
   * @param activationBytes see {@link ShapedLayer#activationBytes()}
   * @param receptiveField the size in pixels of the image, along one axis, on which a pixel of the
   *     result depends
   */
  public record Row(
      String name,
      int level,
      String kind,
      Shape output,
      int kernel,
      int stride,
      int groups,
      int dilation,
      long parameters,
      long multiplyAdds,
      long activationBytes,
      int receptiveField) {}

  public Summary {
    rows = List.copyOf(rows);
  }

  /** The table of a network, with all of its layers, for {@link Shape#usualInput usual images}. */
  public static Summary of(ResNetSpec network) {
    return of(network.layers(), Shape.usualInput(network), EVERYTHING);
  }

  /**
   * Creates the table of a network.
   *
   * @param image the shape of an input
   * @param depth the lowest level with rows; the numbers of lower levels are included in their
   *     parents'
   * @throws IllegalArgumentException if the image does not fit the network, or depth is below 1
   */
  public static Summary of(Layer network, Shape image, int depth) {
    if (depth < 1) {
      throw new IllegalArgumentException("the depth must be at least 1, was " + depth);
    }
    var shaped = ShapedLayer.of(network, image);
    var rows = new ArrayList<Row>();
    for (ShapedLayer child : shaped.children()) {
      add(child, 1, depth, rows);
    }
    return new Summary(shaped, rows);
  }

  /** The table as text: name, kind, output shape, parameters and multiply-adds of each row. */
  @Override
  public String toString() {
    var text = new StringBuilder();
    text.append(line("layer", "kind", "output", "parameters", "multiply-adds"));
    for (Row row : rows) {
      String name = "  ".repeat(row.level - 1) + row.name;
      text.append(
          line(name, row.kind, row.output, number(row.parameters), number(row.multiplyAdds)));
    }
    text.append(
        line(
            "total",
            "",
            network.output(),
            number(network.parameters()),
            number(network.multiplyAdds())));
    return text.toString();
  }

  private static String line(Object... columns) {
    return String.format("%-28s %-28s %14s %14s %16s%n", columns);
  }

  private static String number(long value) {
    return String.format(Locale.ROOT, "%,d", value);
  }

  private static void add(ShapedLayer shaped, int level, int depth, List<Row> rows) {
    if (level > depth || shaped.layer() instanceof Identity) {
      return;
    }
    rows.add(row(shaped, level));
    for (ShapedLayer child : shaped.children()) {
      if (shaped.layer() instanceof Block block && child.layer() != block.shortcut()) {
        child.children().forEach(each -> add(each, level + 1, depth, rows));
      } else {
        add(child, level + 1, depth, rows);
      }
    }
  }

  private static Row row(ShapedLayer shaped, int level) {
    Layer layer = shaped.layer();
    int kernel = 0;
    int stride = 0;
    int groups = 0;
    int dilation = 0;
    switch (layer) {
      case Conv2d conv -> {
        kernel = conv.kernel();
        stride = conv.stride();
        groups = conv.groups();
        dilation = conv.dilation();
      }
      case MaxPool2d pool -> {
        kernel = pool.kernel();
        stride = pool.stride();
      }
      case AvgPool2d pool -> {
        kernel = pool.kernel();
        stride = pool.stride();
      }
      case BlurPool2d pool -> {
        kernel = 3;
        stride = pool.stride();
      }
      case SubsampleAndPad pad -> stride = pad.stride();
      default -> {}
    }
    return new Row(
        layer.name(),
        level,
        kind(layer, level),
        shaped.output(),
        kernel,
        stride,
        groups,
        dilation,
        shaped.parameters(),
        shaped.multiplyAdds(),
        shaped.activationBytes(),
        shaped.receptiveField().size());
  }

  private static String kind(Layer layer, int level) {
    return switch (layer) {
      case Conv2d _ -> "Conv2d";
      case BatchNorm2d _ -> "BatchNorm2d";
      case GroupNorm _ -> "GroupNorm";
      case Relu _ -> "ReLU";
      case MaxPool2d _ -> "MaxPool2d";
      case AvgPool2d _ -> "AvgPool2d";
      case BlurPool2d _ -> "BlurPool2d";
      case SqueezeExcite _ -> "Squeeze-and-Excitation";
      case EfficientAttention _ -> "ECA";
      case GlobalAveragePool _ -> "GlobalAveragePool";
      case Linear _ -> "Linear";
      case Identity _ -> "Identity";
      case SubsampleAndPad _ -> "Shortcut A (subsample, pad)";
      case Residual block -> block.isIdentityBlock() ? "Identity Block" : "Conv Block";
      case PreActivation block ->
          block.isIdentityBlock() ? "Identity Block (pre-act)" : "Conv Block (pre-act)";
      case Sequential _ ->
          switch (level) {
            case 1 -> "Stage";
            case 2 -> "Plain Block";
            default ->
                layer.children().getFirst() instanceof AvgPool2d
                    ? "Shortcut D (average, projection)"
                    : "Shortcut B (projection)";
          };
    };
  }
}
