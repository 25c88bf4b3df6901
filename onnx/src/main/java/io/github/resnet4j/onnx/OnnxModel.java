package io.github.resnet4j.onnx;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.SequencedMap;

/**
 * What this project writes and reads of an ONNX file (onnx.proto3, IR version 8 and later).
 *
 * @param opset the version of the default operator set
 * @param producer the program that wrote it
 * @param nodes in an order in which they can be computed
 * @param initializers constants by name
 * @param inputs what the graph is given
 * @param outputs what it gives
 * @param values shapes of what is in between; not needed, but drawn
 * @param metadata notes
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

  /** TensorProto.DataType: the numbers that ONNX has for types. */
  enum Type {
    FLOAT(1, 4),
    UINT8(2, 1),
    INT64(7, 8),
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

    record Text(String value) implements Attribute {}

    record Tensor(Constant value) implements Attribute {}

    /** One of another kind, which no residual network has. */
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

    /** For errors: what it is and where. */
    String describe() {
      return "%s '%s'".formatted(op, name.isEmpty() ? String.join(", ", outputs) : name);
    }
  }

  /**
   * A tensor in the file.
   *
   * @param raw little-endian, row-major
   */
  record Constant(Type type, List<Long> shape, ByteBuffer raw) {
    Constant {
      shape = List.copyOf(shape);
      raw = raw.duplicate().order(ByteOrder.LITTLE_ENDIAN);
    }

    long size() {
      return shape.stream().reduce(1L, Math::multiplyExact);
    }

    /** The numbers as float32. */
    float[] floats() {
      float[] values = new float[(int) size()];
      for (int i = 0; i < values.length; i++) {
        values[i] =
            switch (type) {
              case FLOAT -> raw.getFloat(4 * i);
              case FLOAT16 -> Float.float16ToFloat(raw.getShort(2 * i));
              case DOUBLE -> (float) raw.getDouble(8 * i);
              case INT64 -> raw.getLong(8 * i);
              case UINT8 -> raw.get(i) & 0xff;
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
      var raw = ByteBuffer.allocate(values.length * 8).order(ByteOrder.LITTLE_ENDIAN);
      for (long value : values) {
        raw.putLong(value);
      }
      return new Constant(Type.INT64, List.of((long) values.length), raw.flip());
    }

    private static List<Long> shape(long... extents) {
      return Arrays.stream(extents).boxed().toList();
    }
  }

  /**
   * A named tensor that flows.
   *
   * @param shape numbers, or a name for what may vary
   */
  record Value(String name, Type type, List<String> shape) {}
}
