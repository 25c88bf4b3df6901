package io.github.resnet4j.checkpoint;

import io.github.resnet4j.tensor.Tensor;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.regex.Pattern;

/** NumPy's {@code .npy}, versions 1 to 3: one array in one file. */
public final class Npy {
  private static final byte[] MAGIC = {(byte) 0x93, 'N', 'U', 'M', 'P', 'Y'};
  private static final Pattern HEADER =
      Pattern.compile(
          "\\s*\\{\\s*'descr'\\s*:\\s*'([^']{1,16})'\\s*,\\s*'fortran_order'\\s*:\\s*(True|False)"
              + "\\s*,\\s*'shape'\\s*:\\s*\\(([0-9, ]*)\\)\\s*,?\\s*\\}\\s*");

  private Npy() {}

  /**
   * Reads an array of any number format as float32.
   *
   * @throws CheckpointException if it is not a {@code .npy}, or damaged, or of objects
   */
  public static Tensor read(Path file) throws IOException {
    try (var arena = Arena.ofConfined();
        var channel = FileChannel.open(file, StandardOpenOption.READ)) {
      return parse(channel.map(FileChannel.MapMode.READ_ONLY, 0, channel.size(), arena)).toTensor();
    } catch (NoSuchFileException e) {
      throw new CheckpointException(file, "does not exist", e);
    } catch (Malformed e) {
      throw new CheckpointException(file, e.reason(), e);
    } catch (IllegalArgumentException e) {
      throw new CheckpointException(file, String.valueOf(e.getMessage()), e);
    }
  }

  private static StoredTensor parse(MemorySegment file) {
    if (file.byteSize() < 12
        || !Arrays.equals(file.asSlice(0, 6).toArray(ValueLayout.JAVA_BYTE), MAGIC)) {
      throw new Malformed("is not a .npy file");
    }
    boolean longHeader = file.get(ValueLayout.JAVA_BYTE, 6) > 1;
    int length =
        longHeader ? file.get(LittleEndian.INT, 8) : file.get(LittleEndian.SHORT, 8) & 0xffff;
    long start = longHeader ? 12 : 10;
    if (length < 0 || length > 1 << 16 || length > file.byteSize() - start) {
      throw new Malformed("its header claims " + Integer.toUnsignedString(length) + " bytes");
    }
    String header =
        new String(
            file.asSlice(start, length).toArray(ValueLayout.JAVA_BYTE), StandardCharsets.UTF_8);
    var matcher = HEADER.matcher(header);
    if (!matcher.matches()) {
      throw new Malformed("its header is not one of an array of numbers: " + header.strip());
    }
    String descr = matcher.group(1);
    DType dtype =
        Arrays.stream(DType.values())
            .filter(type -> type.numpy.equals(descr))
            .findFirst()
            .orElseThrow(() -> new Malformed("its numbers are of type '" + descr + "'; use '<f4'"));
    var shape = new ArrayList<Long>();
    for (String extent : matcher.group(3).split(",")) {
      if (!extent.isBlank()) {
        if (extent.strip().length() > 18) {
          throw new Malformed("its shape is impossible");
        }
        shape.add(Long.parseLong(extent.strip()));
      }
    }
    List<Long> strides;
    try {
      strides =
          matcher.group(2).equals("True")
              ? StoredTensor.rowMajor(shape.reversed()).reversed()
              : StoredTensor.rowMajor(shape);
    } catch (ArithmeticException e) {
      throw new Malformed("its shape is impossible");
    }
    return new StoredTensor(dtype, shape, strides, 0, file.asSlice(start + length));
  }

  /** Writes float32 in row-major order; the file appears whole or not at all. */
  public static void write(Path file, Tensor tensor) throws IOException {
    StoredTensor stored = StoredTensor.of(tensor);
    String shape =
        String.join(", ", stored.shape().stream().map(String::valueOf).toList())
            + (tensor.rank() == 1 ? "," : "");
    String header = "{'descr': '<f4', 'fortran_order': False, 'shape': (" + shape + "), }";
    int padding = 64 - (10 + header.length() + 1) % 64;
    byte[] bytes = (header + " ".repeat(padding) + "\n").getBytes(StandardCharsets.US_ASCII);
    CheckpointWriter.atomically(
        file,
        out -> {
          out.write(MAGIC);
          out.write(new byte[] {1, 0, (byte) bytes.length, (byte) (bytes.length >> 8)});
          out.write(bytes);
          CheckpointWriter.copy(stored.storage(), out);
        });
  }
}
