package io.github.resnet4j.checkpoint;

import java.util.Map;
import java.util.Optional;

/**
 * The elements of a storage in a file of {@code torch.save}.
 *
 * @param name PyTorch's, as errors call it
 * @param bytes per element
 * @param dtype empty for elements that are not read
 */
record StorageType(String name, int bytes, Optional<DType> dtype) {
  private static final Map<String, StorageType> NOT_READ =
      Map.of(
          "ComplexFloatStorage", notRead("complex64", 8),
          "ComplexDoubleStorage", notRead("complex128", 16),
          "QInt8Storage", notRead("qint8", 1),
          "QUInt8Storage", notRead("quint8", 1),
          "QInt32Storage", notRead("qint32", 4),
          "QUInt4x2Storage", notRead("quint4x2", 1),
          "QUInt2x4Storage", notRead("quint2x4", 1),
          "UntypedStorage", notRead("untyped", 1));

  private static StorageType notRead(String name, int bytes) {
    return new StorageType(name, bytes, Optional.empty());
  }

  /** The type that a storage class of the module {@code torch} stands for. */
  static Optional<StorageType> named(String className) {
    return Optional.ofNullable(NOT_READ.get(className))
        .or(() ->
            DType.ofTorchStorage(className)
                .map(type -> new StorageType(type.toString(), type.bytes, Optional.of(type))));
  }
}
