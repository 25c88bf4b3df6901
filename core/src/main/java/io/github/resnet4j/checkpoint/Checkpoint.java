package io.github.resnet4j.checkpoint;

import io.github.resnet4j.tensor.Tensor;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Collection;
import java.util.Collections;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.SequencedMap;
import org.jspecify.annotations.Nullable;

/**
 * Named tensors in a file of any of these formats: {@code .pth}/{@code .pt}/{@code .bin} of {@code
 * torch.save} (the zip format and the one before PyTorch 1.6), {@code .safetensors}, or a
 * safetensors index over several files.
 *
 * <p>The file is memory-mapped: opening reads only its header, and the values of a tensor are read
 * on request. No code in a file is ever executed. All sizes and offsets in a file are checked
 * against its length first; reading takes bounded memory and time. After {@link #close} the tensors
 * are invalid.
 */
public final class Checkpoint implements AutoCloseable {
  /** Shared or repeated tensors may have this many elements, whatever the size of the file. */
  private static final long MIN_ELEMENT_LIMIT = 1 << 20;

  /** The maximum length of a tensor's name: comparing long names takes long. */
  static final int MAX_NAME = 2048;

  /** A name in a file of Caffe2 with batch norms. */
  private static final String FROZEN_NORM = "res2_0_branch2a_bn_s";

  private static final int MAX_FROZEN_CHANNELS = 1 << 14;

  /** The epsilon of PyTorch's batch norm. */
  private static final float NORM_EPSILON = 1e-5f;

  private final Path file;
  private final Arena arena;
  private final SequencedMap<String, StoredTensor> tensors;
  private final Map<String, Object> metadata;
  private @Nullable ParameterNames parameterNames;

  private Checkpoint(Path file, Arena arena, Contents contents) {
    this.file = file;
    this.arena = arena;
    this.tensors = Collections.unmodifiableSequencedMap(contents.tensors());
    this.metadata = Collections.unmodifiableMap(contents.metadata());
  }

  /**
   * Opens a file of any of the formats, which is detected from its first bytes.
   *
   * @throws CheckpointException if it has none of the formats, is damaged, or would execute code
   * @throws IOException if it cannot be read
   */
  @SuppressWarnings("MustBeClosedChecker") // the checkpoint closes it
  public static Checkpoint open(Path file) throws IOException {
    if (Files.isDirectory(file)) {
      throw new CheckpointException(file, "is a folder; name the file in it");
    }
    if (!Files.exists(file)) {
      throw new CheckpointException(file, "does not exist");
    }
    var arena = Arena.ofShared();
    Checkpoint opened = null;
    try {
      opened = new Checkpoint(file, arena, read(file, map(file, arena), arena));
      return opened;
    } finally {
      if (opened == null) {
        arena.close();
      }
    }
  }

  /**
   * Reads a checkpoint from memory.
   *
   * @param name the name in error messages
   * @throws CheckpointException as {@link #open}
   */
  @SuppressWarnings("MustBeClosedChecker") // the checkpoint closes it
  public static Checkpoint of(Path name, byte[] bytes) throws IOException {
    var arena = Arena.ofShared(); // it frees nothing, but closing is uniform
    return new Checkpoint(name, arena, read(name, MemorySegment.ofArray(bytes), arena));
  }

  static MemorySegment map(Path file, Arena arena) throws IOException {
    if (Files.exists(file)
        && !Files.isRegularFile(file)) { // opening a pipe would wait for its writer
      throw new CheckpointException(file, "is not a regular file");
    }
    try (var channel = FileChannel.open(file, StandardOpenOption.READ)) {
      return channel.map(FileChannel.MapMode.READ_ONLY, 0, channel.size(), arena);
    }
  }

  private static Contents read(Path file, MemorySegment bytes, Arena arena) throws IOException {
    var budget = Budget.forFile();
    try {
      Contents contents;
      if (TorchFile.isZip(bytes)) {
        contents = TorchFile.readZip(bytes, arena, budget);
      } else if (Safetensors.matches(bytes)) {
        // Checked before the legacy format: a header of 640 bytes starts like a pickle.
        contents = Safetensors.read(bytes, budget);
      } else if (TorchFile.isLegacy(bytes)) {
        contents = TorchFile.readLegacy(bytes, arena, budget);
      } else if (bytes.byteSize() > 0 && bytes.get(ValueLayout.JAVA_BYTE, 0) == '{') {
        contents = readShards(file, bytes, arena, budget);
      } else {
        throw new Malformed(notACheckpoint(bytes));
      }
      checkSizes(contents.tensors().values());
      return contents;
    } catch (Malformed e) {
      throw new CheckpointException(file, e.reason(), e);
    }
  }

  /**
   * Rejects a file whose tensors would have far more bytes in total than the file: with strides of
   * zero a few bytes represent any number of elements, and tensors may share bytes.
   */
  private static void checkSizes(Collection<StoredTensor> tensors) {
    long left = MIN_ELEMENT_LIMIT;
    for (var storage : new HashSet<>(tensors.stream().map(StoredTensor::storage).toList())) {
      left += storage.byteSize();
    }
    for (StoredTensor tensor : tensors) {
      if (tensor.size() > left) {
        throw new Malformed("its tensors have more elements than the file has bytes");
      }
      if (tensor.shape().stream().anyMatch(extent -> extent > Integer.MAX_VALUE)) {
        throw new Malformed(
            "it has a tensor with an extent that is too large for an array: " + tensor);
      }
      left -= tensor.size();
    }
  }

  private static String notACheckpoint(MemorySegment bytes) {
    String start =
        new String(
            bytes.asSlice(0, Math.min(64, bytes.byteSize())).toArray(ValueLayout.JAVA_BYTE),
            StandardCharsets.ISO_8859_1);
    if (start.isEmpty()) {
      return "is empty";
    }
    if (start.startsWith("version https://git-lfs")) {
      return "is a Git LFS pointer, not the weights; run 'git lfs pull'";
    }
    if (start.startsWith("<")) {
      return "is a web page, not weights; the download failed";
    }
    return "is neither a .pth file of torch.save nor a .safetensors file";
  }

  /** Hugging Face's {@code model.safetensors.index.json}, which maps tensors to files. */
  private static Contents readShards(Path index, MemorySegment bytes, Arena arena, Budget budget)
      throws IOException {
    var shards = new LinkedHashMap<String, Contents>();
    var tensors = new LinkedHashMap<String, StoredTensor>();
    Map<String, Object> metadata = Map.of();
    for (var entry : Safetensors.weightMap(bytes, budget).entrySet()) {
      String shard = entry.getValue();
      Contents contents = shards.get(shard);
      if (contents == null) {
        contents = readShard(index.resolveSibling(shard), arena, budget);
        shards.put(shard, contents);
        if (!contents.metadata().isEmpty()) {
          metadata = contents.metadata();
        }
      }
      String name = entry.getKey();
      StoredTensor tensor = contents.tensors().get(name);
      if (tensor == null) {
        throw new Malformed(
            "its weight_map places %s in %s, which lacks it".formatted(name, shard));
      }
      tensors.put(name, tensor);
    }
    return new Contents(tensors, metadata);
  }

  private static Contents readShard(Path file, Arena arena, Budget budget) throws IOException {
    MemorySegment bytes;
    try {
      bytes = map(file, arena);
    } catch (NoSuchFileException e) {
      throw new CheckpointException(file, "does not exist, although the index names it", e);
    }
    if (!Safetensors.matches(bytes)) {
      throw new CheckpointException(file, "is not a .safetensors file");
    }
    try {
      return Safetensors.read(bytes, budget);
    } catch (Malformed e) {
      throw new CheckpointException(file, e.reason(), e);
    }
  }

  /** The opened file. */
  public Path file() {
    return file;
  }

  /** The tensors by their names in the file, in its order. */
  public SequencedMap<String, StoredTensor> tensors() {
    return tensors;
  }

  /**
   * The tensors by torchvision's names: without prefixes of wrappers, and translated from the names
   * of other libraries and repositories, which {@code docs/checkpoints.md} lists. Heads of
   * self-supervised training and losses are left out; {@link #remarks} says so.
   *
   * @throws CheckpointException if two names have the same translation
   */
  public SequencedMap<String, StoredTensor> torchvisionTensors() throws CheckpointException {
    var renamed = new LinkedHashMap<String, StoredTensor>();
    for (var entry : parameterNames().names().entrySet()) {
      String name = entry.getValue();
      if (renamed.put(name, tensor(entry.getKey())) != null) {
        throw new CheckpointException(
            file, "has two tensors for %s, one of them %s".formatted(name, entry.getKey()));
      }
    }
    if (names().stream().anyMatch(FROZEN_NORM::equals)) {
      addStatistics(renamed);
    }
    return renamed;
  }

  /**
   * What a user must know about the names of the tensors, one sentence each: the naming, if it is
   * not torchvision's, what was left out of {@link #torchvisionTensors}, and a preprocessing that
   * the naming implies.
   */
  public List<String> remarks() {
    return parameterNames().remarks();
  }

  private ParameterNames parameterNames() {
    if (parameterNames == null) {
      parameterNames = ParameterNames.of(tensors);
    }
    return parameterNames;
  }

  private StoredTensor tensor(String name) {
    return Objects.requireNonNull(tensors.get(name), name);
  }

  /**
   * Caffe2's files contain batch norms as a scale and a bias alone; mean and variance are those
   * that change nothing.
   */
  private static void addStatistics(SequencedMap<String, StoredTensor> tensors) {
    for (var entry : List.copyOf(tensors.entrySet())) {
      String name = entry.getKey();
      List<Long> shape = entry.getValue().shape();
      if (name.endsWith(".weight")
          && shape.size() == 1
          && shape.getFirst() <= MAX_FROZEN_CHANNELS
          && !tensors.containsKey(name.replace(".weight", ".running_var"))) {
        int channels = Math.toIntExact(shape.getFirst());
        String norm = name.substring(0, name.length() - "weight".length());
        tensors.put(norm + "running_mean", StoredTensor.of(Tensor.zeros(channels)));
        tensors.put(
            norm + "running_var", StoredTensor.of(Tensor.filled(1 - NORM_EPSILON, channels)));
      }
    }
  }

  /**
   * The metadata that resnet4j stores beside the weights: maps, lists, strings and numbers; empty
   * for files of other origin.
   */
  public Map<String, Object> metadata() {
    return metadata;
  }

  /** The names of the tensors. */
  public List<String> names() {
    return List.copyOf(tensors.keySet());
  }

  @Override
  public void close() {
    if (arena.scope().isAlive()) {
      arena.close();
    }
  }

  /** {@code Checkpoint[model.safetensors, 320 tensors]}. */
  @Override
  public String toString() {
    return "Checkpoint[%s, %d tensors]".formatted(file.getFileName(), names().size());
  }
}
