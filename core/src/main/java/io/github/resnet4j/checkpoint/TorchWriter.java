package io.github.resnet4j.checkpoint;

import java.io.ByteArrayOutputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.lang.foreign.MemorySegment;
import java.nio.charset.StandardCharsets;
import java.time.LocalDateTime;
import java.util.List;
import java.util.Map;
import java.util.SequencedMap;
import java.util.zip.ZipEntry;
import java.util.zip.ZipOutputStream;

/**
 * The zip format of {@code torch.save}: one {@code OrderedDict} of tensors, pickled with protocol
 * 2, and one entry of bytes per tensor, each aligned to 64 bytes so that readers can map it.
 */
final class TorchWriter {
  private static final int ALIGNMENT = 64;
  private static final String FOLDER = "archive/";

  private final ZipOutputStream zip;
  private long position;

  private TorchWriter(OutputStream out) {
    this.zip = new ZipOutputStream(out);
  }

  static void write(
      OutputStream out, SequencedMap<String, StoredTensor> tensors, Map<String, Object> metadata)
      throws IOException {
    var writer = new TorchWriter(out);
    writer.entry("data.pkl", pickle(tensors, metadata));
    writer.entry("byteorder", "little".getBytes(StandardCharsets.US_ASCII));
    int index = 0;
    for (StoredTensor tensor : tensors.values()) {
      writer.entry("data/" + index++, tensor.storage());
    }
    writer.entry("version", "3\n".getBytes(StandardCharsets.US_ASCII));
    writer.zip.finish();
  }

  private void entry(String name, byte[] bytes) throws IOException {
    entry(name, MemorySegment.ofArray(bytes));
  }

  private void entry(String name, MemorySegment bytes) throws IOException {
    var entry = new ZipEntry(FOLDER + name);
    entry.setMethod(ZipEntry.STORED);
    entry.setSize(bytes.byteSize());
    entry.setCrc(LittleEndian.crc32(bytes));
    entry.setTimeLocal(LocalDateTime.of(1980, 1, 1, 0, 0)); // reproducible files
    // PyTorch also pads with an extra field "FB": id, length, zeros.
    long header = position + 30 + entry.getName().length() + 4;
    int padding = (int) ((ALIGNMENT - header % ALIGNMENT) % ALIGNMENT);
    byte[] extra = new byte[4 + padding];
    extra[0] = 'F';
    extra[1] = 'B';
    extra[2] = (byte) padding;
    entry.setExtra(extra);
    zip.putNextEntry(entry);
    CheckpointWriter.copy(bytes, zip);
    zip.closeEntry();
    position = header + padding + bytes.byteSize();
  }

  private static byte[] pickle(
      SequencedMap<String, StoredTensor> tensors, Map<String, Object> metadata) throws IOException {
    var bytes = new ByteArrayOutputStream();
    var out = new DataOutputStream(bytes);
    out.write(new byte[] {(byte) 0x80, 2}); // PROTO 2
    orderedDict(out);
    out.write('(');
    int index = 0;
    for (var entry : tensors.entrySet()) {
      text(out, entry.getKey());
      tensor(out, entry.getValue(), index++);
    }
    out.write('u'); // SETITEMS
    if (!metadata.isEmpty()) {
      value(out, Map.of(Contents.METADATA_KEY, metadata));
      out.write('b'); // BUILD: attributes of the OrderedDict
    }
    out.write('.');
    return bytes.toByteArray();
  }

  private static void orderedDict(DataOutputStream out) throws IOException {
    out.writeBytes("ccollections\nOrderedDict\n)R");
  }

  /** {@code _rebuild_tensor_v2(storage, offset, size, stride, requires_grad, backward_hooks)}. */
  private static void tensor(DataOutputStream out, StoredTensor tensor, int index)
      throws IOException {
    out.writeBytes("ctorch._utils\n_rebuild_tensor_v2\n((");
    text(out, "storage");
    out.writeBytes("ctorch\n" + tensor.dtype().torchStorage + "\n");
    text(out, String.valueOf(index));
    text(out, "cpu");
    integer(out, tensor.size());
    out.writeBytes("tQ"); // TUPLE, BINPERSID
    integer(out, 0);
    tuple(out, tensor.shape());
    tuple(out, tensor.strides());
    out.write(0x89); // NEWFALSE
    orderedDict(out);
    out.writeBytes("tR"); // TUPLE, REDUCE
  }

  private static void tuple(DataOutputStream out, List<Long> values) throws IOException {
    out.write('(');
    for (long value : values) {
      integer(out, value);
    }
    out.write('t');
  }

  private static void text(DataOutputStream out, String text) throws IOException {
    byte[] utf8 = text.getBytes(StandardCharsets.UTF_8);
    out.write('X'); // BINUNICODE
    out.writeInt(Integer.reverseBytes(utf8.length));
    out.write(utf8);
  }

  private static void integer(DataOutputStream out, long value) throws IOException {
    if (value == (int) value) {
      out.write('J'); // BININT
      out.writeInt(Integer.reverseBytes((int) value));
    } else {
      out.write(new byte[] {(byte) 0x8a, 8}); // LONG1
      out.writeLong(Long.reverseBytes(value));
    }
  }

  private static void value(DataOutputStream out, Object value) throws IOException {
    switch (value) {
      case Map<?, ?> map -> {
        out.writeBytes("}(");
        for (var entry : map.entrySet()) {
          text(out, (String) entry.getKey());
          value(out, entry.getValue());
        }
        out.write('u');
      }
      case List<?> list -> {
        out.writeBytes("](");
        for (Object item : list) {
          value(out, item);
        }
        out.write('e');
      }
      case String text -> text(out, text);
      case Boolean flag -> out.write(flag ? 0x88 : 0x89);
      case Integer number -> integer(out, number);
      case Long number -> integer(out, number);
      case Number number -> {
        out.write('G'); // BINFLOAT
        out.writeDouble(number.doubleValue());
      }
      default ->
          throw new IllegalArgumentException(
              "metadata contains a " + value.getClass().getName() + ", which is not supported");
    }
  }
}
