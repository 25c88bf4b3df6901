package io.github.resnet4j.onnx;

import com.google.protobuf.CodedOutputStream;
import com.google.protobuf.WireFormat;
import io.github.resnet4j.checkpoint.AtomicFile;
import io.github.resnet4j.onnx.OnnxModel.Attribute;
import io.github.resnet4j.onnx.OnnxModel.Constant;
import io.github.resnet4j.onnx.OnnxModel.Node;
import io.github.resnet4j.onnx.OnnxModel.Value;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.lang.foreign.Arena;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.util.LinkedHashMap;

/** Writes ONNX files: protobuf messages by their field numbers in onnx.proto3. */
final class OnnxWriter {
  private static final int IR_VERSION = 8;

  private OnnxWriter() {}

  /** A message's fields. */
  private interface Fields {
    void write(CodedOutputStream out) throws IOException;
  }

  /** Writes a model; the file is written atomically. */
  static void write(OnnxModel model, Path file) throws IOException {
    AtomicFile.write(file, stream -> write(model, CodedOutputStream.newInstance(stream)));
  }

  /** Writes a model into memory outside of the heap. */
  static ByteBuffer write(OnnxModel model, Arena arena) throws IOException {
    var counter =
        new OutputStream() {
          private long bytes;

          @Override
          public void write(int b) {
            bytes++;
          }

          @Override
          public void write(byte[] b, int offset, int length) {
            bytes += length;
          }
        };
    write(model, CodedOutputStream.newInstance(counter));
    ByteBuffer buffer = arena.allocate(counter.bytes).asByteBuffer();
    write(model, CodedOutputStream.newInstance(buffer));
    return buffer.rewind();
  }

  private static void write(OnnxModel model, CodedOutputStream out) throws IOException {
    out.writeInt64(1, IR_VERSION);
    out.writeString(2, model.producer());
    graph(model, out);
    message(out, 8, opset -> opset.writeInt64(2, model.opset()));
    for (var note : model.metadata().entrySet()) {
      message(out, 14, entry -> pair(entry, note.getKey(), note.getValue()));
    }
    out.flush();
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

  /** Writes the graph; its tensors are written directly to the file, after computing the length. */
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
      throw new IOException("the network is larger than 2 GB, the limit of an ONNX file");
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

  /** Writes a tensor without its values. */
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
              case Attribute.Reals _, Attribute.Tensor _, Attribute.Other _ ->
                  throw new IllegalStateException();
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
}
