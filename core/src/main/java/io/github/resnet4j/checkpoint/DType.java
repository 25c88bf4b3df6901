package io.github.resnet4j.checkpoint;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Locale;
import java.util.Optional;

/** The element type of a stored tensor: its size, and its names in the file formats. */
public enum DType {
  F64(8, "DoubleStorage", "<f8"),
  F32(4, "FloatStorage", "<f4"),
  F16(2, "HalfStorage", "<f2"),
  BF16(2, "BFloat16Storage", ""),
  I64(8, "LongStorage", "<i8"),
  I32(4, "IntStorage", "<i4"),
  I16(2, "ShortStorage", "<i2"),
  I8(1, "CharStorage", "|i1"),
  U8(1, "ByteStorage", "|u1"),
  BOOL(1, "BoolStorage", "|b1");

  /** Bytes per element. */
  public final int bytes;

  /** The storage class in {@code torch.save} files, without its module {@code torch}. */
  final String torchStorage;

  /** NumPy's {@code descr}; empty if NumPy has no such type. */
  final String numpy;

  DType(int bytes, String torchStorage, String numpy) {
    this.bytes = bytes;
    this.torchStorage = torchStorage;
    this.numpy = numpy;
  }

  /** The type with a safetensors name, {@code F32}, {@code BF16} and so on. */
  static Optional<DType> ofSafetensors(String name) {
    for (DType type : values()) {
      if (type.name().equals(name)) {
        return Optional.of(type);
      }
    }
    return Optional.empty();
  }

  static Optional<DType> ofTorchStorage(String name) {
    for (DType type : values()) {
      if (type.torchStorage.equals(name)) {
        return Optional.of(type);
      }
    }
    return Optional.empty();
  }

  /** Whether this is a floating-point type. */
  public boolean isFloatingPoint() {
    return switch (this) {
      case F64, F32, F16, BF16 -> true;
      case I64, I32, I16, I8, U8, BOOL -> false;
    };
  }

  /** The value at byte {@code offset} of a little-endian segment. */
  double get(MemorySegment segment, long offset) {
    return switch (this) {
      case F64 -> segment.get(LittleEndian.DOUBLE, offset);
      case F32 -> segment.get(LittleEndian.FLOAT, offset);
      case F16 -> Float.float16ToFloat(segment.get(LittleEndian.SHORT, offset));
      case BF16 -> Float.intBitsToFloat(segment.get(LittleEndian.SHORT, offset) << 16);
      case I64 -> segment.get(LittleEndian.LONG, offset);
      case I32 -> segment.get(LittleEndian.INT, offset);
      case I16 -> segment.get(LittleEndian.SHORT, offset);
      case I8 -> segment.get(ValueLayout.JAVA_BYTE, offset);
      case U8 -> segment.get(ValueLayout.JAVA_BYTE, offset) & 0xff;
      case BOOL -> segment.get(ValueLayout.JAVA_BYTE, offset) == 0 ? 0 : 1;
    };
  }

  /**
   * Stores a value at byte {@code offset} of a little-endian segment; floats are rounded half to
   * even, integers saturate.
   */
  void set(MemorySegment segment, long offset, double value) {
    switch (this) {
      case F64 -> segment.set(LittleEndian.DOUBLE, offset, value);
      case F32 -> segment.set(LittleEndian.FLOAT, offset, (float) value);
      case F16 -> segment.set(LittleEndian.SHORT, offset, Float.floatToFloat16((float) value));
      case BF16 -> segment.set(LittleEndian.SHORT, offset, toBfloat16((float) value));
      case I64 -> segment.set(LittleEndian.LONG, offset, (long) value);
      case I32 -> segment.set(LittleEndian.INT, offset, (int) value);
      case I16 ->
          segment.set(LittleEndian.SHORT, offset, (short) Math.clamp(value, -0x8000, 0x7fff));
      case I8 -> segment.set(ValueLayout.JAVA_BYTE, offset, (byte) Math.clamp(value, -128, 127));
      case U8 -> segment.set(ValueLayout.JAVA_BYTE, offset, (byte) Math.clamp(value, 0, 255));
      case BOOL -> segment.set(ValueLayout.JAVA_BYTE, offset, (byte) (value == 0 ? 0 : 1));
    }
  }

  private static short toBfloat16(float value) {
    int bits = Float.floatToRawIntBits(value);
    if (Float.isNaN(value)) {
      return (short) ((bits >>> 16) | 0x40);
    }
    return (short) ((bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16);
  }

  @Override
  public String toString() {
    return name().toLowerCase(Locale.ROOT);
  }
}
