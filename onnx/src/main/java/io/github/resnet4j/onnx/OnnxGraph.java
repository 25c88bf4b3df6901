package io.github.resnet4j.onnx;

import io.github.resnet4j.onnx.OnnxModel.Attribute;
import io.github.resnet4j.onnx.OnnxModel.Constant;
import io.github.resnet4j.onnx.OnnxModel.Node;
import io.github.resnet4j.onnx.OnnxModel.Type;
import io.github.resnet4j.onnx.OnnxModel.Value;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.Set;

/**
 * An index of what a model's output depends on: constants by name, and which operations take which
 * value. Operations that leave a value as it is (Identity, Dropout, casts between floats) are
 * resolved; what the output does not depend on is left out.
 */
final class OnnxGraph {
  /**
   * Stands for the number of images in a shape that the graph computes; no legal extent is this.
   */
  static final long BATCH = Long.MIN_VALUE;

  /** Before that, operators broadcast in another way. */
  private static final int OLDEST_OPSET = 7;

  /** The attributes that are understood, of operations that a network may have. */
  private static final Map<String, Map<String, Class<? extends Attribute>>> ATTRIBUTES =
      Map.ofEntries(
          Map.entry("Add", Map.of()),
          Map.entry(
              "AveragePool",
              window(
                  Map.of(
                      "ceil_mode", Attribute.Int.class,
                      "count_include_pad", Attribute.Int.class))),
          Map.entry(
              "BatchNormalization",
              Map.of(
                  "epsilon", Attribute.Real.class,
                  "momentum", Attribute.Real.class,
                  "spatial", Attribute.Int.class,
                  "training_mode", Attribute.Int.class)),
          Map.entry("Conv", window(Map.of("group", Attribute.Int.class))),
          Map.entry("Div", Map.of()),
          Map.entry("Expand", Map.of()),
          Map.entry("Flatten", Map.of("axis", Attribute.Int.class)),
          Map.entry(
              "Gemm",
              Map.of(
                  "alpha", Attribute.Real.class,
                  "beta", Attribute.Real.class,
                  "transA", Attribute.Int.class,
                  "transB", Attribute.Int.class)),
          Map.entry("GlobalAveragePool", Map.of()),
          Map.entry("LogSoftmax", Map.of("axis", Attribute.Int.class)),
          Map.entry("MatMul", Map.of()),
          Map.entry(
              "MaxPool",
              window(
                  Map.of(
                      "ceil_mode", Attribute.Int.class,
                      "storage_order", Attribute.Int.class))),
          Map.entry("Mul", Map.of()),
          Map.entry("Pad", Map.of("mode", Attribute.Text.class)),
          Map.entry(
              "ReduceMean",
              Map.of(
                  "axes", Attribute.Ints.class,
                  "keepdims", Attribute.Int.class,
                  "noop_with_empty_axes", Attribute.Int.class)),
          Map.entry("Relu", Map.of()),
          Map.entry("Reshape", Map.of("allowzero", Attribute.Int.class)),
          Map.entry("Sigmoid", Map.of()),
          Map.entry("Slice", Map.of()),
          Map.entry("Softmax", Map.of("axis", Attribute.Int.class)),
          Map.entry("Squeeze", Map.of("axes", Attribute.Ints.class)),
          Map.entry("Sub", Map.of()),
          Map.entry("Transpose", Map.of("perm", Attribute.Ints.class)),
          Map.entry("Unsqueeze", Map.of("axes", Attribute.Ints.class)));

  private static Map<String, Class<? extends Attribute>> window(
      Map<String, Class<? extends Attribute>> more) {
    var all = new HashMap<String, Class<? extends Attribute>>(more);
    all.put("auto_pad", Attribute.Text.class);
    all.put("dilations", Attribute.Ints.class);
    all.put("kernel_shape", Attribute.Ints.class);
    all.put("pads", Attribute.Ints.class);
    all.put("strides", Attribute.Ints.class);
    return all;
  }

  private final Value input;
  private final String output;
  private final Map<String, Constant> constants = new HashMap<>();
  private final long constantBytes;

  /** A value that is another one, unchanged. */
  private final Map<String, String> same = new HashMap<>();

  /** What Shape looks at, by its result. */
  private final Map<String, String> shapes = new HashMap<>();

  private final Map<String, List<Node>> consumers = new HashMap<>();
  private final List<Node> operations = new ArrayList<>();

  /** Does the network calculate in half precision? Then rounding to it is nothing of its own. */
  private final boolean half;

  OnnxGraph(OnnxModel model) throws Unfit {
    if (model.opset() < OLDEST_OPSET) {
      throw new Unfit(
          "it uses operator set %d, older than %d; convert it with onnx.version_converter"
              .formatted(model.opset(), OLDEST_OPSET));
    }
    constants.putAll(model.initializers());
    half =
        constants.values().stream()
            .anyMatch(each -> each.type() == Type.FLOAT16 && each.shape().size() == 4);
    List<Value> inputs =
        model.inputs().stream().filter(each -> !constants.containsKey(each.name())).toList();
    if (inputs.size() != 1) {
      throw new Unfit(
          "it has %d inputs, %s"
              .formatted(inputs.size(), shortened(inputs.stream().map(Value::name).toList())));
    }
    if (model.outputs().size() != 1) {
      throw new Unfit(
          "it has %d outputs, %s; cut off all but one"
              .formatted(
                  model.outputs().size(),
                  shortened(model.outputs().stream().map(Value::name).toList())));
    }
    input = inputs.getFirst();
    Set<String> needed = needed(model);
    for (Node node : model.nodes()) {
      if (node.outputs().stream().anyMatch(needed::contains)) {
        add(node, needed);
      }
    }
    output = resolved(model.outputs().getFirst().name());
    constantBytes = constants.values().stream().mapToLong(each -> each.raw().limit()).sum();
  }

  private static String shortened(List<String> names) {
    return names.size() <= 5 ? names.toString() : names.subList(0, 5) + " …";
  }

  /** The values that the output depends on. */
  private Set<String> needed(OnnxModel model) throws Unfit {
    var from = new HashMap<String, Node>();
    for (Node node : model.nodes()) {
      for (String result : node.outputs()) {
        boolean again =
            !result.isEmpty()
                && (from.put(result, node) != null
                    || constants.containsKey(result)
                    || result.equals(input.name()));
        if (again) {
          throw Unfit.at(node, "gives '%s', which there is already".formatted(result));
        }
      }
    }
    var needed = new HashSet<String>();
    var open = new ArrayDeque<String>();
    open.add(model.outputs().getFirst().name());
    while (!open.isEmpty()) {
      String value = open.removeLast();
      if (needed.add(value) && from.containsKey(value)) {
        open.addAll(from.get(value).inputs());
      }
    }
    return needed;
  }

  private String resolved(String value) {
    return same.getOrDefault(value, value);
  }

  private void add(Node found, Set<String> needed) throws Unfit {
    if (!found.domain().isEmpty() && !found.domain().equals("ai.onnx")) {
      throw Unfit.at(found, "is of the operators '%s'".formatted(found.domain()));
    }
    List<String> inputs = found.inputs().stream().map(this::resolved).toList();
    for (String each : inputs) {
      if (!each.isEmpty()
          && !constants.containsKey(each)
          && !consumers.containsKey(each)
          && !each.equals(input.name())) {
        throw Unfit.at(
            found,
            "takes '%s', which nothing before it gives, or in a type that is not read"
                .formatted(each));
      }
    }
    var node =
        new Node(
            found.op(), found.domain(), found.name(), inputs, found.outputs(), found.attributes());
    if (node.outputs().stream().skip(1).anyMatch(needed::contains)) {
      throw Unfit.at(node, "has several results that are used");
    }
    String result = node.outputs().getFirst();
    Optional<Constant> constant = constant(node);
    if (constant.isPresent()) {
      constants.put(result, constant.get());
    } else if (isUnchanged(node)) {
      same.put(result, inputs.getFirst());
    } else if (node.op().equals("Shape")
        && inputs.size() == 1
        && node.integer("start", 0) == 0
        && !node.attributes().containsKey("end")) {
      shapes.put(result, inputs.getFirst()); // it looks at a value and leaves it as it is
      consumers.put(result, new ArrayList<>());
    } else {
      checkAttributes(node);
      operations.add(node);
      for (String each : Set.copyOf(inputs)) {
        if (!each.isEmpty() && !constants.containsKey(each)) {
          consumers.computeIfAbsent(each, _ -> new ArrayList<>()).add(node);
        }
      }
      consumers.put(result, new ArrayList<>());
    }
  }

  /** What a node gives, if that does not depend on the image. */
  private Optional<Constant> constant(Node node) {
    if (node.op().equals("Constant") && node.attributes().size() == 1) {
      return switch (node.attributes().entrySet().iterator().next().getValue()) {
        case Attribute.Tensor(Constant value) -> Optional.of(value);
        case Attribute.Int(long value) -> Optional.of(Constant.scalar(value));
        case Attribute.Ints(List<Long> values) ->
            Optional.of(Constant.of(values.stream().mapToLong(Long::longValue).toArray()));
        case Attribute.Real(float value) ->
            Optional.of(Constant.of(new float[] {value}, false, new long[0]));
        case Attribute.Reals(List<Float> values) -> {
          float[] numbers = new float[values.size()];
          for (int i = 0; i < numbers.length; i++) {
            numbers[i] = values.get(i);
          }
          yield Optional.of(Constant.of(numbers, false, numbers.length));
        }
        case Attribute.Text _, Attribute.Other _ -> Optional.empty();
      };
    }
    boolean batch =
        switch (node.op()) {
          case "Gather" ->
              node.inputs().size() == 2
                  && shapes.containsKey(node.inputs().get(0))
                  && node.integer("axis", 0) == 0
                  && constants.get(node.inputs().get(1)) instanceof Constant index
                  && index.type() == Type.INT64
                  && index.size() == 1
                  && index.raw().getLong(0) == 0;
          case "Shape" ->
              node.inputs().size() == 1
                  && !constants.containsKey(node.inputs().getFirst())
                  && node.integer("start", 0) == 0
                  && node.integer("end", 0) == 1;
          default -> false;
        };
    if (batch) {
      return Optional.of(
          node.op().equals("Gather")
              ? Constant.of(BATCH)
                  .withShape(Objects.requireNonNull(constants.get(node.inputs().get(1))).shape())
              : Constant.of(BATCH));
    }
    return ShapeArithmetic.evaluate(node, constants);
  }

  /** Is a node's result its first input, in this network? */
  private boolean isUnchanged(Node node) throws Unfit {
    return switch (node.op()) {
      case "Identity" -> node.inputs().size() == 1;
      case "Cast" -> {
        long to = node.integer("to", 0);
        boolean isReal = to == Type.FLOAT.code || to == Type.DOUBLE.code;
        if (!isReal && !(half && to == Type.FLOAT16.code)) {
          throw Unfit.at(node, "rounds numbers (to type %d)".formatted(to));
        }
        yield node.inputs().size() == 1;
      }
      case "Dropout" -> {
        Constant training =
            node.inputs().size() > 2 ? constants.get(node.inputs().get(2)) : Constant.scalar(0);
        boolean trains =
            node.inputs().size() > 2
                && !node.inputs().get(2).isEmpty()
                && (training == null || training.size() != 1 || training.floats()[0] != 0);
        if (trains) {
          throw Unfit.at(node, "drops numbers at random; export the model for inference");
        }
        yield !node.inputs().isEmpty();
      }
      default -> false;
    };
  }

  private static void checkAttributes(Node node) throws Unfit {
    Map<String, Class<? extends Attribute>> known = ATTRIBUTES.get(node.op());
    if (known == null) {
      return; // refused where it stands
    }
    for (var attribute : node.attributes().entrySet()) {
      Class<? extends Attribute> kind = known.get(attribute.getKey());
      if (kind == null || !kind.isInstance(attribute.getValue())) {
        throw Unfit.at(node, "has the attribute '%s'".formatted(attribute.getKey()));
      }
    }
    if (!node.text("auto_pad", "NOTSET").equals("NOTSET")
        && !(node.text("auto_pad", "").equals("VALID") && !node.attributes().containsKey("pads"))) {
      throw Unfit.at(node, "pads by itself (auto_pad)");
    }
  }

  /** What the graph is given. */
  Value input() {
    return input;
  }

  /** The value that is the result. */
  String output() {
    return output;
  }

  /** Bytes of all constants. */
  long constantBytes() {
    return constantBytes;
  }

  /** Operations that the result depends on, in order. */
  List<Node> operations() {
    return operations;
  }

  /** The operations that take a value. */
  List<Node> consumers(String value) {
    return consumers.getOrDefault(value, List.of());
  }

  /** The one operation that takes a value. */
  Node only(String value) throws Unfit {
    List<Node> found = consumers(value);
    if (found.size() != 1) {
      throw new Unfit(
          found.isEmpty()
              ? "nothing that the output depends on takes '%s'".formatted(value)
              : "'%s' goes to %d operations, not one: %s"
                  .formatted(
                      value, found.size(), shortened(found.stream().map(Node::describe).toList())));
    }
    return found.getFirst();
  }

  /** A constant by its name. */
  Optional<Constant> constant(String name) {
    return Optional.ofNullable(constants.get(name));
  }

  /** An input of a node that must be a constant. */
  Constant constant(Node node, int index) throws Unfit {
    Constant found = node.inputs().size() > index ? constants.get(node.inputs().get(index)) : null;
    if (found == null) {
      throw Unfit.at(
          node, "has no constant as input %d; simplify the file first (onnxsim)".formatted(index));
    }
    return found;
  }

  /** Is an input of a node left out? */
  static boolean lacks(Node node, int index) {
    return node.inputs().size() <= index || node.inputs().get(index).isEmpty();
  }

  /** Is a value the shape of another one? */
  boolean isShapeOf(String shape, String value) {
    return value.equals(shapes.get(shape));
  }
}
