package io.github.resnet4j.cli;

import io.github.resnet4j.messages.Reason;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.util.Locale;
import org.jspecify.annotations.Nullable;

/**
 * The process's standard output, which remembers why it could not be written: a {@code PrintStream}
 * before it only remembers that.
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
      throw failure; // what follows would leave a gap
    }
    try {
      out.write(bytes, from, count);
    } catch (IOException e) {
      failure = e;
      throw e;
    }
  }

  /**
   * Says on stderr if output was lost. A reader that left early, such as {@code head}, has what it
   * wanted: that is no failure.
   *
   * @param code the command's exit code
   * @return the process's
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
