package io.github.resnet4j.datasets;

import io.github.resnet4j.image.ImageDecoder;
import io.github.resnet4j.image.Pixels;
import io.github.resnet4j.train.Dataset;
import io.github.resnet4j.train.Dataset.Example;
import io.github.resnet4j.train.ShardedExamples;
import java.io.BufferedOutputStream;
import java.io.ByteArrayInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/**
 * The images of shards. Where they are, their names and targets are in a temporary file that is
 * mapped, so that the heap does not grow with the number of images.
 */
final class ShardIndex extends ShardedExamples {
  private static final ValueLayout.OfInt INT =
      ValueLayout.JAVA_INT_UNALIGNED.withOrder(ByteOrder.BIG_ENDIAN);
  private static final ValueLayout.OfLong LONG =
      ValueLayout.JAVA_LONG_UNALIGNED.withOrder(ByteOrder.BIG_ENDIAN);

  /** More unpacked shards than these would be too much for a disk. */
  private static final int MAX_UNPACKED = 256;

  private final List<Shard> shards;
  private final int[] starts;
  private final int size;
  private final MemorySegment entries;
  private final MemorySegment positions;
  private final TargetNames targets;
  private final ReadOptions options;
  private final UnpackedShards unpacked;

  private ShardIndex(
      List<Shard> shards,
      int[] starts,
      int size,
      MemorySegment entries,
      MemorySegment positions,
      TargetNames targets,
      ReadOptions options,
      TemporaryFolder folder) {
    this.shards = shards;
    this.starts = starts;
    this.size = size;
    this.entries = entries;
    this.positions = positions;
    this.targets = targets;
    this.options = options;
    // Enough for two windows: the next images are read before the last ones are.
    int perShard = Math.max(1, size / Math.max(1, shards.size()));
    int inWindow = Math.ceilDiv(Math.min(options.window(), size), perShard) + 1;
    this.unpacked = new UnpackedShards(folder, Math.min(MAX_UNPACKED, 2 * inWindow));
  }

  /** Writes the temporary files. */
  static final class Writer implements AutoCloseable {
    private final Path entriesFile;
    private final Path positionsFile;
    private final DataOutputStream entries;
    private final DataOutputStream positions;
    private final List<Integer> starts = new ArrayList<>();
    private final List<Shard> shards = new ArrayList<>();
    private final TemporaryFolder folder;
    private long at;
    private int size;

    Writer(TemporaryFolder folder, String name) throws IOException {
      this.folder = folder;
      entriesFile = folder.path().resolve(name + "-entries");
      positionsFile = folder.path().resolve(name + "-positions");
      entries = new DataOutputStream(new BufferedOutputStream(Files.newOutputStream(entriesFile)));
      positions =
          new DataOutputStream(new BufferedOutputStream(Files.newOutputStream(positionsFile)));
    }

    /** The following images are those of this shard. */
    void begin(Shard shard) {
      shards.add(shard);
      starts.add(size);
    }

    void add(String image, long position, int length, int[] target) throws IOException {
      if (size == Integer.MAX_VALUE - 8) {
        throw new IOException("there are more than 2 billion images");
      }
      byte[] name = image.getBytes(StandardCharsets.UTF_8);
      positions.writeLong(at);
      entries.writeInt(shards.size() - 1);
      entries.writeLong(position);
      entries.writeInt(length);
      entries.writeInt(target.length);
      for (int number : target) {
        entries.writeInt(number);
      }
      entries.writeInt(name.length);
      entries.write(name);
      at += 24 + 4L * target.length + name.length;
      size++;
    }

    ShardIndex finish(TargetNames targets, ReadOptions options) throws IOException {
      close();
      return new ShardIndex(
          List.copyOf(shards),
          starts.stream().mapToInt(Integer::intValue).toArray(),
          size,
          map(entriesFile),
          map(positionsFile),
          targets,
          options,
          folder);
    }

    private static MemorySegment map(Path file) throws IOException {
      MemorySegment mapped;
      try (var channel = FileChannel.open(file)) {
        mapped = channel.map(FileChannel.MapMode.READ_ONLY, 0, channel.size(), Arena.ofAuto());
      }
      file.toFile().delete(); // Windows keeps a mapped file until the process ends
      return mapped;
    }

    @Override
    public void close() throws IOException {
      entries.close();
      positions.close();
    }
  }

  @Override
  public int[] starts() {
    return starts.clone();
  }

  @Override
  public int window() {
    return options.window();
  }

  @Override
  public int size() {
    return size;
  }

  @Override
  public Example get(int index) {
    if (index < 0 || index >= size) {
      throw new IndexOutOfBoundsException(index);
    }
    long at = positions.get(LONG, 8L * index);
    Shard shard = shards.get(entries.get(INT, at));
    long position = entries.get(LONG, at + 4);
    int length = entries.get(INT, at + 12);
    int[] target = new int[entries.get(INT, at + 16)];
    for (int i = 0; i < target.length; i++) {
      target[i] = entries.get(INT, at + 20 + 4L * i);
    }
    long end = at + 20 + 4L * target.length;
    byte[] bytes = entries.asSlice(end + 4, entries.get(INT, end)).toArray(ValueLayout.JAVA_BYTE);
    String name = shard.name() + "/" + new String(bytes, StandardCharsets.UTF_8);
    return new Example(
        name, targets.decode(target), new ShardImage(this, shard, name, position, length));
  }

  private record ShardImage(ShardIndex index, Shard shard, String name, long position, int length)
      implements Dataset.Source {
    private byte[] bytes() throws IOException {
      try {
        return index.unpacked.read(shard, position, length);
      } catch (IOException e) {
        throw new IOException(name + ": " + e.getMessage(), e);
      }
    }

    @Override
    public Pixels read() throws IOException {
      return index.options.decoder().decode(name, bytes());
    }

    @Override
    public long size() {
      return length;
    }

    @Override
    public InputStream open() throws IOException {
      return new ByteArrayInputStream(bytes());
    }

    @Override
    public ImageDecoder decoder() {
      return index.options.decoder();
    }
  }
}
