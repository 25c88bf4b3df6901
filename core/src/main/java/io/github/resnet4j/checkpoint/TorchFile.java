package io.github.resnet4j.checkpoint;

import static java.util.Collections.newSetFromMap;
import static java.util.Comparator.comparingLong;

import io.github.resnet4j.checkpoint.Unpickler.DenseTensor;
import io.github.resnet4j.checkpoint.Unpickler.Dict;
import io.github.resnet4j.checkpoint.Unpickler.OtherTensor;
import io.github.resnet4j.checkpoint.Unpickler.PickledTensor;
import io.github.resnet4j.checkpoint.Unpickler.Storage;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SegmentAllocator;
import java.lang.foreign.ValueLayout;
import java.math.BigInteger;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.IdentityHashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.SequencedMap;
import java.util.Set;

/**
 * Reads files of {@code torch.save}: since PyTorch 1.6 a zip file with one pickle and one
 * uncompressed entry per storage, before that four pickles followed by the storages.
 */
final class TorchFile {
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
          "blobs",
          "model_ema",
          "state_dict_ema",
          "ema",
          "teacher",
          "student");

  private static final int MAX_WRAPPERS = 3;

  private static final int MAX_METADATA_DEPTH = 32;

  private static final String NPY = ".npy";

  /** The heap for a header that is being read. */
  private static final int MAX_NPY_HEADER = 1024;

  private static final int MAX_MODULE_DEPTH = 64;

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

  static Contents readZip(MemorySegment file, SegmentAllocator allocator, Budget budget) {
    var entries = StoredZip.read(file, budget);
    var state = entries.get("serialized_state_dict.pt");
    if (state != null && isZip(state.bytes())) { // torch.export.save until PyTorch 2.7
      entries = StoredZip.read(state.bytes(), budget);
    } else if (ExportedProgram.matches(entries)) {
      return ExportedProgram.read(entries, budget);
    }
    if (entries.keySet().stream().anyMatch(name -> name.endsWith(NPY))) { // numpy.savez
      return arrays(entries, budget);
    }
    var pickle = entries.get("data.pkl");
    if (pickle == null) {
      throw new Malformed("the zip file has no data.pkl, so torch.save did not write it");
    }
    var byteOrder = entries.get("byteorder");
    if (byteOrder != null && !isLittleEndian(byteOrder)) {
      throw new Malformed("it was written on a big-endian machine, which is not supported");
    }
    var weights = Budget.forWeights();
    weights.take(pickle.size());
    var storages = new ZipStorages(entries, weights);
    if (entries.containsKey("constants.pkl")) {
      Object module = Unpickler.readScript(pickle.bytes(), budget);
      return new Contents(
          tensors(scriptedTensors(module, budget), storages, allocator, budget), Map.of());
    }
    return unwrap(Unpickler.read(pickle.bytes(), 0, budget).value(), storages, allocator, budget);
  }

  private static Contents arrays(Map<String, StoredZip.Entry> entries, Budget budget) {
    var tensors = new LinkedHashMap<String, StoredTensor>();
    var weights = Budget.forWeights();
    entries.entrySet().stream()
        .sorted(comparingLong(each -> each.getValue().start()))
        .filter(each -> each.getKey().endsWith(NPY))
        .forEach(each -> {
          var entry = each.getValue();
          budget.take(Budget.TENSOR + MAX_NPY_HEADER);
          weights.take(entry.size());
          String name = each.getKey().substring(0, each.getKey().length() - NPY.length());
          try {
            tensors.put(name, Npy.parse(entry.bytes()));
          } catch (Malformed e) {
            throw new Malformed("array " + name + " " + e.reason());
          } catch (IllegalArgumentException e) {
            throw new Malformed("array " + name + ": " + e.getMessage());
          }
        });
    return new Contents(tensors, Map.of());
  }

  private record ZipStorages(Map<String, StoredZip.Entry> entries, Budget weights)
      implements Storages {
    @Override
    public MemorySegment bytesOf(Storage storage) {
      var entry = entries.get("data/" + storage.key());
      if (entry == null) {
        throw new Malformed("storage data/" + storage.key() + " is missing");
      }
      weights.take(entry.size());
      return entry.bytes();
    }
  }

  /**
   * The tensors in the modules of a TorchScript archive, by the names of a state dict. The code in
   * the archive is not read.
   */
  private static SequencedMap<String, Object> scriptedTensors(Object root, Budget budget) {
    record Module(String prefix, Dict attributes, int depth) {}
    var tensors = new LinkedHashMap<String, Object>();
    var open = new ArrayDeque<Module>();
    if (root instanceof Dict dict) {
      open.add(new Module("", dict, 0));
    }
    while (!open.isEmpty()) {
      Module module = open.removeFirst();
      var inner = new ArrayList<Module>();
      module
          .attributes
          .attributes()
          .forEach((key, value) -> {
            if (key instanceof String name) {
              String path = module.prefix + name;
              budget.take(METADATA_ENTRY + 2L * path.length());
              if (value instanceof PickledTensor) {
                tensors.put(path, value);
              } else if (value instanceof Dict attributes) {
                if (module.depth >= MAX_MODULE_DEPTH || path.length() > Checkpoint.MAX_NAME) {
                  throw new Malformed(
                      "its modules are nested more than " + MAX_MODULE_DEPTH + " times");
                }
                inner.add(new Module(path + ".", attributes, module.depth + 1));
              }
            }
          });
      for (Module each : inner.reversed()) { // depth first, in the order of definition
        open.addFirst(each);
      }
    }
    if (tensors.isEmpty()) {
      throw new Malformed(
          "this TorchScript archive has no named tensors: torch.jit.freeze or"
              + " optimize_for_inference made them constants of its code; save the module before"
              + " that");
    }
    return tensors;
  }

  private static boolean isLittleEndian(StoredZip.Entry byteOrder) {
    return byteOrder.size() == 6 && byteOrder.bytes().get(ValueLayout.JAVA_BYTE, 0) == 'l';
  }

  static Contents readLegacy(MemorySegment file, SegmentAllocator allocator, Budget budget) {
    var magic = Unpickler.read(file, 0, budget);
    if (magic.value() instanceof Dict) { // pickle.dump of NumPy arrays
      return unwrap(magic.value(), _ -> noStorage(), allocator, budget);
    }
    if (!LEGACY_MAGIC.equals(magic.value())) {
      throw new Malformed("it is a pickle, but torch.save did not write it");
    }
    var protocol = Unpickler.read(file, magic.end(), budget);
    if (!Long.valueOf(1001).equals(protocol.value())) {
      throw new Malformed("its protocol version is not 1001, the only one of the old format");
    }
    var system = Unpickler.read(file, protocol.end(), budget);
    if (system.value() instanceof Dict info
        && Boolean.FALSE.equals(info.items().get("little_endian"))) {
      throw new Malformed("it was written on a big-endian machine, which is not supported");
    }
    var root = Unpickler.read(file, system.end(), budget);
    var keys = Unpickler.read(file, root.end(), budget);
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
        allocator,
        budget);
  }

  private static MemorySegment noStorage() {
    throw new Malformed("it is a pickle of tensors, but torch.save did not write it");
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

  private static Contents unwrap(
      Object root, Storages storages, SegmentAllocator allocator, Budget budget) {
    if (!(root instanceof Dict top)) {
      throw new Malformed("it holds no dict but a single value; save model.state_dict()");
    }
    Dict found =
        stateDict(top, 0)
            .or(() -> onlyNetwork(top, 0, newSetFromMap(new IdentityHashMap<>())))
            .orElseThrow(() ->
                new Malformed(
                    "%sno tensors in it, nor under %s; it has %s"
                        .formatted(
                            hasOptimizer(top)
                                ? "it has the state of an optimizer, but no weights; they are in"
                                    + " another file: "
                                : "",
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
        tensors(found.items(), storages, allocator, budget),
        notes instanceof Dict dict ? plain(dict, 0, Budget.forMetadata()) : Map.of());
  }

  /** Whether it is or contains {@code torch.optim.Optimizer.state_dict}. */
  private static boolean hasOptimizer(Dict top) {
    return top.items().containsKey("param_groups")
        || top.items().values().stream()
            .anyMatch(
                value -> value instanceof Dict dict && dict.items().containsKey("param_groups"));
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

  /**
   * The only dict with the weights of convolutions inside other dicts, under any names; empty if
   * there are several.
   */
  private static Optional<Dict> onlyNetwork(Dict dict, int depth, Set<Object> visited) {
    var found = new ArrayList<Dict>();
    for (var entry : dict.items().entrySet()) {
      if (depth < MAX_WRAPPERS
          && entry.getValue() instanceof Dict inner
          && visited.add(inner)) { // dicts may contain each other
        boolean network =
            inner.items().values().stream()
                .anyMatch(value ->
                    (value instanceof DenseTensor tensor && tensor.shape().size() == 4)
                        || (value instanceof NumpyArray array && array.shape().size() == 4));
        if (network) {
          found.add(inner);
        } else {
          onlyNetwork(inner, depth + 1, visited).ifPresent(found::add);
        }
      }
    }
    return found.size() == 1 ? Optional.of(found.getFirst()) : Optional.empty();
  }

  private static SequencedMap<String, StoredTensor> tensors(
      Map<?, ?> items, Storages storages, SegmentAllocator allocator, Budget budget) {
    var tensors = new LinkedHashMap<String, StoredTensor>();
    var resolved = new HashMap<String, MemorySegment>();
    var arrays = Budget.forWeights();
    items.forEach((key, value) -> {
      if (key instanceof String name && value instanceof PickledTensor tensor) {
        budget.take(Budget.TENSOR);
        tensors.put(
            name,
            tensor instanceof NumpyArray array
                ? resolve(name, array, allocator, arrays)
                : resolve(name, tensor, storages, resolved));
      }
    });
    return tensors;
  }

  private static StoredTensor resolve(
      String name, NumpyArray array, SegmentAllocator allocator, Budget weights) {
    var unsupported = array.unsupported();
    if (unsupported.isPresent()) {
      throw unsupported(name, unsupported.get());
    }
    try {
      return array.tensor(allocator, weights);
    } catch (IllegalArgumentException e) {
      throw new Malformed("tensor " + name + ": " + e.getMessage());
    }
  }

  private static StoredTensor resolve(
      String name, PickledTensor tensor, Storages storages, Map<String, MemorySegment> resolved) {
    return switch (tensor) {
      case NumpyArray _ -> throw new IllegalStateException();
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
