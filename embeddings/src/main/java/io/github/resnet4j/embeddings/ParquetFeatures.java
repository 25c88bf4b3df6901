package io.github.resnet4j.embeddings;

import io.github.resnet4j.checkpoint.AtomicFile;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.file.Path;
import java.util.Map;
import org.apache.hadoop.conf.Configuration;
import org.apache.parquet.conf.ParquetConfiguration;
import org.apache.parquet.conf.PlainParquetConfiguration;
import org.apache.parquet.hadoop.ParquetWriter;
import org.apache.parquet.hadoop.api.WriteSupport;
import org.apache.parquet.hadoop.metadata.CompressionCodecName;
import org.apache.parquet.io.OutputFile;
import org.apache.parquet.io.PositionOutputStream;
import org.apache.parquet.io.api.Binary;
import org.apache.parquet.io.api.RecordConsumer;
import org.apache.parquet.schema.MessageType;
import org.apache.parquet.schema.MessageTypeParser;

/**
 * Writes features to a Parquet file, one row per image: {@code path} (string), and {@code features}
 * (list of float32) or {@code error} (string). The file is not compressed, since floats hardly
 * compress. It is created by {@link #complete}; if the writer is closed before, no file remains.
 */
public final class ParquetFeatures implements AutoCloseable {
  private static final MessageType SCHEMA =
      MessageTypeParser.parseMessageType(
          """
          message features {
            required binary path (STRING);
            optional group features (LIST) {
              repeated group list { required float element; }
            }
            optional binary error (STRING);
          }
          """);

  /** The row of an image: its features, or an error. */
  private record Row(String path, float[] features, String error) {}

  private final AtomicFile file;
  private final ParquetWriter<Row> writer;

  /**
   * @param metadata key-value metadata in the file's footer, such as the shape of the features
   * @throws IOException if the file cannot be created
   */
  public ParquetFeatures(Path file, Map<String, String> metadata) throws IOException {
    this.file = new AtomicFile(file);
    this.writer =
        new Builder(new Output(this.file), metadata)
            .withConf(new PlainParquetConfiguration())
            .withCompressionCodec(CompressionCodecName.UNCOMPRESSED)
            .withDictionaryEncoding(false) // features do not repeat
            .build();
  }

  /** Adds the features of an image. */
  public void add(String path, float[] features) throws IOException {
    writer.write(new Row(path, features, ""));
  }

  /** Adds an image that could not be read. */
  public void addError(String path, String error) throws IOException {
    writer.write(new Row(path, new float[0], error));
  }

  /** Completes the file and moves it to its path. */
  public void complete() throws IOException {
    writer.close();
    file.complete();
  }

  @Override
  public void close() throws IOException {
    try (file) {
      writer.close(); // has no effect if already closed
    }
  }

  /**
   * Parquet's output to the temporary file. Parquet's own output for local files creates the file
   * again if the process was interrupted and has deleted it.
   */
  private record Output(AtomicFile file) implements OutputFile {
    @Override
    public PositionOutputStream create(long blockSize) throws IOException {
      return new CountingStream(file.open());
    }

    @Override
    public PositionOutputStream createOrOverwrite(long blockSize) throws IOException {
      return create(blockSize);
    }

    @Override
    public boolean supportsBlockSize() {
      return false;
    }

    @Override
    public long defaultBlockSize() {
      return 0;
    }
  }

  private static final class CountingStream extends PositionOutputStream {
    private final OutputStream out;
    private long position;

    CountingStream(OutputStream out) {
      this.out = out;
    }

    @Override
    public long getPos() {
      return position;
    }

    @Override
    public void write(int value) throws IOException {
      out.write(value);
      position++;
    }

    @Override
    public void write(byte[] bytes, int from, int count) throws IOException {
      out.write(bytes, from, count);
      position += count;
    }

    @Override
    public void flush() throws IOException {
      out.flush();
    }

    @Override
    public void close() throws IOException {
      out.close();
    }
  }

  private static final class Builder extends ParquetWriter.Builder<Row, Builder> {
    private final Map<String, String> metadata;

    Builder(OutputFile file, Map<String, String> metadata) {
      super(file);
      this.metadata = Map.copyOf(metadata);
    }

    @Override
    protected Builder self() {
      return this;
    }

    @Override
    protected WriteSupport<Row> getWriteSupport(Configuration configuration) {
      return new Rows(metadata);
    }

    @Override
    protected WriteSupport<Row> getWriteSupport(ParquetConfiguration configuration) {
      return new Rows(metadata);
    }
  }

  private static final class Rows extends WriteSupport<Row> {
    private final Map<String, String> metadata;
    private RecordConsumer to;

    @SuppressWarnings("NullAway.Init") // prepareForWrite is called first
    Rows(Map<String, String> metadata) {
      this.metadata = metadata;
    }

    @Override
    public WriteContext init(Configuration configuration) {
      return new WriteContext(SCHEMA, metadata);
    }

    @Override
    public WriteContext init(ParquetConfiguration configuration) {
      return new WriteContext(SCHEMA, metadata);
    }

    @Override
    public void prepareForWrite(RecordConsumer consumer) {
      to = consumer;
    }

    @Override
    public void write(Row row) {
      to.startMessage();
      text("path", 0, row.path);
      if (row.error.isEmpty()) {
        to.startField("features", 1);
        to.startGroup();
        to.startField("list", 0);
        for (float value : row.features) {
          to.startGroup();
          to.startField("element", 0);
          to.addFloat(value);
          to.endField("element", 0);
          to.endGroup();
        }
        to.endField("list", 0);
        to.endGroup();
        to.endField("features", 1);
      } else {
        text("error", 2, row.error);
      }
      to.endMessage();
    }

    private void text(String field, int index, String value) {
      to.startField(field, index);
      to.addBinary(Binary.fromString(value));
      to.endField(field, index);
    }
  }
}
