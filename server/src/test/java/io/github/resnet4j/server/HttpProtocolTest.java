package io.github.resnet4j.server;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.net.Socket;
import java.net.SocketTimeoutException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.zip.DeflaterOutputStream;
import java.util.zip.GZIPOutputStream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The HTTP protocol over real sockets, including requests that Java's client cannot send. */
class HttpProtocolTest {
  private static final String REQUEST_END = " HTTP/1.1\r\nHost: localhost\r\n";
  private static final String LIVE = "GET /v2/health/live" + REQUEST_END + "\r\n";
  private static final String CHUNKED =
      "POST /classify"
          + REQUEST_END
          + "Content-Type: image/png\r\nTransfer-Encoding: chunked\r\n\r\n";

  @TempDir private static Path folder;
  private static Client client;
  private static byte[] six;

  @BeforeAll
  static void start() throws IOException {
    client = new Client(Client.options(folder));
    six = Client.digit(6);
  }

  @AfterAll
  static void stop() throws IOException {
    client.close();
  }

  /** Everything received until the server closed the connection or the time was over. */
  private record Reply(String text, boolean closed) {
    String status() {
      return text.isEmpty() ? "" : text.substring(0, text.indexOf('\r'));
    }

    int count(String part) {
      return text.split(java.util.regex.Pattern.quote(part), -1).length - 1;
    }
  }

  private static Reply send(byte[] bytes, boolean end, int millis) throws IOException {
    try (var socket = new Socket("127.0.0.1", client.server.port())) {
      socket.setSoTimeout(millis);
      socket.getOutputStream().write(bytes);
      if (end) {
        socket.shutdownOutput();
      }
      return read(socket);
    }
  }

  private static Reply read(Socket socket) throws IOException {
    var all = new ByteArrayOutputStream();
    boolean closed = false;
    try {
      byte[] some = new byte[1 << 14];
      for (int n; (n = socket.getInputStream().read(some)) >= 0; ) {
        all.write(some, 0, n);
      }
      closed = true;
    } catch (SocketTimeoutException _) {
      // the connection stays open
    }
    return new Reply(all.toString(StandardCharsets.ISO_8859_1), closed);
  }

  private static Reply send(String text) throws IOException {
    return send(text.getBytes(StandardCharsets.ISO_8859_1), false, 300);
  }

  /**
   * Sends a request after which the server must close the connection, long before the idle timeout
   * of 30 s.
   */
  private static Reply sendLast(String text) throws IOException {
    Reply reply = send(text.getBytes(StandardCharsets.ISO_8859_1), false, 10_000);
    assertTrue(reply.closed, "the connection stays open after " + text);
    return reply;
  }

  private static byte[] post(String line, String headers, byte[] body) throws IOException {
    var all = new ByteArrayOutputStream();
    all.write(
        (line + headers + "Content-Type: image/png\r\nContent-Length: " + body.length + "\r\n\r\n")
            .getBytes(StandardCharsets.US_ASCII));
    all.write(body);
    return all.toByteArray();
  }

  // --- versions and connections ---

  @Test
  void http10IsAnsweredAndClosed() throws Exception {
    Reply live = sendLast("GET /v2/health/live HTTP/1.0\r\n\r\n");
    assertEquals("HTTP/1.1 200 OK", live.status());
    assertTrue(live.text.endsWith("{\"live\":true}"), live.text);
    Reply post = send(post("POST /classify HTTP/1.0\r\n", "", six), true, 10_000);
    assertTrue(post.closed && post.text.contains("{\"index\":6"), post.text);
  }

  @Test
  void http10KeepAliveIsSupported() throws Exception {
    String alive = "GET /v2/health/live HTTP/1.0\r\nConnection: keep-alive\r\n\r\n";
    Reply reply = send(alive + alive);
    assertEquals(2, reply.count("HTTP/1.1 200 OK"), reply.text);
    assertEquals(2, reply.count("Connection: keep-alive"), reply.text);
  }

  @Test
  void connectionCloseClosesAfterTheResponse() throws Exception {
    for (String value : List.of("close", "Close", "foo, close")) {
      Reply reply = sendLast("GET /v2" + REQUEST_END + "Connection: " + value + "\r\n\r\n");
      assertEquals("HTTP/1.1 200 OK", reply.status());
      assertTrue(reply.text.contains("Connection: close"), reply.text);
    }
  }

  @Test
  void otherVersionsAreRejected() throws Exception {
    assertTrue(sendLast("GET / HTTP/2.0\r\n\r\n").status().contains("505"));
    assertTrue(sendLast("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").status().contains("505"));
    assertTrue(sendLast("GET /\r\n").status().contains("400"));
  }

  @Test
  void pipelinedRequestsAreAnsweredInOrder() throws Exception {
    for (boolean end : new boolean[] {false, true}) {
      var all = new ByteArrayOutputStream();
      for (int i = 0; i < 50; i++) {
        all.write(
            post("POST /classify" + REQUEST_END, "X-Request-Id: n%02d\r\n".formatted(i), six));
      }
      Reply reply = send(all.toByteArray(), end, 2000);
      assertEquals(50, reply.count("HTTP/1.1 200 OK"), reply.text);
      int before = -1;
      for (int i = 0; i < 50; i++) {
        int at = reply.text.indexOf("X-Request-Id: n%02d".formatted(i));
        assertTrue(at > before, "answer %d at %d".formatted(i, at));
        before = at;
      }
    }
  }

  @Test
  void absoluteAndAsteriskTargetsAreSupported() throws Exception {
    Reply whole = send("GET http://localhost:80/v2/health/live HTTP/1.1\r\nHost: other\r\n\r\n");
    assertEquals("HTTP/1.1 200 OK", whole.status());
    assertEquals("HTTP/1.1 204 No Content", send("OPTIONS *" + REQUEST_END + "\r\n").status());
  }

  // --- malformed requests ---

  @Test
  void malformedRequestsAreRejected() throws Exception {
    String post = "POST /classify" + REQUEST_END;
    for (String[] each :
        new String[][] {
          {"400", "GET /%zz" + REQUEST_END + "\r\n"},
          {"400", "GET /models?a=%" + REQUEST_END + "\r\n"},
          {"400", "GET /models?a[]=1" + REQUEST_END + "\r\n"},
          {"400", "GET /a b" + REQUEST_END + "\r\n"},
          {"400", "GET models" + REQUEST_END + "\r\n"},
          {"414", "GET /" + "a".repeat(5000) + REQUEST_END + "\r\n"},
          {"431", "GET /" + REQUEST_END + "X: " + "y".repeat(20_000) + "\r\n\r\n"},
          {"431", "GET /" + REQUEST_END + "X: y\r\n".repeat(101) + "\r\n"},
          {"400", "GET / HTTP/1.1\r\n\r\n"},
          {"400", "GET /" + REQUEST_END + "Host: localhost\r\n\r\n"},
          {"400", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n"},
          {"400", "GET /" + REQUEST_END + "X: a\r\n b\r\n\r\n"},
          {"400", "GET /" + REQUEST_END + "X : a\r\n\r\n"},
          {"400", "GET /" + REQUEST_END + "X: a\0b\r\n\r\n"},
          {"400", "GET / HTTP/1.1\nHost: localhost\n\n"},
          {"400", "\u0016\u0003\u0001\u0002\n\n"},
          {"400", post + "Content-Length: 5\r\nContent-Length: 5\r\n\r\nabcde"},
          {"400", post + "Content-Length: +5\r\n\r\nabcde"},
          {"400", post + "Content-Length: 99999999999999999999\r\n\r\n"},
          {"413", post + "Content-Length: 9999999999999999\r\n\r\n"},
          {"400", post + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
          {"400", "POST /classify HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
          {"501", post + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"},
          {"417", post + "Expect: magic\r\nContent-Length: 5\r\n\r\n"},
        }) {
      Reply reply = sendLast(each[1]);
      assertTrue(reply.status().startsWith("HTTP/1.1 " + each[0]), each[1] + reply.text);
      assertTrue(reply.text.contains("\r\n\r\n{\"error\":\""), each[1] + reply.text);
    }
  }

  @Test
  void malformedChunksAreRejectedAtTheFirstInvalidByte() throws Exception {
    for (String chunks :
        List.of(
            "zz\r\nabc\r\n",
            "zz",
            "-5\r\nabcde",
            "5\r\nabcdefgh",
            "5\nabcde",
            "\r\n",
            "ffffffffffffffffffff\r\n",
            "5;" + "x".repeat(2000),
            "0\r\n" + "X: y\r\n".repeat(1000))) {
      Reply reply = sendLast(CHUNKED + chunks);
      assertTrue(reply.status().startsWith("HTTP/1.1 400"), chunks + ": " + reply.text);
    }
    assertTrue(sendLast(CHUNKED + "7fffffff\r\nabc").status().startsWith("HTTP/1.1 413"));
  }

  @Test
  void truncatedBodiesAreRejected() throws Exception {
    String length =
        "POST /classify"
            + REQUEST_END
            + "Content-Type: image/png\r\nContent-Length: 5000\r\n\r\nabc";
    for (String cut : List.of(length, CHUNKED + "5\r\nab", CHUNKED + "5\r\nabcde\r\n", CHUNKED)) {
      Reply reply = send(cut.getBytes(StandardCharsets.US_ASCII), true, 10_000);
      assertTrue(reply.closed);
      assertTrue(reply.status().startsWith("HTTP/1.1 400"), cut + ": " + reply.text);
    }
  }

  @Test
  void chunkExtensionsAndTrailersAreIgnored() throws Exception {
    var all = new ByteArrayOutputStream();
    all.write(CHUNKED.getBytes(StandardCharsets.US_ASCII));
    for (int from = 0; from < six.length; from += 1000) {
      int size = Math.min(1000, six.length - from);
      all.write((Integer.toHexString(size) + ";a=b\r\n").getBytes(StandardCharsets.US_ASCII));
      all.write(six, from, size);
      all.write("\r\n".getBytes(StandardCharsets.US_ASCII));
    }
    all.write(("0\r\nX: y\r\n\r\n" + LIVE).getBytes(StandardCharsets.US_ASCII));
    Reply reply = send(all.toByteArray(), false, 1000);
    assertTrue(reply.text.contains("{\"index\":6"), reply.text);
    assertEquals(2, reply.count("HTTP/1.1 200 OK"), reply.text);
  }

  /** Malformed and incomplete bodies do not count against the queue size. */
  @Test
  void incompleteBodiesDoNotFillTheQueue() throws Exception {
    var sockets = new ArrayList<Socket>();
    try {
      for (int i = 0; i < ServerOptions.Batching.DEFAULT.queueSize() + 10; i++) {
        var socket = new Socket("127.0.0.1", client.server.port());
        sockets.add(socket);
        String part = i % 2 == 0 ? "5\r\nab" : "zz";
        socket.getOutputStream().write((CHUNKED + part).getBytes(StandardCharsets.US_ASCII));
      }
      assertEquals(200, client.post("/classify", "image/png", six).status());
    } finally {
      for (Socket socket : sockets) {
        socket.close();
      }
    }
  }

  @Test
  void expect100ContinueIsSupported() throws Exception {
    String expecting = REQUEST_END + "Content-Type: image/png\r\nExpect: 100-continue\r\n";
    try (var socket = new Socket("127.0.0.1", client.server.port())) {
      socket.setSoTimeout(10_000);
      OutputStream out = socket.getOutputStream();
      out.write(
          ("POST /classify" + expecting + "Content-Length: " + six.length + "\r\n\r\n")
              .getBytes(StandardCharsets.US_ASCII));
      String leave = new String(socket.getInputStream().readNBytes(25), StandardCharsets.US_ASCII);
      assertEquals("HTTP/1.1 100 Continue\r\n\r\n", leave);
      out.write(six);
      String answer = new String(socket.getInputStream().readNBytes(15), StandardCharsets.US_ASCII);
      assertEquals("HTTP/1.1 200 OK", answer);
    }
    Reply unknown = sendLast("POST /nothing" + expecting + "Content-Length: 5\r\n\r\n");
    assertTrue(unknown.status().startsWith("HTTP/1.1 404"), unknown.text);
  }

  // --- compressed bodies ---

  private static byte[] gzip(byte[] bytes) throws IOException {
    var all = new ByteArrayOutputStream();
    try (var out = new GZIPOutputStream(all)) {
      out.write(bytes);
    }
    return all.toByteArray();
  }

  private static int compressed(String encoding, byte[] body) throws Exception {
    return client
        .send(
            "/classify",
            request ->
                request
                    .header("Content-Encoding", encoding)
                    .header("Content-Type", "image/png")
                    .POST(java.net.http.HttpRequest.BodyPublishers.ofByteArray(body)))
        .status();
  }

  @Test
  void compressedBodiesAreDecompressedUpToTheLimit() throws Exception {
    var deflated = new ByteArrayOutputStream();
    try (var out = new DeflaterOutputStream(deflated)) {
      out.write(six);
    }
    byte[] gzipped = gzip(six);
    assertEquals(200, compressed("gzip", gzipped));
    assertEquals(200, compressed("GZip", gzipped));
    assertEquals(200, compressed("deflate", deflated.toByteArray()));
    assertEquals(200, compressed("identity", six));
    assertEquals(415, compressed("br", six));
    assertEquals(415, compressed("gzip, gzip", gzip(gzipped)));
    assertEquals(400, compressed("gzip", six));
    assertEquals(400, compressed("deflate", six));
    assertEquals(400, compressed("gzip", java.util.Arrays.copyOf(gzipped, gzipped.length - 20)));
    assertEquals(413, compressed("gzip", gzip(new byte[100 << 20])));
  }

  // --- methods ---

  @Test
  void headIsGetWithoutBody() throws Exception {
    Reply get = send("GET /v2" + REQUEST_END + "\r\n");
    int length = get.text.length() - get.text.indexOf("\r\n\r\n") - 4;
    Reply head = send("HEAD /v2" + REQUEST_END + "\r\n" + LIVE);
    assertTrue(head.text.startsWith("HTTP/1.1 200 OK"), head.text);
    assertTrue(head.text.contains("Content-Length: " + length + "\r\n"), head.text);
    String after = head.text.substring(head.text.indexOf("\r\n\r\n") + 4);
    assertTrue(after.startsWith("HTTP/1.1 200 OK"), head.text);
    Reply nothing = send("HEAD /nothing" + REQUEST_END + "\r\n");
    assertTrue(nothing.text.startsWith("HTTP/1.1 404") && nothing.text.endsWith("\r\n\r\n"));
  }

  @Test
  void otherMethodsAreRejectedWithAllowHeader() throws Exception {
    Reply get = send("GET /classify" + REQUEST_END + "\r\n");
    assertTrue(get.status().startsWith("HTTP/1.1 405"), get.text);
    assertTrue(get.text.contains("\r\nAllow: POST, OPTIONS\r\n"), get.text);
    Reply delete = send("DELETE /v2/models/digits" + REQUEST_END + "\r\n");
    assertTrue(delete.status().startsWith("HTTP/1.1 405"), delete.text);
    assertTrue(delete.text.contains("\r\nAllow: GET, HEAD, OPTIONS\r\n"), delete.text);
    assertTrue(send("DELETE /nothing" + REQUEST_END + "\r\n").status().startsWith("HTTP/1.1 404"));
  }

  @Test
  void repeatedParametersAreRejected() throws Exception {
    assertEquals(400, client.post("/classify?top=1&top=2", "image/png", six).status());
  }

  @Test
  void logContainsTheStatusSent() throws Exception {
    send("GET /v2 HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: logged-1\r\n\r\n");
    send("PUT /v2 HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: logged-2\r\n\r\n");
    sendLast("GET /logged-3%zz" + REQUEST_END + "\r\n");
    String log = Files.readString(folder.resolve("access.log"));
    assertTrue(log.lines().anyMatch(x -> x.contains("logged-1") && x.contains("\"status\":200")));
    assertTrue(log.lines().anyMatch(x -> x.contains("logged-2") && x.contains("\"status\":405")));
    assertTrue(
        log.lines().anyMatch(x -> x.contains("malformed") && x.contains("\"status\":400")), log);
    assertFalse(log.contains("\"status\":500"), log);
  }
}
