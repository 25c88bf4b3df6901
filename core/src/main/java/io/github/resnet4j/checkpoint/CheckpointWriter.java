package io.github.resnet4j.checkpoint;

import java.io.BufferedOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.lang.foreign.MemorySegment;
import java.nio.channels.Channels;
import java.nio.channels.FileChannel;
import java.nio.file.AtomicMoveNotSupportedException;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.util.LinkedHashMap;
import java.util.Locale;
import java.util.Map;
import java.util.SequencedMap;
import java.util.UUID;

/**
 * Writes named tensors as {@code .safetensors} or as a {@code .pth} that {@code
 * torch.load(weights_only=True)} accepts.
 *
 * <p>A file appears whole or not at all: it is written beside its place, forced to the disk, and
 * renamed.
 */
public final class CheckpointWriter {
  private CheckpointWriter() {}

  /** Does the file's name say which format it is to have? */
  public static boolean knowsFormatOf(Path file) {
    return isSafetensors(file) || isTorch(file);
  }

  private static boolean isSafetensors(Path file) {
    return lowerCase(file).endsWith(".safetensors");
  }

  private static boolean isTorch(Path file) {
    return lowerCase(file).matches(".*\\.(pth|pt|bin)");
  }

  private static String lowerCase(Path file) {
    return String.valueOf(file.getFileName()).toLowerCase(Locale.ROOT);
  }

  /**
   * Writes the tensors in the order given.
   *
   * @param file ends in {@code .safetensors}, {@code .pth}, {@code .pt} or {@code .bin}
   * @param metadata notes to keep beside the weights: maps, lists, strings, numbers and booleans
   * @throws CheckpointException if the name says no format
   * @throws IOException if the disk refuses; then the old file, if any, is still there
   */
  public static void write(
      Path file, SequencedMap<String, StoredTensor> tensors, Map<String, Object> metadata)
      throws IOException {
    if (!knowsFormatOf(file)) {
      throw new CheckpointException(file, "must end in .safetensors, .pth, .pt or .bin");
    }
    var contiguous = new LinkedHashMap<String, StoredTensor>();
    tensors.forEach((name, tensor) -> contiguous.put(name, tensor.as(tensor.dtype())));
    atomically(
        file,
        out -> {
          if (isSafetensors(file)) {
            byte[] header = Safetensors.header(contiguous, metadata);
            out.write(Safetensors.length(header.length));
            out.write(header);
            for (StoredTensor tensor : contiguous.values()) {
              copy(tensor.storage(), out);
            }
          } else {
            TorchWriter.write(out, contiguous, metadata);
          }
        });
  }

  /** Writes to a stream that is thrown away if anything fails. */
  public interface Body {
    /** Writes all of the file. */
    void writeTo(OutputStream out) throws IOException;
  }

  /**
   * Writes a file of any kind, which appears whole or not at all.
   *
   * @throws IOException if the disk refuses; then the old file, if any, is still there
   */
  public static void atomically(Path file, Body body) throws IOException {
    Path target = file.toAbsolutePath();
    Path folder = target.getParent();
    if (folder == null || !Files.isDirectory(folder)) {
      throw new CheckpointException(file, "cannot be written: there is no folder " + folder);
    }
    Path temporary =
        folder.resolve(".%s.%s.part".formatted(target.getFileName(), UUID.randomUUID()));
    try {
      try (var channel =
          FileChannel.open(temporary, StandardOpenOption.WRITE, StandardOpenOption.CREATE_NEW)) {
        var out = new BufferedOutputStream(Channels.newOutputStream(channel), 1 << 20);
        body.writeTo(out);
        out.flush();
        channel.force(true);
      }
      try {
        Files.move(temporary, target, StandardCopyOption.ATOMIC_MOVE);
      } catch (AtomicMoveNotSupportedException _) {
        Files.move(temporary, target, StandardCopyOption.REPLACE_EXISTING);
      }
    } catch (FileSystemException e) { // names its file
      throw e;
    } catch (IOException e) {
      throw new IOException(
          "%s: cannot be written: %s; what was there before is untouched"
              .formatted(file, e.getMessage()),
          e);
    } finally {
      Files.deleteIfExists(temporary);
    }
    forceFolder(folder);
  }

  /** The rename itself must survive a power cut; some systems cannot force a folder. */
  private static void forceFolder(Path folder) {
    try (var channel = FileChannel.open(folder, StandardOpenOption.READ)) {
      channel.force(true);
    } catch (IOException _) {
      // Windows opens no folders; its file system journals the rename.
    }
  }

  static void copy(MemorySegment bytes, OutputStream out) throws IOException {
    byte[] buffer = new byte[(int) Math.min(1 << 20, bytes.byteSize())];
    for (long at = 0; at < bytes.byteSize(); at += buffer.length) {
      int count = (int) Math.min(buffer.length, bytes.byteSize() - at);
      MemorySegment.copy(bytes, at, MemorySegment.ofArray(buffer), 0, count);
      out.write(buffer, 0, count);
    }
  }
}
