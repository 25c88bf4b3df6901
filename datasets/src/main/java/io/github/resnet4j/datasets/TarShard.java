package io.github.resnet4j.datasets;

import com.fasterxml.jackson.jr.ob.JSON;
import io.github.resnet4j.image.ImageDecoder;
import io.github.resnet4j.messages.Reason;
import java.io.BufferedInputStream;
import java.io.EOFException;
import java.io.FileInputStream;
import java.io.FilterInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.io.RandomAccessFile;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.zip.GZIPInputStream;
import java.util.zip.ZipException;
import org.apache.commons.compress.archivers.tar.TarArchiveEntry;
import org.apache.commons.compress.archivers.tar.TarArchiveInputStream;
import org.apache.commons.compress.archivers.tar.TarConstants;
import org.jspecify.annotations.Nullable;

/**
 * A tar file as the WebDataset library writes it, also compressed with gzip. Successive files with
 * the same name up to its first dot are one sample: an image, and its target in a file {@code cls},
 * {@code json} or {@code txt}. Names are never used as paths.
 */
final class TarShard implements Shard {
  private static final int MAX_TARGET_BYTES = 1 << 20;
  private static final int MAX_HEADER_BYTES = 1 << 20;

  private final Path file;
  private final boolean packed;

  /** The end of the last image. */
  private long end;

  TarShard(Path file) {
    this.file = file;
    String name = String.valueOf(file.getFileName()).toLowerCase(Locale.ROOT);
    this.packed = name.endsWith(".tgz") || name.endsWith(".gz");
  }

  static boolean isTar(Path file) {
    String name = String.valueOf(file.getFileName()).toLowerCase(Locale.ROOT);
    return name.endsWith(".tar") || name.endsWith(".tgz") || name.endsWith(".tar.gz");
  }

  @Override
  public String name() {
    return file.toString();
  }

  @Override
  public Path file() {
    return file;
  }

  @Override
  public boolean isPacked() {
    return packed;
  }

  private InputStream open() throws IOException {
    // A file's stream skips the contents of images without reading them.
    var in = new FileInputStream(file.toFile());
    return packed ? new BufferedInputStream(new GZIPInputStream(in, 1 << 16), 1 << 16) : in;
  }

  /** Limits the memory for headers: their lengths are in the file, and may be anything. */
  private static final class LimitedHeaders extends FilterInputStream {
    private long left;

    LimitedHeaders(InputStream in) {
      super(in);
    }

    @Override
    public int read() throws IOException {
      throw new UnsupportedOperationException("tar files are read in records");
    }

    @Override
    public int read(byte[] to, int offset, int length) throws IOException {
      int count = super.read(to, offset, length);
      left -= Math.max(0, count);
      if (left < 0) {
        throw new IOException("the header of a file has more than 1 MB");
      }
      return count;
    }
  }

  /** The files of a sample so far. */
  private static final class Sample {
    final String key;
    final Set<String> suffixes = new HashSet<>();
    String image = "";
    long position;
    long size;
    byte @Nullable [] cls;
    byte @Nullable [] json;
    byte @Nullable [] txt;

    Sample(String key) {
      this.key = key;
    }
  }

  @Override
  public void scan(Sink sink, ReadOptions.Damages damages) throws IOException {
    int images = 0;
    @Nullable Sample sample = null;
    @Nullable IOException broken = null;
    try (InputStream in = open();
        var limited = new LimitedHeaders(in);
        var tar = new TarArchiveInputStream(limited)) {
      long fileSize = packed ? Long.MAX_VALUE : Files.size(file);
      while (true) {
        TarArchiveEntry entry;
        try {
          limited.left = MAX_HEADER_BYTES;
          entry = tar.getNextEntry();
          long position = tar.getBytesRead();
          if (entry != null && position + entry.getSize() > fileSize) {
            throw new EOFException(
                "the file ends within '%s'".formatted(Shard.printable(entry.getName())));
          }
        } catch (IOException | RuntimeException e) { // of the library, for a damaged file
          broken = e instanceof IOException failed ? failed : new IOException(Reason.of(e), e);
          break;
        }
        @Nullable String key = entry == null ? null : key(entry);
        if (sample != null && (entry == null || key != null && !key.equals(sample.key))) {
          images += add(sample, sink, damages) ? 1 : 0;
          sample = null;
        }
        if (entry == null) {
          return;
        }
        if (key != null) {
          sample = sample == null ? new Sample(key) : sample;
          limited.left = Long.MAX_VALUE / 2;
          try {
            add(entry, tar, sample, damages);
          } catch (EOFException e) {
            broken = e;
            break;
          }
        }
      }
    } catch (EOFException | ZipException e) { // at the beginning of the file
      broken = e;
    }
    damages.found(
        new IOException(
            "%s: is damaged or truncated (%s); the %,d images before are used"
                .formatted(name(), Reason.withoutFile(broken), images),
            broken));
  }

  /** The name up to the first dot of its last part; null for what is no file of a sample. */
  private static @Nullable String key(TarArchiveEntry entry) {
    byte type = entry.getLinkFlag();
    boolean isFile =
        type == TarConstants.LF_NORMAL
            || type == TarConstants.LF_OLDNORM
            || type == TarConstants.LF_CONTIG;
    String name = entry.getName();
    int from = name.lastIndexOf('/') + 1;
    int dot = name.indexOf('.', from);
    return isFile && !entry.isSparse() && dot > from ? name.substring(0, dot) : null;
  }

  private void add(
      TarArchiveEntry entry, TarArchiveInputStream tar, Sample sample, ReadOptions.Damages damages)
      throws IOException {
    String suffix = entry.getName().substring(sample.key.length() + 1).toLowerCase(Locale.ROOT);
    String name = name() + "/" + Shard.printable(entry.getName());
    if (!sample.suffixes.add(suffix)) {
      damages.found(new IOException(name + ": occurs twice; the first one is used"));
      return;
    }
    if (ImageDecoder.EXTENSIONS.contains(suffix)) {
      if (entry.getSize() > ImageDecoder.MAX_FILE_BYTES) {
        damages.found(new IOException(name + ": has more than 512 MB, too large for an image"));
      } else if (sample.image.isEmpty()) {
        sample.image = Shard.printable(entry.getName());
        sample.position = tar.getBytesRead();
        sample.size = entry.getSize();
      }
      return;
    }
    if (Set.of("cls", "json", "txt").contains(suffix)) {
      if (entry.getSize() > MAX_TARGET_BYTES) {
        damages.found(new IOException(name + ": has more than 1 MB, too large for a target"));
        return;
      }
      byte[] bytes = tar.readNBytes((int) entry.getSize());
      if (bytes.length < entry.getSize()) {
        throw new EOFException(
            "the file ends within '%s'".formatted(Shard.printable(entry.getName())));
      }
      switch (suffix) {
        case "cls" -> sample.cls = bytes;
        case "json" -> sample.json = bytes;
        default -> sample.txt = bytes;
      }
    }
  }

  /** Adds a complete sample; returns false if it has no image or no target. */
  private boolean add(Sample sample, Sink sink, ReadOptions.Damages damages) throws IOException {
    if (sample.image.isEmpty()) {
      return false; // for example a text about the whole set
    }
    RawTarget target;
    try {
      target = target(sample);
    } catch (IOException e) {
      damages.found(
          new IOException("%s/%s: %s".formatted(name(), sample.image, e.getMessage()), e));
      return false;
    }
    end = Math.max(end, sample.position + sample.size);
    sink.image(sample.image, sample.position, (int) sample.size, target);
    return true;
  }

  private static RawTarget target(Sample sample) throws IOException {
    if (sample.cls != null) {
      return label(sample.cls);
    }
    if (sample.json != null) {
      return json(sample.json);
    }
    if (sample.txt != null) {
      return label(sample.txt);
    }
    throw new IOException("has no target: a file .cls, .json or .txt of the same name");
  }

  private static RawTarget label(byte[] bytes) throws IOException {
    String text = new String(bytes, StandardCharsets.UTF_8).strip();
    if (text.isEmpty()) {
      throw new IOException("its label is empty");
    }
    return new RawTarget.Label(text);
  }

  private static RawTarget json(byte[] bytes) throws IOException {
    Map<String, Object> all;
    try {
      all = JSON.std.mapFrom(bytes);
    } catch (IOException e) {
      throw new IOException("its .json is not a JSON object", e);
    }
    if (all.get("labels") instanceof List<?> names && names.stream().allMatch(TableRows::isText)) {
      return new RawTarget.Labels(names.stream().map(String::valueOf).toList());
    }
    if (all.get("label") instanceof Object name && TableRows.isText(name)) {
      return new RawTarget.Label(String.valueOf(name));
    }
    var columns = new ArrayList<String>();
    var values = new ArrayList<Float>();
    all.forEach((name, value) -> {
      if (value instanceof Number number && Float.isFinite(number.floatValue())) {
        columns.add(name);
        values.add(number.floatValue());
      }
    });
    if (columns.isEmpty() || all.containsKey("label") || all.containsKey("labels")) {
      throw new IOException(
          "its .json has neither 'label', a text or number, nor 'labels', a list of such, nor only"
              + " numbers");
    }
    return new RawTarget.Values(columns, values);
  }

  @Override
  public void unpack(Path to) throws IOException {
    try (InputStream in = open();
        OutputStream out = Files.newOutputStream(to)) {
      byte[] buffer = new byte[1 << 16];
      for (long left = end; left > 0; ) {
        int count = in.read(buffer, 0, (int) Math.min(buffer.length, left));
        if (count < 0) {
          return; // the file has changed: the missing images are reported when they are read
        }
        out.write(buffer, 0, count);
        left -= count;
      }
    }
  }

  @Override
  public byte[] read(RandomAccessFile unpacked, long position, int size) throws IOException {
    byte[] bytes = new byte[size];
    unpacked.seek(position);
    unpacked.readFully(bytes);
    return bytes;
  }
}
