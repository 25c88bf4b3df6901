package io.github.resnet4j.onnx;

import java.io.IOException;
import java.nio.file.Path;
import org.jspecify.annotations.Nullable;

/**
 * An ONNX file that is no residual network, or no ONNX file; the message says what does not fit.
 */
public final class OnnxException extends IOException {
  private static final long serialVersionUID = 1;

  OnnxException(Path file, String reason, @Nullable Throwable cause) {
    super(file + ": " + reason, cause);
  }
}
