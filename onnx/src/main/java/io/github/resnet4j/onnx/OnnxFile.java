package io.github.resnet4j.onnx;

import com.google.protobuf.CodedInputStream;
import com.google.protobuf.CodedOutputStream;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.WireFormat;
import io.github.resnet4j.checkpoint.AtomicFile;
import io.github.resnet4j.onnx.OnnxModel.Attribute;
import io.github.resnet4j.onnx.OnnxModel.Constant;
import io.github.resnet4j.onnx.OnnxModel.Node;
import io.github.resnet4j.onnx.OnnxModel.Type;
import io.github.resnet4j.onnx.OnnxModel.Value;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.file.InvalidPathException;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * The bytes of an ONNX file: protobuf messages by their field numbers in onnx.proto3. Only what a
 * residual network needs is kept; everything else is skipped, as protobuf has it.
 *
 * <p>Files are hostile until read: lengths are bounded by the file, depth by the messages that
 * there are, and tensors beside the file are only taken from its own folder.
 */
final class OnnxFile {
  private static final int IR_VERSION = 8;
  private static final int MOST_NODES = 100_000;

  private OnnxFile() {}

  // --- writing ----------------------------------------------------------------------------------

  /** A message's fields. */
  private interface Fields {
    void write(CodedOutputStream out) throws IOException;
  }

  /** Writes a model; the file appears whole or not at all. */
  static void write(OnnxModel model, Path file) throws IOException {
    AtomicFile.write(
        file,
        stream -> {
          var out = CodedOutputStream.newInstance(stream);
          out.writeInt64(1, IR_VERSION);
          out.writeString(2, model.producer());
          graph(model, out);
          message(out, 8, opset -> opset.writeInt64(2, model.opset()));
          for (var note : model.metadata().entrySet()) {
            message(out, 14, entry -> pair(entry, note.getKey(), note.getValue()));
          }
          out.flush();
        });
  }

  private static void pair(CodedOutputStream out, String key, String value) throws IOException {
    out.writeString(1, key);
    out.writeString(2, value);
  }

  private static byte[] bytes(Fields fields) throws IOException {
    var bytes = new ByteArrayOutputStream();
    var out = CodedOutputStream.newInstance(bytes);
    fields.write(out);
    out.flush();
    return bytes.toByteArray();
  }

  private static void message(CodedOutputStream out, int field, Fields fields) throws IOException {
    out.writeByteArray(field, bytes(fields));
  }

  /** The graph is long: its tensors go straight to the file, their lengths counted beforehand. */
  private static void graph(OnnxModel model, CodedOutputStream out) throws IOException {
    byte[] before =
        bytes(graph -> {
          for (Node node : model.nodes()) {
            message(graph, 1, fields -> node(node, fields));
          }
          graph.writeString(2, model.name());
        });
    byte[] after =
        bytes(graph -> {
          for (Value value : model.inputs()) {
            message(graph, 11, fields -> value(value, fields));
          }
          for (Value value : model.outputs()) {
            message(graph, 12, fields -> value(value, fields));
          }
          for (Value value : model.values()) {
            message(graph, 13, fields -> value(value, fields));
          }
        });
    long length = before.length + (long) after.length;
    var headers = new LinkedHashMap<String, byte[]>();
    for (var entry : model.initializers().entrySet()) {
      byte[] header = bytes(fields -> tensorHeader(entry.getKey(), entry.getValue(), fields));
      headers.put(entry.getKey(), header);
      int tensor = tensorSize(header, entry.getValue());
      length +=
          CodedOutputStream.computeTagSize(5)
              + CodedOutputStream.computeUInt32SizeNoTag(tensor)
              + tensor;
    }
    if (length > Integer.MAX_VALUE - (1 << 20)) {
      throw new IOException("the network has more than 2 GB, which an ONNX file cannot hold");
    }
    out.writeTag(7, WireFormat.WIRETYPE_LENGTH_DELIMITED);
    out.writeUInt32NoTag((int) length);
    out.writeRawBytes(before);
    for (var entry : model.initializers().entrySet()) {
      byte[] header = headers.getOrDefault(entry.getKey(), new byte[0]);
      out.writeTag(5, WireFormat.WIRETYPE_LENGTH_DELIMITED);
      out.writeUInt32NoTag(tensorSize(header, entry.getValue()));
      out.writeRawBytes(header);
      out.writeTag(9, WireFormat.WIRETYPE_LENGTH_DELIMITED);
      out.writeUInt32NoTag(entry.getValue().raw().remaining());
      out.writeRawBytes(entry.getValue().raw());
    }
    out.writeRawBytes(after);
  }

  private static int tensorSize(byte[] header, Constant tensor) {
    int raw = tensor.raw().remaining();
    return header.length
        + CodedOutputStream.computeTagSize(9)
        + CodedOutputStream.computeUInt32SizeNoTag(raw)
        + raw;
  }

  /** All of a tensor but its numbers. */
  private static void tensorHeader(String name, Constant tensor, CodedOutputStream out)
      throws IOException {
    for (long extent : tensor.shape()) {
      out.writeInt64(1, extent);
    }
    out.writeInt32(2, tensor.type().code);
    out.writeString(8, name);
  }

  private static void node(Node node, CodedOutputStream out) throws IOException {
    for (String input : node.inputs()) {
      out.writeString(1, input);
    }
    for (String output : node.outputs()) {
      out.writeString(2, output);
    }
    out.writeString(3, node.name());
    out.writeString(4, node.op());
    for (var attribute : node.attributes().entrySet()) {
      message(
          out,
          5,
          fields -> {
            fields.writeString(1, attribute.getKey());
            switch (attribute.getValue()) {
              case Attribute.Real real -> {
                fields.writeFloat(2, real.value());
                fields.writeInt32(20, 1);
              }
              case Attribute.Int integer -> {
                fields.writeInt64(3, integer.value());
                fields.writeInt32(20, 2);
              }
              case Attribute.Text text -> {
                fields.writeString(4, text.value());
                fields.writeInt32(20, 3);
              }
              case Attribute.Ints integers -> {
                for (long value : integers.values()) {
                  fields.writeInt64(8, value);
                }
                fields.writeInt32(20, 7);
              }
              case Attribute.Tensor _, Attribute.Other _ -> throw new IllegalStateException();
            }
          });
    }
  }

  private static void value(Value value, CodedOutputStream out) throws IOException {
    out.writeString(1, value.name());
    message(
        out,
        2,
        type ->
            message(
                type,
                1,
                tensor -> {
                  tensor.writeInt32(1, value.type().code);
                  message(
                      tensor,
                      2,
                      shape -> {
                        for (String extent : value.shape()) {
                          message(
                              shape,
                              1,
                              dimension -> {
                                if (extent.matches("\\d+")) {
                                  dimension.writeInt64(1, Long.parseLong(extent));
                                } else {
                                  dimension.writeString(2, extent);
                                }
                              });
                        }
                      });
                }));
  }

  // --- reading ----------------------------------------------------------------------------------

  /**
   * Reads a model; its tensors are views of the mapped file.
   *
   * @throws OnnxException if it is no ONNX file, or damaged
   * @throws IOException if it cannot be read
   */
  static OnnxModel read(Path file) throws IOException {
    ByteBuffer bytes;
    try {
      bytes = map(file);
    } catch (NoSuchFileException e) {
      throw new OnnxException(file, "does not exist", e);
    }
    try {
      return new Reader(file).model(bytes);
    } catch (InvalidProtocolBufferException | IllegalArgumentException | ArithmeticException e) {
      throw new OnnxException(file, "is no ONNX file, or damaged: " + e.getMessage(), e);
    }
  }

  private static ByteBuffer map(Path file) throws IOException {
    try (var channel = FileChannel.open(file, StandardOpenOption.READ)) {
      if (channel.size() > Integer.MAX_VALUE) {
        throw new OnnxException(file, "has more than 2 GB, which no ONNX file may have", null);
      }
      return channel.map(FileChannel.MapMode.READ_ONLY, 0, channel.size());
    }
  }

  private static final class Reader {
    private final Path file;
    private final Map<String, ByteBuffer> beside = new HashMap<>();
    private long opset;
    private String producer = "";
    private String name = "";
    private final List<Node> nodes = new ArrayList<>();
    private final LinkedHashMap<String, Constant> initializers = new LinkedHashMap<>();
    private final List<Value> inputs = new ArrayList<>();
    private final List<Value> outputs = new ArrayList<>();
    private final Map<String, String> metadata = new HashMap<>();

    Reader(Path file) {
      this.file = file;
    }

    /** What a field means. */
    private interface Field {
      /**
       * @return whether the field was read; otherwise it is skipped
       */
      boolean read(int number, CodedInputStream in) throws IOException;
    }

    private static void fields(ByteBuffer bytes, Field field) throws IOException {
      var in = CodedInputStream.newInstance(bytes);
      while (true) {
        int tag = in.readTag();
        if (tag == 0) {
          return;
        }
        if (!field.read(WireFormat.getTagFieldNumber(tag), in)) {
          in.skipField(tag);
        }
      }
    }

    /** A message in a message, as a view. */
    private static ByteBuffer message(CodedInputStream in, ByteBuffer of) throws IOException {
      int length = in.readRawVarint32();
      int start = in.getTotalBytesRead();
      if (length < 0 || length > of.limit() - start) {
        throw new InvalidProtocolBufferException("a message of " + length + " bytes");
      }
      in.skipRawBytes(length);
      return of.slice(start, length);
    }

    OnnxModel model(ByteBuffer bytes) throws IOException {
      fields(
          bytes,
          (number, in) -> {
            switch (number) {
              case 2 -> producer = in.readString();
              case 7 -> graph(message(in, bytes));
              case 8 -> opset(message(in, bytes));
              case 14 -> {
                String[] pair = pair(message(in, bytes));
                metadata.put(pair[0], pair[1]);
              }
              default -> {
                return false;
              }
            }
            return true;
          });
      if (nodes.isEmpty()) {
        throw new InvalidProtocolBufferException("it has no nodes");
      }
      return new OnnxModel(
          opset, producer, name, nodes, initializers, inputs, outputs, List.of(), metadata);
    }

    private void opset(ByteBuffer bytes) throws IOException {
      String[] domain = {""};
      long[] version = {0};
      fields(
          bytes,
          (number, in) -> {
            switch (number) {
              case 1 -> domain[0] = in.readString();
              case 2 -> version[0] = in.readInt64();
              default -> {
                return false;
              }
            }
            return true;
          });
      if (domain[0].isEmpty() || domain[0].equals("ai.onnx")) {
        opset = version[0];
      }
    }

    private static String[] pair(ByteBuffer bytes) throws IOException {
      String[] pair = {"", ""};
      fields(
          bytes,
          (number, in) -> {
            if (number == 1 || number == 2) {
              pair[number - 1] = in.readString();
              return true;
            }
            return false;
          });
      return pair;
    }

    private void graph(ByteBuffer bytes) throws IOException {
      fields(
          bytes,
          (number, in) -> {
            switch (number) {
              case 1 -> {
                nodes.add(node(message(in, bytes)));
                if (nodes.size() > MOST_NODES) {
                  throw new InvalidProtocolBufferException(
                      "more than %,d nodes".formatted(MOST_NODES));
                }
              }
              case 2 -> name = in.readString();
              case 5 -> {
                var tensor = new TensorReader();
                initializers.put(tensor.nameOf(message(in, bytes)), tensor.constant());
              }
              case 11 -> inputs.add(value(message(in, bytes)));
              case 12 -> outputs.add(value(message(in, bytes)));
              default -> {
                return false;
              }
            }
            return true;
          });
    }

    private Node node(ByteBuffer bytes) throws IOException {
      var in = new ArrayList<String>();
      var out = new ArrayList<String>();
      String[] texts = {"", "", ""}; // name, operation, domain
      var attributes = new LinkedHashMap<String, Attribute>();
      fields(
          bytes,
          (number, from) -> {
            switch (number) {
              case 1 -> in.add(from.readString());
              case 2 -> out.add(from.readString());
              case 3 -> texts[0] = from.readString();
              case 4 -> texts[1] = from.readString();
              case 5 -> attribute(message(from, bytes), attributes);
              case 7 -> texts[2] = from.readString();
              default -> {
                return false;
              }
            }
            return true;
          });
      return new Node(texts[1], texts[2], texts[0], in, out, attributes);
    }

    private void attribute(ByteBuffer bytes, Map<String, Attribute> to) throws IOException {
      String[] called = {""};
      Attribute[] found = {new Attribute.Other()};
      var integers = new ArrayList<Long>();
      fields(
          bytes,
          (number, in) -> {
            switch (number) {
              case 1 -> called[0] = in.readString();
              case 2 -> found[0] = new Attribute.Real(in.readFloat());
              case 3 -> found[0] = new Attribute.Int(in.readInt64());
              case 4 -> found[0] = new Attribute.Text(in.readString());
              case 5 -> {
                var tensor = new TensorReader();
                tensor.nameOf(message(in, bytes));
                found[0] = new Attribute.Tensor(tensor.constant());
              }
              case 8 -> integers(in, integers);
              default -> {
                return false;
              }
            }
            return true;
          });
      to.put(called[0], integers.isEmpty() ? found[0] : new Attribute.Ints(List.copyOf(integers)));
    }

    /** One, or several packed into one field. */
    private static void integers(CodedInputStream in, List<Long> to) throws IOException {
      if (WireFormat.getTagWireType(in.getLastTag()) == WireFormat.WIRETYPE_VARINT) {
        to.add(in.readInt64());
        return;
      }
      int limit = in.pushLimit(in.readRawVarint32());
      while (in.getBytesUntilLimit() > 0) {
        to.add(in.readInt64());
      }
      in.popLimit(limit);
    }

    private static Value value(ByteBuffer bytes) throws IOException {
      String[] called = {""};
      long[] type = {0};
      var shape = new ArrayList<String>();
      fields(
          bytes,
          (number, in) -> {
            if (number == 1) {
              called[0] = in.readString();
              return true;
            }
            if (number != 2) {
              return false;
            }
            ByteBuffer typed = message(in, bytes);
            fields(
                typed,
                (kind, inType) -> {
                  if (kind != 1) {
                    return false;
                  }
                  ByteBuffer tensor = message(inType, typed);
                  fields(
                      tensor,
                      (part, inTensor) -> {
                        if (part == 1) {
                          type[0] = inTensor.readInt32();
                        } else if (part == 2) {
                          ByteBuffer extents = message(inTensor, tensor);
                          fields(
                              extents,
                              (each, inExtents) -> {
                                if (each != 1) {
                                  return false;
                                }
                                shape.add(extent(message(inExtents, extents)));
                                return true;
                              });
                        } else {
                          return false;
                        }
                        return true;
                      });
                  return true;
                });
            return true;
          });
      return new Value(called[0], Type.of(type[0]).orElse(Type.FLOAT), shape);
    }

    private static String extent(ByteBuffer bytes) throws IOException {
      String[] extent = {"?"};
      fields(
          bytes,
          (number, in) -> {
            switch (number) {
              case 1 -> extent[0] = String.valueOf(in.readInt64());
              case 2 -> extent[0] = in.readString();
              default -> {
                return false;
              }
            }
            return true;
          });
      return extent[0];
    }

    /** A tensor's fields, as they come. */
    private final class TensorReader {
      private final List<Long> shape = new ArrayList<>();
      private long type;
      private String name = "";
      private ByteBuffer raw = ByteBuffer.allocate(0);
      private final Map<String, String> external = new HashMap<>();

      String nameOf(ByteBuffer bytes) throws IOException {
        fields(
            bytes,
            (number, in) -> {
              switch (number) {
                case 1 -> integers(in, shape);
                case 2 -> type = in.readInt32();
                case 4 -> raw = packed(message(in, bytes), 4); // float_data
                case 7 -> raw = longs(in);
                case 8 -> name = in.readString();
                case 9 -> raw = message(in, bytes);
                case 10 -> raw = packed(message(in, bytes), 8); // double_data
                case 13 -> {
                  String[] pair = pair(message(in, bytes));
                  external.put(pair[0], pair[1]);
                }
                default -> {
                  return false;
                }
              }
              return true;
            });
        return name;
      }

      /** Numbers of fixed width lie in a packed field as in raw data. */
      private ByteBuffer packed(ByteBuffer bytes, int width) {
        if (bytes.remaining() % width != 0) {
          throw new IllegalArgumentException("tensor '%s' is cut off".formatted(name));
        }
        return bytes;
      }

      private ByteBuffer longs(CodedInputStream in) throws IOException {
        var values = new ArrayList<Long>();
        integers(in, values);
        var buffer =
            ByteBuffer.allocate(raw.remaining() + 8 * values.size()).order(ByteOrder.LITTLE_ENDIAN);
        buffer.put(raw.duplicate());
        values.forEach(buffer::putLong);
        return buffer.flip();
      }

      Constant constant() throws IOException {
        Type known =
            Type.of(type)
                .orElseThrow(() ->
                    new IllegalArgumentException(
                        "tensor '%s' is of type %d".formatted(name, type)));
        ByteBuffer data = external.isEmpty() ? raw : elsewhere();
        long size = 1;
        for (long extent : shape) {
          if (extent < 0) {
            throw new IllegalArgumentException("tensor '%s' has shape %s".formatted(name, shape));
          }
          size = Math.multiplyExact(size, extent);
        }
        if (Math.multiplyExact(size, (long) known.bytes) != data.remaining()) {
          throw new IllegalArgumentException(
              "tensor '%s' of shape %s has %d bytes".formatted(name, shape, data.remaining()));
        }
        return new Constant(known, shape, data);
      }

      /** Numbers in a file beside this one, as PyTorch writes large ones. */
      private ByteBuffer elsewhere() throws IOException {
        String location = external.getOrDefault("location", "");
        Path folder = file.toAbsolutePath().getParent();
        Path other;
        try {
          other = folder == null ? Path.of(location) : folder.resolve(location).normalize();
        } catch (InvalidPathException e) {
          throw new IllegalArgumentException(
              "tensor '%s' lies in '%s'".formatted(name, location), e);
        }
        if (location.isEmpty() || !other.startsWith(String.valueOf(folder))) {
          throw new IllegalArgumentException(
              "tensor '%s' lies in '%s', outside of the file's folder".formatted(name, location));
        }
        ByteBuffer mapped = beside.get(location);
        if (mapped == null) {
          try {
            mapped = map(other);
          } catch (NoSuchFileException e) {
            throw new OnnxException(other, "does not exist, though the model names it", e);
          }
          beside.put(location, mapped);
        }
        long offset = Long.parseLong(external.getOrDefault("offset", "0"));
        long length =
            Long.parseLong(
                external.getOrDefault("length", String.valueOf(mapped.limit() - offset)));
        if (offset < 0 || length < 0 || offset > mapped.limit() - length) {
          throw new IllegalArgumentException(
              "tensor '%s' lies beyond the end of '%s'".formatted(name, location));
        }
        return mapped.slice((int) offset, (int) length);
      }
    }
  }
}
