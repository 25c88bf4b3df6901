package io.github.resnet4j.onnx;

import io.github.resnet4j.onnx.OnnxModel.Attribute;
import io.github.resnet4j.onnx.OnnxModel.Constant;
import io.github.resnet4j.onnx.OnnxModel.Node;
import io.github.resnet4j.onnx.OnnxModel.Type;
import io.github.resnet4j.onnx.OnnxModel.Value;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.Set;
import java.util.regex.Pattern;

/**
 * An index of the nodes that a model's output depends on: constants by name, and the consumers of
 * each value. Nodes that do not change their input (Identity, Dropout, casts between floats) are
 * resolved; nodes that the output does not depend on are omitted.
 */
final class OnnxGraph {
  /** Represents the batch size in a computed shape; it is not a valid extent. */
  static final long BATCH = Long.MIN_VALUE;

  /** Older operator sets have other attributes for broadcasting and for inference mode. */
  private static final int NUMPY_BROADCASTING = 7;

  /** The supported attributes of the supported operations. */
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
          Map.entry(
              "GroupNormalization",
              Map.of(
                  "epsilon", Attribute.Real.class,
                  "num_groups", Attribute.Int.class,
                  "stash_type", Attribute.Int.class)),
          Map.entry("InstanceNormalization", Map.of("epsilon", Attribute.Real.class)),
          Map.entry("LogSoftmax", Map.of("axis", Attribute.Int.class)),
          Map.entry("MatMul", Map.of()),
          Map.entry("Max", Map.of()),
          Map.entry(
              "MaxPool",
              window(
                  Map.of(
                      "ceil_mode", Attribute.Int.class,
                      "storage_order", Attribute.Int.class))),
          Map.entry("Mul", Map.of()),
          Map.entry(
              "Pad",
              Map.of(
                  "mode", Attribute.Text.class,
                  "pads", Attribute.Ints.class,
                  "value", Attribute.Real.class)),
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

  private static final Pattern QUANTIZED =
      Pattern.compile(
          "(Dynamic)?QuantizeLinear|DequantizeLinear|QLinear\\w+|\\w+Integer(ToFloat)?|QGemm|QAttention");

  /** All constants of one repeated number together; the largest weights of ResNet-152 have 9 MB. */
  private static final long MAX_FILLED_BYTES = 64 << 20;

  private long filledBytes;

  /** The values of constants of one repeated number, by that number. */
  private final Map<Float, ByteBuffer> filled = new HashMap<>();

  private final Value input;
  private final String output;
  private final Map<String, Constant> constants = new HashMap<>();
  private final long constantBytes;

  /** Maps a value to the value that it equals. */
  private final Map<String, String> aliases = new HashMap<>();

  /** Maps the output of a Shape node to its input. */
  private final Map<String, String> shapes = new HashMap<>();

  private final Map<String, List<Node>> consumers = new HashMap<>();
  private final List<Node> operations = new ArrayList<>();

  private final StandardizedWeights standardized = new StandardizedWeights(this);

  /** Whether the network computes in float16; casts to float16 are then ignored. */
  private final boolean half;

  OnnxGraph(OnnxModel model) throws UnsupportedGraphException {
    if (model.opset() < 1) {
      throw new UnsupportedGraphException("it does not state its operator set");
    }
    constants.putAll(model.initializers());
    half =
        constants.values().stream()
            .anyMatch(each -> each.type() == Type.FLOAT16 && each.shape().size() == 4);
    List<Value> inputs =
        model.inputs().stream().filter(each -> !constants.containsKey(each.name())).toList();
    if (inputs.size() != 1) {
      throw new UnsupportedGraphException(
          "it has %d inputs, not one: %s"
              .formatted(inputs.size(), shortened(inputs.stream().map(Value::name).toList())));
    }
    if (model.outputs().size() != 1) {
      throw new UnsupportedGraphException(
          "it has %d outputs, not one: %s; remove all but one"
              .formatted(
                  model.outputs().size(),
                  shortened(model.outputs().stream().map(Value::name).toList())));
    }
    input = inputs.getFirst();
    Set<String> required = required(model);
    for (Node node : model.nodes()) {
      if (node.outputs().stream().anyMatch(required::contains)) {
        add(model.opset() < NUMPY_BROADCASTING ? modern(node) : node, required);
      }
    }
    output = resolved(model.outputs().getFirst().name());
    constantBytes = constants.values().stream().mapToLong(each -> each.raw().limit()).sum();
  }

  private static String shortened(List<String> names) {
    return names.size() <= 5 ? names.toString() : names.subList(0, 5) + " …";
  }

  /** Returns the values that the output depends on. */
  private Set<String> required(OnnxModel model) throws UnsupportedGraphException {
    var from = new HashMap<String, Node>();
    for (Node node : model.nodes()) {
      for (String result : node.outputs()) {
        boolean duplicate =
            !result.isEmpty()
                && (from.put(result, node) != null
                    || constants.containsKey(result)
                    || result.equals(input.name()));
        if (duplicate) {
          throw UnsupportedGraphException.at(
              node, "has the output '%s', which is already defined".formatted(result));
        }
      }
    }
    var required = new HashSet<String>();
    var open = new ArrayDeque<String>();
    open.add(model.outputs().getFirst().name());
    while (!open.isEmpty()) {
      String value = open.removeLast();
      if (required.add(value) && from.containsKey(value)) {
        open.addAll(usedInputs(from.get(value)));
      }
    }
    return required;
  }

  /** The inputs of a node; a batch norm that computes statistics does not use those given to it. */
  private static List<String> usedInputs(Node node) {
    boolean computes =
        node.op().equals("BatchNormalization") && node.integer("training_mode", 0) == 1;
    return computes && node.inputs().size() == 5 ? node.inputs().subList(0, 3) : node.inputs();
  }

  private String resolved(String value) {
    return aliases.getOrDefault(value, value);
  }

  /** A sum of two values, as older exporters write it, is an addition. */
  private static String operation(Node node) {
    return node.op().equals("Sum") && node.inputs().size() == 2 ? "Add" : node.op();
  }

  /** An operation of an operator set before 7, with the attributes of set 7. */
  private static Node modern(Node node) throws UnsupportedGraphException {
    var attributes = new LinkedHashMap<>(node.attributes());
    attributes.remove("consumed_inputs");
    switch (node.op()) {
      case "BatchNormalization", "Dropout" -> {
        if (node.integer("is_test", 0) != 1) {
          throw UnsupportedGraphException.at(
              node, "has no is_test = 1, so it trains; export the model in inference mode");
        }
        attributes.remove("is_test");
      }
      case "Add", "Sub", "Mul", "Div", "Gemm" -> {
        if (attributes.containsKey("axis")) {
          throw UnsupportedGraphException.at(
              node,
              "broadcasts from axis %d, as before operator set 7; convert it with onnx.version_converter"
                  .formatted(node.integer("axis", 0)));
        }
        attributes.remove("broadcast"); // without an axis, the rule is that of set 7
      }
      default -> {}
    }
    return new Node(
        node.op(), node.domain(), node.name(), node.inputs(), node.outputs(), attributes);
  }

  private void add(Node found, Set<String> required) throws UnsupportedGraphException {
    if (QUANTIZED.matcher(found.op()).matches()) {
      throw UnsupportedGraphException.at(
          found, "is quantized; import the float32 model that the file was made from");
    }
    if (!found.domain().isEmpty() && !found.domain().equals("ai.onnx")) {
      throw UnsupportedGraphException.at(
          found, "belongs to the operator set '%s'".formatted(found.domain()));
    }
    List<String> inputs = usedInputs(found).stream().map(this::resolved).toList();
    for (String each : inputs) {
      if (!each.isEmpty()
          && !constants.containsKey(each)
          && !consumers.containsKey(each)
          && !each.equals(input.name())) {
        throw UnsupportedGraphException.at(
            found,
            "has the input '%s', which no preceding node computes, or which has an unsupported type"
                .formatted(each));
      }
    }
    var node =
        new Node(
            operation(found),
            found.domain(),
            found.name(),
            inputs,
            found.outputs(),
            found.attributes());
    if (node.outputs().stream().skip(1).anyMatch(required::contains)) {
      throw UnsupportedGraphException.at(node, "has several outputs that are used");
    }
    String result = node.outputs().getFirst();
    Optional<Constant> constant = constant(node);
    if (constant.isPresent()) {
      constants.put(result, constant.get());
    } else if (standardized.add(node)) {
      consumers.put(result, new ArrayList<>());
    } else if (isUnchanged(node)) {
      aliases.put(result, inputs.getFirst());
    } else if (node.op().equals("Shape")
        && inputs.size() == 1
        && node.integer("start", 0) == 0
        && !node.attributes().containsKey("end")) {
      shapes.put(result, inputs.getFirst()); // not a consumer of the value itself
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

  /** Returns the output of a node if it is constant. */
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
    if (node.op().equals("ConstantOfShape") && node.inputs().size() == 1) {
      Optional<Constant> filled =
          Optional.ofNullable(constants.get(node.inputs().getFirst()))
              .flatMap(shape -> filled(node, shape));
      if (filled.isPresent()) {
        return filled;
      }
    }
    return ShapeArithmetic.evaluate(node, constants);
  }

  /** Weights that are all the same number; equal numbers share their memory. */
  private Optional<Constant> filled(Node node, Constant shape) {
    if (shape.type() != Type.INT64
        || shape.shape().size() != 1
        || shape.size() > 4
        || !(node.attributes().get("value") instanceof Attribute.Tensor(Constant value))
        || value.type() != Type.FLOAT
        || value.size() != 1) {
      return Optional.empty();
    }
    var extents = new ArrayList<Long>();
    long bytes = Float.BYTES;
    for (int i = 0; i < shape.size(); i++) {
      long extent = shape.raw().getLong(8 * i);
      if (extent < 1 || extent > MAX_FILLED_BYTES / bytes) {
        return Optional.empty();
      }
      extents.add(extent);
      bytes *= extent;
    }
    float number = value.floats()[0];
    ByteBuffer values = filled.get(number);
    if (values == null || values.limit() < bytes) {
      filledBytes += bytes;
      if (filledBytes > MAX_FILLED_BYTES) {
        return Optional.empty();
      }
      values = ByteBuffer.allocate((int) bytes).order(ByteOrder.LITTLE_ENDIAN);
      while (values.hasRemaining()) {
        values.putFloat(number);
      }
      values.flip();
      filled.put(number, values);
    }
    return Optional.of(new Constant(Type.FLOAT, extents, values.slice(0, (int) bytes)));
  }

  /** Whether the output of a node equals its first input. */
  private boolean isUnchanged(Node node) throws UnsupportedGraphException {
    return switch (node.op()) {
      case "Identity" -> node.inputs().size() == 1;
      case "Cast" -> {
        long to = node.integer("to", 0);
        boolean isReal = to == Type.FLOAT.code || to == Type.DOUBLE.code;
        if (!isReal && !(half && to == Type.FLOAT16.code)) {
          throw UnsupportedGraphException.at(node, "rounds values (to type %d)".formatted(to));
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
          throw UnsupportedGraphException.at(node, "is active; export the model in inference mode");
        }
        yield !node.inputs().isEmpty();
      }
      default -> false;
    };
  }

  private static void checkAttributes(Node node) throws UnsupportedGraphException {
    Map<String, Class<? extends Attribute>> known = ATTRIBUTES.get(node.op());
    if (known == null) {
      return; // rejected in the traversal
    }
    for (var attribute : node.attributes().entrySet()) {
      Class<? extends Attribute> kind = known.get(attribute.getKey());
      if (kind == null || !kind.isInstance(attribute.getValue())) {
        throw UnsupportedGraphException.at(
            node, "has the unsupported attribute '%s'".formatted(attribute.getKey()));
      }
    }
    if (!node.text("auto_pad", "NOTSET").equals("NOTSET")
        && !(node.text("auto_pad", "").equals("VALID") && !node.attributes().containsKey("pads"))) {
      throw UnsupportedGraphException.at(node, "has auto_pad, which is not supported");
    }
  }

  /** The input of the graph. */
  Value input() {
    return input;
  }

  /** The output of the graph. */
  String output() {
    return output;
  }

  /** The total size of all constants in bytes. */
  long constantBytes() {
    return constantBytes;
  }

  /** The nodes that the output depends on, in order. */
  List<Node> operations() {
    return operations;
  }

  /** The nodes that consume a value. */
  List<Node> consumers(String value) {
    return consumers.getOrDefault(value, List.of());
  }

  /** The single consumer of a value. */
  Node singleConsumer(String value) throws UnsupportedGraphException {
    List<Node> found = consumers(value);
    if (found.size() != 1) {
      throw new UnsupportedGraphException(
          found.isEmpty()
              ? "no node that the output depends on uses '%s'".formatted(value)
              : "'%s' is used by %d nodes, not one: %s"
                  .formatted(
                      value, found.size(), shortened(found.stream().map(Node::describe).toList())));
    }
    return found.getFirst();
  }

  /** Returns a constant by name. */
  Optional<Constant> constant(String name) {
    return Optional.ofNullable(constants.get(name));
  }

  /** Returns an input of a node that must be constant. */
  Constant constant(Node node, int index) throws UnsupportedGraphException {
    Constant found = node.inputs().size() > index ? constants.get(node.inputs().get(index)) : null;
    if (found == null) {
      throw UnsupportedGraphException.at(
          node, "has no constant input %d; simplify the model first (onnxsim)".formatted(index));
    }
    return found;
  }

  /** The weights of a convolution; if the graph standardizes them, those before that. */
  Constant weights(Node conv) throws UnsupportedGraphException {
    Optional<Constant> before = standardized.before(conv.input(1));
    return before.isPresent() ? before.get() : constant(conv, 1);
  }

  /** What is added to the variance of a convolution's weights, if the graph standardizes them. */
  Optional<Float> standardization(Node conv) {
    return standardized.epsilon(conv.input(1));
  }

  /** Whether an optional input of a node is omitted. */
  static boolean isOmitted(Node node, int index) {
    return node.inputs().size() <= index || node.inputs().get(index).isEmpty();
  }

  /** Whether a value is the shape of another one. */
  boolean isShapeOf(String shape, String value) {
    return value.equals(shapes.get(shape));
  }
}
