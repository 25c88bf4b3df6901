package io.github.resnet4j.checkpoint;

/**
 * An error in a file, before the file's name is known; {@link Checkpoint#open} converts it to a
 * {@link CheckpointException}.
 */
final class Malformed extends RuntimeException {
  private static final long serialVersionUID = 1;

  private final String reason;

  Malformed(String reason) {
    super(reason);
    this.reason = reason;
  }

  String reason() {
    return reason;
  }
}
