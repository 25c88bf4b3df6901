package io.github.resnet4j.datasets;

import io.github.resnet4j.image.ImageDecoder;
import io.github.resnet4j.messages.Reason;
import java.io.BufferedOutputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.io.RandomAccessFile;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.apache.parquet.column.ColumnDescriptor;
import org.apache.parquet.column.ColumnReader;
import org.apache.parquet.column.impl.ColumnReadStoreImpl;
import org.apache.parquet.column.page.PageReadStore;
import org.apache.parquet.hadoop.ParquetFileReader;
import org.apache.parquet.hadoop.metadata.BlockMetaData;
import org.apache.parquet.hadoop.metadata.ColumnChunkMetaData;
import org.apache.parquet.io.api.Binary;
import org.apache.parquet.io.api.Converter;
import org.apache.parquet.io.api.GroupConverter;
import org.apache.parquet.io.api.PrimitiveConverter;
import org.apache.parquet.schema.MessageType;
import org.apache.parquet.schema.PrimitiveType;
import org.apache.parquet.schema.Type;
import org.jspecify.annotations.Nullable;

/**
 * A row group of a Parquet file. Unpacked, it is the bytes of its images, followed by a table of
 * their ends.
 */
final class ParquetShard implements Shard {
  /** The library reads a row group into memory: of one column at most this many bytes. */
  private static final long MAX_COLUMN_BYTES = 1L << 30;

  private final ParquetSet set;
  private final int group;
  private int rows;

  ParquetShard(ParquetSet set, int group) {
    this.set = set;
    this.group = group;
  }

  static boolean isNumber(PrimitiveType type) {
    return switch (type.getPrimitiveTypeName()) {
      case INT32, INT64, FLOAT, DOUBLE, BOOLEAN -> true;
      case BINARY, FIXED_LEN_BYTE_ARRAY, INT96 -> false;
    };
  }

  @Override
  public String name() {
    return set.file().toString();
  }

  @Override
  public Path file() {
    return set.file();
  }

  @Override
  public boolean isPacked() {
    return true;
  }

  /** A row's values of a column; several if the column is a list. */
  private static final class Column {
    private final ColumnReader reader;
    private final PrimitiveType type;
    private final int full;

    /**
     * @param path the column, or its first parts
     */
    Column(ColumnReadStoreImpl store, MessageType schema, String... path) {
      ColumnDescriptor column =
          schema.getColumns().stream()
              .filter(each -> List.of(each.getPath()).subList(0, path.length).equals(List.of(path)))
              .findFirst()
              .orElseThrow();
      reader = store.getColumnReader(column);
      type = column.getPrimitiveType();
      full = column.getMaxDefinitionLevel();
    }

    /** The values of the next row that are not null. */
    List<Object> next() {
      var values = new ArrayList<Object>();
      do {
        if (reader.getCurrentDefinitionLevel() == full) {
          values.add(
              switch (type.getPrimitiveTypeName()) {
                case INT32 -> reader.getInteger();
                case INT64 -> reader.getLong();
                case FLOAT -> reader.getFloat();
                case DOUBLE -> reader.getDouble();
                case BOOLEAN -> reader.getBoolean() ? 1 : 0;
                case BINARY, FIXED_LEN_BYTE_ARRAY, INT96 -> reader.getBinary();
              });
        }
        reader.consume();
      } while (reader.getCurrentRepetitionLevel() > 0);
      return values;
    }
  }

  private static String text(Object value) {
    return value instanceof Binary text ? text.toStringUsingUTF8() : String.valueOf(value);
  }

  /** Opens columns of this row group. */
  private ColumnReadStoreImpl columns(ParquetFileReader reader, MessageType schema)
      throws IOException {
    BlockMetaData block = reader.getRowGroups().get(group);
    long limit = Math.min(MAX_COLUMN_BYTES, Runtime.getRuntime().maxMemory() / 4);
    for (ColumnChunkMetaData chunk : block.getColumns()) {
      boolean asked = schema.containsPath(chunk.getPath().toArray());
      if (asked && chunk.getTotalSize() > Math.min(limit, Files.size(set.file()))) {
        throw new IOException(
            ("column %s of row group %d has %,d MB, more than the %,d MB that are allowed; write"
                    + " smaller row groups, or use more memory (-Xmx)")
                .formatted(chunk.getPath(), group, chunk.getTotalSize() >> 20, limit >> 20));
      }
    }
    rows = Math.toIntExact(block.getRowCount());
    reader.setRequestedSchema(schema);
    PageReadStore pages = reader.readRowGroup(group);
    return new ColumnReadStoreImpl(
        pages, new Ignoring(), schema, reader.getFooter().getFileMetaData().getCreatedBy());
  }

  /** The columns are read one by one; the library asks for converters nevertheless. */
  private static final class Ignoring extends GroupConverter {
    @Override
    public Converter getConverter(int field) {
      return new PrimitiveConverter() {
        @Override
        public GroupConverter asGroupConverter() {
          return new Ignoring();
        }
      };
    }

    @Override
    public void start() {}

    @Override
    public void end() {}
  }

  /** A schema with some of the columns, and a part of the struct of images. */
  private MessageType schema(List<String> columns, @Nullable String part) {
    var fields = new ArrayList<Type>();
    if (part != null) {
      var image = set.schema().getType(set.image()).asGroupType();
      fields.add(image.withNewFields(image.getType(part)));
    }
    columns.forEach(name -> fields.add(set.schema().getType(name)));
    return new MessageType("images", fields);
  }

  @Override
  public void scan(Sink sink, ReadOptions.Damages damages) throws IOException {
    int done = 0;
    int unlabelled = 0;
    try (ParquetFileReader reader = ParquetSet.open(set.file())) {
      MessageType schema = schema(set.targets(), set.hasPath() ? "path" : null);
      ColumnReadStoreImpl store;
      var targets = new ArrayList<Column>();
      @Nullable Column paths = null;
      try {
        store = columns(reader, schema);
        set.targets().forEach(name -> targets.add(new Column(store, schema, name)));
        paths = set.hasPath() ? new Column(store, schema, set.image(), "path") : null;
      } catch (IOException | RuntimeException e) { // of the library, for a damaged file
        damages.found(damaged(e, 0));
        return;
      }
      int size = (int) reader.getRowGroups().get(group).getCompressedSize();
      for (int row = 0; row < rows; row++) {
        String name;
        @Nullable RawTarget target;
        try {
          List<Object> path = paths == null ? List.of() : paths.next();
          name = path.isEmpty() ? "" : Shard.printable(text(path.getFirst()));
          target = target(targets);
        } catch (RuntimeException e) {
          damages.found(damaged(e, done));
          return;
        }
        if (target == null) {
          unlabelled++;
        } else {
          sink.image(
              "%d-%d%s".formatted(group, row, name.isEmpty() ? "" : "/" + name), row, size, target);
          done++;
        }
      }
    }
    if (unlabelled > 0) {
      damages.found(
          new IOException(
              "%s: %,d images of row group %d have no label, or no number in %s"
                  .formatted(name(), unlabelled, group, String.join(", ", set.targets()))));
    }
  }

  private IOException damaged(Exception e, int images) {
    return new IOException(
        "%s: row group %d is damaged or cannot be read (%s); %,d images of it are used"
            .formatted(name(), group, Reason.of(e), images),
        e);
  }

  /** The target of the next row; null if it is missing. */
  private @Nullable RawTarget target(List<Column> columns) {
    var values = new ArrayList<Float>();
    for (Column column : columns) {
      List<Object> found = column.next();
      if (set.kind() == ParquetSet.Kind.LABELS) {
        return new RawTarget.Labels(found.stream().map(ParquetShard::text).toList());
      }
      if (set.kind() == ParquetSet.Kind.LABEL) {
        boolean missing =
            found.isEmpty() || found.getFirst() instanceof Number n && n.longValue() < 0;
        return missing ? null : new RawTarget.Label(text(found.getFirst()));
      }
      found.forEach(value -> values.add(((Number) value).floatValue()));
    }
    boolean complete = values.size() == columns.size() && values.stream().allMatch(Float::isFinite);
    return complete ? new RawTarget.Values(set.targets(), values) : null;
  }

  @Override
  public void unpack(Path to) throws IOException {
    try (ParquetFileReader reader = ParquetSet.open(set.file());
        var out =
            new DataOutputStream(new BufferedOutputStream(Files.newOutputStream(to), 1 << 16))) {
      MessageType schema = schema(List.of(), "bytes");
      var column = new Column(columns(reader, schema), schema, set.image(), "bytes");
      long[] ends = new long[rows];
      long end = 0;
      for (int row = 0; row < rows; row++) {
        for (Object value : column.next()) {
          var bytes = (Binary) value;
          bytes.writeTo((OutputStream) out);
          end += bytes.length();
        }
        ends[row] = end;
      }
      for (long each : ends) {
        out.writeLong(each);
      }
    } catch (RuntimeException e) { // of the library, for a damaged file
      throw new IOException("row group %d: %s".formatted(group, Reason.of(e)), e);
    }
  }

  @Override
  public byte[] read(RandomAccessFile unpacked, long row, int size) throws IOException {
    long table = unpacked.length() - 8L * rows;
    long from = 0;
    if (row > 0) {
      unpacked.seek(table + 8 * (row - 1));
      from = unpacked.readLong();
    }
    unpacked.seek(table + 8 * row);
    long length = unpacked.readLong() - from;
    if (length == 0) {
      throw new IOException("its bytes are not in the file, only a path");
    }
    if (length > ImageDecoder.MAX_FILE_BYTES) {
      throw new IOException("has more than 512 MB, too large for an image");
    }
    byte[] bytes = new byte[(int) length];
    unpacked.seek(from);
    unpacked.readFully(bytes);
    return bytes;
  }
}
