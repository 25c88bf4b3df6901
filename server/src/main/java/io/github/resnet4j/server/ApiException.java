package io.github.resnet4j.server;

/**
 * A request that cannot be answered. The message is sent to the client, so it contains no paths and
 * no stack traces.
 *
 * <p>It has no stack trace, since it describes the client's request, not the place in this code.
 */
final class ApiException extends RuntimeException {
  private static final long serialVersionUID = 1;

  /** The kinds of errors; the metrics count each kind. */
  enum Kind {
    BAD_REQUEST(400),
    UNAUTHORIZED(401),
    FORBIDDEN(403),
    NOT_FOUND(404),
    METHOD_NOT_ALLOWED(405),
    TOO_LARGE(413),
    UNSUPPORTED_MEDIA_TYPE(415),
    OVERLOADED(503),
    UNAVAILABLE(503),
    DEADLINE_EXCEEDED(504),
    CLIENT_DISCONNECTED(499),
    INTERNAL(500);

    /** The HTTP status; 499 is nginx's status for a client that disconnected. */
    final int status;

    Kind(int status) {
      this.status = status;
    }
  }

  private final Kind kind;

  ApiException(Kind kind, String message) {
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
