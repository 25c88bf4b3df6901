package io.github.resnet4j.server;

import io.helidon.common.buffers.DataReader;
import io.helidon.http.DirectHandler;
import io.helidon.http.RequestException;
import io.helidon.http.Status;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.Locale;
import java.util.function.Supplier;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/**
 * The bytes of a connection on their way to Helidon's parser, request by request: each piece is a
 * whole request line with its headers, or a part of one body, never of the next request. On the way
 * it does what that parser does not:
 *
 * <ul>
 *   <li>HTTP/1.0 becomes HTTP/1.1; what the older version means is kept in {@link #keepAlive}.
 *   <li>A target with scheme and host (RFC 9112, section 3.2.2) becomes a path and a {@code Host}.
 *   <li>Chunks are checked byte by byte, so that a malformed one is refused when its first wrong
 *       byte is there, not when a line end comes; chunk extensions and trailers are left out.
 *   <li>A body that ends too early is told apart from a connection that ends between requests.
 * </ul>
 */
final class RequestStream implements Supplier<byte @Nullable []> {
  /** Bytes of a request line. */
  static final int LONGEST_LINE = 4 << 10;

  /** Bytes of all headers of a request. */
  static final int MOST_HEADER_BYTES = 16 << 10;

  /** Headers of a request. */
  static final int MOST_HEADERS = 100;

  /** Bytes of a chunk's extension, and of a body's trailers. */
  private static final int MOST_IGNORED = 1 << 10;

  private static final Status HEADERS_TOO_LARGE =
      Status.create(431, "Request Header Fields Too Large");

  private static final Pattern REQUEST_LINE =
      Pattern.compile("([!#$%&'*+.^_`|~0-9A-Za-z-]{1,32}) (\\S+) HTTP/1\\.([01])");
  private static final Pattern HEADER =
      Pattern.compile("([!#$%&'*+.^_`|~0-9A-Za-z-]+):([^\\x00-\\x08\\x0a-\\x1f\\x7f]*)");
  private static final Pattern HOST =
      Pattern.compile("([A-Za-z0-9_.~%-]+|\\[[0-9A-Fa-f:.]+])(:[0-9]{0,5})?");
  private static final Pattern TARGET = Pattern.compile("/(?:[^%]|%[0-9A-Fa-f]{2})*+");
  private static final Pattern ABSOLUTE =
      Pattern.compile("https?://([^/?#]+)([/?].*)?", Pattern.CASE_INSENSITIVE);
  private static final Pattern LENGTH = Pattern.compile("[0-9]{1,18}");

  private static final int NO_MORE = -1;

  private final DataReader in;
  private final long mostBytes;
  private byte[] piece = {};
  private int at;

  /** Bytes of the body, or of the current chunk, that are still to come. */
  private long rest;

  private boolean chunked;

  /** Bytes of all chunks so far. */
  private long total;

  private boolean keepAlive;
  private @Nullable RequestException failure;

  /**
   * @param mostBytes of all chunks of a body
   */
  RequestStream(DataReader in, long mostBytes) {
    this.in = in;
    this.mostBytes = mostBytes;
  }

  /** Whether the client of the current request wants to send another one on this connection. */
  boolean keepAlive() {
    return keepAlive;
  }

  /** Whether bytes behind the current request are here already: its client pipelines. */
  boolean hasNext() {
    return rest == 0 && !chunked && (at < piece.length || in.available() > 0);
  }

  /**
   * The next piece, or null at the end of the connection.
   *
   * @throws RequestException if the request is malformed; then at every further call, too
   */
  @Override
  public byte @Nullable [] get() {
    if (failure != null) {
      throw refused(failure.status(), String.valueOf(failure.getMessage())); // not the same twice
    }
    try {
      if (rest > 0) {
        return body();
      }
      return chunked ? chunk() : head();
    } catch (RequestException e) {
      failure = e;
      keepAlive = false;
      throw e;
    }
  }

  private static RequestException refused(Status status, String reason) {
    return RequestException.builder()
        .type(DirectHandler.EventType.BAD_REQUEST)
        .status(status)
        .setKeepAlive(false)
        .message(reason)
        .build();
  }

  private static RequestException bad(String reason) {
    return refused(Status.BAD_REQUEST_400, reason);
  }

  // --- bytes ----------------------------------------------------------------------------------

  /** Whether there is a byte; waits for it. */
  private boolean pull() {
    while (at == piece.length) {
      try {
        in.ensureAvailable();
      } catch (DataReader.InsufficientDataAvailableException _) {
        return false;
      }
      piece = in.readBuffer().readBytes();
      at = 0;
    }
    return true;
  }

  private int read() {
    return pull() ? piece[at++] & 0xff : NO_MORE;
  }

  private int readOfBody() {
    int next = read();
    if (next == NO_MORE) {
      throw bad("the body ended before its last chunk");
    }
    return next;
  }

  /**
   * A line without its end, which is CR and LF.
   *
   * @return null at the end of the connection
   */
  private @Nullable String line(int longest, Status tooLong, String what) {
    byte[] line = new byte[128];
    int size = 0;
    while (true) {
      int next = read();
      if (next == NO_MORE) {
        return null;
      }
      if (next == '\n') {
        if (size == 0 || line[size - 1] != '\r') {
          throw bad(what + " must end with CR and LF");
        }
        return new String(line, 0, size - 1, StandardCharsets.ISO_8859_1);
      }
      if (size > 0 && line[size - 1] == '\r') {
        throw bad(what + " must not contain CR");
      }
      if (size > longest) {
        throw refused(tooLong, "%s must have at most %d bytes".formatted(what, longest));
      }
      if (size == line.length) {
        line = Arrays.copyOf(line, 2 * size);
      }
      line[size++] = (byte) next;
    }
  }

  // --- the request line and the headers -------------------------------------------------------

  /** What the framing of a request depends on. */
  private static final class Head {
    final StringBuilder text = new StringBuilder(512);
    boolean old;
    String authority = "";
    String host = "";
    String length = "";
    String transfer = "";
    String connection = "";
  }

  private byte @Nullable [] head() {
    String line = line(LONGEST_LINE, Status.REQUEST_URI_TOO_LONG_414, "the request line");
    if (line != null && line.isEmpty()) { // RFC 9112, section 2.2: one empty line is ignored
      line = line(LONGEST_LINE, Status.REQUEST_URI_TOO_LONG_414, "the request line");
    }
    if (line == null) {
      return null;
    }
    var head = new Head();
    start(head, line);
    int size = 0;
    for (int count = 0; ; count++) {
      String header = line(MOST_HEADER_BYTES - size, HEADERS_TOO_LARGE, "all headers together");
      if (header == null) {
        return null;
      }
      if (header.isEmpty()) {
        break;
      }
      size += header.length() + 2;
      if (count == MOST_HEADERS || size > MOST_HEADER_BYTES) {
        throw refused(
            HEADERS_TOO_LARGE,
            "at most %d headers of %d bytes together".formatted(MOST_HEADERS, MOST_HEADER_BYTES));
      }
      header(head, header);
    }
    String host = head.authority.isEmpty() ? head.host : head.authority;
    if (host.isEmpty() ? !head.old : !HOST.matcher(host).matches()) {
      throw bad("there must be a Host header like 'example.org:8080'");
    }
    if (!host.isEmpty()) {
      head.text.append("Host: ").append(host).append("\r\n");
    }
    frame(head);
    return head.text.append("\r\n").toString().getBytes(StandardCharsets.ISO_8859_1);
  }

  private static void start(Head head, String line) {
    Matcher parts = REQUEST_LINE.matcher(line);
    if (!parts.matches()) {
      if (line.matches("\\S+ \\S+ HTTP/[0-9]+(\\.[0-9]+)?")) {
        throw refused(Status.HTTP_VERSION_NOT_SUPPORTED_505, "only HTTP/1.0 and HTTP/1.1");
      }
      throw bad("the request line must be like 'GET /path HTTP/1.1'");
    }
    head.old = parts.group(3).equals("0");
    String target = parts.group(2);
    Matcher absolute = ABSOLUTE.matcher(target);
    if (absolute.matches()) {
      head.authority = absolute.group(1);
      String path = absolute.group(2);
      target = path == null ? "/" : path.startsWith("/") ? path : "/" + path;
    } else if (target.equals("*")) {
      target = "/"; // OPTIONS of the whole server
    }
    if (!TARGET.matcher(target).matches()) {
      throw bad(
          "the target must begin with '/', and '%' must be followed by two hexadecimal digits");
    }
    head.text.append(parts.group(1)).append(' ').append(target).append(" HTTP/1.1\r\n");
  }

  private static void header(Head head, String header) {
    Matcher parts = HEADER.matcher(header);
    if (!parts.matches()) {
      throw bad("a header must be like 'Name: value'");
    }
    String name = parts.group(1).toLowerCase(Locale.ROOT);
    String value = parts.group(2).strip();
    switch (name) {
      case "host" -> {
        head.host = once(head.host, value, "Host");
        return; // written below: the target's counts if it has one (RFC 9112, section 3.2.2)
      }
      case "content-length" -> head.length = once(head.length, value, "Content-Length");
      case "transfer-encoding" -> head.transfer = once(head.transfer, value, "Transfer-Encoding");
      case "connection" -> head.connection += "," + value.toLowerCase(Locale.ROOT);
      case "expect" -> {
        if (head.old) {
          return; // HTTP/1.0 knows no interim answers
        }
        if (!value.equalsIgnoreCase("100-continue")) {
          throw refused(Status.EXPECTATION_FAILED_417, "Expect must be 100-continue");
        }
      }
      default -> {}
    }
    head.text.append(header).append("\r\n");
  }

  private static String once(String before, String value, String name) {
    if (!before.isEmpty() || value.isEmpty()) {
      throw bad(name + " must be given once");
    }
    return value;
  }

  /** Finds where the body ends. */
  private void frame(Head head) {
    if (!head.transfer.isEmpty() && (!head.length.isEmpty() || head.old)) {
      throw bad("Transfer-Encoding goes neither with Content-Length nor with HTTP/1.0");
    }
    if (!head.transfer.isEmpty() && !head.transfer.equalsIgnoreCase("chunked")) {
      throw refused(Status.NOT_IMPLEMENTED_501, "Transfer-Encoding must be chunked");
    }
    if (!head.length.isEmpty() && !LENGTH.matcher(head.length).matches()) {
      throw bad("Content-Length must be a number");
    }
    var options = Arrays.asList(head.connection.split("[\\s,]+"));
    keepAlive = !options.contains("close") && (!head.old || options.contains("keep-alive"));
    chunked = !head.transfer.isEmpty();
    total = 0;
    rest = head.length.isEmpty() ? 0 : Long.parseLong(head.length);
  }

  // --- the body -------------------------------------------------------------------------------

  private byte[] body() {
    if (!pull()) {
      throw bad(
          chunked
              ? "the body ended within a chunk"
              : "the body ended %d bytes before its Content-Length".formatted(rest));
    }
    int size = (int) Math.min(rest, piece.length - at);
    byte[] part = Arrays.copyOfRange(piece, at, at + size);
    at += size;
    rest -= size;
    return chunked ? framed(part) : part;
  }

  /** A part of a chunk as a chunk of its own. */
  private byte[] framed(byte[] part) {
    if (rest == 0 && (readOfBody() != '\r' || readOfBody() != '\n')) {
      throw bad("a chunk must end with CR and LF after as many bytes as it announced");
    }
    byte[] size = (Integer.toHexString(part.length) + "\r\n").getBytes(StandardCharsets.US_ASCII);
    byte[] all = Arrays.copyOf(size, size.length + part.length + 2);
    System.arraycopy(part, 0, all, size.length, part.length);
    all[all.length - 2] = '\r';
    all[all.length - 1] = '\n';
    return all;
  }

  /** Begins with the next chunk, or ends the body. */
  private byte[] chunk() {
    long size = 0;
    int digits = 0;
    int next = readOfBody();
    for (int digit; (digit = Character.digit(next, 16)) >= 0; next = readOfBody()) {
      size = 16 * size + digit;
      if (++digits > 15) {
        throw bad("a chunk's size must be a number");
      }
    }
    if (digits == 0 || !(next == '\r' || next == ';' || next == ' ' || next == '\t')) {
      throw bad("a chunk's size must be a number");
    }
    for (int ignored = 0; next != '\r'; next = readOfBody()) { // its extension
      if (++ignored > MOST_IGNORED || next == '\n') {
        throw bad("a chunk's extension must be at most %d bytes".formatted(MOST_IGNORED));
      }
    }
    if (readOfBody() != '\n') {
      throw bad("a chunk's size must end with CR and LF");
    }
    total += size;
    if (total > mostBytes) {
      throw refused(Status.REQUEST_ENTITY_TOO_LARGE_413, "at most %d bytes".formatted(mostBytes));
    }
    if (size > 0) {
      rest = size;
      return body();
    }
    int ignored = 0;
    for (String trailer = " "; !trailer.isEmpty(); ignored += trailer.length()) {
      trailer = line(MOST_IGNORED - ignored, Status.BAD_REQUEST_400, "all trailers together");
      if (trailer == null) {
        throw bad("the body ended within its trailers");
      }
    }
    chunked = false;
    return "0\r\n\r\n".getBytes(StandardCharsets.US_ASCII);
  }
}
