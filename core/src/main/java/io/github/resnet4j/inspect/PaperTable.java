package io.github.resnet4j.inspect;

import io.github.resnet4j.ResNetSpec;
import io.github.resnet4j.nn.Layer;
import io.github.resnet4j.nn.Layer.Block;
import io.github.resnet4j.nn.Layer.Conv2d;
import io.github.resnet4j.nn.Layer.Linear;
import io.github.resnet4j.nn.Layer.MaxPool2d;
import io.github.resnet4j.nn.Layer.Sequential;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.SequencedMap;
import java.util.function.ToDoubleFunction;

/**
 * A table of networks side by side, like table 1 of Deep Residual Learning (arXiv 1512.03385), with
 * ResNeXt's groups as {@code C} (arXiv 1611.05431, table 1).
 *
 * @param columns {@code layer}, {@code output}, and the networks' names
 * @param rows one cell for each column
 */
public record PaperTable(List<String> columns, List<List<String>> rows) {
  /**
   * Creates the table.
   *
   * @param networks the networks by name, all with the same number of stages
   * @param image the shape of an input
   * @throws IllegalArgumentException if there are none, or their numbers of stages differ
   */
  public static PaperTable of(SequencedMap<String, ResNetSpec> networks, Shape image) {
    int stages =
        networks.values().stream()
            .map(spec -> spec.blocks().size())
            .distinct()
            .reduce((_, _) -> -1)
            .orElse(-1);
    if (stages < 0) {
      throw new IllegalArgumentException(
          "a table needs networks with the same number of stages, not " + networks.keySet());
    }
    var columns = new ArrayList<>(List.of("layer", "output"));
    columns.addAll(networks.keySet());
    List<ShapedLayer> shaped =
        networks.values().stream().map(spec -> ShapedLayer.of(spec.layers(), image)).toList();
    var rows = new ArrayList<List<String>>();
    rows.add(row("conv1", shaped, network -> only(stem(network), Conv2d.class)));
    for (int stage = 1; stage <= stages; stage++) {
      int index = stage - 1;
      rows.add(row("conv" + (stage + 1) + "_x", shaped, network -> List.of(stage(network, index))));
    }
    rows.add(row("head", shaped, PaperTable::head));
    rows.add(numbers("parameters", shaped, network -> network.parameters() / 1e6, "M"));
    rows.add(numbers("multiply-adds", shaped, network -> network.multiplyAdds() / 1e9, "G"));
    return new PaperTable(List.copyOf(columns), List.copyOf(rows));
  }

  private interface LayerSelector {
    List<ShapedLayer> of(ShapedLayer network);
  }

  private static List<String> row(
      String title, List<ShapedLayer> networks, LayerSelector selector) {
    var cells = new ArrayList<>(List.of(title, ""));
    for (ShapedLayer network : networks) {
      List<ShapedLayer> layers = selector.of(network);
      if (layers.isEmpty()) {
        cells.add("-");
        continue;
      }
      ShapedLayer last = layers.getLast();
      boolean vector = last.output().height() == 1 && last.output().width() == 1;
      String extent = vector ? "1×1" : last.output().extent();
      cells.set(1, cells.get(1).isEmpty() || cells.get(1).equals(extent) ? extent : "differs");
      cells.add(String.join("; ", layers.stream().map(layer -> cell(network, layer)).toList()));
    }
    return List.copyOf(cells);
  }

  private static List<String> numbers(
      String title, List<ShapedLayer> networks, ToDoubleFunction<ShapedLayer> number, String unit) {
    var cells = new ArrayList<>(List.of(title, ""));
    for (ShapedLayer network : networks) {
      cells.add(String.format(Locale.ROOT, "%.2f %s", number.applyAsDouble(network), unit));
    }
    return List.copyOf(cells);
  }

  private static List<ShapedLayer> stem(ShapedLayer network) {
    return network.children().stream().takeWhile(child -> child.children().isEmpty()).toList();
  }

  private static List<ShapedLayer> only(List<ShapedLayer> layers, Class<? extends Layer> kind) {
    return layers.stream().filter(each -> kind.isInstance(each.layer())).toList();
  }

  private static ShapedLayer stage(ShapedLayer network, int index) {
    return network.children().stream()
        .filter(child -> child.layer() instanceof Sequential)
        .skip(index)
        .findFirst()
        .orElseThrow();
  }

  private static List<ShapedLayer> head(ShapedLayer network) {
    return only(network.children(), Linear.class);
  }

  private static String cell(ShapedLayer network, ShapedLayer shaped) {
    return switch (shaped.layer()) {
      case Conv2d conv -> window(conv) + (conv.stride() > 1 ? ", stride " + conv.stride() : "");
      case Linear linear -> "average pool, %d-d fc".formatted(linear.out());
      case Sequential stage -> {
        String block = block(stage.layers().getFirst());
        String pool =
            network.children().indexOf(shaped) > 0
                    && before(network, shaped).layer() instanceof MaxPool2d max
                ? "%d×%d max pool, stride %d; ".formatted(max.kernel(), max.kernel(), max.stride())
                : "";
        yield "%s[%s] × %d".formatted(pool, block, stage.layers().size());
      }
      default -> throw new IllegalStateException(shaped.layer().name());
    };
  }

  private static ShapedLayer before(ShapedLayer network, ShapedLayer child) {
    return network.children().get(network.children().indexOf(child) - 1);
  }

  private static String block(Layer block) {
    List<Layer> layers =
        switch (block) {
          case Block residual -> residual.main().layers();
          case Sequential plain -> plain.layers();
          default -> throw new IllegalStateException(block.name());
        };
    return String.join(
        "; ",
        layers.stream()
            .filter(Conv2d.class::isInstance)
            .map(layer -> window((Conv2d) layer))
            .toList());
  }

  private static String window(Conv2d conv) {
    String groups = conv.groups() > 1 ? ", C=" + conv.groups() : "";
    return "%d×%d, %d%s".formatted(conv.kernel(), conv.kernel(), conv.outChannels(), groups);
  }
}
