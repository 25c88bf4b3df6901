package io.github.resnet4j.cli;

/** An error in the command line that the command itself finds: exit code 2 and a hint to --help. */
final class UsageException extends IllegalArgumentException {
  private static final long serialVersionUID = 1;

  UsageException(String message) {
    super(message);
  }
}
