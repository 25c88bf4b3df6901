package io.github.resnet4j.onnx;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.SequencedMap;

/**
 * The parts of an ONNX model (onnx.proto3) that are read and written.
 *
 * @param opset the version of the default operator set
 * @param producer the program that wrote it
 * @param nodes in topological order
 * @param initializers the constants by name
 * @param inputs the inputs of the graph
 * @param outputs the outputs of the graph
 * @param values the shapes of intermediate values; optional, for viewers
 * @param metadata key-value metadata
 */
record OnnxModel(
    long opset,
    String producer,
    String name,
    List<Node> nodes,
    SequencedMap<String, Constant> initializers,
    List<Value> inputs,
    List<Value> outputs,
    List<Value> values,
    Map<String, String> metadata) {

  /** The supported types, with their codes in TensorProto.DataType. */
  enum Type {
    FLOAT(1, 4),
    UINT8(2, 1),
    INT32(6, 4),
    INT64(7, 8),
    BOOL(9, 1),
    FLOAT16(10, 2),
    DOUBLE(11, 8);

    final int code;
    final int bytes;

    Type(int code, int bytes) {
      this.code = code;
      this.bytes = bytes;
    }

    static Optional<Type> of(long code) {
      for (Type type : values()) {
        if (type.code == code) {
          return Optional.of(type);
        }
      }
      return Optional.empty();
    }
  }

  /** An attribute of a node. */
  sealed interface Attribute {
    record Ints(List<Long> values) implements Attribute {}

    record Int(long value) implements Attribute {}

    record Real(float value) implements Attribute {}

    record Reals(List<Float> values) implements Attribute {}

    record Text(String value) implements Attribute {}

    record Tensor(Constant value) implements Attribute {}

    /** An attribute of an unsupported kind. */
    record Other() implements Attribute {}
  }

  /** An operation. */
  record Node(
      String op,
      String domain,
      String name,
      List<String> inputs,
      List<String> outputs,
      Map<String, Attribute> attributes) {
    /** The name of an input; empty if it is omitted. */
    String input(int index) {
      return index < inputs.size() ? inputs.get(index) : "";
    }

    long integer(String attribute, long otherwise) {
      return attributes.get(attribute) instanceof Attribute.Int found ? found.value : otherwise;
    }

    List<Long> integers(String attribute) {
      return attributes.get(attribute) instanceof Attribute.Ints found ? found.values : List.of();
    }

    float real(String attribute, float otherwise) {
      return attributes.get(attribute) instanceof Attribute.Real found ? found.value : otherwise;
    }

    String text(String attribute, String otherwise) {
      return attributes.get(attribute) instanceof Attribute.Text found ? found.value : otherwise;
    }

    /** The operation and its name, for messages. */
    String describe() {
      return "%s '%s'".formatted(op, name.isEmpty() ? String.join(", ", outputs) : name);
    }
  }

  /**
   * A constant tensor.
   *
   * @param raw the values, little-endian and row-major
   */
  record Constant(Type type, List<Long> shape, ByteBuffer raw) {
    Constant {
      shape = List.copyOf(shape);
      raw = raw.duplicate().order(ByteOrder.LITTLE_ENDIAN);
    }

    /** Whether the values are floating-point numbers. */
    boolean isReal() {
      return type == Type.FLOAT || type == Type.FLOAT16 || type == Type.DOUBLE;
    }

    /** Returns the same values with another shape. */
    Constant withShape(List<Long> other) {
      return new Constant(type, other, raw);
    }

    long size() {
      return shape.stream().reduce(1L, Math::multiplyExact);
    }

    /** Returns the values as float32. */
    float[] floats() {
      float[] values = new float[(int) size()];
      for (int i = 0; i < values.length; i++) {
        values[i] =
            switch (type) {
              case FLOAT -> raw.getFloat(4 * i);
              case FLOAT16 -> Float.float16ToFloat(raw.getShort(2 * i));
              case DOUBLE -> (float) raw.getDouble(8 * i);
              case INT32 -> raw.getInt(4 * i);
              case INT64 -> raw.getLong(8 * i);
              case UINT8, BOOL -> raw.get(i) & 0xff;
            };
      }
      return values;
    }

    static Constant of(float[] values, boolean half, long... shape) {
      var raw = ByteBuffer.allocate(values.length * (half ? 2 : 4)).order(ByteOrder.LITTLE_ENDIAN);
      for (float value : values) {
        if (half) {
          raw.putShort(Float.floatToFloat16(value));
        } else {
          raw.putFloat(value);
        }
      }
      return new Constant(half ? Type.FLOAT16 : Type.FLOAT, shape(shape), raw.flip());
    }

    static Constant of(long... values) {
      List<Long> numbers = shape(values);
      return new Constant(
          Type.INT64, List.of((long) values.length), littleEndian(numbers, Type.INT64.bytes));
    }

    /** Encodes integers with a width in bytes; higher bits are discarded. */
    static ByteBuffer littleEndian(List<Long> values, int width) {
      var raw = ByteBuffer.allocate(values.size() * width).order(ByteOrder.LITTLE_ENDIAN);
      for (long value : values) {
        switch (width) {
          case 1 -> raw.put((byte) value);
          case 2 -> raw.putShort((short) value);
          case 4 -> raw.putInt((int) value);
          default -> raw.putLong(value);
        }
      }
      return raw.flip();
    }

    /** Creates an integer scalar. */
    static Constant scalar(long value) {
      return of(value).withShape(List.of());
    }

    private static List<Long> shape(long... extents) {
      return Arrays.stream(extents).boxed().toList();
    }
  }

  /**
   * The input or output of a graph.
   *
   * @param shape the extents; a name for a dynamic one
   */
  record Value(String name, Type type, List<String> shape) {}
}
