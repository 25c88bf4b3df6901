package io.github.resnet4j.checkpoint;

import io.github.resnet4j.tensor.Tensor;
import java.lang.foreign.MemorySegment;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Collectors;

/**
 * A tensor in a file: a strided view of a memory-mapped storage, whose values are read on request.
 * Valid until its {@link Checkpoint} is closed.
 *
 * @param shape the shape; empty for a scalar
 * @param strides the number of elements from one index to the next, along each axis
 * @param offset the index of the first element in the storage
 * @param storage little-endian bytes, which other tensors may share
 */
public record StoredTensor(
    DType dtype, List<Long> shape, List<Long> strides, long offset, MemorySegment storage) {

  /**
   * @throws IllegalArgumentException if an element is outside the storage
   */
  public StoredTensor {
    shape = List.copyOf(shape);
    strides = List.copyOf(strides);
    long available = storage.byteSize() / dtype.bytes;
    if (strides.size() != shape.size()) {
      throw new IllegalArgumentException(
          "a shape of %d axes with %d strides".formatted(shape.size(), strides.size()));
    }
    if (shape.size() > 64) {
      throw new IllegalArgumentException("more than 64 axes");
    }
    boolean empty = shape.contains(0L);
    long last = offset;
    long size = 1;
    boolean legal = offset >= 0;
    try {
      for (int axis = 0; axis < shape.size(); axis++) {
        legal &= shape.get(axis) >= 0 && strides.get(axis) >= 0;
        size = Math.multiplyExact(size, shape.get(axis));
        if (!empty) {
          last = Math.addExact(last, Math.multiplyExact(shape.get(axis) - 1, strides.get(axis)));
        }
      }
    } catch (ArithmeticException e) {
      legal = false;
    }
    if (!legal || (empty ? offset > available : last >= available)) {
      throw new IllegalArgumentException(
          "shape %s with strides %s from element %d does not fit into a storage of %d elements"
              .formatted(shape, strides, offset, available));
    }
  }

  /** A tensor that fills its storage in row-major order. */
  static StoredTensor contiguous(DType dtype, List<Long> shape, MemorySegment storage) {
    return new StoredTensor(dtype, shape, rowMajor(shape), 0, storage);
  }

  static List<Long> rowMajor(List<Long> shape) {
    var strides = new Long[shape.size()];
    long stride = 1;
    for (int axis = shape.size() - 1; axis >= 0; axis--) {
      strides[axis] = stride;
      stride = Math.multiplyExact(stride, Math.max(1, shape.get(axis)));
    }
    return List.of(strides);
  }

  /** A float32 copy of a tensor, for the writers. */
  public static StoredTensor of(Tensor tensor) {
    var bytes = MemorySegment.ofArray(new byte[Math.multiplyExact(tensor.size(), 4)]);
    MemorySegment.copy(tensor.data(), 0, bytes, LittleEndian.FLOAT, 0, tensor.size());
    return contiguous(DType.F32, shapeOf(tensor), bytes);
  }

  /** A tensor of numbers from -128 to 127. */
  public static StoredTensor of(byte[] values, List<Long> shape) {
    return contiguous(DType.I8, shape, MemorySegment.ofArray(values));
  }

  static List<Long> shapeOf(Tensor tensor) {
    return Arrays.stream(tensor.shape()).mapToObj(Long::valueOf).toList();
  }

  /** A 64-bit integer scalar, the type of {@code num_batches_tracked} in PyTorch. */
  public static StoredTensor ofScalar(long value) {
    var bytes = MemorySegment.ofArray(new byte[8]);
    bytes.set(LittleEndian.LONG, 0, value);
    return contiguous(DType.I64, List.of(), bytes);
  }

  /** The number of elements. */
  public long size() {
    return shape.stream().reduce(1L, Math::multiplyExact);
  }

  /** Whether the elements are in row-major order without gaps. */
  public boolean isContiguous() {
    long expected = 1;
    for (int axis = shape.size() - 1; axis >= 0; axis--) {
      if (shape.get(axis) != 1 && strides.get(axis) != expected) {
        return shape.contains(0L);
      }
      expected *= shape.get(axis);
    }
    return true;
  }

  /**
   * Reads the elements as float32, rounding from wider formats.
   *
   * @throws IllegalArgumentException if there are more than 2³¹−1, or they do not fit into the heap
   */
  public Tensor toTensor() {
    Tensor.checkMemory(size());
    int[] extents = shape.stream().mapToInt(StoredTensor::toExtent).toArray();
    Tensor tensor = Tensor.zeros(extents);
    float[] data = tensor.data();
    if (dtype == DType.F32 && isContiguous()) {
      MemorySegment.copy(storage, LittleEndian.FLOAT, offset * 4, data, 0, data.length);
    } else {
      forEachElement((index, at) -> data[(int) index] = (float) dtype.get(storage, at));
    }
    return tensor;
  }

  /** The same as {@link #toTensor}, but releases the mapped file's pages at once. */
  public Tensor read() {
    Tensor tensor = toTensor();
    if (storage.isMapped()) {
      storage.unload();
    }
    return tensor;
  }

  private static int toExtent(long extent) {
    if (extent > Integer.MAX_VALUE) {
      throw new IllegalArgumentException("extent " + extent + " is too large for an array");
    }
    return (int) extent;
  }

  /** The same values with another type, row-major; copied to the heap only if necessary. */
  public StoredTensor as(DType target) {
    if (target == dtype && isContiguous()) {
      long from = offset * dtype.bytes;
      return contiguous(dtype, shape, storage.asSlice(from, size() * dtype.bytes));
    }
    long bytes = Math.multiplyExact(size(), (long) target.bytes);
    if (bytes > Integer.MAX_VALUE - 64) {
      throw new IllegalArgumentException("a tensor of " + bytes + " bytes is too large to convert");
    }
    var copy = MemorySegment.ofArray(new byte[(int) bytes]);
    if (target == dtype) {
      forEachElement(
          (index, at) -> MemorySegment.copy(storage, at, copy, index * dtype.bytes, dtype.bytes));
    } else {
      forEachElement((index, at) -> target.set(copy, index * target.bytes, dtype.get(storage, at)));
    }
    return contiguous(target, shape, copy);
  }

  private interface ElementVisitor {
    void visit(long index, long byteOffset);
  }

  /** Visits the elements in row-major order. */
  private void forEachElement(ElementVisitor visitor) {
    long[] at = new long[shape.size()];
    long position = offset;
    long count = size();
    for (long index = 0; index < count; index++) {
      visitor.visit(index, position * dtype.bytes);
      for (int axis = at.length - 1; axis >= 0; axis--) {
        position += strides.get(axis);
        if (++at[axis] < shape.get(axis)) {
          break;
        }
        position -= at[axis] * strides.get(axis);
        at[axis] = 0;
      }
    }
  }

  /** For example {@code f32[64, 3, 7, 7]}. */
  @Override
  public String toString() {
    return dtype + shape.stream().map(String::valueOf).collect(Collectors.joining(", ", "[", "]"));
  }
}
