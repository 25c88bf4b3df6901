package io.github.resnet4j.onnx;

import com.google.protobuf.CodedInputStream;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.WireFormat;
import io.github.resnet4j.onnx.OnnxModel.Attribute;
import io.github.resnet4j.onnx.OnnxModel.Constant;
import io.github.resnet4j.onnx.OnnxModel.Node;
import io.github.resnet4j.onnx.OnnxModel.Type;
import io.github.resnet4j.onnx.OnnxModel.Value;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;

/**
 * Reads ONNX files: protobuf messages by their field numbers in onnx.proto3. Only what a residual
 * network needs is kept; other fields are skipped.
 *
 * <p>Files are hostile until read. Weights stay in the mapped file; everything else that is kept is
 * counted and limited to {@link #MOST_KEPT} bytes.
 */
final class OnnxReader {
  /** Limit of the heap that nodes, names and lists of numbers take. */
  private static final long MOST_KEPT = 64 << 20;

  private static final int MOST_NODES = 100_000;
  private static final int MOST_TEXT = 1 << 16;

  /** Limit of a note in the metadata: labels of 21,000 classes take less than 1 MB. */
  private static final int MOST_NOTE = 4 << 20;

  /** Notes that {@link OnnxExport} writes; others are not kept. */
  private static final Set<String> NOTES = Set.of("preprocessing", "labels");

  private final OnnxExternalData external;
  private long kept;
  private long opset;
  private String producer = "";
  private String name = "";
  private final List<Node> nodes = new ArrayList<>();
  private final LinkedHashMap<String, Constant> initializers = new LinkedHashMap<>();
  private final List<Value> inputs = new ArrayList<>();
  private final List<Value> outputs = new ArrayList<>();
  private final Map<String, String> metadata = new HashMap<>();

  private OnnxReader(Path file) {
    external = new OnnxExternalData(file);
  }

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
      return new OnnxReader(file).model(bytes);
    } catch (InvalidProtocolBufferException | IllegalArgumentException | ArithmeticException e) {
      throw new OnnxException(file, "is no ONNX file, or damaged: " + e.getMessage(), e);
    }
  }

  /**
   * Maps a file into memory.
   *
   * @throws OnnxException if it is a folder, a device or a pipe, or has more than 2 GB
   */
  static ByteBuffer map(Path file) throws IOException {
    if (Files.exists(file) && !Files.isRegularFile(file)) {
      throw new OnnxException(file, "is no regular file", null);
    }
    try (var channel = FileChannel.open(file, StandardOpenOption.READ)) {
      if (channel.size() > Integer.MAX_VALUE) {
        throw new OnnxException(file, "has more than 2 GB, which is not read", null);
      }
      return channel.map(FileChannel.MapMode.READ_ONLY, 0, channel.size());
    }
  }

  /** Counts what is kept of the file. */
  private void keep(long bytes) throws InvalidProtocolBufferException {
    kept += bytes;
    if (kept > MOST_KEPT) {
      throw new InvalidProtocolBufferException(
          "its nodes, names and lists of numbers take more than %d MB".formatted(MOST_KEPT >> 20));
    }
  }

  // --- protobuf ---------------------------------------------------------------------------------

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
      if (!field.read(WireFormat.getTagFieldNumber(tag), in) && !in.skipField(tag)) {
        throw new InvalidProtocolBufferException("a group ends that did not begin");
      }
    }
  }

  private static void expect(CodedInputStream in, int wireType)
      throws InvalidProtocolBufferException {
    if (WireFormat.getTagWireType(in.getLastTag()) != wireType) {
      throw new InvalidProtocolBufferException(
          "field %d is encoded in another way than ONNX has it"
              .formatted(WireFormat.getTagFieldNumber(in.getLastTag())));
    }
  }

  /** A message in a message, as a view. */
  private static ByteBuffer message(CodedInputStream in, ByteBuffer of) throws IOException {
    expect(in, WireFormat.WIRETYPE_LENGTH_DELIMITED);
    int length = in.readRawVarint32();
    int start = in.getTotalBytesRead();
    if (length < 0 || length > of.limit() - start) {
      throw new InvalidProtocolBufferException("a message of " + length + " bytes");
    }
    in.skipRawBytes(length);
    return of.slice(start, length);
  }

  private static long whole(CodedInputStream in) throws IOException {
    expect(in, WireFormat.WIRETYPE_VARINT);
    return in.readInt64();
  }

  private String text(CodedInputStream in, ByteBuffer of) throws IOException {
    return text(message(in, of), MOST_TEXT);
  }

  private String text(ByteBuffer bytes, int most) throws IOException {
    if (bytes.remaining() > most) {
      throw new InvalidProtocolBufferException(
          "a text of %,d bytes, more than %,d".formatted(bytes.remaining(), most));
    }
    keep(64 + bytes.remaining());
    return StandardCharsets.UTF_8.decode(bytes).toString();
  }

  private interface Element<T> {
    T read(CodedInputStream in) throws IOException;
  }

  private void wholes(CodedInputStream in, List<Long> to) throws IOException {
    numbers(in, WireFormat.WIRETYPE_VARINT, CodedInputStream::readInt64, to);
  }

  private void reals(CodedInputStream in, List<Float> to) throws IOException {
    numbers(in, WireFormat.WIRETYPE_FIXED32, CodedInputStream::readFloat, to);
  }

  /** One number, or several packed into one field. */
  private <T> void numbers(CodedInputStream in, int wireType, Element<T> element, List<T> to)
      throws IOException {
    if (WireFormat.getTagWireType(in.getLastTag()) == wireType) {
      keep(32);
      to.add(element.read(in));
      return;
    }
    expect(in, WireFormat.WIRETYPE_LENGTH_DELIMITED);
    int limit = in.pushLimit(in.readRawVarint32());
    while (in.getBytesUntilLimit() > 0) {
      keep(32);
      to.add(element.read(in));
    }
    in.popLimit(limit);
  }

  // --- ONNX -------------------------------------------------------------------------------------

  private OnnxModel model(ByteBuffer bytes) throws IOException {
    fields(
        bytes,
        (number, in) -> {
          switch (number) {
            case 2 -> producer = text(in, bytes);
            case 7 -> graph(message(in, bytes));
            case 8 -> opset(message(in, bytes));
            case 14 -> note(message(in, bytes));
            case 25 ->
                throw new InvalidProtocolBufferException(
                    "it defines functions of its own, which are not read");
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
            case 1 -> domain[0] = text(in, bytes);
            case 2 -> version[0] = whole(in);
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

  private void note(ByteBuffer bytes) throws IOException {
    ByteBuffer[] pair = {ByteBuffer.allocate(0), ByteBuffer.allocate(0)};
    fields(
        bytes,
        (number, in) -> {
          if (number == 1 || number == 2) {
            pair[number - 1] = message(in, bytes);
            return true;
          }
          return false;
        });
    if (pair[0].remaining() < 16) {
      String key = text(pair[0], 16);
      if (NOTES.contains(key)) {
        metadata.put(key, text(pair[1], MOST_NOTE));
      }
    }
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
            case 2 -> name = text(in, bytes);
            case 5 -> {
              var tensor = new TensorReader();
              String called = tensor.nameOf(message(in, bytes));
              Optional<Constant> constant = tensor.constant();
              if (constant.isPresent() && initializers.put(called, constant.get()) != null) {
                throw new InvalidProtocolBufferException(
                    "two tensors are called '%s'".formatted(called));
              }
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
    keep(400);
    fields(
        bytes,
        (number, from) -> {
          switch (number) {
            case 1 -> in.add(text(from, bytes));
            case 2 -> out.add(text(from, bytes));
            case 3 -> texts[0] = text(from, bytes);
            case 4 -> texts[1] = text(from, bytes);
            case 5 -> attribute(message(from, bytes), attributes);
            case 7 -> texts[2] = text(from, bytes);
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
    long[] type = {0};
    Map<Integer, Attribute> found = new HashMap<>(); // by AttributeProto.type
    var integers = new ArrayList<Long>();
    var floats = new ArrayList<Float>();
    keep(400);
    fields(
        bytes,
        (number, in) -> {
          switch (number) {
            case 1 -> called[0] = text(in, bytes);
            case 2 -> {
              expect(in, WireFormat.WIRETYPE_FIXED32);
              found.put(1, new Attribute.Real(in.readFloat()));
            }
            case 3 -> found.put(2, new Attribute.Int(whole(in)));
            case 4 -> found.put(3, new Attribute.Text(text(in, bytes)));
            case 5 -> {
              var tensor = new TensorReader();
              tensor.nameOf(message(in, bytes));
              tensor.constant().ifPresent(value -> found.put(4, new Attribute.Tensor(value)));
            }
            case 7 -> reals(in, floats);
            case 8 -> wholes(in, integers);
            case 20 -> type[0] = whole(in);
            default -> {
              return false;
            }
          }
          return true;
        });
    if (!floats.isEmpty()) {
      found.put(6, new Attribute.Reals(List.copyOf(floats)));
    }
    if (!integers.isEmpty()) {
      found.put(7, new Attribute.Ints(List.copyOf(integers)));
    }
    Attribute value =
        type[0] == 0 && found.size() == 1 // very old files name no type
            ? found.values().iterator().next()
            : typed((int) type[0], found);
    if (to.put(called[0], value) != null) {
      throw new InvalidProtocolBufferException(
          "a node has the attribute '%s' twice".formatted(called[0]));
    }
  }

  /** An attribute of the type that it names; proto3 leaves out zeros and empty lists. */
  private static Attribute typed(int type, Map<Integer, Attribute> found) {
    Attribute otherwise =
        switch (type) {
          case 1 -> new Attribute.Real(0);
          case 2 -> new Attribute.Int(0);
          case 3 -> new Attribute.Text("");
          case 6 -> new Attribute.Reals(List.of());
          case 7 -> new Attribute.Ints(List.of());
          default -> new Attribute.Other();
        };
    return found.getOrDefault(type, otherwise);
  }

  private Value value(ByteBuffer bytes) throws IOException {
    String[] called = {""};
    long[] type = {0};
    var shape = new ArrayList<String>();
    keep(200);
    fields(
        bytes,
        (number, in) -> {
          switch (number) {
            case 1 -> called[0] = text(in, bytes);
            case 2 -> {
              ByteBuffer typed = message(in, bytes);
              fields(
                  typed,
                  (kind, inType) -> {
                    if (kind == 1) { // a tensor
                      type[0] = tensorType(message(inType, typed), shape);
                    }
                    return kind == 1;
                  });
            }
            default -> {
              return false;
            }
          }
          return true;
        });
    return new Value(called[0], Type.of(type[0]).orElse(Type.FLOAT), shape);
  }

  private long tensorType(ByteBuffer bytes, List<String> shape) throws IOException {
    long[] type = {0};
    fields(
        bytes,
        (number, in) -> {
          switch (number) {
            case 1 -> type[0] = whole(in);
            case 2 -> {
              ByteBuffer extents = message(in, bytes);
              fields(
                  extents,
                  (each, inExtents) -> {
                    if (each == 1) {
                      shape.add(extent(message(inExtents, extents)));
                    }
                    return each == 1;
                  });
            }
            default -> {
              return false;
            }
          }
          return true;
        });
    return type[0];
  }

  private String extent(ByteBuffer bytes) throws IOException {
    String[] extent = {"?"};
    keep(64);
    fields(
        bytes,
        (number, in) -> {
          switch (number) {
            case 1 -> extent[0] = String.valueOf(whole(in));
            case 2 -> extent[0] = text(in, bytes);
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
    private String called = "";
    private Optional<ByteBuffer> raw = Optional.empty();
    private ByteBuffer packed = ByteBuffer.allocate(0);
    private final List<Long> integers = new ArrayList<>();
    private long location;
    private final Map<String, String> beside = new HashMap<>();

    String nameOf(ByteBuffer bytes) throws IOException {
      keep(500);
      fields(
          bytes,
          (number, in) -> {
            switch (number) {
              case 1 -> wholes(in, shape);
              case 2 -> type = whole(in);
              case 3 -> throw new InvalidProtocolBufferException("a tensor in segments");
              case 4, 10 -> packed(in, bytes); // float_data, double_data
              case 5, 7 -> wholes(in, integers); // int32_data, int64_data
              case 8 -> called = text(in, bytes);
              case 9 -> raw = Optional.of(message(in, bytes));
              case 13 -> elsewhere(message(in, bytes));
              case 14 -> location = whole(in);
              default -> {
                return false;
              }
            }
            return true;
          });
      return called;
    }

    /** Numbers of fixed width lie in a packed field as in raw data. */
    private void packed(CodedInputStream in, ByteBuffer bytes) throws IOException {
      if (packed.hasRemaining()
          || WireFormat.getTagWireType(in.getLastTag()) != WireFormat.WIRETYPE_LENGTH_DELIMITED) {
        throw new InvalidProtocolBufferException(
            "tensor '%s' has its numbers in several fields; save the model again with onnx.save"
                .formatted(called));
      }
      packed = message(in, bytes);
    }

    private void elsewhere(ByteBuffer bytes) throws IOException {
      String[] pair = {"", ""};
      fields(
          bytes,
          (number, in) -> {
            if (number == 1 || number == 2) {
              pair[number - 1] = text(in, bytes);
              return true;
            }
            return false;
          });
      beside.put(pair[0], pair[1]);
    }

    /** Empty if the numbers are of a type that no residual network needs. */
    Optional<Constant> constant() throws IOException {
      Optional<Type> known = Type.of(type);
      if (known.isEmpty()) {
        return Optional.empty();
      }
      ByteBuffer data =
          location == 1
              ? external.of(called, beside)
              : raw.isPresent() ? raw.get() : listed(known.get());
      long size = 1;
      for (long extent : shape) {
        if (extent < 0) {
          throw new IllegalArgumentException("tensor '%s' has shape %s".formatted(called, shape));
        }
        size = Math.multiplyExact(size, extent);
      }
      if (Math.multiplyExact(size, (long) known.get().bytes) != data.remaining()) {
        throw new IllegalArgumentException(
            "tensor '%s' of shape %s has %d bytes".formatted(called, shape, data.remaining()));
      }
      return Optional.of(new Constant(known.get(), shape, data));
    }

    /** Numbers in the field that belongs to their type. */
    private ByteBuffer listed(Type known) {
      return switch (known) {
        case FLOAT, DOUBLE -> packed;
        case UINT8, INT32, INT64, BOOL, FLOAT16 -> Constant.littleEndian(integers, known.bytes);
      };
    }
  }
}
