package io.github.resnet4j;

import io.github.resnet4j.ResNetSpec.Activation;
import io.github.resnet4j.ResNetSpec.Block;
import io.github.resnet4j.ResNetSpec.Shortcut;
import io.github.resnet4j.ResNetSpec.StageWidths;
import io.github.resnet4j.ResNetSpec.StridePlacement;
import io.github.resnet4j.checkpoint.Checkpoint;
import io.github.resnet4j.checkpoint.CheckpointException;
import io.github.resnet4j.nn.Layer;
import io.github.resnet4j.nn.Parameter;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.stream.Collectors;

/**
 * Recognizes the network of a checkpoint from the names and shapes of its tensors. What these do
 * not show is taken from the metadata of a checkpoint of this project, if it fits.
 *
 * @param spec the network; the file has each of its parameters, with its shape
 * @param name its name in the {@link Architecture} catalogue, ignoring the number of classes and
 *     the head
 * @param assumed assumptions about what the weights do not show, one phrase each
 */
public record Recognition(ResNetSpec spec, Optional<String> name, List<String> assumed) {
  /** Weights do not show the number of groups of a group norm: the paper's number is assumed. */
  private static final int USUAL_NORM_GROUPS = 32;

  /** The reason why it is not a ResNet. */
  private static final class UnrecognizedNetworkException extends Exception {
    private static final long serialVersionUID = 1;

    UnrecognizedNetworkException(String reason) {
      super(reason);
    }
  }

  /**
   * Recognizes the network of a checkpoint.
   *
   * @return empty if it is not a network of this project
   */
  public static Optional<Recognition> of(Checkpoint checkpoint) {
    try {
      return Optional.of(recognize(checkpoint));
    } catch (UnrecognizedNetworkException | CheckpointException _) {
      return Optional.empty();
    }
  }

  /**
   * The same as {@link #of}, but throws an exception instead of returning empty.
   *
   * @throws CheckpointException naming the first tensor that does not fit, the kind of network that
   *     the names suggest, and the nearest network with what is missing, unexpected and misshaped
   */
  public static Recognition require(Checkpoint checkpoint) throws CheckpointException {
    try {
      return recognize(checkpoint);
    } catch (UnrecognizedNetworkException e) {
      String reason = String.valueOf(e.getMessage());
      throw new CheckpointException(
          checkpoint.file(),
          "is no network of the ResNet family: "
              + OtherNetwork.describe(checkpoint.names())
                  .map(other -> "it looks like %s (%s)".formatted(other, reason))
                  .orElse(reason)
              + NearestNetwork.of(checkpoint).map(near -> "; " + near.describe()).orElse("")
              + "; 'resnet4j inspect %s' lists its tensors".formatted(checkpoint.file()),
          e);
    }
  }

  private static Recognition recognize(Checkpoint checkpoint)
      throws UnrecognizedNetworkException, CheckpointException {
    Map<String, List<Long>> shapes =
        checkpoint.torchvisionTensors().entrySet().stream()
            .collect(Collectors.toMap(Map.Entry::getKey, entry -> entry.getValue().shape()));
    Optional<ResNetSpec> noted = ModelNotes.of(checkpoint).spec();
    if (noted.isPresent() && fits(noted.get(), shapes)) {
      return new Recognition(noted.get(), Architecture.nameOf(noted.get()), List.of());
    }
    ResNetSpec spec;
    try {
      spec = specification(shapes);
    } catch (IllegalArgumentException e) { // shapes of an impossible network
      throw new UnrecognizedNetworkException(String.valueOf(e.getMessage()));
    }
    compare(spec, shapes);
    var assumed = new ArrayList<String>();
    if (spec.block() == Block.BOTTLENECK) {
      assumed.add(
          spec.stridePlacement() == StridePlacement.ON_3X3
              ? "strides on the 3×3 (v1.5)"
              : "strides on the first 1×1");
      assumed.add("no dilation");
    }
    if (spec.stem().pools() && spec.activation() == Activation.POST) {
      assumed.add("strides rather than blurs");
    }
    if (spec.activation() == Activation.PRE) {
      assumed.add("shortcuts that average only with a deep stem");
    }
    if (spec.shortcut() == Shortcut.ZERO_PAD) {
      assumed.add("shortcuts A (a plain network has the same weights)");
    }
    spec.norm()
        .channelGroups()
        .ifPresent(groups -> assumed.add("%d groups in each group norm".formatted(groups)));
    if (spec.norm() instanceof Norm.StandardizedGroupNorm) {
      assumed.add("standardized weights, as in BiT");
    }
    return new Recognition(spec, Architecture.nameOf(spec), List.copyOf(assumed));
  }

  private static ResNetSpec specification(Map<String, List<Long>> shapes)
      throws UnrecognizedNetworkException {
    if (shapes.containsKey("stages.0.blocks.0.norm1.weight")) {
      return preActivation(shapes);
    }
    boolean deep = shapes.containsKey("conv1.0.weight");
    List<Long> stem = shape(shapes, deep ? "conv1.0.weight" : "conv1.weight", 4);
    int stemChannels = extent(deep ? shape(shapes, "conv1.6.weight", 4) : stem, 0);
    var blocks = new ArrayList<Integer>();
    while (shapes.containsKey("layer%d.0.conv1.weight".formatted(blocks.size() + 1))) {
      int stage = blocks.size() + 1;
      int count = 1;
      while (shapes.containsKey("layer%d.%d.conv1.weight".formatted(stage, count))) {
        count++;
      }
      blocks.add(count);
    }
    if (blocks.isEmpty()) {
      throw new UnrecognizedNetworkException("layer1.0.conv1.weight is missing");
    }
    boolean bottleneck = shapes.containsKey("layer1.0.conv3.weight");
    var builder =
        ResNetSpec.builder(
                bottleneck ? Block.BOTTLENECK : Block.BASIC, blocks.toArray(Integer[]::new))
            .inChannels(extent(stem, 1))
            .stem(deep ? deepStem(shapes) : singleStem(stem));
    if (bottleneck) {
      int reduced = extent(shape(shapes, "layer1.0.conv1.weight", 4), 0);
      builder.groups(Math.max(1, reduced / extent(shape(shapes, "layer1.0.conv2.weight", 4), 1)));
    }
    builder.widths(widths(shapes, blocks, Activation.POST), stemChannels);
    boolean projection =
        shapes.keySet().stream().anyMatch(key -> key.endsWith(".downsample.0.weight"));
    boolean averages =
        shapes.entrySet().stream()
            .anyMatch(entry ->
                entry.getKey().endsWith(".downsample.1.weight") && entry.getValue().size() == 4);
    builder.attention(attention(shapes, blocks.size()));
    builder.norm(norm(shapes));
    boolean wide =
        shapes.entrySet().stream()
            .anyMatch(entry ->
                entry.getKey().endsWith(".downsample.0.weight")
                    && entry.getValue().size() == 4
                    && entry.getValue().get(2) == 3);
    builder.shortcut(
        averages
            ? Shortcut.AVERAGE_POOL
            : wide
                ? Shortcut.PROJECTION_3X3
                : projection || (blocks.size() == 1 && !bottleneck)
                    ? Shortcut.PROJECTION
                    : Shortcut.ZERO_PAD);
    if (shapes.containsKey("fc.weight")) {
      builder.numClasses(extent(shape(shapes, "fc.weight", 2), 0));
    } else {
      builder.includeTop(false);
    }
    return builder.build();
  }

  /** timm's ResNetV2. */
  private static ResNetSpec preActivation(Map<String, List<Long>> shapes)
      throws UnrecognizedNetworkException {
    boolean deep = shapes.containsKey("stem.conv1.weight");
    List<Long> stem = shape(shapes, deep ? "stem.conv1.weight" : "stem.conv.weight", 4);
    int stemChannels = extent(deep ? shape(shapes, "stem.conv3.weight", 4) : stem, 0);
    var blocks = new ArrayList<Integer>();
    while (shapes.containsKey("stages.%d.blocks.0.conv1.weight".formatted(blocks.size()))) {
      int count = 1;
      while (shapes.containsKey(
          "stages.%d.blocks.%d.conv1.weight".formatted(blocks.size(), count))) {
        count++;
      }
      blocks.add(count);
    }
    boolean bottleneck = shapes.containsKey("stages.0.blocks.0.conv3.weight");
    var builder =
        ResNetSpec.builder(
                bottleneck ? Block.BOTTLENECK : Block.BASIC, blocks.toArray(Integer[]::new))
            .activation(Activation.PRE)
            .inChannels(extent(stem, 1))
            .stem(
                deep
                    ? new Stem.Deep(
                        extent(stem, 0),
                        extent(shape(shapes, "stem.conv2.weight", 4), 0),
                        stemChannels,
                        true)
                    : singleStem(stem));
    if (bottleneck) {
      int reduced = extent(shape(shapes, "stages.0.blocks.0.conv1.weight", 4), 0);
      int inputs = extent(shape(shapes, "stages.0.blocks.0.conv2.weight", 4), 1);
      builder.groups(Math.max(1, reduced / inputs));
    }
    builder.widths(widths(shapes, blocks, Activation.PRE), stemChannels);
    if (deep) { // all published networks with a deep stem have shortcuts that average
      builder.shortcut(Shortcut.AVERAGE_POOL);
    }
    if (!deep && extent(stem, 2) == 3) { // those of the paper, for small images
      builder.stridePlacement(StridePlacement.FIRST_1X1);
    }
    if (!shapes.containsKey("norm.running_mean")) {
      builder.norm(
          deep
              ? new Norm.GroupNorm(USUAL_NORM_GROUPS)
              : new Norm.StandardizedGroupNorm(USUAL_NORM_GROUPS));
    }
    if (shapes.containsKey("head.fc.weight")) {
      builder.numClasses(extent(shape(shapes, "head.fc.weight", 4), 0));
    } else {
      builder.includeTop(false);
    }
    return builder.build();
  }

  private static List<StageWidths> widths(
      Map<String, List<Long>> shapes, List<Integer> blocks, Activation activation)
      throws UnrecognizedNetworkException {
    var stages = new ArrayList<StageWidths>();
    for (int stage = 1; stage <= blocks.size(); stage++) {
      var inner = new ArrayList<List<Integer>>();
      int out = 0;
      for (int i = 0; i < blocks.get(stage - 1); i++) {
        String block =
            activation == Activation.PRE
                ? "stages.%d.blocks.%d.conv".formatted(stage - 1, i)
                : "layer%d.%d.conv".formatted(stage, i);
        var widths = new ArrayList<Integer>();
        for (int conv = 1; conv <= (shapes.containsKey(block + "3.weight") ? 3 : 2); conv++) {
          widths.add(extent(shape(shapes, block + conv + ".weight", 4), 0));
        }
        out = widths.removeLast();
        inner.add(widths);
      }
      stages.add(new StageWidths(out, inner));
    }
    return stages;
  }

  private static Stem singleStem(List<Long> convolution) throws UnrecognizedNetworkException {
    return switch (extent(convolution, 2)) {
      case 7 -> Stem.IMAGENET;
      case 3 -> Stem.SMALL_IMAGE;
      default ->
          throw new UnrecognizedNetworkException(
              "conv1.weight is %s, its window neither 7 nor 3".formatted(convolution));
    };
  }

  private static Stem deepStem(Map<String, List<Long>> shapes) throws UnrecognizedNetworkException {
    return new Stem.Deep(
        extent(shape(shapes, "conv1.0.weight", 4), 0),
        extent(shape(shapes, "conv1.3.weight", 4), 0),
        extent(shape(shapes, "conv1.6.weight", 4), 0),
        !shapes.containsKey("maxpool.0.weight"));
  }

  private static Attention attention(Map<String, List<Long>> shapes, int stages)
      throws UnrecognizedNetworkException {
    if (shapes.containsKey("layer1.0.se.conv.weight")) {
      return new Attention.Efficient();
    }
    if (!shapes.containsKey("layer1.0.se.fc1.weight")) {
      return Attention.NONE;
    }
    var reduced = new LinkedHashMap<Integer, Integer>(); // by the channels of the stage's blocks
    for (int stage = 1; stage <= stages; stage++) {
      List<Long> squeeze = shape(shapes, "layer%d.0.se.fc1.weight".formatted(stage), 4);
      reduced.put(extent(squeeze, 1), extent(squeeze, 0));
    }
    return Attention.SqueezeExcite.fitting(reduced)
        .orElseThrow(() ->
            new UnrecognizedNetworkException(
                "layer1.0.se.fc1.weight is %s, of no known reduction"
                    .formatted(shapes.get("layer1.0.se.fc1.weight"))));
  }

  /** Group norm has a weight and no statistics; quantized networks have neither. */
  private static Norm norm(Map<String, List<Long>> shapes) {
    return shapes.containsKey("bn1.weight")
            && shapes.keySet().stream().noneMatch(name -> name.endsWith(".running_mean"))
        ? new Norm.GroupNorm(USUAL_NORM_GROUPS)
        : Norm.BATCH;
  }

  private static List<Long> shape(Map<String, List<Long>> shapes, String name, int rank)
      throws UnrecognizedNetworkException {
    List<Long> shape = shapes.get(name);
    if (shape == null) {
      throw new UnrecognizedNetworkException(name + " is missing");
    }
    if (shape.size() != rank || shape.contains(0L)) {
      throw new UnrecognizedNetworkException("%s is %s".formatted(name, shape));
    }
    return shape;
  }

  private static int extent(List<Long> shape, int axis) throws UnrecognizedNetworkException {
    long extent = shape.get(axis);
    if (extent > 1 << 20) {
      throw new UnrecognizedNetworkException("an extent of " + extent);
    }
    return (int) extent;
  }

  private static boolean fits(ResNetSpec spec, Map<String, List<Long>> shapes) {
    try {
      compare(spec, shapes);
      return true;
    } catch (UnrecognizedNetworkException _) {
      return false;
    }
  }

  private static void compare(ResNetSpec spec, Map<String, List<Long>> stored)
      throws UnrecognizedNetworkException {
    Layer network = spec.layers();
    Map<String, List<Long>> shapes = QuantizedWeights.shapes(network, stored);
    List<Parameter> parameters = network.parameters();
    for (Parameter parameter : parameters) {
      List<Long> found = shapes.get(parameter.name());
      List<Long> wanted = parameter.shape().stream().map(Long::valueOf).toList();
      if (!Objects.equals(found, wanted)
          && (found != null || parameter.role() != Parameter.Role.COUNTER)) {
        throw new UnrecognizedNetworkException(
            found == null
                ? parameter.name() + " is missing"
                : "%s is %s, expected %s".formatted(parameter.name(), found, wanted));
      }
    }
    var known = parameters.stream().map(Parameter::name).collect(Collectors.toSet());
    Optional<String> unknown =
        shapes.keySet().stream().filter(name -> !known.contains(name)).sorted().findFirst();
    if (unknown.isPresent()) {
      throw new UnrecognizedNetworkException(unknown.get() + " belongs to no layer");
    }
  }

  /** One line for people: the network, and the assumptions. */
  public String describe() {
    String text =
        name.orElse("unnamed")
            + ": "
            + spec.blockKinds().stream()
                .map(kind -> kind.name().toLowerCase(Locale.ROOT))
                .collect(Collectors.joining(" and "))
            + (spec.activation() == Activation.PRE ? " pre-activation blocks " : " blocks ")
            + spec.blocks().stream().map(String::valueOf).collect(Collectors.joining("-"));
    if (spec.groups() > 1 || spec.widthPerGroup() != 64) {
      text += ", %d groups of width %d".formatted(spec.groups(), spec.widthPerGroup());
    }
    if (!spec.widths().isEmpty()) {
      text += ", widths of each layer";
    }
    text +=
        switch (spec.stem()) {
          case Stem.ImageNet _ -> ", stem of one 7×7";
          case Stem.SmallImage _ -> ", stem of one 3×3 for small images";
          case Stem.Deep deep ->
              ", deep stem %s%s"
                  .formatted(
                      deep.widths(spec.channels()), deep.pools() ? "" : " without max pooling");
        };
    text +=
        switch (spec.shortcut()) {
          case PROJECTION -> ", shortcuts B (projection)";
          case PROJECTION_3X3 -> ", shortcuts B (3×3 projection)";
          case ZERO_PAD -> ", shortcuts A (zeros)";
          case AVERAGE_POOL -> ", shortcuts D (average, projection)";
          case NONE -> "";
        };
    text +=
        switch (spec.attention()) {
          case Attention.None _ -> "";
          case Attention.SqueezeExcite se ->
              ", Squeeze-and-Excitation (reduction %d)".formatted(se.reduction());
          case Attention.Efficient _ -> ", ECA";
        };
    text +=
        switch (spec.norm()) {
          case Norm.BatchNorm _ -> "";
          case Norm.GroupNorm(int groups) -> ", group norm (%d groups)".formatted(groups);
          case Norm.StandardizedGroupNorm(int groups) ->
              ", standardized weights, group norm (%d groups)".formatted(groups);
        };
    text += ", %d channels in".formatted(spec.inChannels());
    text += spec.includeTop() ? ", %d classes".formatted(spec.numClasses()) : ", no head";
    return assumed.isEmpty() ? text : text + "; assumed: " + String.join(", ", assumed);
  }

  /** {@code resnet50: bottleneck blocks 3-4-6-3, …}. */
  @Override
  public String toString() {
    return describe();
  }
}
