package io.github.resnet4j.datasets;

import io.github.resnet4j.messages.Reason;
import java.io.FileNotFoundException;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import org.jspecify.annotations.Nullable;

/**
 * Reads images of shards. Those that have to be read from front to back are unpacked to temporary
 * files first, of which only the last used ones are kept.
 */
final class UnpackedShards {
  private static final int ATTEMPTS = 10;

  private final TemporaryFolder folder;
  private final int capacity;
  private final Map<Shard, CompletableFuture<Path>> files = new LinkedHashMap<>(16, 0.75f, true);

  /**
   * @param capacity the number of unpacked shards that are kept
   */
  UnpackedShards(TemporaryFolder folder, int capacity) {
    this.folder = folder;
    this.capacity = capacity;
  }

  byte[] read(Shard shard, long position, int size) throws IOException {
    for (int attempt = 1; ; attempt++) {
      Path file = shard.isPacked() ? unpacked(shard) : shard.file();
      try (var in = new RandomAccessFile(file.toFile(), "r")) {
        return shard.read(in, position, size);
      } catch (FileNotFoundException e) {
        if (!shard.isPacked() || attempt == ATTEMPTS) {
          throw e;
        }
        // Another thread needed the place of this shard; it is unpacked again.
      }
    }
  }

  private Path unpacked(Shard shard) throws IOException {
    var mine = new CompletableFuture<Path>();
    @Nullable CompletableFuture<Path> other;
    synchronized (files) {
      other = files.get(shard);
      if (other != null
          && other.isDone()
          && !other.isCompletedExceptionally()
          && !Files.exists(other.join())) {
        other = null;
      }
      if (other == null) {
        files.put(shard, mine);
      }
    }
    if (other != null) {
      try {
        return other.join();
      } catch (CompletionException e) {
        throw e.getCause() instanceof IOException failure ? failure : new IOException(e);
      }
    }
    Path file = folder.path();
    try {
      file = Files.createTempFile(folder.path(), "shard-", "");
      shard.unpack(file);
      mine.complete(file);
      deleteOldest();
      return file;
    } catch (IOException | RuntimeException e) {
      synchronized (files) {
        files.remove(shard);
      }
      if (!file.equals(folder.path())) {
        Files.deleteIfExists(file);
      }
      var failure =
          new IOException(
              "%s: cannot be unpacked to %s: %s".formatted(shard.name(), file, Reason.of(e)), e);
      mine.completeExceptionally(failure);
      throw failure;
    }
  }

  private void deleteOldest() throws IOException {
    synchronized (files) {
      var all = files.entrySet().iterator();
      for (int excess = files.size() - capacity; excess > 0 && all.hasNext(); excess--) {
        CompletableFuture<Path> oldest = all.next().getValue();
        if (oldest.isDone()) {
          all.remove();
          Files.deleteIfExists(oldest.join());
        }
      }
    }
  }
}
