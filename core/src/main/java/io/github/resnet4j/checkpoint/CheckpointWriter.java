package io.github.resnet4j.checkpoint;

import java.io.IOException;
import java.io.OutputStream;
import java.lang.foreign.MemorySegment;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Locale;
import java.util.Map;
import java.util.SequencedMap;

/**
 * Writes named tensors as {@code .safetensors} or as a {@code .pth} that {@code
 * torch.load(weights_only=True)} accepts.
 *
 * <p>A file is written completely or not at all, see {@link AtomicFile}.
 */
public final class CheckpointWriter {
  private CheckpointWriter() {}

  /** Whether the file's name determines a format. */
  public static boolean hasKnownExtension(Path file) {
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
   * @param file must end in {@code .safetensors}, {@code .pth}, {@code .pt} or {@code .bin}
   * @param metadata stored beside the weights: maps, lists, strings, numbers and booleans
   * @throws CheckpointException if the name does not determine a format
   * @throws IOException if writing fails; the old file, if any, is then unchanged
   */
  public static void write(
      Path file, SequencedMap<String, StoredTensor> tensors, Map<String, Object> metadata)
      throws IOException {
    if (!hasKnownExtension(file)) {
      throw new CheckpointException(file, "must end in .safetensors, .pth, .pt or .bin");
    }
    var contiguous = new LinkedHashMap<String, StoredTensor>();
    tensors.forEach((name, tensor) -> contiguous.put(name, tensor.as(tensor.dtype())));
    AtomicFile.write(
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

  static void copy(MemorySegment bytes, OutputStream out) throws IOException {
    byte[] buffer = new byte[(int) Math.min(1 << 20, bytes.byteSize())];
    for (long at = 0; at < bytes.byteSize(); at += buffer.length) {
      int count = (int) Math.min(buffer.length, bytes.byteSize() - at);
      MemorySegment.copy(bytes, at, MemorySegment.ofArray(buffer), 0, count);
      out.write(buffer, 0, count);
    }
  }
}
