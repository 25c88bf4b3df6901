package io.github.resnet4j.onnx;

import io.github.resnet4j.Attention;
import io.github.resnet4j.Norm;
import io.github.resnet4j.ResNetSpec;
import io.github.resnet4j.ResNetSpec.Activation;
import io.github.resnet4j.ResNetSpec.Block;
import io.github.resnet4j.ResNetSpec.Downsampling;
import io.github.resnet4j.ResNetSpec.Shortcut;
import io.github.resnet4j.ResNetSpec.StageWidths;
import io.github.resnet4j.ResNetSpec.StridePlacement;
import io.github.resnet4j.Stem;
import io.github.resnet4j.onnx.ParsedLayer.Convolution;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;

/**
 * Derives a specification from the parsed layers. Some values are taken from the first of several
 * layers only; {@link GraphWeights} compares all layers with the specification afterwards.
 */
final class GraphSpecification {
  private GraphSpecification() {}

  static ResNetSpec of(List<ParsedLayer> layers) throws UnsupportedGraphException {
    List<ParsedLayer.Block> blocks = all(layers, ParsedLayer.Block.class);
    if (blocks.isEmpty()) {
      throw UnsupportedGraphException.at(
          layers.getLast().node(), "is found where a residual block was expected");
    }
    List<ParsedLayer> begin = layers.subList(0, layers.indexOf(blocks.getFirst()));
    List<Convolution> stem = all(begin, Convolution.class);
    if (stem.isEmpty()) {
      throw UnsupportedGraphException.at(
          blocks.getFirst().node(), "ends a block before the first convolution");
    }
    int convolutions = all(blocks.getFirst().main(), Convolution.class).size();
    if (convolutions != 2 && convolutions != 3) {
      throw UnsupportedGraphException.at(
          blocks.getFirst().node(), "ends a block of %d convolutions".formatted(convolutions));
    }
    var downsampling = Downsampling.STRIDE;
    if (has(begin, ParsedLayer.Blur.class)) {
      downsampling = Downsampling.BLUR;
    } else if (has(begin, ParsedLayer.AveragePool.class)) {
      downsampling = Downsampling.AVERAGE;
    }
    boolean pools =
        has(begin, ParsedLayer.MaxPool.class) || has(begin, ParsedLayer.AveragePool.class);
    var builder =
        ResNetSpec.builder(convolutions == 3 ? Block.BOTTLENECK : Block.BASIC, 1)
            .channels(stem.getLast().out())
            .inChannels(Math.toIntExact(stem.getFirst().weight().shape().get(1)))
            .stem(stem(stem, pools))
            .downsampling(downsampling)
            .attention(attention(blocks))
            .shortcut(shortcut(blocks))
            .norm(norm(layers))
            .activation(blocks.getFirst().rectified() ? Activation.POST : Activation.PRE);
    if (convolutions == 3) {
      Convolution inner = all(blocks.getFirst().main(), Convolution.class).get(1);
      builder.groups(Math.toIntExact(Math.max(1, inner.node().integer("group", 1))));
    }
    List<ParsedLayer.Linear> heads = all(layers, ParsedLayer.Linear.class);
    if (heads.isEmpty()) {
      builder.includeTop(false);
    } else {
      builder.numClasses(Math.toIntExact(heads.getFirst().out()));
    }
    return withStages(builder.build(), blocks);
  }

  private static <T extends ParsedLayer> List<T> all(List<ParsedLayer> layers, Class<T> kind) {
    return layers.stream().filter(kind::isInstance).map(kind::cast).toList();
  }

  private static boolean has(List<ParsedLayer> layers, Class<? extends ParsedLayer> kind) {
    return layers.stream().anyMatch(kind::isInstance);
  }

  private static ResNetSpec withStages(ResNetSpec spec, List<ParsedLayer.Block> blocks)
      throws UnsupportedGraphException {
    var stages = new ArrayList<Integer>();
    var inner = new ArrayList<List<List<Integer>>>();
    var outs = new ArrayList<Integer>();
    var dilated = new ArrayList<Boolean>();
    boolean first1x1 = false;
    for (ParsedLayer.Block block : blocks) {
      List<Convolution> units = all(block.main(), Convolution.class);
      if (units.size() != 2 && units.size() != 3) {
        throw UnsupportedGraphException.at(
            block.node(), "ends a block of %d convolutions".formatted(units.size()));
      }
      boolean changes = !block.shortcut().isEmpty();
      if (changes && !stages.isEmpty()) {
        dilated.add(
            block.main().stream()
                .filter(layer ->
                    layer instanceof Convolution
                        || layer instanceof ParsedLayer.Blur
                        || layer instanceof ParsedLayer.AveragePool)
                .allMatch(layer -> layer.stride() == 1));
        first1x1 |= units.size() == 3 && units.getFirst().stride() > 1;
      }
      if (changes || stages.isEmpty()) {
        stages.add(0);
        inner.add(new ArrayList<>());
        outs.add(units.getLast().out());
      }
      inner
          .getLast()
          .add(units.subList(0, units.size() - 1).stream().map(Convolution::out).toList());
      stages.set(stages.size() - 1, stages.getLast() + 1);
    }
    var builder =
        ResNetSpec.builder(spec.block(), stages.toArray(Integer[]::new))
            .inChannels(spec.inChannels())
            .stem(spec.stem())
            .downsampling(spec.downsampling())
            .attention(spec.attention())
            .shortcut(spec.shortcut())
            .groups(spec.groups())
            .norm(spec.norm())
            .activation(spec.activation())
            .head(spec.head())
            .stridePlacement(first1x1 ? StridePlacement.FIRST_1X1 : StridePlacement.ON_3X3)
            .dilated(dilated);
    var widths = new ArrayList<StageWidths>();
    for (int stage = 0; stage < outs.size(); stage++) {
      widths.add(new StageWidths(outs.get(stage), inner.get(stage)));
    }
    return builder.widths(widths, spec.channels()).build();
  }

  private static Norm norm(List<ParsedLayer> layers) throws UnsupportedGraphException {
    var all = new ArrayList<ParsedLayer>();
    for (ParsedLayer layer : layers) {
      if (layer instanceof ParsedLayer.Block block) {
        all.addAll(block.main());
        all.addAll(block.shortcut());
      } else {
        all.add(layer);
      }
    }
    List<ParsedLayer.GroupNorm> norms = all(all, ParsedLayer.GroupNorm.class);
    if (norms.isEmpty()) {
      return Norm.BATCH;
    }
    int groups = norms.getFirst().groups();
    for (Convolution conv : all(all, Convolution.class)) {
      if (!StandardizedWeights.isStandardized(conv)) {
        return new Norm.GroupNorm(groups);
      }
    }
    return new Norm.StandardizedGroupNorm(groups);
  }

  private static Shortcut shortcut(List<ParsedLayer.Block> blocks) {
    Shortcut shortcut = Shortcut.PROJECTION;
    for (ParsedLayer.Block block : blocks) {
      if (has(block.shortcut(), ParsedLayer.ZeroPad.class)) {
        shortcut = Shortcut.ZERO_PAD;
      } else if (has(block.shortcut(), ParsedLayer.AveragePool.class)) {
        shortcut = Shortcut.AVERAGE_POOL;
      } else if (all(block.shortcut(), Convolution.class).stream()
          .anyMatch(projection -> projection.weight().shape().get(2) == 3)) {
        shortcut = Shortcut.PROJECTION_3X3;
      }
    }
    return shortcut;
  }

  private static Attention attention(List<ParsedLayer.Block> blocks)
      throws UnsupportedGraphException {
    List<ParsedLayer.Gates> gates =
        blocks.stream()
            .flatMap(block -> all(block.main(), ParsedLayer.Gates.class).stream())
            .toList();
    if (gates.isEmpty()) {
      return Attention.NONE;
    }
    if (gates.getFirst().convolutions().size() == 1) {
      return new Attention.Efficient();
    }
    var reduced = new HashMap<Integer, Integer>(); // by the channels of the block
    for (ParsedLayer.Gates attention : gates) {
      List<Long> squeeze = attention.convolutions().getFirst().weight().shape();
      reduced.put(Math.toIntExact(squeeze.get(1)), Math.toIntExact(squeeze.get(0)));
    }
    return Attention.SqueezeExcite.fitting(reduced)
        .orElseThrow(() ->
            UnsupportedGraphException.at(
                gates.getFirst().node(),
                "belongs to a channel attention with an unsupported reduction"));
  }

  private static Stem stem(List<Convolution> units, boolean pools)
      throws UnsupportedGraphException {
    if (units.size() == 1) {
      return pools ? Stem.IMAGENET : Stem.SMALL_IMAGE;
    }
    List<Integer> widths = units.stream().map(Convolution::out).toList();
    if (pools && widths.size() == 3
        || !pools && widths.size() == 4 && widths.get(2).equals(widths.get(3))) {
      return new Stem.Deep(widths.get(0), widths.get(1), widths.get(2), pools);
    }
    throw UnsupportedGraphException.at(
        units.getFirst().node(),
        units.size() > 4
            ? "begins a stem of %d convolutions".formatted(units.size())
            : "begins a stem of convolutions to %s channels".formatted(widths));
  }
}
