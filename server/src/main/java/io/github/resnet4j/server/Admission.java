package io.github.resnet4j.server;

import io.github.resnet4j.server.ApiException.Kind;
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
 * What every HTTP request passes before and after its endpoint: access control, admission to the
 * queue, error responses, metrics and the access log.
 */
final class Admission {
  /** The action of an endpoint. */
  interface Action {
    void run(Exchange exchange) throws IOException;
  }

  /**
   * An endpoint.
   *
   * @param name its name in the log and the metrics
   * @param method the HTTP method that it accepts; empty for any
   * @param isPublic whether it needs no token
   * @param isQueued whether its requests have a body and count against the queue size
   */
  record Endpoint(String name, String method, boolean isPublic, boolean isQueued, Action action) {
    static Endpoint get(String name, Action action) {
      return new Endpoint(name, "GET", false, false, action);
    }

    static Endpoint post(String name, Action action) {
      return new Endpoint(name, "POST", false, false, action);
    }

    static Endpoint queued(String name, Action action) {
      return new Endpoint(name, "POST", false, true, action);
    }

    /** Returns a copy that needs no token. */
    Endpoint withoutToken() {
      return new Endpoint(name, method, true, isQueued, action);
    }

    private boolean accepts(String requested) {
      return method.isEmpty()
          || method.equals(requested)
          || (method.equals("GET") && requested.equals("HEAD"));
    }

    private String allowed() {
      return method.equals("GET") ? "GET, HEAD, OPTIONS" : method + ", OPTIONS";
    }
  }

  private final ServerOptions options;
  private final Metrics metrics;
  private final AccessLog log;
  private final AtomicInteger accepted;
  private final Connections connections;
  private final Traces traces;
  private final boolean loopback;
  private volatile boolean stopping;

  private final Semaphore bodies;

  /**
   * @param accepted the number of accepted requests without a response, including gRPC's
   * @param bodies the memory of request bodies, see {@link #bodyMemory}
   */
  Admission(
      ServerOptions options,
      Metrics metrics,
      AccessLog log,
      AtomicInteger accepted,
      Connections connections,
      Traces traces,
      Semaphore bodies)
      throws UnknownHostException {
    this.options = options;
    this.metrics = metrics;
    this.log = log;
    this.accepted = accepted;
    this.connections = connections;
    this.traces = traces;
    this.loopback = InetAddress.getByName(options.host()).isLoopbackAddress();
    this.bodies = bodies;
  }

  /**
   * Permits for kilobytes of request bodies in memory: a quarter of the heap, and at least three
   * bodies.
   *
   * @param heapBytes the maximum size of the heap
   * @param maxBodyBytes the maximum size of a body
   */
  static Semaphore bodyMemory(long heapBytes, long maxBodyBytes) {
    long bytes = Math.max(heapBytes / 4, 3 * maxBodyBytes);
    return new Semaphore((int) Math.min(Integer.MAX_VALUE, bytes >> 10));
  }

  /** Rejects all queued endpoints' requests from now on. */
  void stop() {
    stopping = true;
  }

  /** Whether the server listens on the loopback interface only. */
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
      int status = Kind.INTERNAL.status;
      String error = "";
      try {
        answer(endpoint, exchange);
        status = response.status().code();
      } catch (ApiException e) {
        error = e.reason();
        status = reject(exchange, e);
      } catch (Throwable e) { // includes Errors: every response is logged with its status
        error = e.toString();
        status = fail(endpoint, exchange, e);
      } finally {
        exchange.release();
        long nanos = System.nanoTime() - exchange.begin();
        metrics.recordRequest(endpoint.name, status, nanos);
        write(exchange, endpoint.name, status, nanos, error);
        traces.record(exchange, endpoint.name, exchange.method(), status);
        connections.responseSent();
      }
    };
  }

  private void answer(Endpoint endpoint, Exchange exchange) throws IOException {
    checkOrigin(endpoint, exchange);
    if (exchange.method().equals("OPTIONS") && !endpoint.method.isEmpty()) {
      preflight(endpoint, exchange);
      return;
    }
    if (!endpoint.accepts(exchange.method())) {
      exchange.header("Allow", endpoint.allowed());
      throw new ApiException(
          Kind.METHOD_NOT_ALLOWED, "the allowed methods are " + endpoint.allowed());
    }
    if (!endpoint.isPublic
        && !options.access().isAuthorized(exchange.header("Authorization").orElse(""))) {
      exchange.header("WWW-Authenticate", "Bearer");
      throw new ApiException(Kind.UNAUTHORIZED, "a bearer token is required");
    }
    if (endpoint.isQueued) {
      runQueued(exchange, endpoint.action);
    } else {
      endpoint.action.run(exchange);
    }
  }

  // --- web pages of other origins ---------------------------------------------------------------

  /** Rejects requests from web pages of other origins in a browser on this machine. */
  private void checkOrigin(Endpoint endpoint, Exchange exchange) {
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
    boolean health =
        endpoint.name.equals("live") || endpoint.name.equals("ready"); // probes use the address
    if (!health && !access.isAllowedHost(host, options.host(), loopback)) {
      throw new ApiException(
          Kind.FORBIDDEN,
          "the Host header does not name this server; --allowed-hosts allows other names");
    }
    boolean reads = exchange.method().matches("GET|HEAD|OPTIONS");
    if (!reads && access.isCrossOrigin(origin, exchange.header("Sec-Fetch-Site"), host)) {
      throw new ApiException(
          Kind.FORBIDDEN,
          "requests from web pages of other origins are not allowed; see --allowed-origins");
    }
  }

  /** Answers a CORS preflight request (Fetch standard). */
  private void preflight(Endpoint endpoint, Exchange exchange) {
    exchange.header("Allow", endpoint.allowed());
    if (exchange.header("Access-Control-Request-Method").isPresent()) {
      if (!options.access().allowsOrigin(exchange.header("Origin").orElse(""))) {
        throw new ApiException(Kind.FORBIDDEN, "this origin is not allowed; see --allowed-origins");
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

  private void runQueued(Exchange exchange, Action action) throws IOException {
    if (stopping) {
      throw new ApiException(Kind.UNAVAILABLE, "the server is stopping");
    }
    if (accepted.get() >= options.batching().queueSize()) {
      throw overloaded(); // before the body is read
    }
    exchange
        .integer("timeout_ms", 1, 3_600_000)
        .ifPresent(timeout -> exchange.shortenDeadline(TimeUnit.MILLISECONDS.toNanos(timeout)));
    // A body may arrive slowly: only a complete request counts against the queue size.
    exchange.receive();
    try {
      if (accepted.incrementAndGet() > options.batching().queueSize()) {
        throw overloaded();
      }
      action.run(exchange);
    } finally {
      accepted.decrementAndGet();
    }
  }

  static ApiException overloaded() {
    return new ApiException(Kind.OVERLOADED, "too many requests; try again in a second");
  }

  // --- errors --------------------------------------------------------------------------

  private int reject(Exchange exchange, ApiException e) {
    Kind kind = e.kind();
    metrics.countError(kind);
    if (kind == Kind.OVERLOADED) {
      exchange.header("Retry-After", "1");
    }
    if (kind == Kind.UNSUPPORTED_MEDIA_TYPE) {
      exchange.header("Accept-Encoding", String.join(", ", Exchange.ENCODINGS));
    }
    exchange.discardBody();
    return sendError(exchange, kind, e.reason());
  }

  private int fail(Endpoint endpoint, Exchange exchange, Throwable e) {
    if (exchange.isSent() && e instanceof RuntimeException) {
      metrics.countError(Kind.CLIENT_DISCONNECTED); // during the response
      exchange.closeConnection();
      return Kind.CLIENT_DISCONNECTED.status;
    }
    metrics.countError(Kind.INTERNAL);
    log.failure(endpoint.name + " " + exchange.id(), e);
    exchange.discardBody();
    return sendError(
        exchange,
        Kind.INTERNAL,
        "internal error; the server's log has details of request " + exchange.id());
  }

  /** Sends an error response; if that fails, the client has disconnected. */
  private static int sendError(Exchange exchange, Kind kind, String reason) {
    try {
      exchange.json(kind.status, Map.of("error", reason));
      return kind.status;
    } catch (RuntimeException _) {
      exchange.closeConnection();
      return Kind.CLIENT_DISCONNECTED.status;
    }
  }

  /** The response to a request that Helidon could not parse. */
  TransportResponse malformed(
      TransportRequest request,
      DirectHandler.EventType event,
      Status status,
      ServerResponseHeaders headers,
      String message) {
    boolean failed = status.code() >= 500 && event == DirectHandler.EventType.INTERNAL_ERROR;
    String reason =
        failed || message == null || message.isBlank() ? status.reasonPhrase() : message;
    metrics.countError(failed ? Kind.INTERNAL : Kind.BAD_REQUEST);
    metrics.recordRequest("malformed", status.code(), 0);
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
    fields.put("duration_ms", Math.round(nanos / 1e4) / 100.0);
    fields.put("request_bytes", exchange.bodyBytes());
    if (exchange.images() > 0) {
      fields.put("images", exchange.images());
      fields.put("batch_size", exchange.largestBatch());
    }
    exchange
        .header("traceparent")
        .filter(trace -> trace.matches("[0-9a-f-]{1,64}"))
        .ifPresent(trace -> fields.put("traceparent", trace));
    log.request(fields);
  }
}
