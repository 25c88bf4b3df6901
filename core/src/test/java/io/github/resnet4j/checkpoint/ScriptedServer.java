package io.github.resnet4j.checkpoint;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.OutputStream;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Deque;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.IntFunction;

/** An HTTP server on loopback whose behavior, including failures, tests define. */
public final class ScriptedServer implements AutoCloseable {
  /**
   * A response.
   *
   * @param head status line and headers, without Content-Length
   * @param body the sent bytes
   * @param claimed the length in the header
   */
  public record Response(String head, byte[] body, long claimed, boolean hangs) {
    public static Response ok(byte[] body) {
      return new Response("200 OK", body, body.length, false);
    }

    public static Response status(String status) {
      return new Response(status, new byte[0], 0, false);
    }

    /** Closes the connection before the promised length is sent. */
    public Response withContentLength(long length) {
      return new Response(head, body, length, hangs);
    }

    public Response with(String header) {
      return new Response(head + "\r\n" + header, body, claimed, hangs);
    }

    /** Sends the body and then nothing, with the connection open. */
    public Response hanging() {
      return new Response(head, body, body.length + 1000, true);
    }
  }

  private final ServerSocket socket;
  private final Map<String, Deque<Response>> responses = new ConcurrentHashMap<>();
  private final Map<String, IntFunction<Response>> interrupting = new ConcurrentHashMap<>();
  private final List<String> requests = new ArrayList<>();

  public ScriptedServer() throws IOException {
    socket = new ServerSocket(0, 50, InetAddress.getLoopbackAddress());
    Thread.ofVirtual().start(this::serve);
  }

  /** The responses for a path, one after the other; the last one is repeated. */
  public void on(String path, Response... sequence) {
    responses.put(path, new ArrayDeque<>(List.of(sequence)));
  }

  /** Serves from the requested byte, but never more than {@code max} bytes per response. */
  public void interrupts(String path, byte[] content, int maxBytes) {
    interrupting.put(path, from -> part(content, from, maxBytes));
  }

  private static Response part(byte[] content, int from, int maxBytes) {
    byte[] part = Arrays.copyOfRange(content, from, Math.min(content.length, from + maxBytes));
    String range = "Content-Range: bytes %d-%d/%d";
    return new Response("206 Partial Content", part, content.length - from, false)
        .with(range.formatted(from, content.length - 1, content.length));
  }

  public URI url(String path) {
    return URI.create("http://127.0.0.1:" + socket.getLocalPort() + path);
  }

  public int port() {
    return socket.getLocalPort();
  }

  /** The received request lines and Range headers. */
  public synchronized List<String> requests() {
    return List.copyOf(requests);
  }

  private void serve() {
    while (!socket.isClosed()) {
      try {
        Socket connection = socket.accept();
        Thread.ofVirtual().start(() -> response(connection));
      } catch (IOException e) {
        return;
      }
    }
  }

  private void response(Socket connection) {
    try (connection) {
      var in =
          new BufferedReader(
              new InputStreamReader(connection.getInputStream(), StandardCharsets.ISO_8859_1));
      String request = in.readLine();
      if (request == null) {
        return;
      }
      String range = "";
      for (String line; (line = in.readLine()) != null && !line.isEmpty(); ) {
        if (line.toLowerCase(Locale.ROOT).startsWith("range:")) {
          range = " " + line.substring(6).strip();
        }
      }
      String path = request.split(" ")[1].replaceFirst("^http://[^/]*", "");
      synchronized (this) {
        requests.add(request.split(" ")[0] + " " + request.split(" ")[1] + range);
      }
      OutputStream out = connection.getOutputStream();
      if (interrupting.containsKey(path)) {
        int from = range.isEmpty() ? 0 : Integer.parseInt(range.replaceAll("\\D", ""));
        send(interrupting.get(path).apply(from), out);
        return;
      }
      Deque<Response> sequence =
          responses.getOrDefault(path, new ArrayDeque<>(List.of(Response.status("404 Not Found"))));
      Response response;
      synchronized (sequence) {
        response = sequence.size() > 1 ? sequence.removeFirst() : sequence.getFirst();
      }
      send(response, out);
      if (response.hangs) {
        Thread.sleep(60_000);
      }
    } catch (IOException e) {
      // The client disconnected.
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
  }

  private static void send(Response response, OutputStream out) throws IOException {
    out.write(
        ("HTTP/1.1 "
                + response.head
                + "\r\nContent-Length: "
                + response.claimed
                + "\r\nConnection: close\r\n\r\n")
            .getBytes(StandardCharsets.ISO_8859_1));
    out.write(response.body);
    out.flush();
  }

  @Override
  public void close() {
    try {
      socket.close();
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }
}
