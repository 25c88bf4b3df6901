package io.github.resnet4j.onnx;

import java.io.IOException;
import java.nio.file.Path;
import org.jspecify.annotations.Nullable;

/**
 * Thrown for a file that is not a valid ONNX file, or not a supported residual network; the message
 * contains the reason.
 */
public final class OnnxException extends IOException {
  private static final long serialVersionUID = 1;
  private static final int MAX_MESSAGE_LENGTH = 500;

  OnnxException(Path file, String reason, @Nullable Throwable cause) {
    super(file + ": " + oneLine(reason), cause);
  }

  /**
   * Makes a message one line of limited length; names in a file may be long and contain line
   * breaks.
   */
  private static String oneLine(String reason) {
    String shown =
        reason.length() <= MAX_MESSAGE_LENGTH
            ? reason
            : reason.substring(0, MAX_MESSAGE_LENGTH) + " …";
    return shown.replaceAll("[\\p{Cntrl}\u0085\u2028\u2029]", "?");
  }
}
