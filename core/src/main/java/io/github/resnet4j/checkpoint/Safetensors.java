package io.github.resnet4j.checkpoint;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.StreamReadConstraints;
import com.fasterxml.jackson.jr.ob.JSON;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.SequencedMap;
import java.util.Set;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/**
 * The safetensors format: eight bytes of length, a JSON header of names, types, shapes and byte
 * ranges, then the data.
 */
final class Safetensors {
  /** ResNet-152's header has 120 kB; the format itself allows 100 MB. */
  static final long MAX_HEADER_BYTES = 16L << 20;

  private static final int MAX_SHARDS = 1000;
  private static final Pattern SHARD = Pattern.compile("[A-Za-z0-9._-]+\\.safetensors");

  private static final int MAX_AXES = 64;

  /** ResNet-152's header has 16,000 tokens. Each needs less than 64 bytes on the heap. */
  private static final int MAX_TOKENS = 500_000;

  private static final JSON STRICT_JSON =
      JSON.builder(
              JsonFactory.builder()
                  .streamReadConstraints(
                      StreamReadConstraints.builder()
                          .maxTokenCount(MAX_TOKENS)
                          .maxNestingDepth(32)
                          .build())
                  .build())
          .enable(JSON.Feature.FAIL_ON_DUPLICATE_MAP_KEYS)
          .build();

  private Safetensors() {}

  static boolean matches(MemorySegment file) {
    return file.byteSize() >= 9 && file.get(ValueLayout.JAVA_BYTE, 8) == '{';
  }

  static Contents read(MemorySegment file, Budget budget) {
    long headerLength = file.get(LittleEndian.LONG, 0);
    if (headerLength < 0 || headerLength > MAX_HEADER_BYTES || headerLength > file.byteSize() - 8) {
      throw new Malformed(
          "its header claims %s bytes; the maximum for a file of %,d bytes is %,d"
              .formatted(
                  Long.toUnsignedString(headerLength),
                  file.byteSize(),
                  Math.min(MAX_HEADER_BYTES, file.byteSize() - 8)));
    }
    budget.take(3 * headerLength); // as bytes, as text, and as parsed values
    Map<String, Object> header =
        parse(
            new String(
                file.asSlice(8, headerLength).toArray(ValueLayout.JAVA_BYTE),
                StandardCharsets.UTF_8),
            "its header is");
    MemorySegment data = file.asSlice(8 + headerLength);
    var tensors = new LinkedHashMap<String, StoredTensor>();
    Map<String, Object> metadata = Map.of();
    for (var entry : header.entrySet()) {
      if (entry.getKey().equals("__metadata__")) {
        if (entry.getValue() instanceof Map<?, ?> notes
            && notes.get(Contents.METADATA_KEY) instanceof String json) {
          metadata = parse(json, "its notes are");
        }
      } else {
        budget.take(Budget.TENSOR);
        tensors.put(entry.getKey(), tensor(entry.getKey(), entry.getValue(), data));
      }
    }
    return new Contents(tensors, metadata);
  }

  private static StoredTensor tensor(
      String name, @Nullable Object description, MemorySegment data) {
    if (name.length() > Checkpoint.MAX_NAME) {
      throw new Malformed("it has a tensor name of more than " + Checkpoint.MAX_NAME + " letters");
    }
    if (!(description instanceof Map<?, ?> fields)
        || !(fields.get("dtype") instanceof String typeName)
        || !(fields.get("shape") instanceof List<?> extents)
        || !(fields.get("data_offsets") instanceof List<?> range)
        || range.size() != 2
        || extents.size() > MAX_AXES) {
      throw new Malformed("tensor " + name + " lacks dtype, shape or data_offsets");
    }
    DType dtype =
        DType.ofSafetensors(typeName)
            .orElseThrow(() ->
                new Malformed(
                    "tensor %s is of type %s, which is not supported; in Python, save it as float32"
                        .formatted(name, typeName)));
    var shape = new ArrayList<Long>();
    long size = dtype.bytes;
    for (Object extent : extents) {
      shape.add(integer(name, extent));
      try {
        size = Math.multiplyExact(size, shape.getLast());
      } catch (ArithmeticException e) {
        throw new Malformed("tensor " + name + " has an invalid shape");
      }
    }
    long begin = integer(name, range.get(0));
    long end = integer(name, range.get(1));
    if (begin > end || end > data.byteSize() || end - begin != size) {
      throw new Malformed(
          "tensor %s of %,d bytes cannot be at %,d to %,d of %,d%s"
              .formatted(
                  name,
                  size,
                  begin,
                  end,
                  data.byteSize(),
                  end - begin == size && begin >= 0 ? "; the file is truncated" : ""));
    }
    try {
      return StoredTensor.contiguous(dtype, shape, data.asSlice(begin, size));
    } catch (IllegalArgumentException | ArithmeticException e) {
      throw new Malformed("tensor " + name + ": " + e.getMessage());
    }
  }

  private static long integer(String tensor, @Nullable Object value) {
    if (value instanceof Integer || value instanceof Long) {
      long number = ((Number) value).longValue();
      if (number >= 0) {
        return number;
      }
    }
    throw new Malformed("tensor " + tensor + " has " + value + ", expected a size");
  }

  /**
   * Reads the file of each tensor from Hugging Face's {@code model.safetensors.index.json}. Files
   * must be names in the same folder, not paths.
   */
  static SequencedMap<String, String> weightMap(MemorySegment index, Budget budget) {
    if (index.byteSize() > MAX_HEADER_BYTES) {
      throw new Malformed("is larger than any index of shards");
    }
    budget.take(3 * index.byteSize());
    var json =
        parse(new String(index.toArray(ValueLayout.JAVA_BYTE), StandardCharsets.UTF_8), "it is");
    if (!(json.get("weight_map") instanceof Map<?, ?> map)) {
      throw new Malformed("is JSON without a weight_map, so not an index of safetensors files");
    }
    var shards = new LinkedHashMap<String, String>();
    for (var entry : map.entrySet()) {
      String shard = String.valueOf(entry.getValue());
      if (!SHARD.matcher(shard).matches()) {
        throw new Malformed(
            "its weight_map names '%s', which is not a file in the same folder".formatted(shard));
      }
      shards.put(String.valueOf(entry.getKey()), shard);
    }
    if (Set.copyOf(shards.values()).size() > MAX_SHARDS) {
      throw new Malformed("its weight_map names more than " + MAX_SHARDS + " files");
    }
    return shards;
  }

  /**
   * A JSON object, within limits.
   *
   * @throws Malformed if it is none
   */
  static Map<String, Object> parse(String json, String what) {
    try {
      if (STRICT_JSON.anyFrom(json) instanceof Map<?, ?> map) {
        @SuppressWarnings("unchecked") // names are strings
        var object = (Map<String, Object>) map;
        return object;
      }
    } catch (IOException e) {
      throw new Malformed(
          "its JSON is invalid: " + String.valueOf(e.getMessage()).lines().findFirst().orElse(""));
    }
    throw new Malformed(what + " not a JSON object");
  }

  /** The header for tensors that are written one after the other, padded to eight bytes. */
  static byte[] header(SequencedMap<String, StoredTensor> tensors, Map<String, Object> metadata) {
    var header = new LinkedHashMap<String, Object>();
    var notes = new LinkedHashMap<String, String>();
    notes.put("format", "pt"); // transformers and timm require it
    if (!metadata.isEmpty()) {
      notes.put(Contents.METADATA_KEY, json(metadata));
    }
    header.put("__metadata__", notes);
    long position = 0;
    for (var entry : tensors.entrySet()) {
      StoredTensor tensor = entry.getValue();
      long end = position + tensor.size() * tensor.dtype().bytes;
      var fields = new LinkedHashMap<String, Object>();
      fields.put("dtype", tensor.dtype().name());
      fields.put("shape", tensor.shape());
      fields.put("data_offsets", List.of(position, end));
      header.put(entry.getKey(), fields);
      position = end;
    }
    String text = json(header);
    int length = text.getBytes(StandardCharsets.UTF_8).length;
    return (text + " ".repeat((8 - length % 8) % 8)).getBytes(StandardCharsets.UTF_8);
  }

  private static String json(Object value) {
    try {
      return JSON.std.asString(value);
    } catch (IOException e) {
      throw new IllegalArgumentException("cannot be written as JSON: " + e.getMessage(), e);
    }
  }

  /** Eight bytes, little-endian. */
  static byte[] length(int headerBytes) {
    return ByteBuffer.allocate(8).order(ByteOrder.LITTLE_ENDIAN).putLong(headerBytes).array();
  }
}
