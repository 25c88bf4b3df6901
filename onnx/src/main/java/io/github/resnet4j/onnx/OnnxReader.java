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
import java.nio.ByteOrder;
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
 * Reads ONNX files: protobuf messages by their field numbers in onnx.proto3. Only the fields that a
 * residual network needs are kept; others are skipped.
 *
 * <p>Files are untrusted. Weights stay in the mapped file; all other data is counted and limited to
 * {@link #MAX_RESERVED_BYTES} bytes.
 */
final class OnnxReader {
  /** The maximum heap size of nodes, names and lists of numbers, in bytes. */
  private static final long MAX_RESERVED_BYTES = 64 << 20;

  private static final int MAX_NODES = 100_000;
  private static final int MAX_STRING_BYTES = 1 << 16;

  /** The maximum size of a metadata value: the labels of 21,000 classes take less than 1 MB. */
  private static final int MAX_METADATA_BYTES = 4 << 20;

  /** The metadata keys that {@link OnnxExport} writes; others are skipped. */
  private static final Set<String> METADATA_KEYS = Set.of("preprocessing", "labels");

  private final OnnxExternalData external;
  private long reserved;
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
   * Reads a model. Its tensors are views of the mapped file.
   *
   * @throws OnnxException if it is not a valid ONNX file
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
      throw new OnnxException(file, "is not a valid ONNX file: " + e.getMessage(), e);
    }
  }

  /**
   * Maps a file into memory.
   *
   * @throws OnnxException if it is not a regular file, or larger than 2 GB
   */
  static ByteBuffer map(Path file) throws IOException {
    if (Files.exists(file) && !Files.isRegularFile(file)) {
      throw new OnnxException(file, "is not a regular file", null);
    }
    try (var channel = FileChannel.open(file, StandardOpenOption.READ)) {
      if (channel.size() > Integer.MAX_VALUE) {
        throw new OnnxException(file, "is larger than 2 GB, which is not supported", null);
      }
      return channel.map(FileChannel.MapMode.READ_ONLY, 0, channel.size());
    }
  }

  /** Counts heap memory against the limit. */
  private void reserve(long bytes) throws InvalidProtocolBufferException {
    reserved += bytes;
    if (reserved > MAX_RESERVED_BYTES) {
      throw new InvalidProtocolBufferException(
          "its nodes, names and lists of numbers need more than %d MB"
              .formatted(MAX_RESERVED_BYTES >> 20));
    }
  }

  // --- protobuf ---------------------------------------------------------------------------------

  /** Reads a field. */
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
        throw new InvalidProtocolBufferException("the end of a group without its start");
      }
    }
  }

  private static void expect(CodedInputStream in, int wireType)
      throws InvalidProtocolBufferException {
    if (WireFormat.getTagWireType(in.getLastTag()) != wireType) {
      throw new InvalidProtocolBufferException(
          "field %d has an unexpected encoding"
              .formatted(WireFormat.getTagFieldNumber(in.getLastTag())));
    }
  }

  /** Returns an embedded message as a view. */
  private static ByteBuffer message(CodedInputStream in, ByteBuffer of) throws IOException {
    expect(in, WireFormat.WIRETYPE_LENGTH_DELIMITED);
    int length = in.readRawVarint32();
    int start = in.getTotalBytesRead();
    if (length < 0 || length > of.limit() - start) {
      throw new InvalidProtocolBufferException(
          "an embedded message of %d bytes exceeds its container".formatted(length));
    }
    in.skipRawBytes(length);
    return of.slice(start, length);
  }

  private static long readInteger(CodedInputStream in) throws IOException {
    expect(in, WireFormat.WIRETYPE_VARINT);
    return in.readInt64();
  }

  private String text(CodedInputStream in, ByteBuffer of) throws IOException {
    return text(message(in, of), MAX_STRING_BYTES);
  }

  private String text(ByteBuffer bytes, int max) throws IOException {
    if (bytes.remaining() > max) {
      throw new InvalidProtocolBufferException(
          "a string of %,d bytes exceeds the limit of %,d".formatted(bytes.remaining(), max));
    }
    reserve(64 + bytes.remaining());
    return StandardCharsets.UTF_8.decode(bytes).toString();
  }

  private interface Element<T> {
    T read(CodedInputStream in) throws IOException;
  }

  private void readIntegers(CodedInputStream in, List<Long> to) throws IOException {
    numbers(in, WireFormat.WIRETYPE_VARINT, CodedInputStream::readInt64, to);
  }

  private void readFloats(CodedInputStream in, List<Float> to) throws IOException {
    numbers(in, WireFormat.WIRETYPE_FIXED32, CodedInputStream::readFloat, to);
  }

  /** Reads a single value or a packed list. */
  private <T> void numbers(CodedInputStream in, int wireType, Element<T> element, List<T> to)
      throws IOException {
    if (WireFormat.getTagWireType(in.getLastTag()) == wireType) {
      reserve(32);
      to.add(element.read(in));
      return;
    }
    expect(in, WireFormat.WIRETYPE_LENGTH_DELIMITED);
    int limit = in.pushLimit(in.readRawVarint32());
    while (in.getBytesUntilLimit() > 0) {
      reserve(32);
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
                    "it defines functions, which are not supported");
            default -> {
              return false;
            }
          }
          return true;
        });
    if (nodes.isEmpty()) {
      throw new InvalidProtocolBufferException("it contains no nodes");
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
            case 2 -> version[0] = readInteger(in);
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
      if (METADATA_KEYS.contains(key)) {
        metadata.put(key, text(pair[1], MAX_METADATA_BYTES));
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
              if (nodes.size() > MAX_NODES) {
                throw new InvalidProtocolBufferException(
                    "it contains more than %,d nodes".formatted(MAX_NODES));
              }
            }
            case 2 -> name = text(in, bytes);
            case 5 -> {
              var tensor = new TensorReader();
              String called = tensor.nameOf(message(in, bytes));
              Optional<Constant> constant = tensor.constant();
              if (constant.isPresent() && initializers.put(called, constant.get()) != null) {
                throw new InvalidProtocolBufferException(
                    "two tensors are named '%s'".formatted(called));
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
    reserve(400);
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
    reserve(400);
    fields(
        bytes,
        (number, in) -> {
          switch (number) {
            case 1 -> called[0] = text(in, bytes);
            case 2 -> {
              expect(in, WireFormat.WIRETYPE_FIXED32);
              found.put(1, new Attribute.Real(in.readFloat()));
            }
            case 3 -> found.put(2, new Attribute.Int(readInteger(in)));
            case 4 -> found.put(3, new Attribute.Text(text(in, bytes)));
            case 5 -> {
              var tensor = new TensorReader();
              tensor.nameOf(message(in, bytes));
              tensor.constant().ifPresent(value -> found.put(4, new Attribute.Tensor(value)));
            }
            case 7 -> readFloats(in, floats);
            case 8 -> readIntegers(in, integers);
            case 20 -> type[0] = readInteger(in);
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
        type[0] == 0 && found.size() == 1 // old files contain no type
            ? found.values().iterator().next()
            : typed((int) type[0], found);
    if (to.put(called[0], value) != null) {
      throw new InvalidProtocolBufferException(
          "a node has the attribute '%s' twice".formatted(called[0]));
    }
  }

  /** Returns the attribute of the declared type; proto3 omits zeros and empty lists. */
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
    reserve(200);
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
            case 1 -> type[0] = readInteger(in);
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
    reserve(64);
    fields(
        bytes,
        (number, in) -> {
          switch (number) {
            case 1 -> extent[0] = String.valueOf(readInteger(in));
            case 2 -> extent[0] = text(in, bytes);
            default -> {
              return false;
            }
          }
          return true;
        });
    return extent[0];
  }

  /** The state of reading a tensor. */
  private final class TensorReader {
    private final List<Long> shape = new ArrayList<>();
    private long type;
    private String called = "";
    private Optional<ByteBuffer> raw = Optional.empty();
    private ByteBuffer packed = ByteBuffer.allocate(0);
    private final List<Long> integers = new ArrayList<>();

    /** The varints of {@code int32_data} of a float16 tensor: weights, so not kept as numbers. */
    private ByteBuffer halves = ByteBuffer.allocate(0);

    private long location;
    private final Map<String, String> externalFields = new HashMap<>();

    String nameOf(ByteBuffer bytes) throws IOException {
      reserve(500);
      fields(
          bytes,
          (number, in) -> {
            switch (number) {
              case 1 -> readIntegers(in, shape);
              case 2 -> type = readInteger(in);
              case 3 ->
                  throw new InvalidProtocolBufferException(
                      "a tensor is stored in segments, which is not supported");
              case 4, 10 -> packed(in, bytes); // float_data, double_data
              case 5, 7 -> { // int32_data, int64_data
                boolean isPacked =
                    WireFormat.getTagWireType(in.getLastTag())
                        == WireFormat.WIRETYPE_LENGTH_DELIMITED;
                if (type == Type.FLOAT16.code && isPacked && !halves.hasRemaining()) {
                  halves = message(in, bytes);
                } else {
                  readIntegers(in, integers);
                }
              }
              case 8 -> called = text(in, bytes);
              case 9 -> raw = Optional.of(message(in, bytes));
              case 13 -> readExternalField(message(in, bytes));
              case 14 -> location = readInteger(in);
              default -> {
                return false;
              }
            }
            return true;
          });
      return called;
    }

    /** Keeps a packed field of fixed-width values, which has the layout of raw data. */
    private void packed(CodedInputStream in, ByteBuffer bytes) throws IOException {
      if (packed.hasRemaining()
          || WireFormat.getTagWireType(in.getLastTag()) != WireFormat.WIRETYPE_LENGTH_DELIMITED) {
        throw new InvalidProtocolBufferException(
            "tensor '%s' has its values in several fields; save the model again with onnx.save"
                .formatted(called));
      }
      packed = message(in, bytes);
    }

    private void readExternalField(ByteBuffer bytes) throws IOException {
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
      externalFields.put(pair[0], pair[1]);
    }

    /** Returns the tensor; empty if its type is not supported. */
    Optional<Constant> constant() throws IOException {
      Optional<Type> known = Type.of(type);
      if (known.isEmpty()) {
        return Optional.empty();
      }
      ByteBuffer data =
          location == 1
              ? external.of(called, externalFields)
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

    /** Returns the values from the field for their type. */
    private ByteBuffer listed(Type known) throws IOException {
      return switch (known) {
        case FLOAT, DOUBLE -> packed;
        case FLOAT16 ->
            halves.hasRemaining() ? unpackedHalves() : Constant.littleEndian(integers, known.bytes);
        case UINT8, INT32, INT64, BOOL -> Constant.littleEndian(integers, known.bytes);
      };
    }

    private ByteBuffer unpackedHalves() throws IOException {
      int count = 0;
      for (int i = halves.position(); i < halves.limit(); i++) {
        count += halves.get(i) >= 0 ? 1 : 0; // the last byte of a varint
      }
      var values = ByteBuffer.allocate(Math.multiplyExact(count, 2)).order(ByteOrder.LITTLE_ENDIAN);
      var in = CodedInputStream.newInstance(halves);
      for (int i = 0; i < count; i++) {
        values.putShort((short) in.readInt32());
      }
      return values.flip();
    }
  }
}
