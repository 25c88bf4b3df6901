package io.github.resnet4j.server;

import io.github.resnet4j.server.Batcher.Result;
import io.github.resnet4j.server.Connections.Connection;
import io.github.resnet4j.server.Refusal.Kind;
import io.helidon.http.HeaderName;
import io.helidon.http.HeaderNames;
import io.helidon.webserver.http.ServerRequest;
import io.helidon.webserver.http.ServerResponse;
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
import java.util.concurrent.TimeUnit;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/** A request on its way to an answer. */
final class Exchange {
  private static final HeaderName REQUEST_ID = HeaderNames.create("X-Request-Id");

  /** Bytes of a refused body that are passed over at most. */
  static final int LINGER = 1 << 20;

  private static final Pattern SAYABLE = Pattern.compile("[A-Za-z0-9_.:-]{1,64}");

  private final ServerRequest request;
  private final ServerResponse response;
  private final ServerOptions.Limits limits;
  private final @Nullable Connection connection;
  private final long begin = System.nanoTime();
  private final String id;
  private long deadline;
  private long received;
  private int images;
  private final List<Result> results = new ArrayList<>();

  Exchange(
      ServerRequest request,
      ServerResponse response,
      ServerOptions.Limits limits,
      @Nullable Connection connection) {
    this.request = request;
    this.response = response;
    this.limits = limits;
    this.connection = connection;
    this.deadline = begin + limits.deadline().toNanos();
    String named = request.headers().first(REQUEST_ID).orElse("");
    this.id = SAYABLE.matcher(named).matches() ? named : UUID.randomUUID().toString();
    response.header(REQUEST_ID, id);
  }

  String id() {
    return id;
  }

  ServerResponse response() {
    return response;
  }

  long begin() {
    return begin;
  }

  long deadline() {
    return deadline;
  }

  long received() {
    return received;
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

  Optional<String> query(String name) {
    return request.query().first(name).asOptional();
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

  /** Brings the deadline forward; never back. */
  void within(long nanos) {
    deadline = Math.min(deadline, begin + Math.max(0, nanos));
  }

  /** The whole body, up to the limit, and not slower than the deadline. */
  byte[] body() {
    long announced = request.headers().contentLength().orElse(-1);
    if (announced > limits.body()) {
      throw tooLarge();
    }
    if (!request.content().hasEntity()) {
      throw new Refusal(Kind.BAD_REQUEST, "the request has no body");
    }
    // No more than a megabyte on a client's word; then as it comes.
    byte[] all = new byte[(int) Math.clamp(announced, 1024, 1 << 20)];
    int size = 0;
    if (connection != null) {
      connection.expect(deadline);
    }
    try (InputStream in = request.content().inputStream()) {
      for (int n; size < announced || announced < 0; size += n) {
        if (size == all.length) {
          all = Arrays.copyOf(all, (int) Math.min(limits.body() + 1, 2L * size));
        }
        n = in.read(all, size, all.length - size);
        if (n < 0) {
          break;
        }
        if (size + (long) n > limits.body()) {
          throw tooLarge();
        }
        if (System.nanoTime() > deadline) {
          throw new Refusal(Kind.TOO_LATE, "the request did not arrive in time");
        }
      }
    } catch (IOException | UncheckedIOException e) {
      throw new Refusal(Kind.GONE, "the request broke off");
    }
    if (connection != null) {
      connection.thank();
    }
    received = size;
    if (size == 0) {
      throw new Refusal(Kind.BAD_REQUEST, "the request has no body");
    }
    return size == all.length ? all : Arrays.copyOf(all, size);
  }

  private Refusal tooLarge() {
    return new Refusal(Kind.TOO_LARGE, "at most %d bytes".formatted(limits.body()));
  }

  /**
   * Passes over a body that was not read, before a refusal: a client that still sends when its
   * connection ends may never see the answer. Of a long one only the beginning; then the connection
   * ends with the answer.
   */
  void passOverBody() {
    if (!request.content().hasEntity() || request.content().consumed()) {
      return;
    }
    if (connection != null) {
      connection.expect(System.nanoTime() + TimeUnit.SECONDS.toNanos(1));
    }
    try (InputStream in = request.content().inputStream()) {
      byte[] some = new byte[1 << 14];
      int rest = LINGER;
      for (int n = 0; n >= 0 && rest > 0; rest -= n) {
        n = in.read(some);
        if (n < 0) {
          return;
        }
      }
    } catch (IOException | RuntimeException _) {
      // it broke off, or was read in part
    }
    response.header(HeaderNames.CONNECTION, "close");
  }

  /** Waits for results, and looks meanwhile whether the client still does. */
  List<Result> await(List<CompletableFuture<Result>> futures) {
    // Who asked for the connection's end waits for it: there is nothing to look for.
    if (connection == null || header("Connection").filter("close"::equalsIgnoreCase).isPresent()) {
      return Batcher.await(futures, deadline, () -> false);
    }
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
    response
        .status(status)
        .header(HeaderNames.CONTENT_TYPE, type)
        .header("X-Content-Type-Options", "nosniff");
    if (connection != null) {
      connection.expect(System.nanoTime() + limits.idle().toNanos()); // to read it
    }
    response.send(content);
  }
}
