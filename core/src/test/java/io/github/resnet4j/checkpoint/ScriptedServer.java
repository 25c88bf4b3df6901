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
  public record Answer(String head, byte[] body, long claimed, boolean hangs) {
    public static Answer ok(byte[] body) {
      return new Answer("200 OK", body, body.length, false);
    }

    public static Answer status(String status) {
      return new Answer(status, new byte[0], 0, false);
    }

    /** Closes the connection before the promised length is sent. */
    public Answer claiming(long length) {
      return new Answer(head, body, length, hangs);
    }

    public Answer with(String header) {
      return new Answer(head + "\r\n" + header, body, claimed, hangs);
    }

    /** Sends the body and then nothing, with the connection open. */
    public Answer hanging() {
      return new Answer(head, body, body.length + 1000, true);
    }
  }

  private final ServerSocket socket;
  private final Map<String, Deque<Answer>> answers = new ConcurrentHashMap<>();
  private final Map<String, IntFunction<Answer>> breaking = new ConcurrentHashMap<>();
  private final List<String> requests = new ArrayList<>();

  public ScriptedServer() throws IOException {
    socket = new ServerSocket(0, 50, InetAddress.getLoopbackAddress());
    Thread.ofVirtual().start(this::serve);
  }

  /** The responses for a path, one after the other; the last one is repeated. */
  public void on(String path, Answer... sequence) {
    answers.put(path, new ArrayDeque<>(List.of(sequence)));
  }

  /** Serves from the requested byte, but never more than {@code max} bytes per response. */
  public void breaksOff(String path, byte[] content, int most) {
    breaking.put(path, from -> piece(content, from, most));
  }

  private static Answer piece(byte[] content, int from, int most) {
    byte[] piece = Arrays.copyOfRange(content, from, Math.min(content.length, from + most));
    String range = "Content-Range: bytes %d-%d/%d";
    return new Answer("206 Partial Content", piece, content.length - from, false)
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
        Thread.ofVirtual().start(() -> answer(connection));
      } catch (IOException e) {
        return;
      }
    }
  }

  private void answer(Socket connection) {
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
      if (breaking.containsKey(path)) {
        int from = range.isEmpty() ? 0 : Integer.parseInt(range.replaceAll("\\D", ""));
        send(breaking.get(path).apply(from), out);
        return;
      }
      Deque<Answer> sequence =
          answers.getOrDefault(path, new ArrayDeque<>(List.of(Answer.status("404 Not Found"))));
      Answer answer;
      synchronized (sequence) {
        answer = sequence.size() > 1 ? sequence.removeFirst() : sequence.getFirst();
      }
      send(answer, out);
      if (answer.hangs) {
        Thread.sleep(60_000);
      }
    } catch (IOException e) {
      // The client disconnected.
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
  }

  private static void send(Answer answer, OutputStream out) throws IOException {
    out.write(
        ("HTTP/1.1 "
                + answer.head
                + "\r\nContent-Length: "
                + answer.claimed
                + "\r\nConnection: close\r\n\r\n")
            .getBytes(StandardCharsets.ISO_8859_1));
    out.write(answer.body);
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
