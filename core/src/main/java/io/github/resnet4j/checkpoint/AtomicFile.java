package io.github.resnet4j.checkpoint;

import io.github.resnet4j.messages.Reason;
import java.io.BufferedOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.channels.FileChannel;
import java.nio.file.AccessDeniedException;
import java.nio.file.AtomicMoveNotSupportedException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.util.Locale;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.locks.LockSupport;

/**
 * A file that is written completely or not at all: it is written to a temporary file in the same
 * folder, forced to the disk, and renamed. The temporary file is deleted on an error, and when the
 * process ends early (Ctrl-C). An existing device or pipe, such as {@code /dev/stdout} or Windows'
 * {@code nul}, is written directly.
 */
public final class AtomicFile implements AutoCloseable {
  private static final Set<Path> INCOMPLETE = ConcurrentHashMap.newKeySet();
  private static final boolean WINDOWS =
      System.getProperty("os.name", "").toLowerCase(Locale.ROOT).startsWith("windows");

  /** The devices that Windows has in every folder. */
  private static final Set<String> WINDOWS_DEVICES = Set.of("nul", "con");

  /** How often, 100 ms apart, a rename is tried on Windows. */
  private static final int ATTEMPTS = 20;

  static {
    Runtime.getRuntime()
        .addShutdownHook(
            new Thread(() -> {
              for (Path temporaryFile : INCOMPLETE) {
                try {
                  Files.deleteIfExists(temporaryFile);
                } catch (IOException _) {
                  // The error cannot be reported at shutdown.
                }
              }
            }));
  }

  private final Path file;
  private final Path target;
  private final Path temporaryFile;

  /**
   * Creates the temporary file.
   *
   * @throws CheckpointException if the file is a folder, or its folder is missing or not writable
   */
  public AtomicFile(Path file) throws IOException {
    this.file = file;
    if (Files.isDirectory(file)) {
      throw new CheckpointException(file, "is a folder; name a file in it");
    }
    // If the file is a symbolic link, its target is replaced.
    target = Files.exists(file) ? file.toRealPath() : file.toAbsolutePath();
    if (isDevice(target) || (Files.exists(target) && !Files.isRegularFile(target))) {
      temporaryFile = target;
      return;
    }
    Path folder = target.getParent();
    if (folder == null || !Files.isDirectory(folder)) {
      throw new CheckpointException(file, "cannot be written: there is no folder " + folder);
    }
    temporaryFile = createTemporaryFile(file, folder);
  }

  /** Java says that these files do not exist. */
  private static boolean isDevice(Path file) {
    String name = String.valueOf(file.getFileName()).toLowerCase(Locale.ROOT);
    return WINDOWS && WINDOWS_DEVICES.contains(name);
  }

  private static Path createTemporaryFile(Path file, Path folder) throws CheckpointException {
    // Not a secret: createFile fails if the file exists.
    long number = ThreadLocalRandom.current().nextLong();
    Path temporaryFile =
        folder.resolve(".resnet4j-%x-%016x.part".formatted(ProcessHandle.current().pid(), number));
    INCOMPLETE.add(temporaryFile);
    try {
      return Files.createFile(temporaryFile);
    } catch (IOException e) {
      INCOMPLETE.remove(temporaryFile);
      // A file system such as /proc reports that the new file does not exist.
      String reason =
          e instanceof NoSuchFileException ? "new files are not allowed" : Reason.withoutFile(e);
      throw new CheckpointException(
          file, "cannot be written: folder %s: %s".formatted(folder, reason), e);
    }
  }

  /**
   * Checks that a file can be written, before the work whose result it will contain.
   *
   * @throws CheckpointException if the file is a folder, or its folder is missing or not writable
   */
  public static void requireWritable(Path file) throws IOException {
    new AtomicFile(file).close();
  }

  /**
   * Checks that files can be written into a folder, which need not exist yet.
   *
   * @throws CheckpointException if it is a file, or is not writable, or cannot be created
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
    Path temporaryFile = createTemporaryFile(folder, existing);
    INCOMPLETE.remove(temporaryFile);
    Files.delete(temporaryFile);
  }

  /** Writes the content of a file to a stream. */
  public interface Body {
    /** Writes the content of the file. */
    void writeTo(OutputStream out) throws IOException;
  }

  /**
   * Writes a file of any kind.
   *
   * @throws IOException if writing fails; the old file, if any, is then unchanged
   */
  public static void write(Path file, Body body) throws IOException {
    try (var atomic = new AtomicFile(file)) {
      try (var out = atomic.open()) {
        body.writeTo(out);
      } catch (CheckpointException e) { // it names its file
        throw e;
      } catch (IOException e) {
        throw atomic.failed(e);
      }
      atomic.complete();
    }
  }

  /** A buffered stream to the temporary file; close it before {@link #complete}. */
  public OutputStream open() throws IOException {
    return new BufferedOutputStream(
        Files.newOutputStream(temporaryFile, StandardOpenOption.WRITE), 1 << 20);
  }

  /** The temporary file, for writers that need a path. */
  public Path temporaryFile() {
    return temporaryFile;
  }

  /**
   * Renames the temporary file to its final name.
   *
   * @throws IOException if that fails; the old file, if any, is then unchanged
   */
  public void complete() throws IOException {
    if (temporaryFile.equals(target)) {
      return;
    }
    try {
      try (var channel = FileChannel.open(temporaryFile, StandardOpenOption.WRITE)) {
        channel.force(true);
      }
      replace();
    } catch (IOException e) {
      throw failed(e);
    }
    INCOMPLETE.remove(temporaryFile);
    forceFolder(target.resolveSibling(""));
  }

  private void replace() throws IOException {
    for (int attempt = 1; ; attempt++) {
      try {
        Files.move(temporaryFile, target, StandardCopyOption.ATOMIC_MOVE);
        return;
      } catch (AtomicMoveNotSupportedException _) {
        Files.move(temporaryFile, target, StandardCopyOption.REPLACE_EXISTING);
        return;
      } catch (AccessDeniedException e) {
        // Windows does not replace a file while a program maps it or scans it for viruses.
        if (!WINDOWS) {
          throw e;
        }
        if (attempt == ATTEMPTS) {
          throw new IOException("permission denied, or a program is using the old file", e);
        }
        LockSupport.parkNanos(100_000_000L);
      }
    }
  }

  /** An error of writing, with the file and the reason. */
  private IOException failed(IOException e) {
    return new CheckpointException(
        file,
        "cannot be written: %s; the previous file, if any, is unchanged"
            .formatted(Reason.withoutFile(e)),
        e);
  }

  /** Forces the rename to the disk; some systems do not support this for folders. */
  private static void forceFolder(Path folder) {
    try (var channel = FileChannel.open(folder, StandardOpenOption.READ)) {
      channel.force(true);
    } catch (IOException _) {
      // Windows cannot open folders; its file system journals the rename.
    }
  }

  /** Deletes the temporary file, unless {@link #complete} was called. */
  @Override
  public void close() throws IOException {
    if (INCOMPLETE.remove(temporaryFile)) {
      Files.deleteIfExists(temporaryFile);
    }
  }
}
