package io.github.resnet4j.onnx;

import java.io.IOException;
import java.nio.file.Path;
import org.jspecify.annotations.Nullable;

/**
 * An ONNX file that is no residual network, or no ONNX file; the message says what does not fit.
 */
public final class OnnxException extends IOException {
  private static final long serialVersionUID = 1;
  private static final int MOST = 500;

  OnnxException(Path file, String reason, @Nullable Throwable cause) {
    super(file + ": " + oneLine(reason), cause);
  }

  /** Names from a file may be long and may have line breaks. */
  private static String oneLine(String reason) {
    String shown = reason.length() <= MOST ? reason : reason.substring(0, MOST) + " …";
    return shown.replaceAll("[\\p{Cntrl}\u0085\u2028\u2029]", "?");
  }
}
