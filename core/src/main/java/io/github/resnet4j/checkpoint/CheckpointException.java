package io.github.resnet4j.checkpoint;

import java.io.IOException;
import java.nio.file.Path;
import org.jspecify.annotations.Nullable;

/**
 * A file that cannot be used. The message names the file and the reason, in one line. A reason may
 * quote the file: it is shortened, and control characters are replaced by question marks.
 */
public final class CheckpointException extends IOException {
  private static final long serialVersionUID = 1;
  private static final int MAX_LENGTH = 2000;

  public CheckpointException(Path file, String reason) {
    this(file, reason, null);
  }

  public CheckpointException(Path file, String reason, @Nullable Throwable cause) {
    super(file + ": " + line(reason), cause);
  }

  private static String line(String reason) {
    String cut = reason.length() <= MAX_LENGTH ? reason : reason.substring(0, MAX_LENGTH) + " ...";
    return cut.replaceAll("\\p{Cntrl}", "?");
  }
}
