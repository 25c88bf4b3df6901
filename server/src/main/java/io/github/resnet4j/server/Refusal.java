package io.github.resnet4j.server;

/**
 * Why a request gets no answer, in words that may leave the machine: no paths, no traces.
 *
 * <p>It has no stack trace: it says what the client did, not where we noticed.
 */
final class Refusal extends RuntimeException {
  private static final long serialVersionUID = 1;

  /** Kinds of refusals, by which they are counted. */
  enum Kind {
    BAD_REQUEST(400),
    UNAUTHORIZED(401),
    FORBIDDEN(403),
    NOT_FOUND(404),
    WRONG_METHOD(405),
    TOO_LARGE(413),
    UNSUPPORTED(415),
    BUSY(503),
    NOT_READY(503),
    TOO_LATE(504),
    GONE(499),
    FAILED(500);

    /** HTTP's status; 499 is nginx's for a client that did not wait. */
    final int status;

    Kind(int status) {
      this.status = status;
    }
  }

  private final Kind kind;

  Refusal(Kind kind, String message) {
    super(message, null, false, false);
    this.kind = kind;
  }

  Kind kind() {
    return kind;
  }

  String reason() {
    return String.valueOf(getMessage());
  }
}
