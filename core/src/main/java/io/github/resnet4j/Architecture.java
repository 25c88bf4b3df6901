package io.github.resnet4j;

import static io.github.resnet4j.ResNetSpec.Block.BASIC;
import static io.github.resnet4j.ResNetSpec.Block.BOTTLENECK;

import io.github.resnet4j.ResNetSpec.Attention;
import io.github.resnet4j.ResNetSpec.Stem;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Objects;
import java.util.SequencedMap;

/**
 * The catalogue: every network of the family that has a name, as torchvision and the papers name
 * them.
 */
public final class Architecture {
  private static final SequencedMap<String, ResNetSpec> CATALOGUE = build();

  private Architecture() {}

  /** All networks by name, in the order of the papers; the map cannot be changed. */
  public static SequencedMap<String, ResNetSpec> catalogue() {
    return CATALOGUE;
  }

  private static SequencedMap<String, ResNetSpec> build() {
    var all = new LinkedHashMap<String, ResNetSpec>();
    // Deep Residual Learning, arXiv 1512.03385, table 1.
    all.put("resnet18", ResNetSpec.builder(BASIC, 2, 2, 2, 2).build());
    all.put("resnet34", ResNetSpec.builder(BASIC, 3, 4, 6, 3).build());
    all.put("resnet50", ResNetSpec.builder(BOTTLENECK, 3, 4, 6, 3).build());
    all.put("resnet101", ResNetSpec.builder(BOTTLENECK, 3, 4, 23, 3).build());
    all.put("resnet152", ResNetSpec.builder(BOTTLENECK, 3, 8, 36, 3).build());
    // Aggregated Residual Transformations, arXiv 1611.05431: groups × width.
    all.put("resnext50_32x4d", resnext(32, 4, 3, 4, 6, 3));
    all.put("resnext101_32x8d", resnext(32, 8, 3, 4, 23, 3));
    all.put("resnext101_64x4d", resnext(64, 4, 3, 4, 23, 3));
    // Wide Residual Networks, arXiv 1605.07146: twice the inner width.
    all.put(
        "wide_resnet50_2", ResNetSpec.builder(BOTTLENECK, 3, 4, 6, 3).widthPerGroup(128).build());
    all.put(
        "wide_resnet101_2", ResNetSpec.builder(BOTTLENECK, 3, 4, 23, 3).widthPerGroup(128).build());
    // The CIFAR networks of section 4.2: 6n + 2 layers.
    for (int n : new int[] {1, 3, 5, 7, 9, 18}) {
      all.put("resnet" + (6 * n + 2), cifar(n));
    }
    // Bag of Tricks, arXiv 1812.01187, and its relatives as timm names them.
    all.put("resnet26", ResNetSpec.builder(BOTTLENECK, 2, 2, 2, 2).build());
    all.put("resnet50c", ResNetSpec.builder(BOTTLENECK, 3, 4, 6, 3).stem(Stem.DEEP).build());
    all.put("resnet18d", tricks(BASIC, Stem.DEEP, 2, 2, 2, 2));
    all.put("resnet34d", tricks(BASIC, Stem.DEEP, 3, 4, 6, 3));
    all.put("resnet26d", tricks(BOTTLENECK, Stem.DEEP, 2, 2, 2, 2));
    all.put("resnet50d", tricks(BOTTLENECK, Stem.DEEP, 3, 4, 6, 3));
    all.put("resnet101d", tricks(BOTTLENECK, Stem.DEEP, 3, 4, 23, 3));
    all.put("resnet152d", tricks(BOTTLENECK, Stem.DEEP, 3, 8, 36, 3));
    all.put("resnet200d", tricks(BOTTLENECK, Stem.DEEP, 3, 24, 36, 3));
    all.put("resnet10t", tricks(BASIC, Stem.DEEP_TIERED, 1, 1, 1, 1));
    all.put("resnet14t", tricks(BOTTLENECK, Stem.DEEP_TIERED, 1, 1, 1, 1));
    all.put("resnet26t", tricks(BOTTLENECK, Stem.DEEP_TIERED, 2, 2, 2, 2));
    all.put("resnet50t", tricks(BOTTLENECK, Stem.DEEP_TIERED, 3, 4, 6, 3));
    // The same with channel attention, arXiv 1709.01507 and 1910.03151.
    attend(all, "seresnet18", "resnet18", Attention.SQUEEZE_EXCITE);
    attend(all, "seresnet34", "resnet34", Attention.SQUEEZE_EXCITE);
    attend(all, "seresnet50", "resnet50", Attention.SQUEEZE_EXCITE);
    attend(all, "seresnet101", "resnet101", Attention.SQUEEZE_EXCITE);
    attend(all, "seresnet152", "resnet152", Attention.SQUEEZE_EXCITE);
    attend(all, "seresnext50_32x4d", "resnext50_32x4d", Attention.SQUEEZE_EXCITE);
    attend(all, "ecaresnet26t", "resnet26t", Attention.EFFICIENT);
    attend(all, "ecaresnet50d", "resnet50d", Attention.EFFICIENT);
    attend(all, "ecaresnet101d", "resnet101d", Attention.EFFICIENT);
    return Collections.unmodifiableSequencedMap(all);
  }

  private static ResNetSpec resnext(int groups, int widthPerGroup, Integer... blocks) {
    return ResNetSpec.builder(BOTTLENECK, blocks)
        .groups(groups)
        .widthPerGroup(widthPerGroup)
        .build();
  }

  private static void attend(
      Map<String, ResNetSpec> all, String name, String base, Attention attention) {
    ResNetSpec plain = Objects.requireNonNull(all.get(base));
    all.put(name, plain.toBuilder().attention(attention).build());
  }

  private static ResNetSpec tricks(ResNetSpec.Block block, Stem stem, Integer... blocks) {
    return ResNetSpec.builder(block, blocks)
        .stem(stem)
        .shortcut(ResNetSpec.Shortcut.AVERAGE_POOL)
        .build();
  }

  private static ResNetSpec cifar(int n) {
    return ResNetSpec.builder(BASIC, n, n, n)
        .channels(16)
        .stem(Stem.SMALL_IMAGE)
        .shortcut(ResNetSpec.Shortcut.ZERO_PAD)
        .numClasses(10)
        .build();
  }

  /**
   * The network of that name.
   *
   * @throws IllegalArgumentException listing the names there are
   */
  public static ResNetSpec named(String name) {
    ResNetSpec spec = CATALOGUE.get(name);
    if (spec == null) {
      throw new IllegalArgumentException(
          "no network is named '%s'; there are %s"
              .formatted(name, String.join(", ", CATALOGUE.keySet())));
    }
    return spec;
  }
}
