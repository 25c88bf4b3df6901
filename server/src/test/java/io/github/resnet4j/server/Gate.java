package io.github.resnet4j.server;

import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.jr.ob.JSON;
import io.github.resnet4j.server.Admission.Endpoint;
import io.helidon.webserver.WebServer;
import io.helidon.webserver.http1.Http1Config;
import java.io.ByteArrayOutputStream;
import java.io.EOFException;
import java.io.IOException;
import java.net.InetAddress;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.Semaphore;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.BooleanSupplier;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** The server's admission and connections with endpoints of a test, without models. */
final class Gate implements AutoCloseable {
  static final int BODY_KILOBYTES = 1000;

  private static final Pattern LENGTH = Pattern.compile("(?i)\r\ncontent-length: *(\\d+)");

  final AtomicInteger accepted = new AtomicInteger();
  final Semaphore bodies = new Semaphore(BODY_KILOBYTES);
  final Metrics metrics = new Metrics();
  final Connections connections;
  final Admission admission;
  private final Path file;
  private final AccessLog log;
  private final Traces traces = new Traces();
  private final WebServer server;

  /**
   * @param folder for the access log
   * @param endpoints each has its name as path
   */
  Gate(ServerOptions options, Path folder, Endpoint... endpoints) throws IOException {
    file = folder.resolve("gate.log");
    log = new AccessLog(Optional.of(file));
    connections = new Connections(options.limits(), Http1Config.builder());
    admission = new Admission(options, metrics, log, accepted, connections, traces, bodies);
    server =
        WebServer.builder()
            .address(InetAddress.getLoopbackAddress())
            .port(0)
            .shutdownHook(false)
            .protocolsDiscoverServices(false)
            .addConnectionSelector(connections)
            .directHandlers(InferenceServer.direct(admission))
            .routing(rules -> {
              for (Endpoint endpoint : endpoints) {
                rules.any("/" + endpoint.name(), admission.handler(endpoint));
              }
              // What Helidon knows about a connection.
              rules.any(
                  "/peer",
                  (request, response) ->
                      response.send(
                          "%s %s %s %s %s"
                              .formatted(
                                  request.remotePeer().port(),
                                  request.localPeer().port(),
                                  request.isSecure(),
                                  request.socketId(),
                                  request.serverSocketId())));
            })
            .build()
            .start();
  }

  /** Options with another host, access and batching, on any free port. */
  static ServerOptions options(
      ServerOptions usual, String host, Access access, ServerOptions.Batching batching) {
    return new ServerOptions(
        host,
        0,
        -1,
        usual.models(),
        batching,
        usual.limits(),
        access,
        usual.tls(),
        usual.accessLog(),
        usual.drainTimeout(),
        usual.compile());
  }

  /** Throws an unchecked exception or an error. */
  static void fail(Throwable thrown) {
    switch (thrown) {
      case Error error -> throw error;
      case RuntimeException exception -> throw exception;
      default -> throw new AssertionError(thrown);
    }
  }

  static void assertStatus(int status, String answer) {
    assertTrue(answer.startsWith("HTTP/1.1 " + status + " "), answer);
  }

  int port() {
    return server.port();
  }

  Peer connect() throws IOException {
    var socket = new Socket(InetAddress.getLoopbackAddress(), server.port());
    socket.setSoTimeout(10_000);
    return new Peer(socket);
  }

  /** Sends one request on a connection of its own. */
  String ask(String line, String... headers) throws IOException {
    try (Peer peer = connect()) {
      return peer.ask(line, headers);
    }
  }

  /** The lines of the access log. */
  List<Map<String, Object>> logged() throws IOException {
    var lines = new ArrayList<Map<String, Object>>();
    for (String line : Files.readAllLines(file)) {
      lines.add(JSON.std.mapFrom(line));
    }
    return lines;
  }

  /** The log's line of a request; it is written after the response. */
  Map<String, Object> logged(String field, Object value) throws IOException {
    for (int i = 0; i < 1000; i++) {
      for (Map<String, Object> line : logged()) {
        if (value.equals(line.get(field))) {
          return line;
        }
      }
      pause();
    }
    throw new AssertionError("no line with %s %s in %s".formatted(field, value, logged()));
  }

  /** The value of a metric, such as {@code resnet4j_errors_total{kind="internal"}}; else 0. */
  double metric(String name) {
    return metrics
        .scrape()
        .lines()
        .filter(line -> line.startsWith(name + " "))
        .mapToDouble(line -> Double.parseDouble(line.substring(name.length() + 1)))
        .findFirst()
        .orElse(0);
  }

  /** Waits up to ten seconds; returns whether the condition holds. */
  static boolean eventually(BooleanSupplier condition) {
    for (int i = 0; i < 1000 && !condition.getAsBoolean(); i++) {
      pause();
    }
    return condition.getAsBoolean();
  }

  static void pause() {
    try {
      Thread.sleep(10);
    } catch (InterruptedException e) {
      throw new AssertionError(e);
    }
  }

  @Override
  public void close() throws IOException {
    server.stop();
    connections.close();
    traces.close();
    metrics.close();
    log.close();
  }

  /** A client's connection. */
  record Peer(Socket socket) implements AutoCloseable {
    /** Sends a request with a body of two bytes if it is a POST; returns the response. */
    String ask(String line, String... headers) throws IOException {
      send(request(line, headers));
      return line.startsWith("HEAD ") ? head() : response();
    }

    static String request(String line, String... headers) {
      boolean post = line.startsWith("POST ");
      return line
          + " HTTP/1.1\r\n"
          + (post ? "Content-Length: 2\r\n" : "")
          + (String.join("", headers).contains("Host:") ? "" : "Host: localhost\r\n")
          + String.join("", List.of(headers).stream().map(header -> header + "\r\n").toList())
          + "\r\n"
          + (post ? "{}" : "");
    }

    void send(String text) throws IOException {
      socket.getOutputStream().write(text.getBytes(StandardCharsets.US_ASCII));
    }

    /** Reads one response. */
    String response() throws IOException {
      String head = head();
      Matcher length = LENGTH.matcher(head);
      return length.find()
          ? head
              + new String(
                  socket.getInputStream().readNBytes(Integer.parseInt(length.group(1))),
                  StandardCharsets.UTF_8)
          : head;
    }

    /** Reads up to the empty line. */
    String head() throws IOException {
      var head = new ByteArrayOutputStream();
      while (!head.toString(StandardCharsets.US_ASCII).endsWith("\r\n\r\n")) {
        int next = socket.getInputStream().read();
        if (next < 0) {
          throw new EOFException("closed after: " + head);
        }
        head.write(next);
      }
      return head.toString(StandardCharsets.US_ASCII);
    }

    /** Whether the server has closed the connection, or does so within ten seconds. */
    boolean isClosed() throws IOException {
      return socket.getInputStream().read() < 0;
    }

    @Override
    public void close() throws IOException {
      socket.close();
    }
  }
}
