package io.github.resnet4j.onnx;

import io.github.resnet4j.ResNetSpec;
import io.github.resnet4j.ResNetSpec.Attention;
import io.github.resnet4j.ResNetSpec.Block;
import io.github.resnet4j.ResNetSpec.Downsampling;
import io.github.resnet4j.ResNetSpec.Shortcut;
import io.github.resnet4j.ResNetSpec.Stem;
import io.github.resnet4j.ResNetSpec.StridePlacement;
import io.github.resnet4j.onnx.Step.Convolution;
import java.util.ArrayList;
import java.util.List;

/**
 * The network that steps look like. {@link WeightsOfGraph} compares them with its layers
 * afterwards, so what is taken here from the first of many need not be true for the others.
 */
final class SpecificationOfGraph {
  private SpecificationOfGraph() {}

  static ResNetSpec of(List<Step> steps) throws Unfit {
    List<Step.Block> blocks = all(steps, Step.Block.class);
    if (blocks.isEmpty()) {
      throw Unfit.at(steps.getLast().node(), "where a residual block was expected");
    }
    List<Step> begin = steps.subList(0, steps.indexOf(blocks.getFirst()));
    List<Convolution> stem = all(begin, Convolution.class);
    if (stem.isEmpty()) {
      throw Unfit.at(blocks.getFirst().node(), "ends a block before the first convolution");
    }
    int convolutions = all(blocks.getFirst().main(), Convolution.class).size();
    if (convolutions != 2 && convolutions != 3) {
      throw Unfit.at(
          blocks.getFirst().node(), "ends a block of %d convolutions".formatted(convolutions));
    }
    var downsampling = Downsampling.STRIDE;
    if (has(begin, Step.Blur.class)) {
      downsampling = Downsampling.BLUR;
    } else if (has(begin, Step.AveragePool.class)) {
      downsampling = Downsampling.AVERAGE;
    }
    boolean pools = has(begin, Step.MaxPool.class) || has(begin, Step.AveragePool.class);
    int channels = stem.getLast().out();
    var builder =
        ResNetSpec.builder(convolutions == 3 ? Block.BOTTLENECK : Block.BASIC, 1)
            .channels(channels)
            .inChannels(Math.toIntExact(stem.getFirst().weight().shape().get(1)))
            .stem(stem(stem, pools))
            .downsampling(downsampling)
            .attention(attention(blocks.getFirst().main()))
            .shortcut(shortcut(blocks));
    if (convolutions == 3) {
      Convolution inner = all(blocks.getFirst().main(), Convolution.class).get(1);
      int groups = Math.toIntExact(Math.max(1, inner.node().integer("group", 1)));
      builder
          .groups(groups)
          .widthPerGroup(Math.toIntExact(Math.ceilDiv(inner.out() / groups * 64L, channels)));
    }
    List<Step.Linear> heads = all(steps, Step.Linear.class);
    if (heads.isEmpty()) {
      builder.includeTop(false);
    } else {
      builder.numClasses(Math.toIntExact(heads.getFirst().out()));
    }
    return withStages(builder.build(), blocks, convolutions);
  }

  private static <T extends Step> List<T> all(List<Step> steps, Class<T> kind) {
    return steps.stream().filter(kind::isInstance).map(kind::cast).toList();
  }

  private static boolean has(List<Step> steps, Class<? extends Step> kind) {
    return steps.stream().anyMatch(kind::isInstance);
  }

  private static ResNetSpec withStages(ResNetSpec spec, List<Step.Block> blocks, int convolutions)
      throws Unfit {
    var stages = new ArrayList<Integer>();
    var dilated = new ArrayList<Boolean>();
    boolean first1x1 = false;
    for (Step.Block block : blocks) {
      List<Convolution> units = all(block.main(), Convolution.class);
      if (units.size() != convolutions) {
        throw Unfit.at(block.node(), "ends a block of another kind than the first");
      }
      boolean changes = !block.shortcut().isEmpty();
      if (changes && !stages.isEmpty()) {
        int stride = units.stream().mapToInt(Convolution::stride).max().orElse(1);
        boolean smaller =
            has(block.main(), Step.Blur.class) || has(block.main(), Step.AveragePool.class);
        dilated.add(stride == 1 && !smaller);
        first1x1 |= convolutions == 3 && units.getFirst().stride() > 1;
      }
      if (changes || stages.isEmpty()) {
        stages.add(0);
      }
      stages.set(stages.size() - 1, stages.getLast() + 1);
    }
    var builder =
        ResNetSpec.builder(spec.block(), stages.toArray(Integer[]::new))
            .channels(spec.channels())
            .inChannels(spec.inChannels())
            .stem(spec.stem())
            .downsampling(spec.downsampling())
            .attention(spec.attention())
            .shortcut(spec.shortcut())
            .groups(spec.groups())
            .widthPerGroup(spec.widthPerGroup())
            .numClasses(spec.numClasses())
            .includeTop(spec.includeTop())
            .stridePlacement(first1x1 ? StridePlacement.FIRST_1X1 : StridePlacement.ON_3X3)
            .dilated(dilated);
    return builder.build();
  }

  private static Shortcut shortcut(List<Step.Block> blocks) {
    Shortcut shortcut = Shortcut.PROJECTION;
    for (Step.Block block : blocks) {
      if (has(block.shortcut(), Step.ZeroPad.class)) {
        shortcut = Shortcut.ZERO_PAD;
      } else if (has(block.shortcut(), Step.AveragePool.class)) {
        shortcut = Shortcut.AVERAGE_POOL;
      }
    }
    return shortcut;
  }

  private static Attention attention(List<Step> main) {
    List<Step.Gates> gates = all(main, Step.Gates.class);
    if (gates.isEmpty()) {
      return Attention.NONE;
    }
    List<Convolution> convolutions = gates.getFirst().convolutions();
    if (convolutions.size() == 1) {
      return Attention.EFFICIENT;
    }
    List<Long> squeeze = convolutions.getFirst().weight().shape();
    return squeeze.get(0) * 8 > squeeze.get(1)
        ? Attention.SQUEEZE_EXCITE_QUARTER
        : Attention.SQUEEZE_EXCITE;
  }

  private static Stem stem(List<Convolution> units, boolean pools) throws Unfit {
    if (units.size() == 1) {
      return pools ? Stem.IMAGENET : Stem.SMALL_IMAGE;
    }
    List<Integer> widths = units.stream().map(Convolution::out).toList();
    if (!pools && widths.size() == 4 && widths.get(2).equals(widths.get(3))) {
      return Stem.DEEP_STRIDED;
    }
    for (Stem stem : List.of(Stem.DEEP, Stem.DEEP_TIERED)) {
      if (pools && stem.widths(widths.getLast()).equals(widths)) {
        return stem;
      }
    }
    throw Unfit.at(
        units.getFirst().node(),
        units.size() > 4
            ? "begins a stem of %d convolutions".formatted(units.size())
            : "begins a stem of convolutions to %s channels".formatted(widths));
  }
}
