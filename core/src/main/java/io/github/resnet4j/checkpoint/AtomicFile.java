package io.github.resnet4j.checkpoint;

import io.github.resnet4j.messages.Reason;
import java.io.BufferedOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.channels.FileChannel;
import java.nio.file.AtomicMoveNotSupportedException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.util.Set;
import java.util.UUID;
import java.util.concurrent.ConcurrentHashMap;

/**
 * A file that appears whole or not at all: it is written beside its place, forced to the disk, and
 * renamed. What was written is removed on an error, and when the process ends early (Ctrl-C). A
 * device or a pipe that exists, such as {@code /dev/stdout}, is written directly.
 */
public final class AtomicFile implements AutoCloseable {
  private static final Set<Path> UNFINISHED = ConcurrentHashMap.newKeySet();

  static {
    Runtime.getRuntime()
        .addShutdownHook(
            new Thread(() -> {
              for (Path part : UNFINISHED) {
                try {
                  Files.deleteIfExists(part);
                } catch (IOException _) {
                  // There is nobody to tell.
                }
              }
            }));
  }

  private final Path file;
  private final Path target;
  private final Path part;

  /**
   * Makes the file's beginning beside its place.
   *
   * @throws CheckpointException if the place is a folder, or lies in none that may be written
   */
  public AtomicFile(Path file) throws IOException {
    this.file = file;
    if (Files.isDirectory(file)) {
      throw new CheckpointException(file, "is a folder; name a file in it");
    }
    // A link that is written to stays a link.
    target = Files.exists(file) ? file.toRealPath() : file.toAbsolutePath();
    if (Files.exists(target) && !Files.isRegularFile(target)) {
      part = target;
      return;
    }
    Path folder = target.getParent();
    if (folder == null || !Files.isDirectory(folder)) {
      throw new CheckpointException(file, "cannot be written: there is no folder " + folder);
    }
    part = createPart(file, folder);
  }

  private static Path createPart(Path file, Path folder) throws CheckpointException {
    Path part = folder.resolve(".resnet4j-%s.part".formatted(UUID.randomUUID()));
    UNFINISHED.add(part);
    try {
      return Files.createFile(part);
    } catch (IOException e) {
      UNFINISHED.remove(part);
      // A file system such as /proc says that the new file does not exist.
      String reason =
          e instanceof NoSuchFileException ? "new files are not allowed" : Reason.withoutFile(e);
      throw new CheckpointException(
          file, "cannot be written: folder %s: %s".formatted(folder, reason), e);
    }
  }

  /**
   * Checks that a file can be written, before the work whose result it is to hold.
   *
   * @throws CheckpointException if the place is a folder, or lies in none that may be written
   */
  public static void requireWritable(Path file) throws IOException {
    new AtomicFile(file).close();
  }

  /**
   * Checks that files can be written into a folder, which need not exist yet.
   *
   * @throws CheckpointException if it is a file, or if it can neither be written nor be made
   */
  public static void requireWritableFolder(Path folder) throws IOException {
    Path existing = folder.toAbsolutePath().normalize();
    while (!Files.exists(existing) && existing.getParent() != null) {
      existing = existing.getParent();
    }
    if (!Files.isDirectory(existing)) {
      throw new CheckpointException(
          folder, "cannot be written: %s is a file, not a folder".formatted(existing));
    }
    Path part = createPart(folder, existing);
    UNFINISHED.remove(part);
    Files.delete(part);
  }

  /** Writes all of a file to a stream. */
  public interface Body {
    /** Writes all of the file. */
    void writeTo(OutputStream out) throws IOException;
  }

  /**
   * Writes a file of any kind.
   *
   * @throws IOException if the disk refuses; then the old file, if any, is still there
   */
  public static void write(Path file, Body body) throws IOException {
    try (var made = new AtomicFile(file)) {
      try (var out = made.open()) {
        body.writeTo(out);
      } catch (CheckpointException e) { // names its file
        throw e;
      } catch (IOException e) {
        throw made.failed(e);
      }
      made.complete();
    }
  }

  /** A buffered stream to the file; it is to be closed before {@link #complete}. */
  public OutputStream open() throws IOException {
    return new BufferedOutputStream(Files.newOutputStream(part, StandardOpenOption.WRITE), 1 << 20);
  }

  /** Where the file is written until it is complete, for writers that take a path. */
  public Path part() {
    return part;
  }

  /**
   * Gives the file its name.
   *
   * @throws IOException if the disk refuses; then the old file, if any, is still there
   */
  public void complete() throws IOException {
    if (part.equals(target)) {
      return;
    }
    try {
      try (var channel = FileChannel.open(part, StandardOpenOption.WRITE)) {
        channel.force(true);
      }
      try {
        Files.move(part, target, StandardCopyOption.ATOMIC_MOVE);
      } catch (AtomicMoveNotSupportedException _) {
        Files.move(part, target, StandardCopyOption.REPLACE_EXISTING);
      }
    } catch (IOException e) {
      throw failed(e);
    }
    UNFINISHED.remove(part);
    forceFolder(target.resolveSibling(""));
  }

  /** An error of writing, with the file and the reason. */
  private IOException failed(IOException e) {
    return new CheckpointException(
        file,
        "cannot be written: %s; what was there before is untouched"
            .formatted(Reason.withoutFile(e)),
        e);
  }

  /** The rename itself must survive a power cut; some systems cannot force a folder. */
  private static void forceFolder(Path folder) {
    try (var channel = FileChannel.open(folder, StandardOpenOption.READ)) {
      channel.force(true);
    } catch (IOException _) {
      // Windows opens no folders; its file system journals the rename.
    }
  }

  /** Removes what was written, unless it is complete. */
  @Override
  public void close() throws IOException {
    if (UNFINISHED.remove(part)) {
      Files.deleteIfExists(part);
    }
  }
}
