package io.github.resnet4j.checkpoint;

import io.github.resnet4j.tensor.Tensor;
import java.io.IOException;
import java.io.OutputStream;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
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
              + "\\s*,\\s*'shape'\\s*:\\s*\\(([0-9, ]*)\\)\\s*+(?:,\\s*+)?\\}\\s*");

  private Npy() {}

  /**
   * Reads an array of any number format as float32.
   *
   * @throws CheckpointException if it is not a {@code .npy}, or damaged, or of objects, or more
   *     than the heap can hold
   */
  public static Tensor read(Path file) throws IOException {
    try (var arena = Arena.ofConfined()) {
      return parse(Checkpoint.map(file, arena)).toTensor();
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
    AtomicFile.write(
        file,
        out -> {
          out.write(header(stored.shape(), 0));
          CheckpointWriter.copy(stored.storage(), out);
        });
  }

  /**
   * What an array begins with.
   *
   * @param least bytes that it must have, so that it can be written again with another shape
   */
  private static byte[] header(List<Long> shape, int least) {
    String extents =
        String.join(", ", shape.stream().map(String::valueOf).toList())
            + (shape.size() == 1 ? "," : "");
    String fields = "{'descr': '<f4', 'fortran_order': False, 'shape': (" + extents + "), }";
    int length = Math.max(least, 10 + fields.length() + 1);
    int padded = Math.ceilDiv(length, 64) * 64;
    String text = fields + " ".repeat(padded - 10 - fields.length() - 1) + "\n";
    byte[] bytes = new byte[padded];
    System.arraycopy(MAGIC, 0, bytes, 0, MAGIC.length);
    bytes[6] = 1;
    bytes[8] = (byte) (padded - 10);
    bytes[9] = (byte) ((padded - 10) >> 8);
    System.arraycopy(text.getBytes(StandardCharsets.US_ASCII), 0, bytes, 10, padded - 10);
    return bytes;
  }

  /**
   * An array that grows row by row, so that no more than a row need be in memory. The file appears
   * at {@link #complete}; without it, it does not.
   */
  public static final class Rows implements AutoCloseable {
    private static final int HEADER = 256;

    private final AtomicFile file;
    private final OutputStream out;
    private final List<Long> row;
    private final int rowSize;
    private long count;

    /**
     * @param row the shape of a row; the array's has the number of rows before it
     */
    public Rows(Path file, int... row) throws IOException {
      this.row = Arrays.stream(row).mapToObj(Long::valueOf).toList();
      this.rowSize = Tensor.sizeOf(row);
      this.file = new AtomicFile(file);
      this.out = this.file.open();
      out.write(new byte[HEADER]);
    }

    /**
     * Adds a row.
     *
     * @throws IllegalArgumentException if it is of another size
     */
    public void add(float[] values) throws IOException {
      if (values.length != rowSize) {
        throw new IllegalArgumentException(
            "a row of %,d numbers, not %,d".formatted(rowSize, values.length));
      }
      byte[] bytes = new byte[values.length * Float.BYTES];
      MemorySegment.copy(
          values, 0, MemorySegment.ofArray(bytes), LittleEndian.FLOAT, 0, values.length);
      out.write(bytes);
      count++;
    }

    /** Gives the file its shape and its name. */
    public void complete() throws IOException {
      out.close();
      var shape = new ArrayList<>(List.of(count));
      shape.addAll(row);
      try (var channel = FileChannel.open(file.part(), StandardOpenOption.WRITE)) {
        channel.write(ByteBuffer.wrap(header(shape, HEADER)), 0);
      }
      file.complete();
    }

    @Override
    public void close() throws IOException {
      try (file) {
        out.close();
      }
    }
  }
}
