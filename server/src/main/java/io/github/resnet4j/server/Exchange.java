package io.github.resnet4j.server;

import io.github.resnet4j.server.Batcher.Result;
import io.github.resnet4j.server.Connections.Connection;
import io.github.resnet4j.server.Refusal.Kind;
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

/** A request on its way to an answer. */
final class Exchange {
  private static final HeaderName REQUEST_ID = HeaderNames.create("X-Request-Id");

  /** Bytes of a refused body that are passed over at most. */
  static final int LINGER = 1 << 20;

  private static final long LINGER_NANOS = TimeUnit.SECONDS.toNanos(5);

  /** What a body may be compressed with. */
  static final List<String> ENCODINGS = List.of("gzip", "deflate", "identity");

  private static final int FIRST_BYTES = 1 << 16;

  private static final Pattern SAYABLE = Pattern.compile("[A-Za-z0-9_.:-]{1,64}");

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
  private int kilobytes;
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
    this.deadline = begin + limits.deadline().toNanos();
    String named = request.headers().first(REQUEST_ID).orElse("");
    this.id = SAYABLE.matcher(named).matches() ? named : UUID.randomUUID().toString();
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

  /** Sets a header of the answer. */
  void header(String name, String value) {
    response.header(HeaderNames.create(name), value);
  }

  /** Ends the connection after this request. */
  void endConnection() {
    connection.endAfterAnswer();
  }

  long begin() {
    return begin;
  }

  long deadline() {
    return deadline;
  }

  /** Bytes of the body, decompressed. */
  int received() {
    return body.length;
  }

  int images() {
    return images;
  }

  /** What its images came to, so far. */
  List<Result> results() {
    return results;
  }

  void note(Result result) {
    results.add(result);
  }

  /** Images of the largest run that it shared. */
  int batch() {
    return results.stream().mapToInt(Result::batch).max().orElse(0);
  }

  /** Counts images, and refuses too many. */
  void hasImages(int count) {
    if (count < 1) {
      throw new Refusal(Kind.BAD_REQUEST, "there is no image in it");
    }
    if (count > limits.images()) {
      throw new Refusal(Kind.TOO_LARGE, "%d images, at most %d".formatted(count, limits.images()));
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

  /** The type of the body, in small letters and without parameters. */
  String contentType() {
    return header("Content-Type").orElse("").split(";", 2)[0].trim().toLowerCase(Locale.ROOT);
  }

  /**
   * A parameter of the query.
   *
   * @throws Refusal if it is given more than once
   */
  Optional<String> query(String name) {
    if (!request.query().contains(name)) {
      return Optional.empty();
    }
    List<String> values = request.query().all(name);
    if (values.size() > 1) {
      throw new Refusal(Kind.BAD_REQUEST, name + " must be given once");
    }
    return Optional.of(values.getFirst());
  }

  OptionalInt number(String name, int least, int most) {
    Optional<String> text = query(name);
    if (text.isEmpty()) {
      return OptionalInt.empty();
    }
    try {
      int value = Integer.parseInt(text.get());
      if (value >= least && value <= most) {
        return OptionalInt.of(value);
      }
    } catch (NumberFormatException _) {
      // said below
    }
    throw new Refusal(
        Kind.BAD_REQUEST, "%s must be a number from %d to %d".formatted(name, least, most));
  }

  /** Whether a parameter of the query is {@code true}; it is false if it is not given. */
  boolean flag(String name) {
    return switch (query(name).orElse("false")) {
      case "true" -> true;
      case "false" -> false;
      default -> throw new Refusal(Kind.BAD_REQUEST, name + " must be true or false");
    };
  }

  /** Brings the deadline forward; never back. */
  void within(long nanos) {
    deadline = begin + Math.clamp(nanos, 0, deadline - begin);
  }

  /** The body, once it was received. */
  byte[] body() {
    return body;
  }

  /**
   * Receives the whole body, decompressed, up to the limit and not slower than the deadline.
   *
   * @throws Refusal if it is too large, too late, malformed, or not compressed as it says
   */
  void receive() {
    if (request.headers().contentLength().orElse(-1) > limits.body()) {
      throw tooLarge();
    }
    if (!request.content().hasEntity()) {
      throw new Refusal(Kind.BAD_REQUEST, "the request has no body");
    }
    String encoding =
        header("Content-Encoding").orElse("identity").strip().toLowerCase(Locale.ROOT);
    if (!ENCODINGS.contains(encoding)) {
      throw new Refusal(
          Kind.UNSUPPORTED, "Content-Encoding must be " + String.join(", ", ENCODINGS));
    }
    connection.expect(deadline);
    try {
      InputStream in = content();
      body =
          readAll(
              switch (encoding) {
                case "gzip" -> new GZIPInputStream(in);
                case "deflate" -> new InflaterInputStream(in);
                default -> in;
              });
      passOverBody(); // what follows the compressed bytes
    } catch (ZipException | EOFException _) {
      throw new Refusal(Kind.BAD_REQUEST, "the body is not " + encoding);
    } catch (RequestException e) {
      connection.endAfterAnswer(); // where the next request begins is not known
      Kind kind = e.status().code() == 413 ? Kind.TOO_LARGE : Kind.BAD_REQUEST;
      throw new Refusal(kind, String.valueOf(e.getMessage()));
    } catch (IOException | UncheckedIOException | CloseConnectionException _) {
      connection.endAfterAnswer();
      throw System.nanoTime() - deadline > 0
          ? new Refusal(Kind.TOO_LATE, "the request did not arrive in time")
          : new Refusal(Kind.GONE, "the request broke off");
    }
    connection.thank();
    if (body.length == 0) {
      throw new Refusal(Kind.BAD_REQUEST, "the request has no body");
    }
  }

  private byte[] readAll(InputStream in) throws IOException {
    // Not as much as the client announces: memory is taken as the bytes come.
    byte[] all = {};
    int size = 0;
    while (true) {
      if (size == all.length) {
        int more = (int) Math.min(Math.max(FIRST_BYTES, size), limits.body() + 1 - size);
        reserve(more);
        all = Arrays.copyOf(all, size + more);
      }
      int n = in.read(all, size, all.length - size);
      if (n < 0) {
        return Arrays.copyOf(all, size);
      }
      size += n;
      if (size > limits.body()) {
        throw tooLarge();
      }
      if (System.nanoTime() - deadline > 0) {
        throw new Refusal(Kind.TOO_LATE, "the request did not arrive in time");
      }
    }
  }

  private void reserve(int bytes) {
    int more = (bytes >> 10) + 1;
    if (!bodies.tryAcquire(more)) {
      throw Admission.busy();
    }
    kilobytes += more;
  }

  /** Gives the memory of the body back. */
  void release() {
    bodies.release(kilobytes);
    kilobytes = 0;
  }

  private Refusal tooLarge() {
    return new Refusal(Kind.TOO_LARGE, "at most %d bytes".formatted(limits.body()));
  }

  /** The body as it comes; the same stream at every call. */
  private InputStream content() {
    if (content == null) {
      content = request.content().inputStream();
    }
    return content;
  }

  /**
   * Passes over what was not read of the body, before a refusal: a client that still sends when its
   * connection ends may never see the answer. Of a body beyond the limit only the beginning, and no
   * longer than five seconds; then the connection ends with the answer. A client that waits for
   * leave to send ({@code Expect: 100-continue}) gets the answer instead.
   */
  void passOverBody() {
    if (!request.content().hasEntity() || request.content().consumed()) {
      return;
    }
    if (!request.continueSent()) {
      connection.endAfterAnswer();
      return;
    }
    long announced = request.headers().contentLength().orElse(Long.MAX_VALUE);
    long rest = announced > limits.body() ? LINGER : limits.body();
    long until = System.nanoTime() + LINGER_NANOS;
    connection.expect(until + LINGER_NANOS);
    try {
      byte[] some = new byte[1 << 14];
      while (rest > 0 && System.nanoTime() - until < 0) {
        int n = content().read(some);
        if (n < 0) {
          connection.thank();
          return;
        }
        rest -= n;
      }
    } catch (IOException | RuntimeException _) {
      // it broke off, or is malformed
    }
    connection.endAfterAnswer();
  }

  /** Waits for results, and looks meanwhile whether the client still does. */
  List<Result> await(List<CompletableFuture<Result>> futures) {
    connection.watch();
    return Batcher.await(futures, deadline, connection::isGone);
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
    if (connection.endsAfterAnswer()) {
      header("Connection", "close");
    }
    connection.expect(System.nanoTime() + limits.idle().toNanos()); // to read it
    if (method().equals("HEAD")) {
      header("Content-Length", String.valueOf(content.length));
      response.send(new byte[0]);
    } else {
      response.send(content);
    }
  }
}
