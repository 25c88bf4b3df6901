package io.github.resnet4j.onnx;

import io.github.resnet4j.onnx.OnnxModel.Attribute;
import io.github.resnet4j.onnx.OnnxModel.Constant;
import io.github.resnet4j.onnx.OnnxModel.Node;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.NoSuchElementException;
import java.util.Optional;
import java.util.function.LongBinaryOperator;
import java.util.stream.LongStream;
import org.jspecify.annotations.Nullable;

/**
 * Evaluates constant integer operations: PyTorch's older exporter computes paddings in the graph.
 * Also evaluates axis changes of constants.
 */
final class ShapeArithmetic {
  /** The maximum number of values; paddings and shapes are smaller. */
  private static final long MAX_VALUES = 64;

  private static final long INT64 = 7;

  /** An integer tensor with one or two axes. */
  @SuppressWarnings("ArrayRecordComponent")
  private record IntegerTensor(long[] numbers, List<Long> shape) {
    Constant toConstant() {
      return new Constant(OnnxModel.Type.INT64, shape, Constant.of(numbers).raw());
    }
  }

  private ShapeArithmetic() {}

  /** Returns the output of a node if it is supported and all of its inputs are constants. */
  static Optional<Constant> evaluate(Node node, Map<String, Constant> known) {
    var inputs = node.inputs().stream().map(known::get).toList();
    Optional<Constant> other = viewed(node, inputs);
    if (other.isPresent()) {
      return other;
    }
    if (inputs.isEmpty()
        || inputs.stream()
            .anyMatch(each ->
                each == null || each.type() != OnnxModel.Type.INT64 || each.size() > MAX_VALUES)) {
      return Optional.empty();
    }
    List<IntegerTensor> x =
        inputs.stream().map(each -> new IntegerTensor(numbers(each), each.shape())).toList();
    try {
      return Optional.ofNullable(
              switch (node.op()) {
                case "Cast" -> node.integer("to", 0) == INT64 ? x.getFirst() : null;
                case "ConstantOfShape" -> filled(node, x.getFirst());
                case "Concat" -> node.integer("axis", -1) == 0 ? joined(x) : null;
                case "Reshape" -> reshaped(x.get(0), x.get(1).numbers);
                case "Shape" -> node.attributes().isEmpty() ? shape(x.getFirst()) : null;
                case "Gather" -> node.integer("axis", 0) == 0 ? picked(x.get(0), x.get(1)) : null;
                case "Mul" -> single(x, (a, b) -> a * b);
                case "Sub" -> single(x, (a, b) -> a - b);
                case "Slice" -> sliced(x);
                case "Transpose" -> transposed(node, x.getFirst());
                default -> null;
              })
          .map(IntegerTensor::toConstant);
    } catch (IndexOutOfBoundsException | ArithmeticException | NoSuchElementException _) {
      return Optional.empty(); // incompatible operands
    }
  }

  /** Evaluates operations that only add or remove axes of extent 1, for any type. */
  private static Optional<Constant> viewed(Node node, List<@Nullable Constant> inputs) {
    Constant x = inputs.isEmpty() ? null : inputs.getFirst();
    if (x == null) {
      return Optional.empty();
    }
    return switch (node.op()) {
      case "Identity" -> Optional.of(x);
      case "Shape" ->
          x.isReal() && node.attributes().isEmpty()
              ? Optional.of(Constant.of(x.shape().stream().mapToLong(Long::longValue).toArray()))
              : Optional.empty();
      case "Reshape" -> x.isReal() ? view(x, inputs) : Optional.empty();
      case "Cast" ->
          x.isReal() && node.integer("to", 0) == OnnxModel.Type.FLOAT.code
              ? Optional.of(x)
              : Optional.empty();
      case "Unsqueeze" -> {
        List<Long> axes = axes(node, inputs);
        long rank = x.shape().size() + axes.size();
        var shape = new ArrayList<>(x.shape());
        for (long axis :
            axes.stream().map(each -> each < 0 ? each + rank : each).sorted().toList()) {
          if (axis < 0 || axis > shape.size() || rank > MAX_VALUES) {
            yield Optional.empty();
          }
          shape.add((int) axis, 1L);
        }
        yield axes.isEmpty() ? Optional.empty() : Optional.of(x.withShape(shape));
      }
      case "Squeeze" -> {
        List<Long> axes = axes(node, inputs);
        long axis =
            axes.size() != 1 ? -1 : axes.getFirst() + (axes.getFirst() < 0 ? x.shape().size() : 0);
        if (axis < 0 || axis >= x.shape().size() || x.shape().get((int) axis) != 1) {
          yield Optional.empty();
        }
        var shape = new ArrayList<>(x.shape());
        shape.remove((int) axis);
        yield Optional.of(x.withShape(shape));
      }
      default -> Optional.empty();
    };
  }

  /** Returns a constant with the shape that a second constant gives. */
  static Optional<Constant> view(Constant x, List<@Nullable Constant> inputs) {
    if (inputs.size() != 2
        || !(inputs.get(1) instanceof Constant target)
        || target.type() != OnnxModel.Type.INT64
        || target.size() > 8) {
      return Optional.empty();
    }
    long[] shape = numbers(target);
    long others = 1;
    for (long extent : shape) {
      others = extent == -1 || extent > Integer.MAX_VALUE ? others : others * extent;
      if (others < 1 || others > x.size()) {
        return Optional.empty();
      }
    }
    List<Long> extents = new ArrayList<>();
    for (long extent : shape) {
      extents.add(extent == -1 ? x.size() / others : extent);
    }
    Constant viewed = x.withShape(extents);
    return viewed.size() == x.size() ? Optional.of(viewed) : Optional.empty();
  }

  /** Returns the axes of a node, from an attribute or a constant input; empty if there are none. */
  private static List<Long> axes(Node node, List<@Nullable Constant> inputs) {
    return inputs.size() == 2
            && inputs.get(1) instanceof Constant constant
            && constant.type() == OnnxModel.Type.INT64
            && constant.size() <= MAX_VALUES
        ? LongStream.of(numbers(constant)).boxed().toList()
        : node.integers("axes");
  }

  private static long[] numbers(Constant constant) {
    long[] numbers = new long[(int) constant.size()];
    for (int i = 0; i < numbers.length; i++) {
      numbers[i] = constant.raw().getLong(8 * i);
    }
    return numbers;
  }

  private static IntegerTensor shape(IntegerTensor x) {
    long[] extents = x.shape.stream().mapToLong(Long::longValue).toArray();
    return new IntegerTensor(extents, List.of((long) extents.length));
  }

  /** Returns one value of a list; negative indices count from the end. */
  private static @Nullable IntegerTensor picked(IntegerTensor list, IntegerTensor index) {
    if (list.shape.size() != 1 || index.numbers.length != 1) {
      return null;
    }
    long at = index.numbers[0] < 0 ? index.numbers[0] + list.numbers.length : index.numbers[0];
    return new IntegerTensor(new long[] {list.numbers[Math.toIntExact(at)]}, index.shape);
  }

  private static @Nullable IntegerTensor single(
      List<IntegerTensor> x, LongBinaryOperator operation) {
    return x.size() == 2
            && x.stream()
                .allMatch(each -> each.numbers.length == 1 && each.numbers[0] != OnnxGraph.BATCH)
        ? new IntegerTensor(
            new long[] {operation.applyAsLong(x.get(0).numbers[0], x.get(1).numbers[0])},
            x.get(0).shape.size() > x.get(1).shape.size() ? x.get(0).shape : x.get(1).shape)
        : null;
  }

  private static @Nullable IntegerTensor filled(Node node, IntegerTensor shape) {
    long count = shape.numbers.length == 1 ? shape.numbers[0] : -1;
    if (count < 0
        || count > MAX_VALUES
        || !(node.attributes().get("value") instanceof Attribute.Tensor(Constant value))
        || value.type() != OnnxModel.Type.INT64) {
      return null;
    }
    long[] numbers = new long[(int) count];
    Arrays.fill(numbers, value.raw().getLong(0));
    return new IntegerTensor(numbers, List.of(count));
  }

  private static @Nullable IntegerTensor joined(List<IntegerTensor> parts) {
    if (parts.stream().mapToLong(part -> part.numbers.length).sum() > MAX_VALUES
        || parts.stream().anyMatch(part -> part.shape.size() != 1)) {
      return null;
    }
    long[] numbers = parts.stream().flatMapToLong(part -> LongStream.of(part.numbers)).toArray();
    return new IntegerTensor(numbers, List.of((long) numbers.length));
  }

  private static @Nullable IntegerTensor reshaped(IntegerTensor x, long[] wanted) {
    long[] shape = wanted.clone();
    long others = 1;
    int inferred = -1;
    for (int i = 0; i < shape.length; i++) {
      if (shape[i] == -1 && inferred < 0) {
        inferred = i;
      } else if (shape[i] <= 0) {
        return null; // a second inferred extent, or a copied one
      } else {
        others = Math.multiplyExact(others, shape[i]);
      }
    }
    if (inferred >= 0) {
      shape[inferred] = x.numbers.length / others;
      others = Math.multiplyExact(others, shape[inferred]);
    }
    return others == x.numbers.length
        ? new IntegerTensor(x.numbers, LongStream.of(shape).boxed().toList())
        : null;
  }

  /** Evaluates a slice that reverses the rows. */
  private static @Nullable IntegerTensor sliced(List<IntegerTensor> x) {
    IntegerTensor rows = x.getFirst();
    boolean reverses =
        x.size() == 5
            && !rows.shape.isEmpty()
            && x.stream().skip(1).allMatch(each -> each.numbers.length == 1)
            && x.get(1).numbers[0] == -1
            && x.get(2).numbers[0] < -rows.shape.getFirst()
            && x.get(3).numbers[0] == 0
            && x.get(4).numbers[0] == -1;
    if (!reverses) {
      return null;
    }
    int count = Math.toIntExact(rows.shape.getFirst());
    int width = rows.numbers.length / count;
    long[] numbers = new long[rows.numbers.length];
    for (int i = 0; i < count; i++) {
      System.arraycopy(rows.numbers, i * width, numbers, (count - 1 - i) * width, width);
    }
    return new IntegerTensor(numbers, rows.shape);
  }

  private static @Nullable IntegerTensor transposed(Node node, IntegerTensor x) {
    if (x.shape.size() != 2 || !node.integers("perm").equals(List.of(1L, 0L))) {
      return null;
    }
    int rows = Math.toIntExact(x.shape.get(0));
    int columns = Math.toIntExact(x.shape.get(1));
    long[] numbers = new long[x.numbers.length];
    for (int i = 0; i < numbers.length; i++) {
      numbers[i % columns * rows + i / columns] = x.numbers[i];
    }
    return new IntegerTensor(numbers, List.of((long) columns, (long) rows));
  }
}
