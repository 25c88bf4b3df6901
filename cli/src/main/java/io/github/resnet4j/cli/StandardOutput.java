package io.github.resnet4j.cli;

import io.github.resnet4j.messages.Reason;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.util.Locale;
import org.jspecify.annotations.Nullable;

/**
 * The standard output of the process, which keeps the cause of a failed write; {@code PrintStream}
 * keeps only that there was one.
 */
final class StandardOutput extends OutputStream {
  private final OutputStream out = new FileOutputStream(FileDescriptor.out);
  private @Nullable IOException failure;

  @Override
  public void write(int b) throws IOException {
    write(new byte[] {(byte) b}, 0, 1);
  }

  @Override
  public void write(byte[] bytes, int from, int count) throws IOException {
    if (failure != null) {
      throw failure; // later output would follow a gap
    }
    try {
      out.write(bytes, from, count);
    } catch (IOException e) {
      failure = e;
      throw e;
    }
  }

  /**
   * Prints an error if output was lost. A reader that closes the pipe early, such as {@code head},
   * is no error.
   *
   * @param code the exit code of the command
   * @return the exit code of the process
   */
  int check(int code) {
    if (failure == null || Reason.withoutFile(failure).toLowerCase(Locale.ROOT).contains("pipe")) {
      return code;
    }
    System.err.println(
        "resnet4j: standard output: cannot be written: " + Reason.withoutFile(failure));
    return Main.FAILED;
  }
}
