package io.github.resnet4j.server;

import static io.github.resnet4j.server.Gate.assertStatus;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.resnet4j.server.Admission.Endpoint;
import io.github.resnet4j.server.ApiException.Kind;
import io.github.resnet4j.server.Gate.Peer;
import io.helidon.http.DirectHandler.EventType;
import io.helidon.http.DirectHandler.TransportRequest;
import io.helidon.http.ServerResponseHeaders;
import io.helidon.http.Status;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.atomic.AtomicLong;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Methods, tokens, the queue, errors, metrics and the log, with endpoints that compute nothing. */
class GateTest {
  private static final Admission.Action OK = exchange -> exchange.json(Map.of("ok", true));
  private static final Endpoint READ = Endpoint.get("read", OK);
  private static final Endpoint WRITE = Endpoint.post("write", OK);

  @TempDir private Path folder;

  private static ServerOptions options(Access access) {
    return options("127.0.0.1", access, 2);
  }

  private static ServerOptions options(String host, Access access, int queueSize) {
    var batching = new ServerOptions.Batching(16, Duration.ZERO, queueSize);
    return Gate.options(ServerOptions.defaults(), host, access, batching);
  }

  private Gate gate(Endpoint... endpoints) throws IOException {
    return new Gate(options(Access.DEFAULT), folder, endpoints);
  }

  private static Optional<String> header(String answer, String name) {
    return answer
        .lines()
        .filter(line -> line.toLowerCase().startsWith(name.toLowerCase() + ":"))
        .map(line -> line.substring(name.length() + 1).strip())
        .findFirst();
  }

  @Test
  void endpointsAcceptTheirMethodOnly() throws Exception {
    var any = new Endpoint("any", "", false, false, OK);
    try (var gate = gate(READ, WRITE, any)) {
      assertStatus(200, gate.ask("GET /read"));
      assertStatus(200, gate.ask("HEAD /read"));
      assertStatus(200, gate.ask("POST /write"));
      for (String method : List.of("GET", "POST", "DELETE", "OPTIONS")) {
        assertTrue(gate.ask(method + " /any").endsWith("{\"ok\":true}"), method);
      }
      String[][] refused = {
        {"POST /read", "GET, HEAD, OPTIONS"},
        {"DELETE /read", "GET, HEAD, OPTIONS"},
        {"GET /write", "POST, OPTIONS"},
        {"PUT /write", "POST, OPTIONS"}
      };
      for (String[] each : refused) {
        String answer = gate.ask(each[0]);
        assertStatus(405, answer);
        assertEquals(each[1], header(answer, "Allow").orElse(""));
        assertTrue(
            answer.endsWith("{\"error\":\"the allowed methods are " + each[1] + "\"}"), answer);
      }
      assertStatus(405, gate.ask("HEAD /write"));
      assertEquals(5, gate.metric("resnet4j_errors_total{kind=\"method_not_allowed\"}"));
      String allowed = gate.ask("OPTIONS /read");
      assertStatus(204, allowed);
      assertEquals("GET, HEAD, OPTIONS", header(allowed, "Allow").orElse(""));
      assertFalse(allowed.contains("Access-Control"), allowed);
    }
  }

  @Test
  void tokenIsRequiredExceptForPublicEndpoints() throws Exception {
    Access access = Access.DEFAULT.withToken("0123456789abcdef");
    Endpoint open = Endpoint.queued("open", OK).withoutToken();
    assertEquals(new Endpoint("open", "POST", true, true, OK), open);
    try (var gate = new Gate(options(access), folder, READ, Endpoint.queued("queued", OK), open)) {
      for (String request : List.of("GET /read", "POST /queued")) {
        String refused = gate.ask(request);
        assertStatus(401, refused);
        assertEquals("Bearer", header(refused, "WWW-Authenticate").orElse(""));
        assertStatus(401, gate.ask(request, "Authorization: Bearer 0123456789abcdeF"));
        assertStatus(200, gate.ask(request, "Authorization: Bearer 0123456789abcdef"));
      }
      assertStatus(200, gate.ask("POST /open"));
      assertEquals(4, gate.metric("resnet4j_errors_total{kind=\"unauthorized\"}"));
    }
  }

  @Test
  void onlyProbesMayNameAnotherHost() throws Exception {
    Endpoint[] endpoints = {READ, Endpoint.get("live", OK), Endpoint.get("ready", OK)};
    try (var gate = gate(endpoints)) {
      assertTrue(gate.admission.isLoopback());
      assertStatus(403, gate.ask("GET /read", "Host: pod-17"));
      assertStatus(200, gate.ask("GET /live", "Host: pod-17"));
      assertStatus(200, gate.ask("GET /ready", "Host: pod-17"));
    }
    try (var gate = new Gate(options("0.0.0.0", Access.DEFAULT, 1), folder, endpoints)) {
      assertFalse(gate.admission.isLoopback());
      assertStatus(200, gate.ask("GET /read", "Host: pod-17"));
    }
  }

  @Test
  void pagesOfOtherOriginsMayOnlyRead() throws Exception {
    try (var gate = gate(READ, WRITE)) {
      String cross = "Sec-Fetch-Site: cross-site";
      for (String method : List.of("GET", "HEAD")) {
        String answer = gate.ask(method + " /read", cross);
        assertStatus(200, answer);
        assertEquals("same-origin", header(answer, "Cross-Origin-Resource-Policy").orElse(""));
        assertEquals(Optional.empty(), header(answer, "Vary"));
      }
      assertStatus(204, gate.ask("OPTIONS /write", cross));
      assertStatus(403, gate.ask("POST /write", cross));
      assertStatus(200, gate.ask("POST /write", "Sec-Fetch-Site: same-origin"));
    }
  }

  @Test
  void preflightNamesWhatIsAllowed() throws Exception {
    String good = "Origin: https://good.example";
    var access = new Access(Optional.empty(), List.of(), List.of("https://good.example"));
    try (var gate = new Gate(options(access), folder, WRITE)) {
      String asks = "Access-Control-Request-Method: POST";
      String allowed = gate.ask("OPTIONS /write", good, asks);
      assertStatus(204, allowed);
      assertEquals("POST, OPTIONS", header(allowed, "Access-Control-Allow-Methods").orElse(""));
      assertEquals(
          "Authorization, Content-Type, Content-Encoding, X-Request-Id, traceparent, tracestate,"
              + " Inference-Header-Content-Length",
          header(allowed, "Access-Control-Allow-Headers").orElse(""));
      assertEquals("600", header(allowed, "Access-Control-Max-Age").orElse(""));
      assertFalse(allowed.contains("Private-Network"), allowed);
      String local =
          gate.ask("OPTIONS /write", good, asks, "Access-Control-Request-Private-Network: true");
      assertEquals("true", header(local, "Access-Control-Allow-Private-Network").orElse(""));
      assertStatus(403, gate.ask("OPTIONS /write", "Origin: https://evil.example", asks));
      assertStatus(403, gate.ask("OPTIONS /write", asks));

      String answer = gate.ask("POST /write", good);
      assertEquals(
          "Inference-Header-Content-Length, X-Request-Id, Retry-After",
          header(answer, "Access-Control-Expose-Headers").orElse(""));
      assertEquals(
          "https://good.example", header(answer, "Access-Control-Allow-Origin").orElse(""));
      String without = gate.ask("POST /write");
      assertEquals("Origin", header(without, "Vary").orElse(""));
      assertFalse(without.contains("Access-Control"), without);
    }
  }

  @Test
  void acceptedRequestsCountAgainstTheQueueSize() throws Exception {
    var during = new AtomicLong();
    Endpoint queued =
        Endpoint.queued(
            "queued",
            exchange -> {
              during.set(exchange.bodyBytes());
              OK.run(exchange);
            });
    try (var gate = gate(queued);
        var peer = gate.connect()) {
      gate.accepted.set(1); // of two
      assertStatus(200, gate.ask("POST /queued"));
      assertEquals(2, during.get(), "bytes of the body");
      assertTrue(Gate.eventually(() -> gate.accepted.get() == 1));

      // Between the two checks another request takes the last place.
      peer.send(
          "POST /queued HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n"
              + "Expect: 100-continue\r\n\r\n");
      assertStatus(100, peer.head());
      gate.accepted.set(2);
      peer.send("{}");
      assertOverloaded(peer.response());
      assertTrue(Gate.eventually(() -> gate.accepted.get() == 2));

      // A full queue rejects a request before its body is sent.
      try (Peer full = gate.connect()) {
        full.send(
            "POST /queued HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n"
                + "Expect: 100-continue\r\n\r\n");
        assertOverloaded(full.response());
      }
      assertEquals(2, gate.accepted.get());
      gate.accepted.set(0);
      assertStatus(200, gate.ask("POST /queued"));
      assertEquals(2, gate.metric("resnet4j_errors_total{kind=\"overloaded\"}"));

      assertFalse(gate.admission.isStopping());
      gate.admission.stop();
      assertTrue(gate.admission.isStopping());
      String stopping = gate.ask("POST /queued");
      assertStatus(503, stopping);
      assertTrue(stopping.contains("the server is stopping"), stopping);
      assertEquals(Optional.empty(), header(stopping, "Retry-After"));
    }
  }

  private static void assertOverloaded(String answer) {
    assertStatus(503, answer);
    assertEquals("1", header(answer, "Retry-After").orElse(""));
    assertTrue(answer.contains("too many requests"), answer);
  }

  @Test
  void deadlineOfARequestCanBeShortened() throws Exception {
    var time = new AtomicLong();
    Endpoint queued =
        Endpoint.queued(
            "queued",
            exchange -> {
              time.set(exchange.deadline() - exchange.begin());
              OK.run(exchange);
            });
    try (var gate = gate(queued)) {
      assertStatus(200, gate.ask("POST /queued"));
      assertEquals(Duration.ofSeconds(30).toNanos(), time.get());
      assertStatus(200, gate.ask("POST /queued?timeout_ms=20000"));
      assertEquals(Duration.ofSeconds(20).toNanos(), time.get());
      assertStatus(200, gate.ask("POST /queued?timeout_ms=3600000"));
      assertEquals(Duration.ofSeconds(30).toNanos(), time.get());
      assertStatus(400, gate.ask("POST /queued?timeout_ms=0"));
      assertStatus(400, gate.ask("POST /queued?timeout_ms=3600001"));
    }
  }

  /** The memory of all bodies is limited, and is free again after each request. */
  @Test
  void bodiesReserveMemory() throws Exception {
    var free = new AtomicLong();
    Gate[] self = new Gate[1];
    Endpoint queued =
        Endpoint.queued(
            "queued",
            exchange -> {
              free.set(self[0].bodies.availablePermits());
              OK.run(exchange);
            });
    try (var gate = gate(queued)) {
      self[0] = gate;
      assertStatus(200, gate.ask("POST /queued"));
      assertEquals(Gate.BODY_KILOBYTES - 65, free.get());
      assertTrue(Gate.eventually(() -> gate.bodies.availablePermits() == Gate.BODY_KILOBYTES));
      gate.bodies.acquireUninterruptibly(Gate.BODY_KILOBYTES - 64);
      assertOverloaded(gate.ask("POST /queued"));
    }
    // A quarter of the heap, but enough for three bodies.
    assertEquals(1 << 18, Admission.bodyMemory(1L << 30, 16 << 20).availablePermits());
    assertEquals(3 << 14, Admission.bodyMemory(1L << 27, 16 << 20).availablePermits());
    assertEquals(
        Integer.MAX_VALUE, Admission.bodyMemory(Long.MAX_VALUE, 16 << 20).availablePermits());
  }

  /** After an error the rest of the body is read, and the connection can be used again. */
  @Test
  void errorsNameWhatIsAcceptedAndKeepTheConnection() throws Exception {
    Endpoint refusing =
        Endpoint.post(
            "refusing",
            _ -> {
              throw new ApiException(Kind.UNSUPPORTED_MEDIA_TYPE, "the type must be image/png");
            });
    Endpoint failing =
        Endpoint.post(
            "failing",
            _ -> {
              throw new IllegalStateException("secret");
            });
    try (var gate = gate(refusing, failing, READ);
        var peer = gate.connect()) {
      String body = "x".repeat(100_000);
      String post = " HTTP/1.1\r\nHost: localhost\r\nContent-Length: " + body.length() + "\r\n\r\n";
      peer.send("POST /refusing" + post + body);
      String refused = peer.response();
      assertStatus(415, refused);
      assertEquals("gzip, deflate, identity", header(refused, "Accept-Encoding").orElse(""));
      assertTrue(refused.endsWith("{\"error\":\"the type must be image/png\"}"), refused);
      assertEquals(415, gate.logged("endpoint", "refusing").get("status"));
      assertEquals("the type must be image/png", gate.logged("endpoint", "refusing").get("error"));

      assertStatus(200, peer.ask("GET /read"));
      peer.send("POST /failing" + post + body);
      String failed = peer.response();
      assertStatus(500, failed);
      assertEquals(Optional.empty(), header(failed, "Accept-Encoding"));
      assertFalse(failed.contains("secret"), failed);
      assertEquals(500, gate.logged("endpoint", "failing").get("status"));
      assertEquals("secret", gate.logged("event", "failure").get("error"));
      assertEquals(1, gate.metric("resnet4j_errors_total{kind=\"internal\"}"));
      assertStatus(200, peer.ask("GET /read"));
    }
  }

  /** The status 499 means that the client did not receive the whole response. */
  @Test
  void failuresDuringTheResponseCloseTheConnection() throws Exception {
    for (Throwable thrown : List.of(new IllegalStateException("late"), new StackOverflowError())) {
      Endpoint late =
          Endpoint.get(
              "late",
              exchange -> {
                OK.run(exchange);
                Gate.fail(thrown);
              });
      String name = thrown.getClass().getSimpleName();
      try (var gate = new Gate(options(Access.DEFAULT), folder, late);
          var peer = gate.connect()) {
        assertStatus(200, peer.ask("GET /late", "X-Request-Id: " + name));
        assertTrue(peer.isClosed(), name);
        Map<String, Object> line = gate.logged("id", name);
        assertEquals(499, line.get("status"));
        boolean error = thrown instanceof Error;
        assertEquals(
            error ? 0 : 1, gate.metric("resnet4j_errors_total{kind=\"client_disconnected\"}"));
        assertEquals(error ? 1 : 0, gate.metric("resnet4j_errors_total{kind=\"internal\"}"));
      }
    }
  }

  @Test
  void requestsAreMeasuredAndLogged() throws Exception {
    Endpoint slow =
        Endpoint.queued(
            "slow",
            exchange -> {
              exchange.setImages(2);
              exchange.addResult(new Batcher.Result(new float[0], new float[0], 7, 0, 0, 0));
              Gate.pause();
              Gate.pause();
              OK.run(exchange);
            });
    try (var gate = gate(slow, READ)) {
      String trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
      gate.ask("POST /slow", "X-Request-Id: a", "traceparent: " + trace);
      gate.ask("GET /read", "X-Request-Id: b", "traceparent: \"injected\"");
      Map<String, Object> line = gate.logged("id", "a");
      assertEquals(
          List.of(
              "time",
              "event",
              "id",
              "method",
              "endpoint",
              "status",
              "duration_ms",
              "request_bytes",
              "images",
              "batch_size",
              "traceparent"),
          List.copyOf(line.keySet()));
      assertEquals("request", line.get("event"));
      assertEquals("POST", line.get("method"));
      assertEquals("slow", line.get("endpoint"));
      assertEquals(200, line.get("status"));
      assertEquals(2, line.get("request_bytes"));
      assertEquals(2, line.get("images"));
      assertEquals(7, line.get("batch_size"));
      assertEquals(trace, line.get("traceparent"));
      // Twenty milliseconds of waiting; a minute is far from what the units of an error give.
      double millis = ((Number) line.get("duration_ms")).doubleValue();
      assertTrue(millis >= 20 && millis < 60_000, "duration_ms " + millis);
      String of = "{endpoint=\"slow\",status=\"200\"}";
      assertEquals(1, gate.metric("resnet4j_request_duration_seconds_count" + of));
      double seconds = gate.metric("resnet4j_request_duration_seconds_sum" + of);
      assertTrue(seconds >= 0.02 && seconds < 60, "seconds " + seconds);

      Map<String, Object> read = gate.logged("id", "b");
      for (String absent : List.of("error", "images", "batch_size", "traceparent")) {
        assertNull(read.get(absent), absent);
      }
    }
  }

  @Test
  void malformedRequestsAreAnsweredInJson() throws Exception {
    try (var gate = gate(READ);
        var peer = gate.connect()) {
      peer.send("NONSENSE\r\n\r\n");
      String answer = peer.response();
      assertStatus(400, answer);
      assertEquals("application/json", header(answer, "Content-Type").orElse(""));
      assertEquals("nosniff", header(answer, "X-Content-Type-Options").orElse(""));
      assertTrue(answer.contains("{\"error\":\""), answer);
      assertTrue(peer.isClosed());
      Map<String, Object> line = gate.logged("endpoint", "malformed");
      assertEquals(400, line.get("status"));
      assertTrue(answer.endsWith("{\"error\":\"" + line.get("error") + "\"}"), line + answer);
      assertEquals(1, gate.metric("resnet4j_errors_total{kind=\"bad_request\"}"));
      assertEquals(
          1,
          gate.metric(
              "resnet4j_request_duration_seconds_count{endpoint=\"malformed\",status=\"400\"}"));
    }
  }

  /** Messages of internal errors are for the log only. */
  @Test
  void reasonsOfMalformedRequests() throws Exception {
    Object[][] cases = {
      {
        EventType.INTERNAL_ERROR,
        Status.INTERNAL_SERVER_ERROR_500,
        "secret",
        "Internal Server Error",
        "internal"
      },
      {EventType.INTERNAL_ERROR, Status.BAD_REQUEST_400, "no colon", "no colon", "bad_request"},
      {EventType.OTHER, Status.SERVICE_UNAVAILABLE_503, "busy", "busy", "bad_request"},
      {EventType.BAD_REQUEST, Status.BAD_REQUEST_400, " ", "Bad Request", "bad_request"},
    };
    for (Object[] each : cases) {
      try (var gate = gate(READ)) {
        var response =
            gate.admission.malformed(
                TransportRequest.empty(),
                (EventType) each[0],
                (Status) each[1],
                ServerResponseHeaders.create(),
                (String) each[2]);
        assertEquals(each[1], response.status());
        assertFalse(response.keepAlive());
        assertEquals(
            "{\"error\":\"" + each[3] + "\"}",
            new String(response.entity().orElseThrow(), StandardCharsets.UTF_8));
        assertEquals(1, gate.metric("resnet4j_errors_total{kind=\"" + each[4] + "\"}"));
        String logged = each[4].equals("internal") ? "secret" : (String) each[3];
        assertEquals(logged, gate.logged().getLast().get("error"));
      }
    }
  }
}
