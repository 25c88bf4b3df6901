package io.github.resnet4j.onnx;

import io.github.resnet4j.onnx.OnnxModel.Attribute;
import io.github.resnet4j.onnx.OnnxModel.Constant;
import io.github.resnet4j.onnx.OnnxModel.Node;
import io.github.resnet4j.onnx.OnnxModel.Type;
import io.github.resnet4j.onnx.OnnxModel.Value;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.SequencedMap;
import java.util.SplittableRandom;

/**
 * Generates random graphs: supported and unsupported operations with arbitrary operands, attributes
 * and constants, in any order, including loops.
 */
final class RandomGraphs {
  private static final List<String> OPERATIONS =
      List.of(
          "Add",
          "ArgMax",
          "AveragePool",
          "BatchNormalization",
          "Cast",
          "Clip",
          "Concat",
          "Constant",
          "ConstantOfShape",
          "Conv",
          "Div",
          "Dropout",
          "Expand",
          "Flatten",
          "Gather",
          "Gemm",
          "GlobalAveragePool",
          "Identity",
          "If",
          "LogSoftmax",
          "MatMul",
          "MaxPool",
          "Mul",
          "Pad",
          "ReduceMean",
          "Relu",
          "Reshape",
          "Shape",
          "Sigmoid",
          "Slice",
          "Softmax",
          "Split",
          "Squeeze",
          "Sub",
          "Tile",
          "Transpose",
          "Unsqueeze");

  private static final List<String> ATTRIBUTES =
      List.of(
          "allowzero",
          "alpha",
          "auto_pad",
          "axes",
          "axis",
          "beta",
          "ceil_mode",
          "count_include_pad",
          "dilations",
          "end",
          "epsilon",
          "group",
          "keepdims",
          "kernel_shape",
          "mode",
          "pads",
          "perm",
          "start",
          "strides",
          "to",
          "training_mode",
          "transA",
          "transB",
          "value",
          "value_ints",
          "values");

  private static final long[] NUMBERS = {
    0,
    1,
    2,
    3,
    4,
    7,
    8,
    16,
    64,
    1000,
    65_536,
    1 << 20,
    1L << 31,
    1L << 40,
    Long.MAX_VALUE,
    -1,
    -2,
    -4,
    Integer.MIN_VALUE,
    Long.MIN_VALUE
  };

  private RandomGraphs() {}

  /** Generates a graph of up to 40 operations. */
  static OnnxModel anything(SplittableRandom random) {
    var names = new ArrayList<String>(List.of("x", "", "nothing"));
    SequencedMap<String, Constant> constants = new LinkedHashMap<>();
    for (int i = random.nextInt(6); i > 0; i--) {
      constants.put("c" + i, constant(random));
      names.add("c" + i);
    }
    int count = 1 + random.nextInt(40);
    for (int i = 0; i < count; i++) {
      names.add("v" + i);
    }
    var nodes = new ArrayList<Node>();
    for (int i = 0; i < count; i++) {
      nodes.add(node(random, names, i));
    }
    return model(
        nodes, constants, List.of(input(random)), List.of(name(random, names, count)), Map.of());
  }

  private static OnnxModel model(
      List<Node> nodes,
      SequencedMap<String, Constant> constants,
      List<Value> inputs,
      List<String> outputs,
      Map<String, String> metadata) {
    return new OnnxModel(
        17,
        "test",
        "test",
        nodes,
        constants,
        inputs,
        outputs.stream().map(name -> new Value(name, Type.FLOAT, List.of())).toList(),
        List.of(),
        metadata);
  }

  private static Value input(SplittableRandom random) {
    List<List<String>> shapes =
        List.of(
            List.of("1", "3", "32", "32"),
            List.of("N", "3", "H", "W"),
            List.of(),
            List.of("1", "32", "32", "3"),
            List.of("9223372036854775807", "3", "99999", "99999"));
    return new Value("x", pick(random, List.of(Type.FLOAT, Type.UINT8)), pick(random, shapes));
  }

  private static <T> T pick(SplittableRandom random, List<T> from) {
    return from.get(random.nextInt(from.size()));
  }

  /** Mostly one of the preceding values, so that most graphs are deep. */
  private static String name(SplittableRandom random, List<String> names, int at) {
    return at > 0 && random.nextInt(3) > 0
        ? "v" + Math.max(0, at - 1 - random.nextInt(3))
        : pick(random, names);
  }

  private static Node node(SplittableRandom random, List<String> names, int at) {
    var inputs = new ArrayList<String>();
    for (int i = random.nextInt(6) == 0 ? 0 : 1 + random.nextInt(4); i > 0; i--) {
      inputs.add(name(random, names, at));
    }
    List<String> outputs =
        switch (random.nextInt(12)) {
          case 0 -> List.of();
          case 1 -> List.of("v" + at, "w" + at);
          case 2 -> List.of(pick(random, names));
          default -> List.of("v" + at);
        };
    return new Node(pick(random, OPERATIONS), "", "n" + at, inputs, outputs, attributes(random));
  }

  private static Map<String, Attribute> attributes(SplittableRandom random) {
    var attributes = new LinkedHashMap<String, Attribute>();
    for (int i = random.nextInt(3); i > 0; i--) {
      attributes.put(pick(random, ATTRIBUTES), attribute(random));
    }
    return attributes;
  }

  private static Attribute attribute(SplittableRandom random) {
    return switch (random.nextInt(7)) {
      case 0 -> new Attribute.Int(number(random));
      case 1 -> new Attribute.Ints(numbers(random));
      case 2 -> new Attribute.Real(random.nextInt(3));
      case 3 -> new Attribute.Reals(List.of(1f, Float.NaN));
      case 4 -> new Attribute.Text(pick(random, List.of("reflect", "VALID", "constant", "")));
      case 5 -> new Attribute.Tensor(constant(random));
      default -> new Attribute.Other();
    };
  }

  private static long number(SplittableRandom random) {
    return NUMBERS[random.nextInt(NUMBERS.length)];
  }

  private static List<Long> numbers(SplittableRandom random) {
    var numbers = new ArrayList<Long>();
    for (int i = random.nextInt(9); i > 0; i--) {
      numbers.add(number(random));
    }
    return numbers;
  }

  private static Constant constant(SplittableRandom random) {
    if (random.nextInt(2) == 0) {
      List<Long> numbers = numbers(random);
      long count = numbers.size();
      return new Constant(
          Type.INT64,
          pick(random, List.of(List.of(count), List.of(1L, count), List.of(count, 1L))),
          Constant.littleEndian(numbers, 8));
    }
    var shape = new ArrayList<Long>();
    int size = 1;
    for (int i = random.nextInt(6); i > 0; i--) {
      int extent = random.nextInt(10) == 0 ? 0 : 1 + random.nextInt(5);
      size *= extent;
      shape.add((long) extent);
    }
    if (size == 0 && random.nextBoolean()) { // empty, but with a huge extent
      shape.add(1L << 40);
    }
    Type type = pick(random, List.of(Type.FLOAT, Type.FLOAT16, Type.DOUBLE, Type.BOOL));
    return new Constant(type, shape, ByteBuffer.allocate(size * type.bytes));
  }

  /** Changes a real model in a few places. */
  static OnnxModel changed(OnnxModel model, SplittableRandom random) {
    var nodes = new ArrayList<>(model.nodes());
    SequencedMap<String, Constant> constants = new LinkedHashMap<>(model.initializers());
    var names = new ArrayList<String>(constants.keySet());
    nodes.forEach(node -> names.addAll(node.outputs()));
    names.add(model.inputs().getFirst().name());
    List<String> outputs = new ArrayList<>(model.outputs().stream().map(Value::name).toList());
    for (int i = random.nextInt(4); i > 0; i--) {
      int at = random.nextInt(nodes.size());
      Node node = nodes.get(at);
      switch (random.nextInt(9)) {
        case 0 -> nodes.remove(at);
        case 1 -> nodes.add(at, node);
        case 2 ->
            nodes.set(at, with(node, pick(random, OPERATIONS), node.inputs(), node.attributes()));
        case 3 ->
            nodes.set(at, with(node, node.op(), rewired(node, names, random), node.attributes()));
        case 4 -> {
          var attributes = new LinkedHashMap<>(node.attributes());
          attributes.putAll(attributes(random));
          nodes.set(at, with(node, node.op(), node.inputs(), attributes));
        }
        case 5 -> {
          var attributes = new LinkedHashMap<>(node.attributes());
          attributes.replaceAll((_, old) -> random.nextInt(3) == 0 ? attribute(random) : old);
          nodes.set(at, with(node, node.op(), node.inputs(), attributes));
        }
        case 6 ->
            constants.replaceAll((_, old) -> random.nextInt(40) == 0 ? constant(random) : old);
        case 7 -> outputs.set(0, pick(random, names));
        default -> // another order, or a loop
            nodes.add(random.nextInt(nodes.size()), nodes.remove(at));
      }
      if (nodes.isEmpty()) {
        nodes.add(node);
      }
    }
    return model(nodes, constants, model.inputs(), outputs, model.metadata());
  }

  private static Node with(
      Node node, String op, List<String> inputs, Map<String, Attribute> attributes) {
    return new Node(op, node.domain(), node.name(), inputs, node.outputs(), attributes);
  }

  private static List<String> rewired(Node node, List<String> names, SplittableRandom random) {
    var inputs = new ArrayList<>(node.inputs());
    if (inputs.isEmpty() || random.nextInt(4) == 0) {
      inputs.add(pick(random, names));
    } else if (random.nextInt(4) == 0) {
      inputs.removeLast();
    } else {
      inputs.set(random.nextInt(inputs.size()), pick(random, names));
    }
    return inputs;
  }
}
