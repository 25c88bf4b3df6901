package io.github.resnet4j.image.jpeg;

import java.io.IOException;

/**
 * A JPEG file that is damaged, truncated or not supported. The message is the reason, without the
 * file's name.
 */
public final class JpegException extends IOException {
  private static final long serialVersionUID = 1;

  private final String reason;
  private final boolean truncated;

  JpegException(String message) {
    this(message, false);
  }

  private JpegException(String message, boolean truncated) {
    super(message);
    this.reason = message;
    this.truncated = truncated;
  }

  static JpegException truncated(String message) {
    return new JpegException(message, true);
  }

  /** The reason, for a message that starts with the file's name. */
  public String reason() {
    return reason;
  }

  boolean isTruncated() {
    return truncated;
  }
}
