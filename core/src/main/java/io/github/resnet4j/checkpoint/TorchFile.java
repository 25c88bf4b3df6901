package io.github.resnet4j.checkpoint;

import io.github.resnet4j.checkpoint.Unpickler.DenseTensor;
import io.github.resnet4j.checkpoint.Unpickler.Dict;
import io.github.resnet4j.checkpoint.Unpickler.OtherTensor;
import io.github.resnet4j.checkpoint.Unpickler.PickledTensor;
import io.github.resnet4j.checkpoint.Unpickler.Storage;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.math.BigInteger;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.SequencedMap;

/**
 * Reads files of {@code torch.save}: since PyTorch 1.6 a zip file with one pickle and one
 * uncompressed entry per storage, before that four pickles followed by the storages.
 */
final class TorchFile {
  /** The pickle contains only names and shapes. ResNet-152's has 130 kB. */
  private static final long MAX_PICKLE_BYTES = 32L << 20;

  private static final BigInteger LEGACY_MAGIC = new BigInteger("1950a86a20f9469cfc6c", 16);

  /** The keys of the state dict in wrapped checkpoints, the plain weights before averaged ones. */
  private static final List<String> WRAPPERS =
      List.of(
          "state_dict",
          "model_state_dict",
          "model",
          "net",
          "network",
          "module",
          "model_ema",
          "state_dict_ema",
          "ema");

  private static final int MAX_WRAPPERS = 3;

  private static final int MAX_METADATA_DEPTH = 32;

  /** The memory of a map, a list or an entry of one. */
  private static final int METADATA_ENTRY = 160;

  private TorchFile() {}

  static boolean isZip(MemorySegment file) {
    return file.byteSize() >= 4
        && file.get(ValueLayout.JAVA_BYTE, 0) == 'P'
        && file.get(ValueLayout.JAVA_BYTE, 1) == 'K'
        && file.get(ValueLayout.JAVA_BYTE, 2) == 3
        && file.get(ValueLayout.JAVA_BYTE, 3) == 4;
  }

  static boolean isLegacy(MemorySegment file) {
    return file.byteSize() >= 2
        && file.get(ValueLayout.JAVA_BYTE, 0) == (byte) 0x80
        && file.get(ValueLayout.JAVA_BYTE, 1) >= 2
        && file.get(ValueLayout.JAVA_BYTE, 1) <= 5;
  }

  static Contents readZip(MemorySegment file, Budget budget) {
    var entries = StoredZip.read(file, budget);
    if (entries.containsKey("constants.pkl")) {
      throw new Malformed(
          "this is a TorchScript archive, a compiled program; in Python, save"
              + " torch.jit.load(file).state_dict() with torch.save instead");
    }
    var pickle = entries.get("data.pkl");
    if (pickle == null) {
      throw new Malformed("the zip file has no data.pkl, so torch.save did not write it");
    }
    if (pickle.size() > MAX_PICKLE_BYTES) {
      throw new Malformed(
          "its data.pkl has %,d bytes; the maximum for names and shapes is %,d"
              .formatted(pickle.size(), MAX_PICKLE_BYTES));
    }
    var byteOrder = entries.get("byteorder");
    if (byteOrder != null && !isLittleEndian(byteOrder)) {
      throw new Malformed("it was written on a big-endian machine, which is not supported");
    }
    Object root = Unpickler.read(pickle.bytes(), 0, budget).value();
    var weights = Budget.forWeights();
    return unwrap(
        root,
        storage -> {
          var entry = entries.get("data/" + storage.key());
          if (entry == null) {
            throw new Malformed("storage data/" + storage.key() + " is missing");
          }
          weights.take(entry.size());
          return entry.bytes();
        },
        budget);
  }

  private static boolean isLittleEndian(StoredZip.Entry byteOrder) {
    return byteOrder.size() == 6 && byteOrder.bytes().get(ValueLayout.JAVA_BYTE, 0) == 'l';
  }

  static Contents readLegacy(MemorySegment file, Budget budget) {
    MemorySegment pickles =
        file.byteSize() <= MAX_PICKLE_BYTES ? file : file.asSlice(0, MAX_PICKLE_BYTES);
    var magic = Unpickler.read(pickles, 0, budget);
    if (!LEGACY_MAGIC.equals(magic.value())) {
      throw new Malformed("it is a pickle, but torch.save did not write it");
    }
    var protocol = Unpickler.read(pickles, magic.end(), budget);
    if (!Long.valueOf(1001).equals(protocol.value())) {
      throw new Malformed("its protocol version is not 1001, the only one of the old format");
    }
    var system = Unpickler.read(pickles, protocol.end(), budget);
    if (system.value() instanceof Dict info
        && Boolean.FALSE.equals(info.items().get("little_endian"))) {
      throw new Malformed("it was written on a big-endian machine, which is not supported");
    }
    var root = Unpickler.read(pickles, system.end(), budget);
    var keys = Unpickler.read(pickles, root.end(), budget);
    if (!(keys.value() instanceof List<?> order)) {
      throw new Malformed("the list of its storages is missing");
    }
    Map<String, MemorySegment> storages = storages(file, keys.end(), order, root.storages());
    return unwrap(
        root.value(),
        storage -> {
          MemorySegment bytes = storages.get(storage.key());
          if (bytes == null) {
            throw new Malformed("storage " + storage.key() + " is missing");
          }
          return bytes;
        },
        budget);
  }

  /** The storages of the old format: for each the number of elements, then the bytes. */
  private static Map<String, MemorySegment> storages(
      MemorySegment file, long start, List<?> order, Map<String, StorageType> types) {
    var storages = new HashMap<String, MemorySegment>();
    long position = start;
    for (Object item : order) {
      StorageType type = item instanceof String name ? types.get(name) : null;
      if (type == null) {
        throw new Malformed("it has a storage that belongs to no tensor");
      }
      String key = (String) item;
      if (position > file.byteSize() - 8) {
        throw new Malformed("it ends before storage " + key);
      }
      long elements = file.get(LittleEndian.LONG, position);
      position += 8;
      if (elements < 0 || elements > (file.byteSize() - position) / type.bytes()) {
        throw new Malformed(
            "storage %s claims %,d elements, the file ends before".formatted(key, elements));
      }
      long bytes = elements * type.bytes();
      storages.put(key, file.asSlice(position, bytes));
      position += bytes;
    }
    return storages;
  }

  private interface Storages {
    MemorySegment bytesOf(Storage storage);
  }

  private static Contents unwrap(Object root, Storages storages, Budget budget) {
    if (!(root instanceof Dict top)) {
      throw new Malformed("it holds no dict but a single value; save model.state_dict()");
    }
    Dict found =
        stateDict(top, 0)
            .orElseThrow(() ->
                new Malformed(
                    "no tensors in it, nor under %s; it has %s"
                        .formatted(
                            String.join(", ", WRAPPERS),
                            top.items().keySet().stream()
                                .filter(key -> key instanceof String || key instanceof Number)
                                .limit(8)
                                .map(key -> "'" + key + "'")
                                .toList())));
    Object notes = found.attributes().get(Contents.METADATA_KEY);
    if (notes == null) {
      notes = top.items().get(Contents.METADATA_KEY);
    }
    return new Contents(
        tensors(found, storages, budget),
        notes instanceof Dict dict ? plain(dict, 0, Budget.forMetadata()) : Map.of());
  }

  /**
   * The dict of tensors in a saved object, possibly inside wrappers. Wrappers are checked first,
   * since training scripts also store metrics, which may be tensors.
   */
  private static Optional<Dict> stateDict(Dict dict, int depth) {
    for (String wrapper : WRAPPERS) {
      if (depth < MAX_WRAPPERS && dict.items().get(wrapper) instanceof Dict inner) {
        var found = stateDict(inner, depth + 1);
        if (found.isPresent()) {
          return found;
        }
      }
    }
    return Optional.of(dict)
        .filter(d -> d.items().values().stream().anyMatch(PickledTensor.class::isInstance));
  }

  private static SequencedMap<String, StoredTensor> tensors(
      Dict dict, Storages storages, Budget budget) {
    var tensors = new LinkedHashMap<String, StoredTensor>();
    var resolved = new HashMap<String, MemorySegment>();
    dict.items()
        .forEach((key, value) -> {
          if (key instanceof String name && value instanceof PickledTensor tensor) {
            budget.take(Budget.TENSOR);
            tensors.put(name, resolve(name, tensor, storages, resolved));
          }
        });
    return tensors;
  }

  private static StoredTensor resolve(
      String name, PickledTensor tensor, Storages storages, Map<String, MemorySegment> resolved) {
    return switch (tensor) {
      case OtherTensor other -> throw unsupported(name, other.kind());
      case DenseTensor dense -> {
        Storage storage = dense.storage();
        DType dtype =
            storage
                .type()
                .dtype()
                .orElseThrow(() -> unsupported(name, "of type " + storage.type().name()));
        MemorySegment bytes = resolved.get(storage.key());
        if (bytes == null) {
          bytes = storages.bytesOf(storage);
          resolved.put(storage.key(), bytes);
        }
        if (storage.elements() < 0
            || storage.elements() > bytes.byteSize() / dtype.bytes
            || storage.elements() * dtype.bytes != bytes.byteSize()) {
          throw new Malformed(
              "storage %s claims %,d elements of %s but has %,d bytes"
                  .formatted(storage.key(), storage.elements(), dtype, bytes.byteSize()));
        }
        try {
          yield new StoredTensor(dtype, dense.shape(), dense.strides(), dense.offset(), bytes);
        } catch (IllegalArgumentException e) {
          throw new Malformed("tensor " + name + ": " + e.getMessage());
        }
      }
    };
  }

  private static Malformed unsupported(String name, String kind) {
    return new Malformed(
        ("tensor %s is %s, which is not supported; in Python, save it as a dense"
                + " tensor of float32")
            .formatted(name, kind));
  }

  /** Copies metadata to maps, lists, strings and numbers; shared values are copied each time. */
  private static SequencedMap<String, Object> plain(Dict dict, int depth, Budget budget) {
    var copy = new LinkedHashMap<String, Object>();
    dict.items()
        .forEach((key, value) -> {
          if (key instanceof String name) {
            copy.put(name, plain(value, depth + 1, budget));
          }
        });
    return copy;
  }

  private static Object plain(Object value, int depth, Budget budget) {
    if (depth > MAX_METADATA_DEPTH) {
      throw new Malformed("its notes are nested more than " + MAX_METADATA_DEPTH + " times");
    }
    budget.take(
        value instanceof String text ? METADATA_ENTRY + 2L * text.length() : METADATA_ENTRY);
    return switch (value) {
      case Dict dict -> plain(dict, depth, budget);
      case List<?> list -> {
        var copy = new ArrayList<Object>();
        for (Object item : list) {
          copy.add(plain(item, depth + 1, budget));
        }
        yield copy;
      }
      case String text -> text;
      case Number number -> number;
      case Boolean flag -> flag;
      default -> "";
    };
  }
}
