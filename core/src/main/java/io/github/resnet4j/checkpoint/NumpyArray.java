package io.github.resnet4j.checkpoint;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.SegmentAllocator;
import java.lang.foreign.ValueLayout;
import java.util.List;
import java.util.Optional;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/** A NumPy array in a pickle: its values are bytes of the pickle. */
final class NumpyArray implements Unpickler.PickledTensor {
  /** The element type: {@code numpy.dtype('f4')}, then its byte order. */
  static final class Type {
    private final String code;
    private String order = "<";

    Type(String code) {
      this.code = code;
    }

    /** The state of a type: a version, the byte order, and the fields of a structure. */
    void setState(List<?> state) {
      if (state.size() < 2 || !(state.get(1) instanceof String found)) {
        throw new Malformed("the pickle has a NumPy type without a byte order");
      }
      order = found;
    }

    /** Empty for big-endian numbers, complex numbers, texts and objects. */
    Optional<DType> dtype() {
      return Stream.of(DType.values())
          .filter(type -> !type.numpy.isEmpty() && type.numpy.substring(1).equals(code))
          .filter(type -> type.bytes == 1 || !order.equals(">"))
          .findFirst();
    }

    String describe() {
      return "a NumPy array of type '%s%s'".formatted(order.equals("|") ? "" : order, code);
    }
  }

  /**
   * Bytes in a pickle.
   *
   * @param source a part of the file
   * @param isText whether these are the bytes of a text in UTF-8, which Python 3 writes for bytes
   *     in protocol 2: each of its characters is a byte
   */
  record Bytes(MemorySegment source, boolean isText) {
    /** The bytes; those of a text are copied to memory of the allocator. */
    MemorySegment read(SegmentAllocator allocator) {
      if (!isText) {
        return source;
      }
      long count = 0;
      for (long i = 0; i < source.byteSize(); i++) {
        count += (source.get(ValueLayout.JAVA_BYTE, i) & 0xc0) == 0x80 ? 0 : 1;
      }
      MemorySegment bytes = allocator.allocate(count, 8);
      long at = 0;
      for (long i = 0; i < source.byteSize(); i++) {
        int first = source.get(ValueLayout.JAVA_BYTE, i) & 0xff;
        int value = first;
        if (first >= 0x80) {
          int second = ++i < source.byteSize() ? source.get(ValueLayout.JAVA_BYTE, i) & 0xff : 0;
          if ((first & 0xfe) != 0xc2 || (second & 0xc0) != 0x80) {
            throw new Malformed("the pickle has bytes in a text with characters that are no bytes");
          }
          value = (first & 3) << 6 | (second & 0x3f);
        }
        bytes.set(ValueLayout.JAVA_BYTE, at++, (byte) value);
      }
      return bytes;
    }
  }

  private @Nullable Type type;
  private @Nullable Bytes bytes;
  private List<Long> shape = List.of();
  private boolean columnMajor;

  NumpyArray() {}

  NumpyArray(Bytes bytes, Type type, List<Long> shape, boolean columnMajor) {
    this.bytes = bytes;
    this.type = type;
    this.shape = shape;
    this.columnMajor = columnMajor;
  }

  /** The state of an array: a version, shape, type, order, and its bytes, which may be objects. */
  void setState(List<Long> extents, Type elements, boolean fortran, @Nullable Bytes values) {
    shape = extents;
    type = elements;
    columnMajor = fortran;
    bytes = values;
  }

  List<Long> shape() {
    return shape;
  }

  /** What it is, for an error message; empty if it can be read. */
  Optional<String> unsupported() {
    if (type == null) {
      return Optional.of("a NumPy array without values");
    }
    return bytes == null || type.dtype().isEmpty()
        ? Optional.of(type.describe())
        : Optional.empty();
  }

  /**
   * The tensor.
   *
   * @throws IllegalArgumentException if the shape does not fit the bytes
   */
  StoredTensor tensor(SegmentAllocator allocator, Budget weights) {
    if (type == null || bytes == null) {
      throw new IllegalStateException();
    }
    DType dtype = type.dtype().orElseThrow();
    weights.take(bytes.source.byteSize());
    List<Long> strides;
    try {
      strides =
          columnMajor
              ? StoredTensor.rowMajor(shape.reversed()).reversed()
              : StoredTensor.rowMajor(shape);
    } catch (ArithmeticException e) {
      throw new IllegalArgumentException("an invalid shape", e);
    }
    return new StoredTensor(dtype, shape, strides, 0, bytes.read(allocator));
  }
}
