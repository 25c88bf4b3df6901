package io.github.resnet4j;

import io.github.resnet4j.ResNetSpec.Activation;
import io.github.resnet4j.ResNetSpec.Block;
import io.github.resnet4j.ResNetSpec.Downsampling;
import io.github.resnet4j.ResNetSpec.Shortcut;
import io.github.resnet4j.ResNetSpec.StageWidths;
import io.github.resnet4j.ResNetSpec.StridePlacement;
import io.github.resnet4j.checkpoint.Checkpoint;
import io.github.resnet4j.checkpoint.CheckpointException;
import io.github.resnet4j.image.Preprocessing;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/**
 * The metadata that a checkpoint of this project stores beside its weights. Fields with their
 * default value may be missing, so files stay readable when the specification gets new fields.
 */
record ModelNotes(
    Optional<ResNetSpec> spec,
    Optional<Preprocessing> preprocessing,
    Optional<List<String>> labels,
    Task task) {

  /**
   * Reads the metadata of a checkpoint; all fields are empty in a file of other origin.
   *
   * @throws CheckpointException if the metadata is invalid
   */
  static ModelNotes of(Checkpoint checkpoint) throws CheckpointException {
    Map<String, Object> metadata = checkpoint.metadata();
    try {
      return new ModelNotes(
          Optional.ofNullable(metadata.get("architecture")).map(ModelNotes::spec),
          Optional.ofNullable(metadata.get("preprocessing"))
              .map(fields -> Preprocessing.fromFields(fields(fields))),
          Optional.ofNullable(metadata.get("labels"))
              .map(labels -> list("labels", labels).stream().map(ModelNotes::label).toList()),
          Optional.ofNullable(metadata.get("task"))
              .map(task -> task(fields(task)))
              .orElse(Task.SINGLE_LABEL));
    } catch (IllegalArgumentException e) {
      throw new CheckpointException(
          checkpoint.file(), "its notes are not understood: " + e.getMessage(), e);
    }
  }

  static Map<String, Object> toMetadata(
      ResNetSpec spec, Preprocessing preprocessing, List<String> labels, Task task) {
    var metadata = new LinkedHashMap<String, Object>();
    metadata.put("architecture", toFields(spec));
    metadata.put("preprocessing", preprocessing.toFields());
    metadata.put("labels", labels);
    if (!task.equals(Task.SINGLE_LABEL)) { // else as in older files
      metadata.put("task", toFields(task));
    }
    return metadata;
  }

  private static Map<String, Object> toFields(Task task) {
    return switch (task) {
      case Task.SingleLabel(double temperature) ->
          Map.of("kind", "single_label", "temperature", temperature);
      case Task.MultiLabel(List<Float> thresholds) ->
          Map.of("kind", "multi_label", "thresholds", thresholds);
      case Task.Regression(List<Float> means, List<Float> deviations) ->
          Map.of("kind", "regression", "means", means, "deviations", deviations);
    };
  }

  private static Task task(Map<String, Object> fields) {
    return switch (String.valueOf(fields.get("kind"))) {
      case "single_label" -> new Task.SingleLabel(number("temperature", fields.get("temperature")));
      case "multi_label" -> new Task.MultiLabel(numbers("thresholds", fields));
      case "regression" ->
          new Task.Regression(numbers("means", fields), numbers("deviations", fields));
      default ->
          throw new IllegalArgumentException(
              "task must be one of single_label, multi_label, regression, was "
                  + fields.get("kind"));
    };
  }

  private static Map<String, Object> toFields(ResNetSpec spec) {
    var fields = new LinkedHashMap<String, Object>();
    fields.put("block", lower(spec.block()));
    fields.put("blocks", spec.blocks());
    fields.put("channels", spec.channels());
    fields.put("groups", spec.groups());
    fields.put("widthPerGroup", spec.widthPerGroup());
    if (!spec.widths().isEmpty()) { // else as in older files
      fields.put("widths", spec.widths().stream().map(ModelNotes::widths).toList());
    }
    putStem(fields, spec.stem(), spec.channels());
    fields.put("stridePlacement", lower(spec.stridePlacement()));
    fields.put("downsampling", lower(spec.downsampling()));
    fields.put("shortcut", lower(spec.shortcut()));
    putAttention(fields, spec.attention());
    if (spec.norm().channelGroups().isPresent()) { // else as in older files
      fields.put("norm", spec.norm() instanceof Norm.GroupNorm ? "group" : "standardized_group");
      fields.put("normGroups", spec.norm().channelGroups().getAsInt());
    }
    if (spec.activation() == Activation.PRE) { // else as in older files
      fields.put("activation", "pre");
    }
    fields.put("dilated", spec.dilated());
    fields.put("inChannels", spec.inChannels());
    fields.put("includeTop", spec.includeTop());
    spec.head().ifPresent(head -> fields.put("numClasses", head.numClasses()));
    return fields;
  }

  private static Map<String, Object> widths(StageWidths stage) {
    return Map.of("out", stage.out(), "inner", stage.inner());
  }

  private static StageWidths stageWidths(Object stage) {
    Map<String, Object> fields = fields(stage);
    return new StageWidths(
        integer("out", fields.get("out")),
        list("inner", fields.get("inner")).stream()
            .map(block ->
                list("inner", block).stream().map(width -> integer("inner", width)).toList())
            .toList());
  }

  private static void putStem(Map<String, Object> fields, Stem stem, int channels) {
    switch (stem) {
      case Stem.ImageNet _ -> fields.put("stem", "imagenet");
      case Stem.SmallImage _ -> fields.put("stem", "small_image");
      case Stem.Deep deep -> {
        fields.put("stem", "deep");
        fields.put(
            "stemWidths",
            deep.third() == channels // as in older files
                ? List.of(deep.first(), deep.second())
                : List.of(deep.first(), deep.second(), deep.third()));
        fields.put("stemPools", deep.pools());
      }
    }
  }

  private static Stem stem(Map<String, Object> fields) {
    return switch (String.valueOf(fields.get("stem"))) {
      case "imagenet" -> Stem.IMAGENET;
      case "small_image" -> Stem.SMALL_IMAGE;
      case "deep" -> {
        List<?> widths = list("stemWidths", fields.getOrDefault("stemWidths", List.of(32, 32)));
        if (widths.size() != 2 && widths.size() != 3) {
          throw new IllegalArgumentException(
              "stemWidths must be two or three numbers, was " + widths);
        }
        yield new Stem.Deep(
            integer("stemWidths", widths.get(0)),
            integer("stemWidths", widths.get(1)),
            widths.size() == 3
                ? integer("stemWidths", widths.get(2))
                : integer("channels", fields.getOrDefault("channels", 64)),
            flag("stemPools", fields.getOrDefault("stemPools", true)));
      }
      default ->
          throw new IllegalArgumentException(
              "stem must be one of imagenet, small_image, deep, was " + fields.get("stem"));
    };
  }

  private static void putAttention(Map<String, Object> fields, Attention attention) {
    switch (attention) {
      case Attention.None _ -> fields.put("attention", "none");
      case Attention.Efficient _ -> fields.put("attention", "efficient");
      case Attention.SqueezeExcite se -> {
        fields.put("attention", "squeeze_excite");
        fields.put("attentionReduction", se.reduction());
      }
    }
  }

  private static Attention attention(Map<String, Object> fields) {
    return switch (String.valueOf(fields.get("attention"))) {
      case "none" -> Attention.NONE;
      case "efficient" -> new Attention.Efficient();
      case "squeeze_excite" ->
          new Attention.SqueezeExcite(
              integer("attentionReduction", fields.getOrDefault("attentionReduction", 16)));
      default ->
          throw new IllegalArgumentException(
              "attention must be one of none, squeeze_excite, efficient, was "
                  + fields.get("attention"));
    };
  }

  private static Norm norm(Map<String, Object> fields) {
    return switch (String.valueOf(fields.get("norm"))) {
      case "batch" -> Norm.BATCH;
      case "group" ->
          new Norm.GroupNorm(integer("normGroups", fields.getOrDefault("normGroups", 32)));
      case "standardized_group" ->
          new Norm.StandardizedGroupNorm(
              integer("normGroups", fields.getOrDefault("normGroups", 32)));
      default ->
          throw new IllegalArgumentException(
              "norm must be one of batch, group, standardized_group, was " + fields.get("norm"));
    };
  }

  private static ResNetSpec spec(Object value) {
    var fields = fields(value);
    Integer[] blocks =
        list("blocks", fields.get("blocks")).stream()
            .map(count -> integer("blocks", count))
            .toArray(Integer[]::new);
    var spec = ResNetSpec.builder(constant(Block.class, "block", fields.get("block")), blocks);
    fields.forEach((name, field) -> {
      switch (name) {
        case "block", "blocks" -> {}
        case "channels" -> spec.channels(integer(name, field));
        case "groups" -> spec.groups(integer(name, field));
        case "widthPerGroup" -> spec.widthPerGroup(integer(name, field));
        case "widths" ->
            spec.widths(list(name, field).stream().map(ModelNotes::stageWidths).toList());
        case "stem" -> spec.stem(stem(fields));
        case "stemWidths",
            "stemPools",
            "attentionReduction",
            "normGroups" -> {} // read together with another field
        case "stridePlacement" ->
            spec.stridePlacement(constant(StridePlacement.class, name, field));
        case "downsampling" -> spec.downsampling(constant(Downsampling.class, name, field));
        case "shortcut" -> spec.shortcut(constant(Shortcut.class, name, field));
        case "attention" -> spec.attention(attention(fields));
        case "norm" -> spec.norm(norm(fields));
        case "activation" -> spec.activation(constant(Activation.class, name, field));
        case "dilated" ->
            spec.dilated(list(name, field).stream().map(flag -> flag(name, flag)).toList());
        case "inChannels" -> spec.inChannels(integer(name, field));
        case "numClasses" -> spec.numClasses(integer(name, field));
        case "includeTop" -> spec.includeTop(flag(name, field));
        default ->
            throw new IllegalArgumentException(
                "unknown field '" + name + "' in architecture; a newer resnet4j wrote it");
      }
    });
    return spec.build();
  }

  private static Map<String, Object> fields(@Nullable Object value) {
    if (value instanceof Map<?, ?> map) {
      var fields = new LinkedHashMap<String, Object>();
      map.forEach((key, field) -> fields.put(String.valueOf(key), field));
      return fields;
    }
    throw new IllegalArgumentException("fields expected, found " + value);
  }

  private static List<?> list(String name, @Nullable Object value) {
    if (value instanceof List<?> list) {
      return list;
    }
    throw new IllegalArgumentException(name + " must be a list, was " + value);
  }

  private static String label(@Nullable Object value) {
    if (value instanceof String || value instanceof Number || value instanceof Boolean) {
      return value.toString();
    }
    throw new IllegalArgumentException("labels must be texts, was " + value);
  }

  private static int integer(String name, @Nullable Object value) {
    if (value instanceof Number number && number.doubleValue() == number.intValue()) {
      return number.intValue();
    }
    throw new IllegalArgumentException(name + " must be a whole number, was " + value);
  }

  private static double number(String name, @Nullable Object value) {
    if (value instanceof Number number) {
      return number.doubleValue();
    }
    throw new IllegalArgumentException(name + " must be a number, was " + value);
  }

  private static List<Float> numbers(String name, Map<String, Object> fields) {
    return list(name, fields.get(name)).stream().map(value -> (float) number(name, value)).toList();
  }

  private static boolean flag(String name, @Nullable Object value) {
    if (value instanceof Boolean flag) {
      return flag;
    }
    throw new IllegalArgumentException(name + " must be true or false, was " + value);
  }

  private static <E extends Enum<E>> E constant(
      Class<E> type, String name, @Nullable Object value) {
    E[] constants = type.getEnumConstants();
    for (E constant : constants) {
      if (lower(constant).equals(value)) {
        return constant;
      }
    }
    throw new IllegalArgumentException(
        "%s must be one of %s, was %s"
            .formatted(name, Arrays.stream(constants).map(ModelNotes::lower).toList(), value));
  }

  private static String lower(Enum<?> constant) {
    return constant.name().toLowerCase(Locale.ROOT);
  }
}
