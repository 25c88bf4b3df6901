package io.github.resnet4j.checkpoint;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/**
 * The weights in a {@code .pt2} of {@code torch.export.save}: a JSON file with the name, type,
 * shape and file of each tensor, and one uncompressed file per storage. The program is not read.
 */
final class ExportedProgram {
  private static final String FOLDER = "data/weights/";
  private static final Pattern CONFIG =
      Pattern.compile("data/weights/[\\w.-]+_weights_config\\.json");
  private static final int MAX_AXES = 64;

  /** {@code torch._export.serde.schema.ScalarType}. */
  private static final Map<Long, DType> TYPES =
      Map.of(
          1L, DType.U8,
          2L, DType.I8,
          3L, DType.I16,
          4L, DType.I32,
          5L, DType.I64,
          6L, DType.F16,
          7L, DType.F32,
          8L, DType.F64,
          12L, DType.BOOL,
          13L, DType.BF16);

  private static final long STRIDED = 7;

  private ExportedProgram() {}

  static boolean matches(Map<String, StoredZip.Entry> entries) {
    return entries.keySet().stream().anyMatch(name -> CONFIG.matcher(name).matches());
  }

  static Contents read(Map<String, StoredZip.Entry> entries, Budget budget) {
    List<String> configs =
        entries.keySet().stream().filter(name -> CONFIG.matcher(name).matches()).toList();
    if (configs.size() != 1) {
      throw new Malformed(
          "it has the weights of %d programs, not of one".formatted(configs.size()));
    }
    var config = entries.get(configs.getFirst());
    if (config == null || config.size() > Safetensors.MAX_HEADER_BYTES) {
      throw new Malformed("its list of weights is larger than any list of names and shapes");
    }
    budget.take(3 * config.size());
    String json = new String(config.bytes().toArray(ValueLayout.JAVA_BYTE), StandardCharsets.UTF_8);
    if (!(Safetensors.parse(json, "its list of weights is").get("config")
        instanceof Map<?, ?> all)) {
      throw new Malformed("its list of weights has no 'config'");
    }
    var weights = Budget.forWeights();
    var tensors = new LinkedHashMap<String, StoredTensor>();
    var storages = new LinkedHashMap<String, MemorySegment>();
    for (var each : all.entrySet()) {
      budget.take(Budget.TENSOR);
      String name = String.valueOf(each.getKey());
      if (name.length() > Checkpoint.MAX_NAME) {
        throw new Malformed(
            "it has a tensor name of more than " + Checkpoint.MAX_NAME + " letters");
      }
      if (!(each.getValue() instanceof Map<?, ?> fields)
          || !(fields.get("tensor_meta") instanceof Map<?, ?> meta)) {
        throw new Malformed("tensor " + name + " has no type and shape");
      }
      String path = FOLDER + fields.get("path_name");
      if (Boolean.TRUE.equals(fields.get("use_pickle"))) {
        throw unsupported(name, "pickled");
      }
      MemorySegment storage = storages.get(path);
      if (storage == null) {
        var entry = entries.get(path);
        if (entry == null) {
          throw new Malformed("%s of tensor %s is missing".formatted(path, name));
        }
        weights.take(entry.size());
        storage = entry.bytes();
        storages.put(path, storage);
      }
      tensors.put(name, tensor(name, meta, storage));
    }
    return new Contents(tensors, Map.of());
  }

  private static StoredTensor tensor(String name, Map<?, ?> meta, MemorySegment storage) {
    long code = integer(name, meta.get("dtype"));
    DType type =
        Optional.ofNullable(TYPES.get(code))
            .orElseThrow(() -> unsupported(name, "of type " + code));
    if (integer(name, meta.get("layout")) != STRIDED) {
      throw unsupported(name, "not dense");
    }
    try {
      return new StoredTensor(
          type,
          integers(name, meta.get("sizes")),
          integers(name, meta.get("strides")),
          integer(name, meta.get("storage_offset")),
          storage);
    } catch (IllegalArgumentException e) {
      throw new Malformed("tensor " + name + ": " + e.getMessage());
    }
  }

  private static Malformed unsupported(String name, String kind) {
    return new Malformed(
        "tensor %s is %s, which is not supported; export it as a dense tensor of float32"
            .formatted(name, kind));
  }

  private static List<Long> integers(String name, @Nullable Object value) {
    var result = new ArrayList<Long>();
    if (value instanceof List<?> list && list.size() <= MAX_AXES) {
      for (Object each : list) {
        result.add(integer(name, each));
      }
      return result;
    }
    throw new Malformed("tensor " + name + " has no list of sizes");
  }

  /** A number, or {@code {"as_int": number}}. */
  private static long integer(String name, @Nullable Object value) {
    Object number = value instanceof Map<?, ?> map ? map.get("as_int") : value;
    if (number instanceof Integer || number instanceof Long) {
      return ((Number) number).longValue();
    }
    throw new Malformed("tensor " + name + " has something else where a number is expected");
  }
}
