package io.github.resnet4j.server;

import static java.nio.charset.StandardCharsets.ISO_8859_1;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.helidon.common.buffers.DataReader;
import io.helidon.http.RequestException;
import java.io.ByteArrayOutputStream;
import java.util.Arrays;
import org.junit.jupiter.api.Test;

/** The limits and the framing of requests, without a socket: exactly the maximum, and one more. */
class RequestStreamTest {
  private static final String GET = "GET / HTTP/1.1\r\n";
  private static final String HOST = "Host: a\r\n";
  private static final String CHUNKED =
      "POST / HTTP/1.1\r\n" + HOST + "Transfer-Encoding: chunked\r\n\r\n";

  /** A connection that receives these bytes in pieces of a size, and then ends. */
  private static RequestStream stream(String text, int piece, long maxBodyBytes) {
    byte[] bytes = text.getBytes(ISO_8859_1);
    int[] at = {0};
    return new RequestStream(
        DataReader.create(() -> {
          if (at[0] == bytes.length) {
            return null;
          }
          int from = at[0];
          at[0] = Math.min(bytes.length, from + piece);
          return Arrays.copyOfRange(bytes, from, at[0]);
        }),
        maxBodyBytes);
  }

  private static RequestStream stream(String text) {
    return stream(text, 1 << 20, 1 << 20);
  }

  private static String next(RequestStream stream) {
    byte[] piece = stream.get();
    return piece == null ? null : new String(piece, ISO_8859_1);
  }

  /** The headers of a request of one piece. */
  private static String head(String text) {
    return next(stream(text));
  }

  private static void assertRejected(int status, String reason, RequestStream stream) {
    for (int i = 0; i < 2; i++) { // every further call throws it again
      var error =
          assertThrows(
              RequestException.class,
              () -> {
                while (stream.get() != null) {}
              });
      assertEquals(status, error.status().code());
      assertTrue(error.getMessage().contains(reason), error.getMessage());
      assertFalse(stream.keepAlive());
    }
  }

  private static void assertRejected(int status, String reason, String text) {
    assertRejected(status, reason, stream(text));
  }

  // --- the request line and the headers -------------------------------------------------------

  @Test
  void headersArePassedOn() {
    assertEquals(GET + "X: y\r\n" + HOST + "\r\n", head(GET + HOST + "X: y\r\n\r\n"));
    assertEquals(GET + HOST + "\r\n", head("\r\n" + GET + HOST + "\r\n")); // an empty line before
    assertRejected(400, "the request line must have the form", "\r\n\r\n" + GET + HOST + "\r\n");
    assertEquals(
        "OPTIONS / HTTP/1.1\r\n" + HOST + "\r\n", head("OPTIONS * HTTP/1.1\r\n" + HOST + "\r\n"));
    assertEquals(
        "GET /x HTTP/1.1\r\nHost: b:8\r\n\r\n",
        head("GET http://b:8/x HTTP/1.1\r\n" + HOST + "\r\n"));
    assertEquals(
        "GET /?x HTTP/1.1\r\nHost: b\r\n\r\n", head("GET HTTP://b?x HTTP/1.1\r\n" + HOST + "\r\n"));
    assertEquals(
        "GET / HTTP/1.1\r\nHost: b\r\n\r\n", head("GET http://b HTTP/1.1\r\n" + HOST + "\r\n"));
    assertEquals(GET + "\r\n", head("GET / HTTP/1.0\r\n\r\n"));
    assertEquals(
        GET + HOST + "\r\n", head("GET / HTTP/1.0\r\nExpect: 100-continue\r\n" + HOST + "\r\n"));
    assertEquals(
        GET + "Expect: 100-Continue\r\n" + HOST + "\r\n",
        head(GET + HOST + "Expect: 100-Continue\r\n\r\n"));
    assertRejected(417, "Expect", GET + HOST + "Expect: magic\r\n\r\n");
  }

  @Test
  void connectionsEnd() {
    assertNull(head(""));
    assertNull(head("\r\n"));
    assertNull(head("GET / HT"));
    assertNull(head(GET + HOST));
    RequestStream stream = stream(GET + HOST + "\r\n");
    assertEquals(GET + HOST + "\r\n", next(stream));
    assertNull(next(stream));
  }

  @Test
  void linesHaveAMaximumLength() {
    int fixed = "GET / HTTP/1.1".length();
    // The line with its CR may have one byte more than the text.
    String longest = "GET /" + "a".repeat(RequestStream.MAX_LINE_BYTES - fixed) + " HTTP/1.1\r\n";
    assertEquals(longest + HOST + "\r\n", head(longest + HOST + "\r\n"));
    assertRejected(414, "at most 4096 bytes", longest.replace("a ", "aaa ") + HOST + "\r\n");
    assertRejected(400, "must end with CR and LF", "GET / HTTP/1.1\n" + HOST + "\r\n");
    assertRejected(400, "must end with CR and LF", "\n");
    assertRejected(400, "must not contain CR", "GET / HTTP/1.1\rX\r\n" + HOST + "\r\n");
    assertRejected(400, "must not contain CR", "\r\r\n");
  }

  @Test
  void headersHaveAMaximumSizeAndNumber() {
    String most = HOST + "X: y\r\n".repeat(RequestStream.MAX_HEADERS - 1);
    assertEquals(GET + most.substring(HOST.length()) + HOST + "\r\n", head(GET + most + "\r\n"));
    assertRejected(431, "at most 100 headers", GET + most + "X: y\r\n\r\n");
    // 16,384 bytes in lines of 1024, with their ends
    String line = "X: " + "y".repeat(1019) + "\r\n";
    String largest = line.repeat(15) + line.substring(0, 1022 - HOST.length()) + "\r\n" + HOST;
    assertEquals(RequestStream.MAX_HEADER_BYTES, largest.length());
    assertTrue(head(GET + largest + "\r\n").startsWith(GET + line));
    assertRejected(431, "16384 bytes", GET + largest.replaceFirst("X", "XX") + "\r\n");
    assertRejected(431, "bytes", GET + largest + "X: y\r\n\r\n");
    assertRejected(
        431,
        "the headers must have at most 16384 bytes",
        GET + "X: " + "y".repeat(16_500) + "\r\n");
  }

  @Test
  void hostIsRequiredOnce() {
    for (String host : new String[] {"a:", "a.b_c-d%20~:65535", "[::1]:80"}) {
      assertEquals(GET + "Host: " + host + "\r\n\r\n", head(GET + "Host: " + host + "\r\n\r\n"));
    }
    for (String host : new String[] {"a b", "a:123456", "a/b", "[x]"}) {
      assertRejected(400, "a Host header", GET + "Host: " + host + "\r\n\r\n");
      assertRejected(400, "a Host header", "GET / HTTP/1.0\r\nHost: " + host + "\r\n\r\n");
    }
    assertRejected(400, "a Host header", GET + "\r\n");
    assertRejected(400, "Host must be given once", GET + HOST + HOST + "\r\n");
    assertRejected(400, "Host must be given once", GET + "Host:\r\n\r\n");
  }

  @Test
  void connectionsAreKept() {
    String[][] cases = {
      {"1.1", "", "true"},
      {"1.1", "Connection: close\r\n", "false"},
      {"1.1", "Connection: x\r\nConnection: Close\r\n", "false"},
      {"1.0", "", "false"},
      {"1.0", "Connection: Keep-Alive\r\n", "true"},
      {"1.0", "Connection: keep-alive, close\r\n", "false"},
    };
    for (String[] each : cases) {
      RequestStream stream = stream("GET / HTTP/" + each[0] + "\r\n" + HOST + each[1] + "\r\n");
      next(stream);
      assertEquals(each[2], Boolean.toString(stream.keepAlive()), each[0] + each[1]);
    }
  }

  @Test
  void requestLinesAreChecked() {
    assertRejected(505, "only HTTP/1.0 and HTTP/1.1", "GET / HTTP/2.0\r\n\r\n");
    assertRejected(400, "the request line", "GET /\r\n\r\n");
    assertRejected(400, "the target must begin", "GET x HTTP/1.1\r\n" + HOST + "\r\n");
    assertRejected(400, "the target must begin", "GET /%zz HTTP/1.1\r\n" + HOST + "\r\n");
    assertRejected(400, "a header must have the form", GET + HOST + "X : y\r\n\r\n");
  }

  // --- bodies ---------------------------------------------------------------------------------

  private static String post(String headers) {
    return "POST / HTTP/1.1\r\n" + HOST + headers + "\r\n";
  }

  @Test
  void lengthsAreChecked() {
    assertRejected(400, "must be a number", post("Content-Length: +1\r\n"));
    assertRejected(400, "must be a number", post("Content-Length: 1234567890123456789\r\n"));
    assertRejected(400, "given once", post("Content-Length: 1\r\nContent-Length: 1\r\n"));
    assertRejected(
        400, "cannot be combined", post("Content-Length: 1\r\nTransfer-Encoding: chunked\r\n"));
    assertRejected(
        400, "cannot be combined", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n");
    assertRejected(
        400, "given once", post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"));
    assertRejected(501, "must be chunked", post("Transfer-Encoding: gzip\r\n"));
  }

  /** In pieces of every size: no piece extends into the next request. */
  @Test
  void bodiesEndAtTheirLength() {
    String request = post("Content-Length: 5\r\n");
    for (int piece = 1; piece < 90; piece++) {
      RequestStream stream = stream(request + "abcde" + GET + HOST + "\r\n", piece, 1);
      assertEquals(
          request.replace(HOST, "").replace("\r\n\r\n", "\r\n" + HOST + "\r\n"), next(stream));
      assertFalse(stream.hasNext());
      var body = new ByteArrayOutputStream();
      while (body.size() < 5) {
        body.writeBytes(stream.get());
      }
      assertArrayEquals("abcde".getBytes(ISO_8859_1), body.toByteArray());
      assertEquals(GET + HOST + "\r\n", next(stream));
      assertFalse(stream.hasNext());
      assertNull(next(stream));
    }
    assertRejected(400, "2 bytes before its Content-Length", request + "abc");
    RequestStream empty = stream(post("Content-Length: 0\r\n") + GET + HOST + "\r\n");
    next(empty);
    assertTrue(empty.hasNext());
    assertEquals(GET + HOST + "\r\n", next(empty));
  }

  @Test
  void chunksAreReadAtAnyPlace() {
    String body = "5;name=value\r\nabcde\r\n00A \t\r\n0123456789\r\n0\r\nX: y\r\n\r\n";
    for (int piece = 1; piece < 140; piece++) {
      RequestStream stream = stream(CHUNKED + body + GET + HOST + "\r\n", piece, 15);
      assertTrue(next(stream).startsWith("POST / HTTP/1.1\r\n"));
      var content = new StringBuilder();
      String part;
      while (!(part = next(stream)).equals("0\r\n\r\n")) {
        assertFalse(stream.hasNext());
        int size = Integer.parseInt(part.substring(0, part.indexOf('\r')), 16);
        int from = part.indexOf('\n') + 1;
        assertEquals(from + size + 2, part.length());
        assertTrue(part.endsWith("\r\n"));
        content.append(part, from, from + size);
      }
      assertEquals("abcde0123456789", content.toString());
      assertEquals(GET + HOST + "\r\n", next(stream));
      assertNull(next(stream));
    }
  }

  @Test
  void chunkedBodiesHaveAMaximumSize() {
    String ten = "a\r\n0123456789\r\n";
    assertRejected(413, "at most 19 bytes", stream(CHUNKED + ten + ten, 1 << 20, 19));
    RequestStream stream = stream((CHUNKED + ten + ten + "0\r\n\r\n").repeat(2), 1 << 20, 20);
    for (int i = 0; i < 8; i++) { // the second body is counted from zero
      assertTrue(stream.get().length > 0);
    }
    assertNull(next(stream));
    assertRejected(413, "at most", CHUNKED + "fffffffffffffff\r\n");
  }

  @Test
  void chunksAreChecked() {
    String number = "a chunk's size must be a number";
    for (String size : new String[] {"\r\n", ";x", "z", "-1", "1z", "0000000000000001"}) {
      assertRejected(400, number, CHUNKED + size + "\r\nab\r\n0\r\n\r\n");
    }
    stream(CHUNKED + "000000000000001\r\na\r\n0\r\n\r\n").get();
    assertRejected(400, "a chunk's size must end", CHUNKED + "1\rx");
    assertRejected(400, "a chunk must end", CHUNKED + "1\r\nabc");
    assertRejected(400, "a chunk must end", CHUNKED + "1\r\na\rb");
    assertRejected(400, "the body ended within a chunk", CHUNKED + "3\r\na");
    for (String cut : new String[] {"", "1", "1;x", "1\r", "1\r\na", "1\r\na\r", "1\r\na\r\n"}) {
      assertRejected(400, "the body ended before its last chunk", CHUNKED + cut);
    }
    assertRejected(400, "the body ended within its trailers", CHUNKED + "0\r\nX: y\r\n");
    // 1024 bytes of an extension with its ';', and of trailers without line ends
    String extension = ";" + "x".repeat(1023);
    drain(CHUNKED + "0" + extension + "\r\n\r\n");
    assertRejected(400, "a chunk extension", CHUNKED + "0" + extension + "x\r\n\r\n");
    assertRejected(400, "a chunk extension", CHUNKED + "0;x\n\r\n");
    String trailers = "X: " + "y".repeat(509) + "\r\n";
    drain(CHUNKED + "0\r\n" + trailers + trailers + "\r\n");
    assertRejected(400, "the trailers", CHUNKED + "0\r\n" + trailers + trailers + "X: y\r\n\r\n");
    assertRejected(400, "the trailers", CHUNKED + "0\r\n" + trailers.repeat(3) + "\r\n");
  }

  private static void drain(String text) {
    RequestStream stream = stream(text);
    String last = "";
    for (String piece; (piece = next(stream)) != null; last = piece) {}
    assertEquals("0\r\n\r\n", last);
  }
}
