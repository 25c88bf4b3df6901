package io.github.resnet4j.server;

import static io.github.resnet4j.server.Gate.assertStatus;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.resnet4j.server.Admission.Endpoint;
import java.io.IOException;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Access control, and responses to failed requests. */
class AdmissionTest {
  @TempDir private Path folder;

  /** Sends a request and reads the answer until the server closes the connection. */
  private static String ask(int port, String line, String... headers) throws IOException {
    try (var socket = new Socket("127.0.0.1", port)) {
      socket.setSoTimeout(10_000);
      String all = line + " HTTP/1.1\r\nConnection: close\r\nContent-Length: 2\r\n";
      socket
          .getOutputStream()
          .write(
              (all + String.join("\r\n", headers) + "\r\n\r\n{}")
                  .getBytes(StandardCharsets.US_ASCII));
      return new String(socket.getInputStream().readAllBytes(), StandardCharsets.US_ASCII);
    }
  }

  /** Exceptions and JVM errors return 500, and the log contains the status and the reason. */
  @Test
  void exceptionsAreReturnedAndLoggedAs500() throws Exception {
    List<Throwable> thrown =
        List.of(
            new StackOverflowError(), new OutOfMemoryError("heap"), new IllegalStateException("x"));
    var endpoints = new Endpoint[thrown.size()];
    for (int i = 0; i < endpoints.length; i++) {
      Throwable each = thrown.get(i);
      endpoints[i] = Endpoint.queued("fail" + i, _ -> Gate.fail(each));
    }
    try (var gate = new Gate(ServerOptions.defaults(), folder, endpoints)) {
      for (Endpoint each : endpoints) {
        String answer = gate.ask("POST /" + each.name());
        assertStatus(500, answer);
        assertTrue(answer.contains("{\"error\":\"internal error; the server's log has"), answer);
      }
      assertEquals(0, gate.accepted.get(), "accepted requests");
    }
    List<String> lines = Files.readAllLines(folder.resolve("gate.log"));
    for (int i = 0; i < thrown.size(); i++) {
      String type = thrown.get(i).getClass().getName();
      String request = "\"endpoint\":\"fail" + i + "\",\"status\":500,\"error\":\"" + type;
      assertTrue(lines.stream().anyMatch(line -> line.contains(request)), request + lines);
      String failure = "\"type\":\"" + type + "\"";
      assertTrue(lines.stream().anyMatch(line -> line.contains(failure)), failure + lines);
    }
  }

  private static ServerOptions with(ServerOptions usual, String host, Access access) {
    return Gate.options(usual, host, access, usual.batching());
  }

  /** Prevents DNS rebinding: a page whose name resolves to this machine cannot read responses. */
  @Test
  void otherHostsAreRejectedOnTheLoopback() throws Exception {
    try (var client = new Client(Client.options(folder))) {
      int port = client.server.port();
      for (String path : List.of("GET /models", "GET /metrics", "GET /", "POST /classify")) {
        for (String host :
            List.of("evil.example", "evil.example:" + port, "127.0.0.1.evil.example", "x")) {
          assertStatus(403, ask(port, path, "Host: " + host));
        }
      }
      for (String host : List.of("localhost", "LOCALHOST:1", "127.0.0.1:" + port, "[::1]:80")) {
        assertStatus(200, ask(port, "GET /models", "Host: " + host));
      }
      assertStatus(200, ask(port, "GET /v2/health/ready", "Host: pod-17"));
    }
  }

  @Test
  void allowedHostsAreAccepted() throws Exception {
    var access = new Access(Optional.empty(), List.of("Models.example.org"), List.of());
    for (String address : List.of("127.0.0.1", "0.0.0.0")) {
      try (var client = new Client(with(Client.options(folder), address, access))) {
        int port = client.server.port();
        assertStatus(200, ask(port, "GET /models", "Host: models.example.org:8080"));
        assertStatus(200, ask(port, "GET /models", "Host: localhost"));
        assertStatus(403, ask(port, "GET /models", "Host: evil.example"));
      }
    }
  }

  /** A server on a public address without a token logs a warning and reports it to its caller. */
  @Test
  void unprotectedServerLogsAWarning() throws Exception {
    Access guarded = Access.DEFAULT.withToken("0123456789abcdef");
    Object[][] cases = {
      {"127.0.0.1", Access.DEFAULT, false},
      {"localhost", Access.DEFAULT, false},
      {"0.0.0.0", Access.DEFAULT, true},
      {"0.0.0.0", guarded, false}
    };
    for (Object[] each : cases) {
      Files.deleteIfExists(folder.resolve("access.log"));
      var options = with(Client.options(folder), (String) each[0], (Access) each[1]);
      try (var client = new Client(options)) {
        assertEquals(each[2], client.server.isUnprotected());
      }
      String log = Files.readString(folder.resolve("access.log"));
      assertEquals(each[2], log.contains("no token is set"), log);
    }
  }

  /** Neither forms nor scripts of other sites' pages can change anything or use the network. */
  @Test
  void crossOriginRequestsAreRejected() throws Exception {
    try (var client = new Client(Client.options(folder))) {
      int port = client.server.port();
      String host = "Host: localhost:" + port;
      for (String path :
          List.of(
              "POST /v2/repository/models/digits/unload",
              "POST /v2/repository/models/digits/load",
              "POST /v2/models/digits/infer",
              "POST /classify",
              "POST /features",
              "POST /explain")) {
        for (String header :
            List.of(
                "Origin: https://evil.example",
                "Origin: http://localhost:3000",
                "Origin: null",
                "Sec-Fetch-Site: cross-site",
                "Sec-Fetch-Site: same-site")) {
          String answer = ask(port, path, host, header, "Content-Type: text/plain");
          assertStatus(403, answer);
          assertTrue(!answer.contains("Access-Control-Allow-Origin"), answer);
        }
      }
      assertEquals(200, client.get("/v2/models/digits").status());
      for (String header :
          List.of(
              "Origin: http://localhost:" + port, "Sec-Fetch-Site: same-origin", "X-Tool: curl")) {
        assertStatus(200, ask(port, "POST /v2/repository/index", host, header));
      }
      // Links to the page work.
      assertStatus(200, ask(port, "GET /", host, "Sec-Fetch-Site: cross-site"));
      String preflight =
          ask(
              port,
              "OPTIONS /classify",
              host,
              "Origin: https://evil.example",
              "Access-Control-Request-Method: POST");
      assertStatus(403, preflight);
      assertTrue(!preflight.contains("Access-Control"), preflight);
    }
  }

  @Test
  void allowedOriginsAreAccepted() throws Exception {
    String good = "https://good.example";
    var access = new Access(Optional.of("0123456789abcdef"), List.of(), List.of(good));
    try (var client = new Client(with(Client.options(folder), "127.0.0.1", access))) {
      int port = client.server.port();
      String preflight =
          ask(
              port,
              "OPTIONS /classify",
              "Host: localhost",
              "Origin: " + good,
              "Access-Control-Request-Method: POST",
              "Access-Control-Request-Headers: authorization,content-type");
      assertStatus(204, preflight);
      assertTrue(preflight.contains("Access-Control-Allow-Origin: " + good + "\r\n"), preflight);
      assertTrue(preflight.contains("Access-Control-Allow-Headers: Authorization, "), preflight);
      assertTrue(preflight.contains("Access-Control-Allow-Methods: POST"), preflight);
      assertTrue(preflight.contains("Vary: Origin"), preflight);
      String index =
          ask(
              port,
              "POST /v2/repository/index",
              "Host: localhost",
              "Origin: " + good,
              "Sec-Fetch-Site: cross-site",
              "authorization: bearer  0123456789abcdef");
      assertStatus(200, index);
      assertTrue(index.contains("Access-Control-Allow-Origin: " + good), index);
      assertStatus(
          403,
          ask(
              port,
              "POST /v2/repository/index",
              "Host: localhost",
              "Origin: https://good.example.evil.example",
              "Authorization: Bearer 0123456789abcdef"));
      String guarded = ask(port, "POST /v2/repository/index", "Host: localhost", "Origin: " + good);
      assertStatus(401, guarded); // readable by the page
      assertTrue(guarded.contains("Access-Control-Allow-Origin: " + good), guarded);
    }
  }
}
