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
 * The operations on a few whole numbers by which PyTorch's older exporter computes, inside the
 * graph, how far an image is padded, and views of constants. What they give does not depend on the
 * image.
 */
final class ShapeArithmetic {
  /** Paddings and shapes have no more numbers. */
  private static final long MOST = 64;

  private static final long INT64 = 7;

  /** Numbers in one or two axes. */
  @SuppressWarnings("ArrayRecordComponent")
  private record Whole(long[] numbers, List<Long> shape) {
    Constant toConstant() {
      return new Constant(OnnxModel.Type.INT64, shape, Constant.of(numbers).raw());
    }
  }

  private ShapeArithmetic() {}

  /** What a node gives, if its inputs are known and it is one of these operations. */
  static Optional<Constant> evaluate(Node node, Map<String, Constant> known) {
    var inputs = node.inputs().stream().map(known::get).toList();
    Optional<Constant> other = viewed(node, inputs);
    if (other.isPresent()) {
      return other;
    }
    if (inputs.isEmpty()
        || inputs.stream()
            .anyMatch(each ->
                each == null || each.type() != OnnxModel.Type.INT64 || each.size() > MOST)) {
      return Optional.empty();
    }
    List<Whole> x = inputs.stream().map(each -> new Whole(numbers(each), each.shape())).toList();
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
          .map(Whole::toConstant);
    } catch (IndexOutOfBoundsException | ArithmeticException | NoSuchElementException _) {
      return Optional.empty(); // operands that do not fit together
    }
  }

  /** The same numbers, of any type, with axes of extent 1 more or fewer. */
  private static Optional<Constant> viewed(Node node, List<@Nullable Constant> inputs) {
    Constant x = inputs.isEmpty() ? null : inputs.getFirst();
    if (x == null) {
      return Optional.empty();
    }
    return switch (node.op()) {
      case "Identity" -> Optional.of(x);
      case "Cast" ->
          x.isReal() && node.integer("to", 0) == OnnxModel.Type.FLOAT.code
              ? Optional.of(x)
              : Optional.empty();
      case "Unsqueeze" ->
          axes(node, inputs, x.shape().size() + 1)
              .filter(axis -> x.shape().size() < MOST)
              .map(axis -> {
                var shape = new ArrayList<>(x.shape());
                shape.add(axis, 1L);
                return x.withShape(shape);
              });
      case "Squeeze" ->
          axes(node, inputs, x.shape().size())
              .filter(axis -> x.shape().get(axis) == 1)
              .map(axis -> {
                var shape = new ArrayList<>(x.shape());
                shape.remove((int) axis);
                return x.withShape(shape);
              });
      default -> Optional.empty();
    };
  }

  /** The only axis that a node names, as attribute or constant; of so many. */
  private static Optional<Integer> axes(Node node, List<@Nullable Constant> inputs, int count) {
    List<Long> axes = node.integers("axes");
    if (inputs.size() == 2
        && inputs.get(1) instanceof Constant constant
        && constant.type() == OnnxModel.Type.INT64
        && constant.size() == 1) {
      axes = List.of(constant.raw().getLong(0));
    }
    if (axes.size() != 1) {
      return Optional.empty();
    }
    long axis = axes.getFirst() < 0 ? axes.getFirst() + count : axes.getFirst();
    return axis >= 0 && axis < count ? Optional.of((int) axis) : Optional.empty();
  }

  private static long[] numbers(Constant constant) {
    long[] numbers = new long[(int) constant.size()];
    for (int i = 0; i < numbers.length; i++) {
      numbers[i] = constant.raw().getLong(8 * i);
    }
    return numbers;
  }

  private static Whole shape(Whole x) {
    long[] extents = x.shape.stream().mapToLong(Long::longValue).toArray();
    return new Whole(extents, List.of((long) extents.length));
  }

  /** One number of a list; negative indices count from its end. */
  private static @Nullable Whole picked(Whole list, Whole index) {
    if (list.shape.size() != 1 || index.numbers.length != 1) {
      return null;
    }
    long at = index.numbers[0] < 0 ? index.numbers[0] + list.numbers.length : index.numbers[0];
    return new Whole(new long[] {list.numbers[Math.toIntExact(at)]}, index.shape);
  }

  private static @Nullable Whole single(List<Whole> x, LongBinaryOperator operation) {
    return x.size() == 2
            && x.stream()
                .allMatch(each -> each.numbers.length == 1 && each.numbers[0] != OnnxGraph.BATCH)
        ? new Whole(
            new long[] {operation.applyAsLong(x.get(0).numbers[0], x.get(1).numbers[0])},
            x.get(0).shape.size() > x.get(1).shape.size() ? x.get(0).shape : x.get(1).shape)
        : null;
  }

  private static @Nullable Whole filled(Node node, Whole shape) {
    long count = shape.numbers.length == 1 ? shape.numbers[0] : -1;
    if (count < 0
        || count > MOST
        || !(node.attributes().get("value") instanceof Attribute.Tensor(Constant value))
        || value.type() != OnnxModel.Type.INT64) {
      return null;
    }
    long[] numbers = new long[(int) count];
    Arrays.fill(numbers, value.raw().getLong(0));
    return new Whole(numbers, List.of(count));
  }

  private static @Nullable Whole joined(List<Whole> parts) {
    if (parts.stream().mapToLong(part -> part.numbers.length).sum() > MOST
        || parts.stream().anyMatch(part -> part.shape.size() != 1)) {
      return null;
    }
    long[] numbers = parts.stream().flatMapToLong(part -> LongStream.of(part.numbers)).toArray();
    return new Whole(numbers, List.of((long) numbers.length));
  }

  private static @Nullable Whole reshaped(Whole x, long[] wanted) {
    long[] shape = wanted.clone();
    long others = 1;
    int open = -1;
    for (int i = 0; i < shape.length; i++) {
      if (shape[i] == -1 && open < 0) {
        open = i;
      } else if (shape[i] <= 0) {
        return null; // a second open extent, or one that is copied
      } else {
        others = Math.multiplyExact(others, shape[i]);
      }
    }
    if (open >= 0) {
      shape[open] = x.numbers.length / others;
      others = Math.multiplyExact(others, shape[open]);
    }
    return others == x.numbers.length
        ? new Whole(x.numbers, LongStream.of(shape).boxed().toList())
        : null;
  }

  /** Rows from the last to the first, which is all that reversing a list needs. */
  private static @Nullable Whole sliced(List<Whole> x) {
    Whole rows = x.getFirst();
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
    return new Whole(numbers, rows.shape);
  }

  private static @Nullable Whole transposed(Node node, Whole x) {
    if (x.shape.size() != 2 || !node.integers("perm").equals(List.of(1L, 0L))) {
      return null;
    }
    int rows = Math.toIntExact(x.shape.get(0));
    int columns = Math.toIntExact(x.shape.get(1));
    long[] numbers = new long[x.numbers.length];
    for (int i = 0; i < numbers.length; i++) {
      numbers[i % columns * rows + i / columns] = x.numbers[i];
    }
    return new Whole(numbers, List.of((long) columns, (long) rows));
  }
}
