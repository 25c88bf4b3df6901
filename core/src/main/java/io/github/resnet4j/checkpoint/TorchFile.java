package io.github.resnet4j.checkpoint;

import io.github.resnet4j.checkpoint.Unpickler.Dict;
import io.github.resnet4j.checkpoint.Unpickler.PickledTensor;
import io.github.resnet4j.checkpoint.Unpickler.Storage;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.math.BigInteger;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.IdentityHashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.SequencedMap;
import java.util.function.Consumer;

/**
 * Reads what {@code torch.save} writes: since PyTorch 1.6 a zip file with one pickle and one
 * uncompressed entry per storage, before that four pickles and the storages end to end.
 */
final class TorchFile {
  /** A pickle of names and shapes; the numbers are elsewhere. ResNet-152's has 130 kB. */
  private static final long MAX_PICKLE_BYTES = 32L << 20;

  private static final BigInteger LEGACY_MAGIC = new BigInteger("1950a86a20f9469cfc6c", 16);

  /** Where wrapped checkpoints keep the state dict, the plain weights before averaged ones. */
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

  static Contents readZip(MemorySegment file) {
    var entries = StoredZip.read(file);
    if (entries.containsKey("constants.pkl")) {
      throw new Malformed(
          "this is a TorchScript archive, a compiled program; in Python, save"
              + " torch.jit.load(file).state_dict() with torch.save instead");
    }
    var pickle = entries.get("data.pkl");
    if (pickle == null) {
      throw new Malformed("the zip file has no data.pkl, so torch.save did not write it");
    }
    var byteOrder = entries.get("byteorder");
    if (byteOrder != null && !isLittleEndian(byteOrder.bytes())) {
      throw new Malformed("it was written on a big-endian machine, which is not supported");
    }
    Object root = Unpickler.read(limited(pickle.bytes()), 0).value();
    return unwrap(
        root,
        storage -> {
          var entry = entries.get("data/" + storage.key());
          if (entry == null) {
            throw new Malformed("storage data/" + storage.key() + " is missing");
          }
          return entry.bytes();
        });
  }

  private static boolean isLittleEndian(MemorySegment byteOrder) {
    return byteOrder.byteSize() == 6 && byteOrder.get(ValueLayout.JAVA_BYTE, 0) == 'l';
  }

  static Contents readLegacy(MemorySegment file) {
    MemorySegment pickles = limited(file);
    var magic = Unpickler.read(pickles, 0);
    if (!LEGACY_MAGIC.equals(magic.value())) {
      throw new Malformed("it is a pickle, but not one that torch.save wrote");
    }
    var protocol = Unpickler.read(pickles, magic.end());
    if (!Long.valueOf(1001).equals(protocol.value())) {
      throw new Malformed("its protocol version is not 1001, the only one of the old format");
    }
    var system = Unpickler.read(pickles, protocol.end());
    if (system.value() instanceof Dict info
        && Boolean.FALSE.equals(info.items().get("little_endian"))) {
      throw new Malformed("it was written on a big-endian machine, which is not supported");
    }
    var root = Unpickler.read(pickles, system.end());
    var keys = Unpickler.read(pickles, root.end());
    if (!(keys.value() instanceof List<?> order)) {
      throw new Malformed("the list of its storages is missing");
    }
    // A storage's size in bytes needs its type, which only the tensors that use it know.
    var types = new HashMap<String, DType>();
    forEachTensor(root.value(), t -> types.put(t.storage().key(), t.storage().dtype()));
    var storages = new HashMap<String, MemorySegment>();
    long position = keys.end();
    for (Object key : order) {
      if (position > file.byteSize() - 8) {
        throw new Malformed("it ends before storage " + key);
      }
      long elements = file.get(LittleEndian.LONG, position);
      position += 8;
      DType dtype = key instanceof String name ? types.get(name) : null;
      if (dtype == null) {
        throw new Malformed("storage " + key + " belongs to no tensor");
      }
      long bytes = elements * dtype.bytes;
      if (elements < 0 || elements > Long.MAX_VALUE / 8 || bytes > file.byteSize() - position) {
        throw new Malformed(
            "storage %s claims %,d elements, the file ends before".formatted(key, elements));
      }
      storages.put((String) key, file.asSlice(position, bytes));
      position += bytes;
    }
    return unwrap(
        root.value(),
        storage -> {
          MemorySegment bytes = storages.get(storage.key());
          if (bytes == null) {
            throw new Malformed("storage " + storage.key() + " is missing");
          }
          return bytes;
        });
  }

  private static MemorySegment limited(MemorySegment pickle) {
    return pickle.byteSize() <= MAX_PICKLE_BYTES ? pickle : pickle.asSlice(0, MAX_PICKLE_BYTES);
  }

  private interface Storages {
    MemorySegment bytesOf(Storage storage);
  }

  /** Visits every tensor that a graph of dicts and lists holds, each container once. */
  private static void forEachTensor(Object root, Consumer<PickledTensor> visitor) {
    var seen = Collections.newSetFromMap(new IdentityHashMap<Object, Boolean>());
    var open = new ArrayDeque<Object>();
    open.push(root);
    while (!open.isEmpty()) {
      Object value = open.pop();
      switch (value) {
        case PickledTensor tensor -> visitor.accept(tensor);
        case Dict dict -> {
          if (seen.add(dict)) {
            dict.items().values().forEach(open::push);
            dict.attributes().values().forEach(open::push);
          }
        }
        case List<?> list -> {
          if (seen.add(list)) {
            list.forEach(open::push);
          }
        }
        default -> {}
      }
    }
  }

  private static Contents unwrap(Object root, Storages storages) {
    if (!(root instanceof Dict top)) {
      throw new Malformed("it holds no dict but a single value; save model.state_dict()");
    }
    return contents(
        top,
        stateDict(top, 0)
            .orElseThrow(() ->
                new Malformed(
                    "no tensors in it, nor under %s; it has %s"
                        .formatted(
                            String.join(", ", WRAPPERS),
                            top.items().keySet().stream()
                                .limit(8)
                                .map(key -> "'" + key + "'")
                                .toList()))),
        storages);
  }

  /**
   * The dict of tensors in what was saved, however it is wrapped. Wrappers come first: beside the
   * state dict, training scripts keep an accuracy or two, which may be tensors as well.
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

  private static Contents contents(Dict top, Dict dict, Storages storages) {
    var tensors = new LinkedHashMap<String, StoredTensor>();
    var resolved = new HashMap<String, MemorySegment>();
    dict.items()
        .forEach((key, value) -> {
          if (key instanceof String name && value instanceof PickledTensor tensor) {
            tensors.put(name, resolve(name, tensor, storages, resolved));
          }
        });
    Object metadata = dict.attributes().get(Contents.METADATA_KEY);
    if (metadata == null) {
      metadata = top.items().get(Contents.METADATA_KEY);
    }
    return new Contents(
        tensors, metadata instanceof Dict found ? plain(found, new int[] {10_000}) : Map.of());
  }

  private static StoredTensor resolve(
      String name, PickledTensor tensor, Storages storages, Map<String, MemorySegment> resolved) {
    Storage storage = tensor.storage();
    var bytes = resolved.get(storage.key());
    if (bytes == null) {
      bytes = storages.bytesOf(storage);
      resolved.put(storage.key(), bytes);
    }
    if (storage.elements() < 0
        || storage.elements() > bytes.byteSize() / storage.dtype().bytes
        || storage.elements() * storage.dtype().bytes != bytes.byteSize()) {
      throw new Malformed(
          "storage %s claims %,d elements of %s but has %,d bytes"
              .formatted(storage.key(), storage.elements(), storage.dtype(), bytes.byteSize()));
    }
    try {
      return new StoredTensor(
          storage.dtype(), tensor.shape(), tensor.strides(), tensor.offset(), bytes);
    } catch (IllegalArgumentException e) {
      throw new Malformed("tensor " + name + ": " + e.getMessage());
    }
  }

  /** Copies a dict into maps, lists, strings and numbers; {@code budget} bounds shared values. */
  private static SequencedMap<String, Object> plain(Dict dict, int[] budget) {
    var copy = new LinkedHashMap<String, Object>();
    dict.items()
        .forEach((key, value) -> {
          if (key instanceof String name) {
            copy.put(name, plain(value, budget));
          }
        });
    return copy;
  }

  private static Object plain(Object value, int[] budget) {
    if (--budget[0] < 0) {
      throw new Malformed("its metadata is too large");
    }
    return switch (value) {
      case Dict dict -> plain(dict, budget);
      case List<?> list -> {
        var copy = new ArrayList<Object>();
        for (Object item : list) {
          copy.add(plain(item, budget));
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
