package io.github.resnet4j.cli;

/** A command line that is refused by the command itself: exit code 2, and where help is. */
final class UsageException extends IllegalArgumentException {
  private static final long serialVersionUID = 1;

  UsageException(String message) {
    super(message);
  }
}
