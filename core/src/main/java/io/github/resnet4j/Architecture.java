package io.github.resnet4j;

import static io.github.resnet4j.ResNetSpec.Block.BASIC;
import static io.github.resnet4j.ResNetSpec.Block.BOTTLENECK;

import io.github.resnet4j.ResNetSpec.Builder;
import io.github.resnet4j.ResNetSpec.Downsampling;
import io.github.resnet4j.ResNetSpec.StageWidths;
import io.github.resnet4j.messages.Suggestion;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.SequencedMap;
import java.util.function.UnaryOperator;

/** The catalogue: all named networks, with the names of torchvision and the papers. */
public final class Architecture {
  private static final SequencedMap<String, ResNetSpec> CATALOGUE = build();

  private Architecture() {}

  /** All networks by name, in the order of the papers, as an unmodifiable map. */
  public static SequencedMap<String, ResNetSpec> catalogue() {
    return CATALOGUE;
  }

  /** The name of a network, whatever its head and the channels of its images. */
  public static Optional<String> nameOf(ResNetSpec spec) {
    return CATALOGUE.entrySet().stream()
        .filter(entry ->
            entry.getValue().toBuilder()
                .head(spec.head())
                .inChannels(spec.inChannels())
                .build()
                .equals(spec))
        .map(Map.Entry::getKey)
        .findFirst();
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
    all.put("resnext101_32x4d", resnext(32, 4, 3, 4, 23, 3));
    all.put("resnext101_32x8d", resnext(32, 8, 3, 4, 23, 3));
    all.put("resnext101_32x16d", resnext(32, 16, 3, 4, 23, 3));
    all.put("resnext101_32x32d", resnext(32, 32, 3, 4, 23, 3));
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
    // Bag of Tricks, arXiv 1812.01187, and similar networks with timm's names.
    all.put("resnet26", ResNetSpec.builder(BOTTLENECK, 2, 2, 2, 2).build());
    all.put("resnet200", ResNetSpec.builder(BOTTLENECK, 3, 24, 36, 3).build());
    for (String base : List.of("resnet50", "resnet101", "resnet152")) {
      like(all, base + "c", base, spec -> spec.stem(Stem.deep(64)));
      like(all, base + "s", base, spec -> spec.stem(Stem.deep(128)));
    }
    all.put("resnet18d", tricks(BASIC, Stem.deep(64), 2, 2, 2, 2));
    all.put("resnet34d", tricks(BASIC, Stem.deep(64), 3, 4, 6, 3));
    all.put("resnet26d", tricks(BOTTLENECK, Stem.deep(64), 2, 2, 2, 2));
    all.put("resnet50d", tricks(BOTTLENECK, Stem.deep(64), 3, 4, 6, 3));
    all.put("resnet101d", tricks(BOTTLENECK, Stem.deep(64), 3, 4, 23, 3));
    all.put("resnet152d", tricks(BOTTLENECK, Stem.deep(64), 3, 8, 36, 3));
    all.put("resnet200d", tricks(BOTTLENECK, Stem.deep(64), 3, 24, 36, 3));
    all.put("resnet10t", tricks(BASIC, Stem.deepTiered(64), 1, 1, 1, 1));
    all.put("resnet14t", tricks(BOTTLENECK, Stem.deepTiered(64), 1, 1, 1, 1));
    all.put("resnet26t", tricks(BOTTLENECK, Stem.deepTiered(64), 2, 2, 2, 2));
    all.put("resnet50t", tricks(BOTTLENECK, Stem.deepTiered(64), 3, 4, 6, 3));
    like(all, "resnext50d_32x4d", "resnet50d", base -> base.groups(32).widthPerGroup(4));
    // With channel attention, arXiv 1709.01507 and 1910.03151.
    for (String base :
        List.of(
            "resnet18",
            "resnet34",
            "resnet50",
            "resnet101",
            "resnet152",
            "resnet50t",
            "resnet152d",
            "resnet200d",
            "resnext50_32x4d",
            "resnext101_32x4d",
            "resnext101_32x8d",
            "resnext101_64x4d")) {
      like(all, "se" + base, base, spec -> spec.attention(new Attention.SqueezeExcite(16)));
    }
    like(all, "seresnext26d_32x4d", "resnet26d", Architecture::seresnext);
    like(all, "seresnext26t_32x4d", "resnet26t", Architecture::seresnext);
    like(all, "seresnext101d_32x8d", "resnet101d", base -> seresnext(base).widthPerGroup(8));
    ResNetSpec resnet269d = tricks(BOTTLENECK, Stem.deep(64), 3, 30, 48, 8);
    all.put(
        "seresnet269d", resnet269d.toBuilder().attention(new Attention.SqueezeExcite(16)).build());
    all.put("senet154", senet154());
    for (String base : List.of("resnet26t", "resnet50t", "resnet50d", "resnet101d", "resnet200d")) {
      like(all, "eca" + base, base, Architecture::eca);
    }
    all.put("ecaresnet269d", eca(resnet269d.toBuilder()).build());
    all.put(
        "ecaresnetlight", eca(tricks(BOTTLENECK, Stem.IMAGENET, 1, 1, 11, 3).toBuilder()).build());
    for (String depth : List.of("26", "50")) {
      like(
          all,
          "ecaresnext" + depth + "t_32x4d",
          "ecaresnet" + depth + "t",
          base -> base.groups(32).widthPerGroup(4));
    }
    like(
        all, "ecaresnet50d_pruned", "ecaresnet50d", base -> base.widths(PrunedWidths.ECARESNET50D));
    like(
        all,
        "ecaresnet101d_pruned",
        "ecaresnet101d",
        base -> base.widths(PrunedWidths.ECARESNET101D));
    // With group norm, arXiv 1803.08494.
    like(all, "resnet50_gn", "resnet50", base -> base.norm(new Norm.GroupNorm(32)));
    // Anti-aliased strides, arXiv 1904.11486, and average pooling instead.
    for (String base : List.of("18", "50", "50d", "101d")) {
      like(all, "resnetblur" + base, "resnet" + base, spec -> spec.downsampling(Downsampling.BLUR));
    }
    for (String base : List.of("34d", "50", "50d", "101d")) {
      like(
          all, "resnetaa" + base, "resnet" + base, spec -> spec.downsampling(Downsampling.AVERAGE));
    }
    like(
        all,
        "seresnetaa50d",
        "resnetaa50d",
        base -> base.attention(new Attention.SqueezeExcite(16)));
    like(
        all,
        "seresnextaa101d_32x8d",
        "seresnext101d_32x8d",
        base -> base.downsampling(Downsampling.AVERAGE));
    all.put(
        "seresnextaa201d_32x8d",
        seresnext(tricks(BOTTLENECK, Stem.deep(128), 3, 24, 36, 4).toBuilder())
            .widthPerGroup(8)
            .downsampling(Downsampling.AVERAGE)
            .build());
    // Revisiting ResNets, arXiv 2103.07579, table 1.
    all.put("resnetrs50", revisited(3, 4, 6, 3));
    all.put("resnetrs101", revisited(3, 4, 23, 3));
    all.put("resnetrs152", revisited(3, 8, 36, 3));
    all.put("resnetrs200", revisited(3, 24, 36, 3));
    all.put("resnetrs270", revisited(4, 29, 53, 4));
    all.put("resnetrs350", revisited(4, 36, 72, 4));
    all.put("resnetrs420", revisited(4, 44, 87, 4));
    // Identity Mappings in Deep Residual Networks, arXiv 1603.05027, with timm's names.
    for (String base :
        List.of(
            "resnet18",
            "resnet18d",
            "resnet34",
            "resnet34d",
            "resnet50",
            "resnet50d",
            "resnet50t",
            "resnet101",
            "resnet101d",
            "resnet152",
            "resnet152d")) {
      like(
          all,
          base.replace("resnet", "resnetv2_"),
          base,
          spec -> spec.activation(ResNetSpec.Activation.PRE));
    }
    like(all, "resnetv2_50d_gn", "resnetv2_50d", base -> base.norm(new Norm.GroupNorm(32)));
    // The CIFAR networks of its section 4: 9n + 2 layers, strides on the first 1×1.
    for (int n : new int[] {18, 111}) {
      all.put(
          "resnetv2_" + (9 * n + 2),
          ResNetSpec.builder(BOTTLENECK, n, n, n)
              .channels(16)
              .stem(Stem.SMALL_IMAGE)
              .activation(ResNetSpec.Activation.PRE)
              .stridePlacement(ResNetSpec.StridePlacement.FIRST_1X1)
              .numClasses(10)
              .build());
    }
    // Big Transfer, arXiv 1912.11370: depth × width.
    for (String size : List.of("50x1", "50x3", "101x1", "101x3", "152x2", "152x4")) {
      String[] numbers = size.split("x", -1);
      like(
          all,
          "resnetv2_" + size + "_bit",
          "resnetv2_" + numbers[0],
          base ->
              base.channels(64 * Integer.parseInt(numbers[1]))
                  .norm(new Norm.StandardizedGroupNorm(32)));
    }
    // timm's smallest network, which its own tests use.
    all.put(
        "test_resnet",
        tricks(BASIC, Stem.deep(32), 1, 1, 1, 1).toBuilder()
            .channels(32)
            .widths(
                List.of(
                    new StageWidths(32, List.of(List.of(32))),
                    new StageWidths(48, List.of(List.of(48))),
                    new StageWidths(192, List.of(List.of(48, 48))),
                    new StageWidths(96, List.of(List.of(96)))))
            .build());
    return Collections.unmodifiableSequencedMap(all);
  }

  private static ResNetSpec resnext(int groups, int widthPerGroup, Integer... blocks) {
    return ResNetSpec.builder(BOTTLENECK, blocks)
        .groups(groups)
        .widthPerGroup(widthPerGroup)
        .build();
  }

  /** A variant of another network of the catalogue. */
  private static void like(
      Map<String, ResNetSpec> all, String name, String base, UnaryOperator<Builder> change) {
    all.put(name, change.apply(Objects.requireNonNull(all.get(base)).toBuilder()).build());
  }

  private static Builder seresnext(Builder base) {
    return base.groups(32).widthPerGroup(4).attention(new Attention.SqueezeExcite(16));
  }

  private static Builder eca(Builder base) {
    return base.attention(new Attention.Efficient());
  }

  /** Half as many channels in the first convolution of a block (arXiv 1709.01507, section 6.3). */
  private static ResNetSpec senet154() {
    var blocks = List.of(3, 8, 36, 3);
    var widths = new ArrayList<StageWidths>();
    for (int stage = 0; stage < blocks.size(); stage++) {
      int out = 256 << stage;
      widths.add(
          new StageWidths(out, Collections.nCopies(blocks.get(stage), List.of(out / 2, out))));
    }
    return ResNetSpec.builder(BOTTLENECK, blocks.toArray(Integer[]::new))
        .stem(Stem.deep(128))
        .groups(64)
        .widths(widths)
        .shortcut(ResNetSpec.Shortcut.PROJECTION_3X3)
        .attention(new Attention.SqueezeExcite(16))
        .build();
  }

  private static ResNetSpec revisited(Integer... blocks) {
    return tricks(BOTTLENECK, Stem.deepStrided(64), blocks).toBuilder()
        .attention(new Attention.SqueezeExcite(4))
        .build();
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
   * The network with this name.
   *
   * @throws IllegalArgumentException suggesting similar names
   */
  public static ResNetSpec named(String name) {
    ResNetSpec spec = CATALOGUE.get(name);
    if (spec == null) {
      throw new IllegalArgumentException(
          "no network is named '%s'%s; 'resnet4j models' lists all %d"
              .formatted(name, Suggestion.of(name, CATALOGUE.keySet()), CATALOGUE.size()));
    }
    return spec;
  }
}
