package io.github.resnet4j.train;

import io.github.resnet4j.checkpoint.AtomicFile;
import io.github.resnet4j.checkpoint.Checkpoint;
import io.github.resnet4j.checkpoint.CheckpointException;
import io.github.resnet4j.checkpoint.CheckpointWriter;
import io.github.resnet4j.checkpoint.StoredTensor;
import io.github.resnet4j.messages.Reason;
import io.github.resnet4j.nn.StateDict;
import io.github.resnet4j.tensor.Tensor;
import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.channels.OverlappingFileLockException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.SequencedMap;
import org.jspecify.annotations.Nullable;

/**
 * The output folder of a training: its files, and a lock that prevents a second training in the
 * same folder. The operating system releases the lock when the process ends.
 */
final class RunFolder implements AutoCloseable {
  private static final String STATE = "state.safetensors";
  private static final String FIELDS = "fields";
  private static final int MAX_VALUE_LENGTH = 60;
  private static final int MAX_DIFFERENCES = 4;

  private final Path folder;
  private final FileChannel lock;

  private RunFolder(Path folder, FileChannel lock) {
    this.folder = folder;
    this.lock = lock;
  }

  /**
   * Creates the folder, acquires its lock, and deletes incomplete files of an interrupted run.
   *
   * @throws IOException if another training holds the lock, or the folder is not writable
   */
  static RunFolder lock(Path folder) throws IOException {
    AtomicFile.requireWritableFolder(folder);
    try {
      Files.createDirectories(folder);
    } catch (IOException e) {
      throw new IOException(folder + ": cannot be created: " + Reason.withoutFile(e), e);
    }
    Path file = folder.resolve(".lock");
    var channel = FileChannel.open(file, StandardOpenOption.CREATE, StandardOpenOption.WRITE);
    try {
      if (!isFree(channel)) {
        throw new IOException(
            folder
                + ": another training is running in this folder; wait for it to end, or choose"
                + " another output folder");
      }
      try (var parts = Files.newDirectoryStream(folder, "{*,.*}.part")) {
        for (Path part : parts) {
          Files.delete(part);
        }
      }
      return new RunFolder(folder, channel);
    } catch (IOException | RuntimeException e) {
      channel.close();
      throw e;
    }
  }

  private static boolean isFree(FileChannel channel) throws IOException {
    try {
      @Nullable FileLock lock = channel.tryLock();
      return lock != null;
    } catch (OverlappingFileLockException e) {
      return false; // held by this process
    }
  }

  Path path() {
    return folder;
  }

  Path file(String name) {
    return folder.resolve(name);
  }

  boolean hasState() {
    return Files.exists(file(STATE));
  }

  /** Writes the state that {@link #open} reads. */
  void save(
      SequencedMap<String, StoredTensor> tensors,
      Map<String, Object> notes,
      Map<String, String> fields)
      throws IOException {
    var all = new LinkedHashMap<>(notes);
    all.put(FIELDS, fields);
    CheckpointWriter.write(file(STATE), tensors, all);
  }

  void writeLines(String name, List<String> lines) throws IOException {
    byte[] bytes = (String.join("\n", lines) + "\n").getBytes(StandardCharsets.UTF_8);
    AtomicFile.write(file(name), out -> out.write(bytes));
  }

  Saved open() throws IOException {
    return new Saved(Checkpoint.open(file(STATE)));
  }

  /** The saved state of a training. */
  static final class Saved implements AutoCloseable {
    private final Checkpoint checkpoint;

    private Saved(Checkpoint checkpoint) {
      this.checkpoint = checkpoint;
    }

    /**
     * @throws CheckpointException if the metadata lacks it
     */
    Number number(String name) throws CheckpointException {
      if (checkpoint.metadata().get(name) instanceof Number number) {
        return number;
      }
      throw invalidState();
    }

    List<String> lines(String name) throws CheckpointException {
      if (checkpoint.metadata().get(name) instanceof List<?> lines) {
        return lines.stream().map(String::valueOf).toList();
      }
      throw invalidState();
    }

    CheckpointException invalidState() {
      return new CheckpointException(
          checkpoint.file(), "is not the state of a training, or was written by another version");
    }

    String field(String name) throws CheckpointException {
      return Objects.requireNonNullElse(fields().get(name), "");
    }

    private Map<String, String> fields() throws CheckpointException {
      if (checkpoint.metadata().get(FIELDS) instanceof Map<?, ?> fields) {
        var found = new LinkedHashMap<String, String>();
        fields.forEach((name, value) -> found.put(String.valueOf(name), String.valueOf(value)));
        return found;
      }
      throw invalidState();
    }

    /**
     * Compares the settings of the saved training with the current ones.
     *
     * @param free fields that may differ
     * @throws CheckpointException naming the differences with both values
     */
    void check(Map<String, String> now, List<String> free) throws CheckpointException {
      Map<String, String> before = fields();
      var names = new LinkedHashSet<>(before.keySet());
      names.addAll(now.keySet());
      var differences = new ArrayList<String>();
      for (String name : names) {
        String old = before.getOrDefault(name, "none");
        String other = now.getOrDefault(name, "none");
        if (!free.contains(name) && !old.equals(other)) {
          int from = firstDifference(old, other);
          differences.add("%s was %s, is %s".formatted(name, cut(old, from), cut(other, from)));
        }
      }
      if (!differences.isEmpty()) {
        int more = differences.size() - MAX_DIFFERENCES;
        throw new CheckpointException(
            checkpoint.file(),
            "belongs to another training: "
                + String.join("; ", differences.stream().limit(MAX_DIFFERENCES).toList())
                + (more > 0 ? "; and %d more".formatted(more) : "")
                + ": resume with the options and images of that run, or choose another output"
                + " folder");
      }
    }

    private static int firstDifference(String a, String b) {
      int i = 0;
      while (i < Math.min(a.length(), b.length()) && a.charAt(i) == b.charAt(i)) {
        i++;
      }
      return i;
    }

    /** A long value, shortened to the part around the difference. */
    private static String cut(String value, int at) {
      if (value.length() <= MAX_VALUE_LENGTH) {
        return value;
      }
      int from = Math.clamp(at - MAX_VALUE_LENGTH / 3, 0, value.length() - MAX_VALUE_LENGTH);
      int end = from + MAX_VALUE_LENGTH;
      return (from > 0 ? "…" : "") + value.substring(from, end) + (end < value.length() ? "…" : "");
    }

    /** The tensors with a name prefix, which must have the shapes of others. */
    StateDict tensors(String prefix, StateDict like) throws CheckpointException {
      var entries = new LinkedHashMap<String, Tensor>();
      for (Map.Entry<String, Tensor> entry : like.entries().entrySet()) {
        StoredTensor stored = checkpoint.tensors().get(prefix + entry.getKey());
        if (stored == null
            || !Arrays.equals(
                stored.shape().stream().mapToInt(Math::toIntExact).toArray(),
                entry.getValue().shape())) {
          throw new CheckpointException(
              checkpoint.file(),
              "belongs to another network: %s%s".formatted(prefix, entry.getKey()));
        }
        entries.put(entry.getKey(), stored.toTensor());
      }
      return new StateDict(entries);
    }

    @Override
    public void close() {
      checkpoint.close();
    }
  }

  @Override
  public void close() throws IOException {
    lock.close();
  }
}
