package io.github.resnet4j.server;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotSame;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.resnet4j.server.Admission.Endpoint;
import io.github.resnet4j.server.Connections.Connection;
import io.github.resnet4j.server.Gate.Peer;
import io.helidon.common.buffers.BufferData;
import io.helidon.webserver.spi.ServerConnectionSelector.Support;
import java.io.IOException;
import java.net.SocketTimeoutException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicReference;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Deadlines, idle connections and disconnects, over sockets. */
class ConnectionsTest {
  private static final Duration LONG = Duration.ofSeconds(30);
  private static final Duration SHORT = Duration.ofMillis(300);

  @TempDir private Path folder;

  /** The connections of the requests to {@code waiting}, in order. */
  private final List<Connection> served = Collections.synchronizedList(new ArrayList<>());

  private final AtomicReference<Gate> gate = new AtomicReference<>();
  private CountDownLatch running = new CountDownLatch(1);
  private CountDownLatch released = new CountDownLatch(1);

  @BeforeEach
  void reset() {
    running = new CountDownLatch(1);
    released = new CountDownLatch(1);
  }

  private Gate open(Duration idleTimeout) throws IOException {
    ServerOptions usual = ServerOptions.defaults();
    var limits = new ServerOptions.Limits(1 << 20, 1, 1, LONG, idleTimeout);
    var options =
        new ServerOptions(
            "127.0.0.1",
            0,
            -1,
            usual.models(),
            usual.batching(),
            limits,
            usual.access(),
            usual.tls(),
            usual.accessLog(),
            usual.drainTimeout(),
            usual.compile());
    var opened =
        new Gate(
            options,
            folder,
            Endpoint.get("now", exchange -> exchange.json(Map.of("ok", true))),
            Endpoint.get("waiting", this::await),
            Endpoint.get(
                "monitored",
                exchange -> {
                  Connection connection = connection();
                  connection.monitor();
                  connection.monitor(); // without effect
                  await(exchange);
                }));
    gate.set(opened);
    return opened;
  }

  private Connection connection() {
    Connection connection = gate.get().connections.current();
    served.add(connection);
    return connection;
  }

  /** An action that ends when the test releases it. */
  private void await(Exchange exchange) {
    connection();
    running.countDown();
    try {
      assertTrue(released.await(10, TimeUnit.SECONDS));
    } catch (InterruptedException e) {
      throw new AssertionError(e);
    }
    exchange.json(Map.of("ok", true));
  }

  private static void assertOk(String answer) {
    assertTrue(answer.startsWith("HTTP/1.1 200 ") && answer.endsWith("{\"ok\":true}"), answer);
  }

  /** Nothing arrives within half a second, and the connection stays open. */
  private static void assertOpen(Peer peer) throws IOException {
    peer.socket().setSoTimeout(500);
    assertThrows(SocketTimeoutException.class, peer::isClosed);
    peer.socket().setSoTimeout(10_000);
  }

  @Test
  void connectionsServeRequestsUntilTheClientCloses() throws Exception {
    released.countDown();
    try (var gate = open(LONG)) {
      try (var one = gate.connect();
          var two = gate.connect()) {
        assertOk(one.ask("GET /waiting"));
        assertOk(one.ask("GET /waiting"));
        assertOk(two.ask("GET /waiting"));
        assertEquals(2, gate.connections.count());
        assertSame(served.get(0), served.get(1));
        assertNotSame(served.get(0), served.get(2));
        assertFalse(served.get(0).closesAfterResponse());
      }
      assertTrue(Gate.eventually(() -> gate.connections.count() == 0));
      assertThrows(NullPointerException.class, gate.connections::current);
    }
  }

  @Test
  void connectionIsClosedAfterAResponseOnRequest() throws Exception {
    released.countDown();
    try (var gate = open(LONG)) {
      try (var peer = gate.connect()) {
        String answer = peer.ask("GET /waiting", "Connection: close");
        assertOk(answer);
        assertTrue(answer.toLowerCase().contains("connection: close"), answer);
        assertTrue(peer.isClosed());
        assertTrue(served.getFirst().closesAfterResponse());
      }
      // By the server, while the client asks to keep it.
      assertTrue(Gate.eventually(() -> gate.connections.count() == 0));
      running = new CountDownLatch(1);
      released = new CountDownLatch(1);
      try (var peer = gate.connect()) {
        peer.send(Peer.request("GET /waiting"));
        assertTrue(running.await(10, TimeUnit.SECONDS));
        served.getLast().closeAfterResponse();
        released.countDown();
        assertOk(peer.response());
        assertTrue(peer.isClosed());
      }
    }
  }

  @Test
  void waitingConnectionsAreClosedButNotThoseWithARequest() throws Exception {
    try (var gate = open(LONG);
        var busy = gate.connect();
        var idle = gate.connect();
        var unused = gate.connect()) {
      assertOk(idle.ask("GET /now"));
      assertOk(busy.ask("GET /now"));
      busy.send(Peer.request("GET /waiting"));
      assertTrue(running.await(10, TimeUnit.SECONDS));
      // A response is sent just before its connection counts as waiting.
      assertTrue(
          Gate.eventually(() -> {
            gate.connections.closeIdle();
            return gate.connections.count() == 2;
          }));
      assertTrue(idle.isClosed());
      assertOpen(unused);
      released.countDown();
      assertOk(busy.response());
    }
  }

  @Test
  void connectionsWithoutDataAreClosed() throws Exception {
    try (var gate = open(SHORT);
        var silent = gate.connect();
        var partial = gate.connect();
        var answered = gate.connect();
        var busy = gate.connect()) {
      partial.send("GET /now HTTP/1.1\r\nHost: loc");
      assertOk(answered.ask("GET /now"));
      busy.send(Peer.request("GET /waiting"));
      assertTrue(running.await(10, TimeUnit.SECONDS));
      assertTrue(silent.isClosed());
      assertTrue(partial.isClosed());
      assertTrue(answered.isClosed());
      // The time of a request does not count.
      assertOpen(busy);
      assertEquals(1, gate.connections.count());
      released.countDown();
      assertOk(busy.response());
      assertTrue(busy.isClosed());
    }
  }

  @Test
  void longDeadlinesKeepConnectionsOpen() throws Exception {
    try (var gate = open(LONG);
        var silent = gate.connect();
        var answered = gate.connect()) {
      assertOk(answered.ask("GET /now"));
      assertOpen(silent);
      assertOpen(answered);
      assertOk(answered.ask("GET /now"));
      assertOk(silent.ask("GET /now"));
    }
  }

  @Test
  void monitorDetectsADisconnect() throws Exception {
    try (var gate = open(LONG);
        var peer = gate.connect()) {
      peer.send(Peer.request("GET /monitored"));
      assertTrue(running.await(10, TimeUnit.SECONDS));
      Connection connection = served.getFirst();
      assertFalse(connection.isDisconnected());
      peer.close();
      assertTrue(Gate.eventually(connection::isDisconnected));
      released.countDown();
      assertTrue(Gate.eventually(() -> gate.connections.count() == 0));
    }
  }

  /** The monitor reads the beginning of the next request. */
  @Test
  void requestDuringARequestIsServedNext() throws Exception {
    try (var gate = open(LONG);
        var peer = gate.connect()) {
      peer.send(Peer.request("GET /monitored"));
      assertTrue(running.await(10, TimeUnit.SECONDS));
      peer.send(Peer.request("GET /monitored") + Peer.request("GET /now"));
      released.countDown();
      for (int i = 0; i < 3; i++) {
        assertOk(peer.response());
      }
      assertFalse(served.getFirst().isDisconnected());
    }
  }

  /** The serving thread waits for the monitor, which receives the request. */
  @Test
  void requestAfterAMonitoredOneIsServed() throws Exception {
    released.countDown();
    try (var gate = open(LONG);
        var peer = gate.connect()) {
      assertOk(peer.ask("GET /monitored"));
      assertOk(peer.ask("GET /monitored"));
      assertOk(peer.ask("GET /now"));
    }
  }

  /** A client that sends all of its requests, or the last one, may close its sending side. */
  @Test
  void halfClosedConnectionsAreNotMonitored() throws Exception {
    String[] requests = {
      Peer.request("GET /monitored") + Peer.request("GET /now"),
      Peer.request("GET /monitored", "Connection: close")
    };
    for (String sent : requests) {
      served.clear();
      reset();
      try (var gate = open(LONG);
          var peer = gate.connect()) {
        peer.send(sent);
        peer.socket().shutdownOutput();
        assertTrue(running.await(10, TimeUnit.SECONDS));
        Thread.sleep(200); // a monitor would read the end of the stream
        assertFalse(served.getFirst().isDisconnected());
        released.countDown();
        assertOk(peer.response());
        if (!sent.contains("close")) {
          assertOk(peer.response());
        }
      }
    }
  }

  @Test
  void handlersSeeTheConnectionAsItIs() throws Exception {
    try (var gate = open(LONG);
        var peer = gate.connect()) {
      peer.send(Peer.request("GET /peer"));
      String answer = peer.response();
      String[] seen = answer.substring(answer.indexOf("\r\n\r\n") + 4).split(" ", -1);
      assertEquals(String.valueOf(peer.socket().getLocalPort()), seen[0]);
      assertEquals(String.valueOf(gate.port()), seen[1]);
      assertEquals("false", seen[2]);
      assertTrue(seen[3].matches("\\S+") && !seen[3].equals("null"), answer);
      assertTrue(seen[4].matches("\\S+") && !seen[4].equals("null"), answer);
    }
  }

  @Test
  void onlyHttpIsRecognized() throws Exception {
    try (var gate = open(LONG)) {
      byte[] request = "GET / HTTP/1.1\r\n".getBytes(StandardCharsets.US_ASCII);
      int needed = gate.connections.bytesToIdentifyConnection();
      assertTrue(needed <= request.length, "bytes " + needed);
      assertEquals(Support.SUPPORTED, gate.connections.supports(BufferData.create(request)));
      assertEquals(Set.of("http/1.1"), gate.connections.supportedApplicationProtocols());
    }
  }
}
