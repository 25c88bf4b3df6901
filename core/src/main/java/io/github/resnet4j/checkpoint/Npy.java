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

/** Reads and writes NumPy's {@code .npy}, versions 1 to 3: one array per file. */
public final class Npy {
  private static final byte[] MAGIC = {(byte) 0x93, 'N', 'U', 'M', 'P', 'Y'};
  private static final Pattern HEADER =
      Pattern.compile(
          "\\s*\\{\\s*'descr'\\s*:\\s*'([^']{1,16})'\\s*,\\s*'fortran_order'\\s*:\\s*(True|False)"
              + "\\s*,\\s*'shape'\\s*:\\s*\\(([0-9, ]*)\\)\\s*+(?:,\\s*+)?\\}\\s*");

  private Npy() {}

  /**
   * Reads an array of any numeric type as float32.
   *
   * @throws CheckpointException if it is not a {@code .npy} file, is damaged, contains objects, or
   *     does not fit into the heap
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

  /**
   * The array in a file.
   *
   * @throws Malformed if it is not a valid one
   */
  static StoredTensor parse(MemorySegment file) {
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
      throw new Malformed("its header does not describe an array of numbers: " + header.strip());
    }
    String descr = matcher.group(1);
    DType dtype =
        Arrays.stream(DType.values())
            .filter(type -> type.numpy.equals(descr))
            .findFirst()
            .orElseThrow(() ->
                new Malformed("its elements have the unsupported type '" + descr + "'; use '<f4'"));
    var shape = new ArrayList<Long>();
    for (String extent : matcher.group(3).split(",")) {
      if (!extent.isBlank()) {
        if (extent.strip().length() > 18) {
          throw new Malformed("its shape is invalid");
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
      throw new Malformed("its shape is invalid");
    }
    return new StoredTensor(dtype, shape, strides, 0, file.asSlice(start + length));
  }

  /** Writes float32 in row-major order; the file is written completely or not at all. */
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
   * The header of an array.
   *
   * @param minBytes the minimum number of bytes, so that a header with another shape can replace it
   */
  private static byte[] header(List<Long> shape, int minBytes) {
    String extents =
        String.join(", ", shape.stream().map(String::valueOf).toList())
            + (shape.size() == 1 ? "," : "");
    String fields = "{'descr': '<f4', 'fortran_order': False, 'shape': (" + extents + "), }";
    int length = Math.max(minBytes, 10 + fields.length() + 1);
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
   * Writes an array row by row, so that only one row must be in memory. The file is created by
   * {@link #complete}; without that call it is not.
   */
  public static final class Rows implements AutoCloseable {
    private static final int HEADER = 256;

    private final AtomicFile file;
    private final OutputStream out;
    private final List<Long> row;
    private final int rowSize;
    private long count;

    /**
     * @param row the shape of a row; the array's shape is the number of rows, then that shape
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
     * @throws IllegalArgumentException if it has another size
     */
    public void add(float[] values) throws IOException {
      if (values.length != rowSize) {
        throw new IllegalArgumentException(
            "a row of %,d numbers, expected %,d".formatted(rowSize, values.length));
      }
      byte[] bytes = new byte[values.length * Float.BYTES];
      MemorySegment.copy(
          values, 0, MemorySegment.ofArray(bytes), LittleEndian.FLOAT, 0, values.length);
      out.write(bytes);
      count++;
    }

    /** Writes the shape and renames the file. */
    public void complete() throws IOException {
      out.close();
      var shape = new ArrayList<>(List.of(count));
      shape.addAll(row);
      try (var channel = FileChannel.open(file.temporaryFile(), StandardOpenOption.WRITE)) {
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
