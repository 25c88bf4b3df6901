package io.github.resnet4j.datasets;

import io.airlift.compress.zstd.ZstdDecompressor;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.util.zip.GZIPInputStream;
import org.apache.commons.compress.compressors.snappy.SnappyCompressorInputStream;
import org.apache.parquet.bytes.BytesInput;
import org.apache.parquet.compression.CompressionCodecFactory;
import org.apache.parquet.hadoop.metadata.CompressionCodecName;

/** Decompresses Parquet's pages without native code: Snappy, Zstandard, gzip, none. */
final class ParquetCodecs implements CompressionCodecFactory {
  /** A page is decompressed in memory. */
  private static final int MAX_PAGE_BYTES = 1 << 30;

  @Override
  public BytesInputCompressor getCompressor(CompressionCodecName codec) {
    throw new UnsupportedOperationException("files are only read");
  }

  @Override
  public BytesInputDecompressor getDecompressor(CompressionCodecName codec) {
    return new BytesInputDecompressor() {
      @Override
      public BytesInput decompress(BytesInput bytes, int size) throws IOException {
        return BytesInput.from(unpacked(codec, bytes.toByteArray(), size));
      }

      @Override
      public void decompress(ByteBuffer from, int packed, ByteBuffer to, int size)
          throws IOException {
        byte[] bytes = new byte[packed];
        from.get(bytes);
        to.put(unpacked(codec, bytes, size));
      }

      @Override
      public void release() {}
    };
  }

  private static byte[] unpacked(CompressionCodecName codec, byte[] bytes, int size)
      throws IOException {
    if (size < 0 || size > Math.min(MAX_PAGE_BYTES, Runtime.getRuntime().maxMemory() / 4)) {
      throw new IOException("a page has %,d bytes, too many for the memory".formatted(size));
    }
    byte[] unpacked =
        switch (codec) {
          case UNCOMPRESSED -> bytes;
          case SNAPPY ->
              exactly(new SnappyCompressorInputStream(new ByteArrayInputStream(bytes)), size);
          case GZIP -> exactly(new GZIPInputStream(new ByteArrayInputStream(bytes)), size);
          case ZSTD -> {
            byte[] all = new byte[size];
            int length = new ZstdDecompressor().decompress(bytes, 0, bytes.length, all, 0, size);
            yield length == size ? all : new byte[0];
          }
          case LZO, BROTLI, LZ4, LZ4_RAW ->
              throw new IOException(
                  "the compression %s is not supported; write it with snappy, zstd or gzip"
                      .formatted(codec));
        };
    if (unpacked.length != size) {
      throw new IOException("a page has not the length that its header says");
    }
    return unpacked;
  }

  private static byte[] exactly(InputStream in, int size) throws IOException {
    try (in) {
      return in.readNBytes(size);
    }
  }

  @Override
  public void release() {}
}
