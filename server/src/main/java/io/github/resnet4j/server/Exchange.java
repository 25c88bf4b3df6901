package io.github.resnet4j.server;

import io.github.resnet4j.server.ApiException.Kind;
import io.github.resnet4j.server.Batcher.Result;
import io.github.resnet4j.server.Connections.Connection;
import io.helidon.http.HeaderName;
import io.helidon.http.HeaderNames;
import io.helidon.http.RequestException;
import io.helidon.webserver.CloseConnectionException;
import io.helidon.webserver.http.ServerRequest;
import io.helidon.webserver.http.ServerResponse;
import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.UUID;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import java.util.regex.Pattern;
import java.util.zip.GZIPInputStream;
import java.util.zip.InflaterInputStream;
import java.util.zip.ZipException;
import org.jspecify.annotations.Nullable;

/** An HTTP request and its response. */
final class Exchange {
  private static final HeaderName REQUEST_ID = HeaderNames.create("X-Request-Id");

  /** The maximum number of bytes of a rejected body that are read and discarded. */
  static final int MAX_DRAINED_BYTES = 1 << 20;

  private static final long DRAIN_NANOS = TimeUnit.SECONDS.toNanos(5);

  /** The supported content encodings. */
  static final List<String> ENCODINGS = List.of("gzip", "deflate", "identity");

  private static final int INITIAL_BUFFER_BYTES = 1 << 16;

  private static final Pattern VALID_REQUEST_ID = Pattern.compile("[A-Za-z0-9_.:-]{1,64}");

  private final ServerRequest request;
  private final ServerResponse response;
  private final ServerOptions.Limits limits;
  private final Connection connection;
  private final Semaphore bodies;
  private final long begin = System.nanoTime();
  private final String id;
  private long deadline;
  private @Nullable InputStream content;
  private byte[] body = {};
  private int reservedKilobytes;
  private int images;
  private final List<Result> results = new ArrayList<>();

  Exchange(
      ServerRequest request,
      ServerResponse response,
      ServerOptions.Limits limits,
      Connection connection,
      Semaphore bodies) {
    this.request = request;
    this.response = response;
    this.limits = limits;
    this.connection = connection;
    this.bodies = bodies;
    this.deadline = begin + limits.requestTimeout().toNanos();
    String named = request.headers().first(REQUEST_ID).orElse("");
    this.id = VALID_REQUEST_ID.matcher(named).matches() ? named : UUID.randomUUID().toString();
    response.header(REQUEST_ID, id);
  }

  String id() {
    return id;
  }

  String method() {
    return request.prologue().method().text();
  }

  boolean isSent() {
    return response.isSent();
  }

  /** Sets a header of the response. */
  void header(String name, String value) {
    response.header(HeaderNames.create(name), value);
  }

  /** Closes the connection after this request. */
  void closeConnection() {
    connection.closeAfterResponse();
  }

  long begin() {
    return begin;
  }

  long deadline() {
    return deadline;
  }

  /** The size of the decompressed body in bytes. */
  int bodyBytes() {
    return body.length;
  }

  int images() {
    return images;
  }

  /** The results of its images so far. */
  List<Result> results() {
    return results;
  }

  void addResult(Result result) {
    results.add(result);
  }

  /** The size of the largest batch that contained one of its images. */
  int largestBatch() {
    return results.stream().mapToInt(Result::batchSize).max().orElse(0);
  }

  /** Sets the number of images of the request; throws if there is none or too many. */
  void setImages(int count) {
    if (count < 1) {
      throw new ApiException(Kind.BAD_REQUEST, "the request contains no image");
    }
    if (count > limits.maxImages()) {
      throw new ApiException(
          Kind.TOO_LARGE, "%d images, at most %d".formatted(count, limits.maxImages()));
    }
    images = count;
  }

  boolean hasPath(String parameter) {
    return request.path().pathParameters().contains(parameter);
  }

  String path(String parameter) {
    return request.path().pathParameters().get(parameter);
  }

  Optional<String> header(String name) {
    return request.headers().first(HeaderNames.create(name));
  }

  /** The content type in lower case, without parameters. */
  String contentType() {
    return header("Content-Type").orElse("").split(";", 2)[0].trim().toLowerCase(Locale.ROOT);
  }

  /**
   * A query parameter.
   *
   * @throws ApiException if it is given more than once
   */
  Optional<String> query(String name) {
    if (!request.query().contains(name)) {
      return Optional.empty();
    }
    List<String> values = request.query().all(name);
    if (values.size() > 1) {
      throw new ApiException(Kind.BAD_REQUEST, name + " must be given once");
    }
    return Optional.of(values.getFirst());
  }

  OptionalInt integer(String name, int min, int max) {
    Optional<String> text = query(name);
    if (text.isEmpty()) {
      return OptionalInt.empty();
    }
    try {
      int value = Integer.parseInt(text.get());
      if (value >= min && value <= max) {
        return OptionalInt.of(value);
      }
    } catch (NumberFormatException _) {
      // reported below
    }
    throw new ApiException(
        Kind.BAD_REQUEST, "%s must be an integer from %d to %d".formatted(name, min, max));
  }

  /** The value of a boolean query parameter; false if it is absent. */
  boolean flag(String name) {
    return switch (query(name).orElse("false")) {
      case "true" -> true;
      case "false" -> false;
      default -> throw new ApiException(Kind.BAD_REQUEST, name + " must be true or false");
    };
  }

  /** Moves the deadline to this time after the start of the request, if that is earlier. */
  void shortenDeadline(long nanos) {
    deadline = begin + Math.clamp(nanos, 0, deadline - begin);
  }

  /** The decompressed body; empty before {@link #receive}. */
  byte[] body() {
    return body;
  }

  /**
   * Receives and decompresses the whole body, up to the size limit and until the deadline.
   *
   * @throws ApiException if it is too large, too late, malformed, or not encoded as declared
   */
  void receive() {
    if (request.headers().contentLength().orElse(-1) > limits.maxBodyBytes()) {
      throw tooLarge();
    }
    if (!request.content().hasEntity()) {
      throw new ApiException(Kind.BAD_REQUEST, "the request has no body");
    }
    String encoding =
        header("Content-Encoding").orElse("identity").strip().toLowerCase(Locale.ROOT);
    if (!ENCODINGS.contains(encoding)) {
      throw new ApiException(
          Kind.UNSUPPORTED_MEDIA_TYPE, "Content-Encoding must be " + String.join(", ", ENCODINGS));
    }
    connection.setDeadline(deadline);
    try {
      InputStream in = content();
      body =
          readAll(
              switch (encoding) {
                case "gzip" -> new GZIPInputStream(in);
                case "deflate" -> new InflaterInputStream(in);
                default -> in;
              });
      discardBody(); // data after the compressed stream
    } catch (ZipException | EOFException _) {
      throw new ApiException(Kind.BAD_REQUEST, "the body is not valid " + encoding);
    } catch (RequestException e) {
      connection.closeAfterResponse(); // the start of the next request is unknown
      Kind kind = e.status().code() == 413 ? Kind.TOO_LARGE : Kind.BAD_REQUEST;
      throw new ApiException(kind, String.valueOf(e.getMessage()));
    } catch (IOException | UncheckedIOException | CloseConnectionException _) {
      connection.closeAfterResponse();
      throw System.nanoTime() - deadline > 0
          ? new ApiException(Kind.DEADLINE_EXCEEDED, "the request did not arrive in time")
          : new ApiException(
              Kind.CLIENT_DISCONNECTED, "the client disconnected while sending the request");
    }
    connection.clearDeadline();
    if (body.length == 0) {
      throw new ApiException(Kind.BAD_REQUEST, "the request has no body");
    }
  }

  private byte[] readAll(InputStream in) throws IOException {
    // The buffer grows with the received data; Content-Length is not trusted.
    byte[] all = {};
    int size = 0;
    while (true) {
      if (size == all.length) {
        int more =
            (int) Math.min(Math.max(INITIAL_BUFFER_BYTES, size), limits.maxBodyBytes() + 1 - size);
        reserve(more);
        all = Arrays.copyOf(all, size + more);
      }
      int n = in.read(all, size, all.length - size);
      if (n < 0) {
        return Arrays.copyOf(all, size);
      }
      size += n;
      if (size > limits.maxBodyBytes()) {
        throw tooLarge();
      }
      if (System.nanoTime() - deadline > 0) {
        throw new ApiException(Kind.DEADLINE_EXCEEDED, "the request did not arrive in time");
      }
    }
  }

  private void reserve(int bytes) {
    int more = (bytes >> 10) + 1;
    if (!bodies.tryAcquire(more)) {
      throw Admission.overloaded();
    }
    reservedKilobytes += more;
  }

  /** Releases the memory reserved for the body. */
  void release() {
    bodies.release(reservedKilobytes);
    reservedKilobytes = 0;
  }

  private ApiException tooLarge() {
    return new ApiException(
        Kind.TOO_LARGE, "the body must have at most %d bytes".formatted(limits.maxBodyBytes()));
  }

  /** The body as a stream; every call returns the same one. */
  private InputStream content() {
    if (content == null) {
      content = request.content().inputStream();
    }
    return content;
  }

  /**
   * Reads and discards the unread part of the body before an error response: a client that is still
   * sending when the connection is closed may never see the response. Of a body that exceeds the
   * limit only the beginning is read, for at most five seconds; then the connection is closed after
   * the response. A client that waits for {@code 100 Continue} gets the response immediately.
   */
  void discardBody() {
    if (!request.content().hasEntity() || request.content().consumed()) {
      return;
    }
    if (!request.continueSent()) {
      connection.closeAfterResponse();
      return;
    }
    long announced = request.headers().contentLength().orElse(Long.MAX_VALUE);
    long rest = announced > limits.maxBodyBytes() ? MAX_DRAINED_BYTES : limits.maxBodyBytes();
    long until = System.nanoTime() + DRAIN_NANOS;
    connection.setDeadline(until + DRAIN_NANOS);
    try {
      byte[] some = new byte[1 << 14];
      while (rest > 0 && System.nanoTime() - until < 0) {
        int n = content().read(some);
        if (n < 0) {
          connection.clearDeadline();
          return;
        }
        rest -= n;
      }
    } catch (IOException | RuntimeException _) {
      // the client disconnected, or the body is malformed
    }
    connection.closeAfterResponse();
  }

  /** Waits for results, and monitors meanwhile whether the client disconnects. */
  List<Result> await(List<CompletableFuture<Result>> futures) {
    connection.monitor();
    return Batcher.await(futures, deadline, connection::isDisconnected);
  }

  void json(Object value) {
    json(200, value);
  }

  void json(int status, Object value) {
    send(status, "application/json", ModelRepository.json(value).getBytes(StandardCharsets.UTF_8));
  }

  void send(int status, String type, byte[] content) {
    response.status(status);
    header("X-Content-Type-Options", "nosniff");
    if (!type.isEmpty()) {
      header("Content-Type", type);
    }
    if (connection.closesAfterResponse()) {
      header("Connection", "close");
    }
    connection.setDeadline(
        System.nanoTime() + limits.idleTimeout().toNanos()); // to read the response
    if (method().equals("HEAD")) {
      header("Content-Length", String.valueOf(content.length));
      response.send(new byte[0]);
    } else {
      response.send(content);
    }
  }
}
