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
 * Reads a connection and passes its bytes to Helidon's parser in pieces: a piece is a request line
 * with all its headers, or a part of a body; it never extends into the next request. In addition to
 * Helidon's parser:
 *
 * <ul>
 *   <li>HTTP/1.0 requests are rewritten to HTTP/1.1; {@link #keepAlive} keeps their meaning.
 *   <li>A request target with scheme and host (RFC 9112, section 3.2.2) is rewritten to a path and
 *       a {@code Host} header.
 *   <li>Chunks are checked byte by byte, so a malformed chunk is rejected at its first invalid
 *       byte, without waiting for a line end; chunk extensions and trailers are removed.
 *   <li>A truncated body is distinguished from a connection that is closed between requests.
 * </ul>
 */
final class RequestStream implements Supplier<byte @Nullable []> {
  /** The maximum size of a request line in bytes. */
  static final int MAX_LINE_BYTES = 4 << 10;

  /** The maximum size of all headers of a request in bytes. */
  static final int MAX_HEADER_BYTES = 16 << 10;

  /** The maximum number of headers of a request. */
  static final int MAX_HEADERS = 100;

  /** The maximum size of a chunk extension, and of the trailers, in bytes. */
  private static final int MAX_IGNORED_BYTES = 1 << 10;

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

  private static final int END = -1;

  private final DataReader in;
  private final long maxBodyBytes;
  private byte[] buffer = {};
  private int position;

  /** The number of bytes of the body, or of the current chunk, that have not been read. */
  private long remaining;

  private boolean chunked;

  /** The size of all chunks of the body so far in bytes. */
  private long total;

  private boolean keepAlive;
  private @Nullable RequestException failure;

  /**
   * @param maxBodyBytes the maximum size of a chunked body
   */
  RequestStream(DataReader in, long maxBodyBytes) {
    this.in = in;
    this.maxBodyBytes = maxBodyBytes;
  }

  /** Whether the connection stays open after the current request. */
  boolean keepAlive() {
    return keepAlive;
  }

  /** Whether data after the current request has already arrived: the client pipelines requests. */
  boolean hasNext() {
    return remaining == 0 && !chunked && (position < buffer.length || in.available() > 0);
  }

  /**
   * Returns the next piece, or null at the end of the connection.
   *
   * @throws RequestException if the request is malformed; every further call throws it again
   */
  @Override
  public byte @Nullable [] get() {
    if (failure != null) {
      throw failure(
          failure.status(), String.valueOf(failure.getMessage())); // a new exception each time
    }
    try {
      if (remaining > 0) {
        return body();
      }
      return chunked ? chunk() : head();
    } catch (RequestException e) {
      failure = e;
      keepAlive = false;
      throw e;
    }
  }

  private static RequestException failure(Status status, String reason) {
    return RequestException.builder()
        .type(DirectHandler.EventType.BAD_REQUEST)
        .status(status)
        .setKeepAlive(false)
        .message(reason)
        .build();
  }

  private static RequestException bad(String reason) {
    return failure(Status.BAD_REQUEST_400, reason);
  }

  // --- bytes ----------------------------------------------------------------------------------

  /** Waits for data; returns false at the end of the connection. */
  private boolean pull() {
    while (position == buffer.length) {
      try {
        in.ensureAvailable();
      } catch (DataReader.InsufficientDataAvailableException _) {
        return false;
      }
      buffer = in.readBuffer().readBytes();
      position = 0;
    }
    return true;
  }

  private int read() {
    return pull() ? buffer[position++] & 0xff : END;
  }

  private int readBodyByte() {
    int next = read();
    if (next == END) {
      throw bad("the body ended before its last chunk");
    }
    return next;
  }

  /**
   * Reads a line and returns it without the CR and LF at its end.
   *
   * @return null at the end of the connection
   */
  private @Nullable String line(int maxBytes, Status tooLong, String what) {
    byte[] line = new byte[128];
    int size = 0;
    while (true) {
      int next = read();
      if (next == END) {
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
      if (size > maxBytes) {
        throw failure(tooLong, "%s must have at most %d bytes".formatted(what, maxBytes));
      }
      if (size == line.length) {
        line = Arrays.copyOf(line, 2 * size);
      }
      line[size++] = (byte) next;
    }
  }

  // --- the request line and the headers -------------------------------------------------------

  /** The request line and headers, as far as they determine the framing. */
  private static final class Head {
    final StringBuilder text = new StringBuilder(512);
    boolean isHttp10;
    String authority = "";
    String host = "";
    String length = "";
    String transfer = "";
    String connection = "";
  }

  private byte @Nullable [] head() {
    String line = line(MAX_LINE_BYTES, Status.REQUEST_URI_TOO_LONG_414, "the request line");
    if (line != null && line.isEmpty()) { // RFC 9112, section 2.2: one empty line is ignored
      line = line(MAX_LINE_BYTES, Status.REQUEST_URI_TOO_LONG_414, "the request line");
    }
    if (line == null) {
      return null;
    }
    var head = new Head();
    start(head, line);
    int size = 0;
    for (int count = 0; ; count++) {
      String header = line(MAX_HEADER_BYTES - size, HEADERS_TOO_LARGE, "the headers");
      if (header == null) {
        return null;
      }
      if (header.isEmpty()) {
        break;
      }
      size += header.length() + 2;
      if (count == MAX_HEADERS || size > MAX_HEADER_BYTES) {
        throw failure(
            HEADERS_TOO_LARGE,
            "there may be at most %d headers, of %d bytes in total"
                .formatted(MAX_HEADERS, MAX_HEADER_BYTES));
      }
      header(head, header);
    }
    String host = head.authority.isEmpty() ? head.host : head.authority;
    if (host.isEmpty() ? !head.isHttp10 : !HOST.matcher(host).matches()) {
      throw bad("a Host header such as 'example.org:8080' is required");
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
        throw failure(
            Status.HTTP_VERSION_NOT_SUPPORTED_505, "only HTTP/1.0 and HTTP/1.1 are supported");
      }
      throw bad("the request line must have the form 'GET /path HTTP/1.1'");
    }
    head.isHttp10 = parts.group(3).equals("0");
    String target = parts.group(2);
    Matcher absolute = ABSOLUTE.matcher(target);
    if (absolute.matches()) {
      head.authority = absolute.group(1);
      String path = absolute.group(2);
      target = path == null ? "/" : path.startsWith("/") ? path : "/" + path;
    } else if (target.equals("*")) {
      target = "/"; // OPTIONS for the whole server
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
      throw bad("a header must have the form 'Name: value'");
    }
    String name = parts.group(1).toLowerCase(Locale.ROOT);
    String value = parts.group(2).strip();
    switch (name) {
      case "host" -> {
        head.host = once(head.host, value, "Host");
        return; // written below: a host in the target takes precedence (RFC 9112, section 3.2.2)
      }
      case "content-length" -> head.length = once(head.length, value, "Content-Length");
      case "transfer-encoding" -> head.transfer = once(head.transfer, value, "Transfer-Encoding");
      case "connection" -> head.connection += "," + value.toLowerCase(Locale.ROOT);
      case "expect" -> {
        if (head.isHttp10) {
          return; // HTTP/1.0 has no interim responses
        }
        if (!value.equalsIgnoreCase("100-continue")) {
          throw failure(Status.EXPECTATION_FAILED_417, "Expect must be 100-continue");
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

  /** Determines the length of the body. */
  private void frame(Head head) {
    if (!head.transfer.isEmpty() && (!head.length.isEmpty() || head.isHttp10)) {
      throw bad("Transfer-Encoding cannot be combined with Content-Length or HTTP/1.0");
    }
    if (!head.transfer.isEmpty() && !head.transfer.equalsIgnoreCase("chunked")) {
      throw failure(Status.NOT_IMPLEMENTED_501, "Transfer-Encoding must be chunked");
    }
    if (!head.length.isEmpty() && !LENGTH.matcher(head.length).matches()) {
      throw bad("Content-Length must be a number");
    }
    var options = Arrays.asList(head.connection.split("[\\s,]+"));
    keepAlive = !options.contains("close") && (!head.isHttp10 || options.contains("keep-alive"));
    chunked = !head.transfer.isEmpty();
    total = 0;
    remaining = head.length.isEmpty() ? 0 : Long.parseLong(head.length);
  }

  // --- the body -------------------------------------------------------------------------------

  private byte[] body() {
    if (!pull()) {
      throw bad(
          chunked
              ? "the body ended within a chunk"
              : "the body ended %d bytes before its Content-Length".formatted(remaining));
    }
    int size = (int) Math.min(remaining, buffer.length - position);
    byte[] part = Arrays.copyOfRange(buffer, position, position + size);
    position += size;
    remaining -= size;
    return chunked ? framed(part) : part;
  }

  /** Frames a part of a chunk as a complete chunk. */
  private byte[] framed(byte[] part) {
    if (remaining == 0 && (readBodyByte() != '\r' || readBodyByte() != '\n')) {
      throw bad("a chunk must end with CR and LF after the number of bytes that it declares");
    }
    byte[] size = (Integer.toHexString(part.length) + "\r\n").getBytes(StandardCharsets.US_ASCII);
    byte[] all = Arrays.copyOf(size, size.length + part.length + 2);
    System.arraycopy(part, 0, all, size.length, part.length);
    all[all.length - 2] = '\r';
    all[all.length - 1] = '\n';
    return all;
  }

  /** Reads the header of the next chunk, or the end of the body. */
  private byte[] chunk() {
    long size = 0;
    int digits = 0;
    int next = readBodyByte();
    for (int digit; (digit = Character.digit(next, 16)) >= 0; next = readBodyByte()) {
      size = 16 * size + digit;
      if (++digits > 15) {
        throw bad("a chunk's size must be a number");
      }
    }
    if (digits == 0 || !(next == '\r' || next == ';' || next == ' ' || next == '\t')) {
      throw bad("a chunk's size must be a number");
    }
    for (int ignored = 0; next != '\r'; next = readBodyByte()) { // the chunk extension
      if (++ignored > MAX_IGNORED_BYTES || next == '\n') {
        throw bad("a chunk extension must have at most %d bytes".formatted(MAX_IGNORED_BYTES));
      }
    }
    if (readBodyByte() != '\n') {
      throw bad("a chunk's size must end with CR and LF");
    }
    total += size;
    if (total > maxBodyBytes) {
      throw failure(
          Status.REQUEST_ENTITY_TOO_LARGE_413,
          "the body must have at most %d bytes".formatted(maxBodyBytes));
    }
    if (size > 0) {
      remaining = size;
      return body();
    }
    int ignored = 0;
    for (String trailer = " "; !trailer.isEmpty(); ignored += trailer.length()) {
      trailer = line(MAX_IGNORED_BYTES - ignored, Status.BAD_REQUEST_400, "the trailers");
      if (trailer == null) {
        throw bad("the body ended within its trailers");
      }
    }
    chunked = false;
    return "0\r\n\r\n".getBytes(StandardCharsets.US_ASCII);
  }
}
