package io.github.resnet4j.checkpoint;

import java.util.Map;
import java.util.Optional;

/**
 * The element type of a storage in a file of {@code torch.save}.
 *
 * @param name PyTorch's name, for error messages
 * @param bytes per element
 * @param dtype empty for unsupported elements
 */
record StorageType(String name, int bytes, Optional<DType> dtype) {
  private static final Map<String, StorageType> UNSUPPORTED =
      Map.of(
          "ComplexFloatStorage", unsupported("complex64", 8),
          "ComplexDoubleStorage", unsupported("complex128", 16),
          "QInt8Storage", unsupported("qint8", 1),
          "QUInt8Storage", unsupported("quint8", 1),
          "QInt32Storage", unsupported("qint32", 4),
          "QUInt4x2Storage", unsupported("quint4x2", 1),
          "QUInt2x4Storage", unsupported("quint2x4", 1),
          "UntypedStorage", unsupported("untyped", 1));

  private static StorageType unsupported(String name, int bytes) {
    return new StorageType(name, bytes, Optional.empty());
  }

  /** The type of a storage class in the module {@code torch}. */
  static Optional<StorageType> named(String className) {
    return Optional.ofNullable(UNSUPPORTED.get(className))
        .or(() ->
            DType.ofTorchStorage(className)
                .map(type -> new StorageType(type.toString(), type.bytes, Optional.of(type))));
  }
}
