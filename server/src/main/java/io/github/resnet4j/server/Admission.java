package io.github.resnet4j.server;

import io.github.resnet4j.server.Refusal.Kind;
import io.helidon.http.DirectHandler;
import io.helidon.http.DirectHandler.TransportRequest;
import io.helidon.http.DirectHandler.TransportResponse;
import io.helidon.http.HeaderNames;
import io.helidon.http.ServerResponseHeaders;
import io.helidon.http.Status;
import io.helidon.webserver.http.Handler;
import java.io.IOException;
import java.net.InetAddress;
import java.net.UnknownHostException;
import java.nio.charset.StandardCharsets;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;

/**
 * What every request over HTTP has around it: who may ask, its place in the queue, the answer to
 * what goes wrong, its numbers and its line in the log.
 */
final class Admission {
  /** What an endpoint does. */
  interface Action {
    void run(Exchange exchange) throws IOException;
  }

  /**
   * An endpoint.
   *
   * @param name in the log and the metrics
   * @param method that it answers; empty for any
   * @param open whether everybody may ask, without a token
   * @param works whether a request has a body and takes a place in the queue
   */
  record Endpoint(String name, String method, boolean open, boolean works, Action action) {
    static Endpoint get(String name, Action action) {
      return new Endpoint(name, "GET", false, false, action);
    }

    static Endpoint post(String name, Action action) {
      return new Endpoint(name, "POST", false, false, action);
    }

    static Endpoint work(String name, Action action) {
      return new Endpoint(name, "POST", false, true, action);
    }

    /** The same for everybody. */
    Endpoint withoutToken() {
      return new Endpoint(name, method, true, works, action);
    }

    private boolean answers(String asked) {
      return method.isEmpty()
          || method.equals(asked)
          || (method.equals("GET") && asked.equals("HEAD"));
    }

    private String allowed() {
      return method.equals("GET") ? "GET, HEAD, OPTIONS" : method + ", OPTIONS";
    }
  }

  private final ServerOptions options;
  private final Measurements measurements;
  private final AccessLog log;
  private final AtomicInteger accepted;
  private final Connections connections;
  private final Traces traces;
  private final boolean loopback;
  private volatile boolean stopping;

  /** Kilobytes of bodies that are in memory at once: a quarter of the heap. */
  private final Semaphore bodies;

  /**
   * @param accepted requests that are accepted and not answered yet, gRPC's too
   */
  Admission(
      ServerOptions options,
      Measurements measurements,
      AccessLog log,
      AtomicInteger accepted,
      Connections connections,
      Traces traces)
      throws UnknownHostException {
    this.options = options;
    this.measurements = measurements;
    this.log = log;
    this.accepted = accepted;
    this.connections = connections;
    this.traces = traces;
    this.loopback = InetAddress.getByName(options.host()).isLoopbackAddress();
    long bytes = Math.max(Runtime.getRuntime().maxMemory() / 4, 3 * options.limits().body());
    this.bodies = new Semaphore((int) Math.min(Integer.MAX_VALUE, bytes >> 10));
  }

  /** From now on nothing that works is admitted. */
  void stop() {
    stopping = true;
  }

  /** Whether only this machine reaches the server. */
  boolean isLoopback() {
    return loopback;
  }

  boolean isStopping() {
    return stopping;
  }

  Handler handler(Endpoint endpoint) {
    return (request, response) -> {
      var exchange =
          new Exchange(request, response, options.limits(), connections.current(), bodies);
      int status = Kind.FAILED.status;
      String error = "";
      try {
        answer(endpoint, exchange);
        status = response.status().code();
      } catch (Refusal refusal) {
        error = refusal.reason();
        status = refuse(exchange, refusal);
      } catch (Throwable e) { // an Error too: what is logged is what was answered
        error = e.toString();
        status = fail(endpoint, exchange, e);
      } finally {
        exchange.release();
        long took = System.nanoTime() - exchange.begin();
        measurements.answered(endpoint.name, status, took);
        write(exchange, endpoint.name, status, took, error);
        traces.answered(exchange, endpoint.name, exchange.method(), status);
        connections.answered();
      }
    };
  }

  private void answer(Endpoint endpoint, Exchange exchange) throws IOException {
    guard(endpoint, exchange);
    if (exchange.method().equals("OPTIONS") && !endpoint.method.isEmpty()) {
      preflight(endpoint, exchange);
      return;
    }
    if (!endpoint.answers(exchange.method())) {
      exchange.header("Allow", endpoint.allowed());
      throw new Refusal(Kind.WRONG_METHOD, "only " + endpoint.allowed());
    }
    if (!endpoint.open && !options.access().admits(exchange.header("Authorization").orElse(""))) {
      exchange.header("WWW-Authenticate", "Bearer");
      throw new Refusal(Kind.UNAUTHORIZED, "a bearer token is needed");
    }
    if (endpoint.works) {
      work(exchange, endpoint.action);
    } else {
      endpoint.action.run(exchange);
    }
  }

  // --- web pages of other origins ---------------------------------------------------------------

  /** Keeps out web pages that the user of this machine happens to look at. */
  private void guard(Endpoint endpoint, Exchange exchange) {
    Access access = options.access();
    Optional<String> origin = exchange.header("Origin");
    String host = exchange.header("Host").orElse("");
    exchange.header("Cross-Origin-Resource-Policy", "same-origin");
    if (!access.origins().isEmpty()) {
      exchange.header("Vary", "Origin");
    }
    if (origin.isPresent() && access.allowsOrigin(origin.get())) {
      exchange.header("Access-Control-Allow-Origin", origin.get());
      exchange.header(
          "Access-Control-Expose-Headers",
          InferenceJson.HEADER_LENGTH + ", X-Request-Id, Retry-After");
    }
    boolean health = endpoint.name.equals("live") || endpoint.name.equals("ready"); // by address
    if (!health && !access.isOurHost(host, options.host(), loopback)) {
      throw new Refusal(
          Kind.FORBIDDEN,
          "the Host header does not name this server; --allowed-hosts sets other names");
    }
    boolean reads = exchange.method().matches("GET|HEAD|OPTIONS");
    if (!reads && access.isForeign(origin, exchange.header("Sec-Fetch-Site"), host)) {
      throw new Refusal(
          Kind.FORBIDDEN,
          "web pages of other origins may not ask; --allowed-origins sets which may");
    }
  }

  /** Tells a browser what a page of another origin may send (Fetch standard, CORS preflight). */
  private void preflight(Endpoint endpoint, Exchange exchange) {
    exchange.header("Allow", endpoint.allowed());
    if (exchange.header("Access-Control-Request-Method").isPresent()) {
      if (!options.access().allowsOrigin(exchange.header("Origin").orElse(""))) {
        throw new Refusal(
            Kind.FORBIDDEN, "this origin may not ask; --allowed-origins sets which may");
      }
      exchange.header("Access-Control-Allow-Methods", endpoint.allowed());
      exchange.header(
          "Access-Control-Allow-Headers",
          "Authorization, Content-Type, Content-Encoding, X-Request-Id, traceparent, tracestate, "
              + InferenceJson.HEADER_LENGTH);
      exchange.header("Access-Control-Max-Age", "600");
      if (exchange.header("Access-Control-Request-Private-Network").isPresent()) {
        exchange.header("Access-Control-Allow-Private-Network", "true");
      }
    }
    exchange.send(204, "", new byte[0]);
  }

  // --- the queue --------------------------------------------------------------------------------

  private void work(Exchange exchange, Action action) throws IOException {
    if (stopping) {
      throw new Refusal(Kind.NOT_READY, "the server is stopping");
    }
    if (accepted.get() >= options.batching().queue()) {
      throw busy(); // before the body is read
    }
    exchange
        .number("timeout_ms", 1, 3_600_000)
        .ifPresent(timeout -> exchange.within(TimeUnit.MILLISECONDS.toNanos(timeout)));
    // A body may come slowly: only a request that is here takes a place.
    exchange.receive();
    try {
      if (accepted.incrementAndGet() > options.batching().queue()) {
        throw busy();
      }
      action.run(exchange);
    } finally {
      accepted.decrementAndGet();
    }
  }

  static Refusal busy() {
    return new Refusal(Kind.BUSY, "too many requests; try again in a second");
  }

  // --- what goes wrong --------------------------------------------------------------------------

  private int refuse(Exchange exchange, Refusal refusal) {
    Kind kind = refusal.kind();
    measurements.refused(kind);
    if (kind == Kind.BUSY) {
      exchange.header("Retry-After", "1");
    }
    if (kind == Kind.UNSUPPORTED) {
      exchange.header("Accept-Encoding", String.join(", ", Exchange.ENCODINGS));
    }
    exchange.passOverBody();
    return end(exchange, kind, refusal.reason());
  }

  private int fail(Endpoint endpoint, Exchange exchange, Throwable e) {
    if (exchange.isSent() && e instanceof RuntimeException) {
      measurements.refused(Kind.GONE); // it went away while it was answered
      exchange.endConnection();
      return Kind.GONE.status;
    }
    measurements.refused(Kind.FAILED);
    log.failure(endpoint.name + " " + exchange.id(), e);
    exchange.passOverBody();
    return end(exchange, Kind.FAILED, "the server failed; its log has request " + exchange.id());
  }

  /** Answers with an error; a client that cannot be told any more is gone. */
  private static int end(Exchange exchange, Kind kind, String reason) {
    try {
      exchange.json(kind.status, Map.of("error", reason));
      return kind.status;
    } catch (RuntimeException _) {
      exchange.endConnection();
      return Kind.GONE.status;
    }
  }

  /** The answer to what is no request at all, or was not understood by Helidon. */
  TransportResponse malformed(
      TransportRequest request,
      DirectHandler.EventType event,
      Status status,
      ServerResponseHeaders headers,
      String message) {
    boolean failed = status.code() >= 500 && event == DirectHandler.EventType.INTERNAL_ERROR;
    String reason =
        failed || message == null || message.isBlank() ? status.reasonPhrase() : message;
    measurements.refused(failed ? Kind.FAILED : Kind.BAD_REQUEST);
    measurements.answered("malformed", status.code(), 0);
    var fields = new LinkedHashMap<String, Object>();
    fields.put("event", "request");
    fields.put("endpoint", "malformed");
    fields.put("status", status.code());
    fields.put("error", failed ? String.valueOf(message) : reason);
    log.request(fields);
    headers.set(HeaderNames.CONTENT_TYPE, "application/json");
    headers.set(HeaderNames.create("X-Content-Type-Options"), "nosniff");
    return TransportResponse.builder()
        .status(status)
        .headers(headers)
        .keepAlive(false)
        .entity(ModelRepository.json(Map.of("error", reason)).getBytes(StandardCharsets.UTF_8))
        .build();
  }

  private void write(Exchange exchange, String endpoint, int status, long nanos, String error) {
    var fields = new LinkedHashMap<String, Object>();
    fields.put("event", "request");
    fields.put("id", exchange.id());
    fields.put("method", exchange.method());
    fields.put("endpoint", endpoint);
    fields.put("status", status);
    if (!error.isEmpty()) {
      fields.put("error", error);
    }
    fields.put("ms", Math.round(nanos / 1e4) / 100.0);
    fields.put("bytes", exchange.received());
    if (exchange.images() > 0) {
      fields.put("images", exchange.images());
      fields.put("batch", exchange.batch());
    }
    exchange
        .header("traceparent")
        .filter(trace -> trace.matches("[0-9a-f-]{1,64}"))
        .ifPresent(trace -> fields.put("traceparent", trace));
    log.request(fields);
  }
}
