package io.github.resnet4j.checkpoint;

import java.io.FileNotFoundException;
import java.io.IOException;
import java.io.InputStream;
import java.net.ConnectException;
import java.net.InetSocketAddress;
import java.net.Proxy;
import java.net.ProxySelector;
import java.net.SocketAddress;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.time.Duration;
import java.util.HexFormat;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicLong;
import org.jspecify.annotations.Nullable;

/**
 * Fetches files over HTTP(S) into a cache folder. A broken transfer goes on where it stopped, in
 * this run or the next; the file appears under its name only when it is complete and its checksum
 * is right. Two processes that want the same file take turns.
 *
 * <p>A proxy comes from {@code HTTPS_PROXY}, {@code HTTP_PROXY} and {@code NO_PROXY}, else from
 * Java's own settings.
 */
public final class Download {
  /** In a row, without {@link #PROGRESS_BYTES} more; a slow line that gets on may break often. */
  private static final int ATTEMPTS = 4;

  private static final long PROGRESS_BYTES = 1 << 20;
  private static final long MAX_BYTES = 16L << 30;
  private static final int MAX_TEXT_BYTES = 16 << 20;
  private static final Map<Path, Object> IN_THIS_PROCESS = new ConcurrentHashMap<>();

  private final Map<String, String> environment;
  private @Nullable HttpClient client;
  private final Progress progress;
  private final Duration stall;

  /** Is told how far a transfer is. */
  public interface Progress {
    /**
     * @param file the name of the file
     * @param bytes how many have arrived, those of earlier runs included
     * @param total how many there will be, or −1 where the server does not say
     */
    void at(String file, long bytes, long total);
  }

  /**
   * @param environment where the proxy's variables are, usually {@link System#getenv()}
   * @param stall give a connection up when nothing arrives for so long
   */
  public Download(Map<String, String> environment, Progress progress, Duration stall) {
    this.progress = progress;
    this.stall = stall;
    this.environment = Map.copyOf(environment);
  }

  /** Made when it is first needed: that takes a quarter of a second, and most files are here. */
  private synchronized HttpClient client() {
    if (client == null) {
      client =
          HttpClient.newBuilder()
              .connectTimeout(stall)
              .followRedirects(HttpClient.Redirect.NORMAL)
              .proxy(new EnvironmentProxy(environment, ProxySelector.getDefault()))
              .build();
    }
    return client;
  }

  /** With this process's environment and half a minute of patience. */
  public Download(Progress progress) {
    this(System.getenv(), progress, Duration.ofSeconds(30));
  }

  /**
   * Fetches a file, unless it is in the folder already.
   *
   * @param sha256 the beginning of its SHA-256 in hexadecimal; empty to take what the server's
   *     {@code X-Linked-Etag} says, or nothing
   * @throws FileNotFoundException if the server says 404
   * @throws IOException naming the URL, and the folder that the file may be put into by hand
   */
  public Path fetch(URI url, Path folder, String name, String sha256) throws IOException {
    Path file = folder.resolve(name);
    if (Files.exists(file)) {
      return file;
    }
    Files.createDirectories(folder);
    // The file lock keeps other processes out, but fails among the threads of one.
    synchronized (IN_THIS_PROCESS.computeIfAbsent(file.toAbsolutePath(), _ -> new Object())) {
      return fetchAlone(url, folder, file, sha256);
    }
  }

  private Path fetchAlone(URI url, Path folder, Path file, String sha256) throws IOException {
    String name = String.valueOf(file.getFileName());
    Path part = folder.resolve(name + ".part");
    try (var channel =
            FileChannel.open(
                part,
                StandardOpenOption.CREATE,
                StandardOpenOption.READ,
                StandardOpenOption.WRITE);
        var _ = channel.lock()) {
      if (Files.exists(file)) { // another was first
        Files.deleteIfExists(part);
        return file;
      }
      String expected = transfer(url, channel, name, sha256);
      String actual = sha256(channel);
      if (!actual.startsWith(expected)) {
        Files.deleteIfExists(part);
        throw new IOException(
            "%s: its SHA-256 begins with %s, not with %s; the download was thrown away"
                .formatted(url, actual.substring(0, Math.max(8, expected.length())), expected));
      }
      channel.force(true);
      Files.move(part, file, StandardCopyOption.ATOMIC_MOVE);
      return file;
    } catch (FileNotFoundException e) {
      Files.deleteIfExists(part);
      throw e;
    } catch (IOException e) {
      throw new IOException(
          "%s%nput the file into %s to do without the download"
              .formatted(e.getMessage(), folder.toAbsolutePath()),
          e);
    }
  }

  /** Fills the file, in several attempts if need be; returns the checksum to expect. */
  private String transfer(URI url, FileChannel part, String name, String sha256)
      throws IOException {
    IOException last = null;
    for (int failures = 0; failures < ATTEMPTS; ) {
      long before = part.size();
      try {
        pause(failures);
        var linked = attempt(url, part, name);
        return sha256.isEmpty() ? linked.orElse("") : sha256;
      } catch (FileNotFoundException | Refused e) {
        throw e;
      } catch (IOException e) {
        last = e;
        failures = part.size() - before >= PROGRESS_BYTES ? 1 : failures + 1;
      }
    }
    throw new IOException("cannot download %s: %s".formatted(url, reason(last)), last);
  }

  /** An answer that a further attempt would not change. */
  private static final class Refused extends IOException {
    private static final long serialVersionUID = 1;

    Refused(String message) {
      super(message);
    }
  }

  private static void pause(int failures) throws IOException {
    try {
      Thread.sleep(failures == 0 ? 0 : 100L << failures);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw new IOException("interrupted", e);
    }
  }

  private Optional<String> attempt(URI url, FileChannel part, String name) throws IOException {
    long have = part.size();
    var request = HttpRequest.newBuilder(url).timeout(stall);
    if (have > 0) {
      request.header("Range", "bytes=" + have + "-");
    }
    HttpResponse<InputStream> response = send(request.build());
    try (InputStream body = response.body()) {
      int status = response.statusCode();
      if (status == 404 || status == 410) {
        throw new FileNotFoundException(
            "%s: the server has no such file (%d)".formatted(url, status));
      }
      if (status == 416) { // more is here than there is: begin anew
        part.truncate(0);
        throw new IOException("the server refused to go on at byte " + have);
      }
      if (status != 200 && status != 206) {
        String message = "%s: the server answered %d".formatted(url, status);
        throw status >= 500 || status == 429 ? new IOException(message) : new Refused(message);
      }
      boolean resumes =
          status == 206
              && response
                  .headers()
                  .firstValue("Content-Range")
                  .orElse("")
                  .startsWith("bytes " + have + "-");
      if (status == 206 && !resumes) {
        part.truncate(0);
        throw new IOException("the server went on at another byte than asked");
      }
      long start = resumes ? have : 0;
      long length = response.headers().firstValueAsLong("Content-Length").orElse(-1);
      part.truncate(start).position(start);
      copy(body, part, name, start, length < 0 ? -1 : start + length);
    }
    return linkedSha256(response);
  }

  private HttpResponse<InputStream> send(HttpRequest request) throws IOException {
    try {
      return client().send(request, HttpResponse.BodyHandlers.ofInputStream());
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw new IOException("interrupted", e);
    }
  }

  private void copy(InputStream body, FileChannel part, String name, long start, long total)
      throws IOException {
    var arrived = new AtomicLong(start);
    var watch = Thread.ofVirtual().start(() -> closeWhenStalled(body, arrived));
    try {
      byte[] buffer = new byte[1 << 16];
      for (int count; (count = body.read(buffer)) >= 0; ) {
        var bytes = ByteBuffer.wrap(buffer, 0, count);
        while (bytes.hasRemaining()) {
          part.write(bytes);
        }
        long now = arrived.addAndGet(count);
        if (now > MAX_BYTES) {
          throw new Refused(name + ": more than 16 GB arrived, too much for weights");
        }
        progress.at(name, now, total);
      }
      if (total >= 0 && arrived.get() != total) {
        throw new IOException(
            "the connection ended after %,d of %,d bytes".formatted(arrived.get(), total));
      }
    } finally {
      watch.interrupt();
    }
  }

  private void closeWhenStalled(InputStream body, AtomicLong arrived) {
    try {
      for (long seen = -1; seen != arrived.get(); ) {
        seen = arrived.get();
        Thread.sleep(stall);
      }
      body.close();
    } catch (InterruptedException | IOException _) {
      // Interrupted means that the transfer ended; a stream that cannot be closed is closed.
    }
  }

  /** Hugging Face names the SHA-256 of large files in a header before it redirects. */
  private static Optional<String> linkedSha256(HttpResponse<?> response) {
    return firstHeader(response, "X-Linked-Etag")
        .map(tag -> tag.replace("\"", "").toLowerCase(Locale.ROOT))
        .filter(tag -> tag.matches("[0-9a-f]{64}"));
  }

  private static Optional<String> firstHeader(HttpResponse<?> response, String name) {
    var found = response.headers().firstValue(name);
    return found.isPresent()
        ? found
        : response.previousResponse().flatMap(previous -> firstHeader(previous, name));
  }

  /** What a small file says, and a header that came with it. */
  record SmallFile(String text, Optional<String> header) {}

  /**
   * Fetches a small text into memory.
   *
   * @throws FileNotFoundException if the server says 404
   */
  SmallFile fetchText(URI url, String header) throws IOException {
    HttpResponse<InputStream> response;
    try {
      response = send(HttpRequest.newBuilder(url).timeout(stall).build());
    } catch (IOException e) {
      throw new IOException("cannot download %s: %s".formatted(url, reason(e)), e);
    }
    try (InputStream body = response.body()) {
      if (response.statusCode() == 404) {
        throw new FileNotFoundException(url + ": the server has no such file (404)");
      }
      if (response.statusCode() != 200) {
        throw new IOException(url + ": the server answered " + response.statusCode());
      }
      byte[] bytes = body.readNBytes(MAX_TEXT_BYTES);
      return new SmallFile(
          new String(bytes, StandardCharsets.UTF_8), firstHeader(response, header));
    }
  }

  private static String reason(@Nullable Throwable error) {
    for (Throwable cause = error; cause != null; cause = cause.getCause()) {
      String message = cause.getMessage();
      if (message != null && !message.isBlank()) {
        return message;
      }
    }
    return error instanceof ConnectException
        ? "no connection; is this machine offline?"
        : String.valueOf(error);
  }

  /** The SHA-256 of a file, in hexadecimal. */
  public static String sha256(Path file) throws IOException {
    try (var channel = FileChannel.open(file)) {
      return sha256(channel);
    }
  }

  private static String sha256(FileChannel file) throws IOException {
    MessageDigest digest;
    try {
      digest = MessageDigest.getInstance("SHA-256");
    } catch (NoSuchAlgorithmException e) {
      throw new IllegalStateException("every JDK has SHA-256", e);
    }
    var buffer = ByteBuffer.allocate(1 << 20);
    file.position(0);
    while (file.read(buffer) >= 0) {
      digest.update(buffer.flip());
      buffer.clear();
    }
    return HexFormat.of().formatHex(digest.digest());
  }

  /** The proxy that the usual variables name. */
  private static final class EnvironmentProxy extends ProxySelector {
    private final Map<String, String> environment;
    private final ProxySelector otherwise;

    EnvironmentProxy(Map<String, String> environment, ProxySelector otherwise) {
      this.environment = environment;
      this.otherwise = otherwise;
    }

    @Override
    public List<Proxy> select(URI uri) {
      String scheme = String.valueOf(uri.getScheme()).toUpperCase(Locale.ROOT);
      String proxy = variable(scheme + "_PROXY");
      if (proxy.isBlank()) {
        return otherwise.select(uri);
      }
      if (isExempt(String.valueOf(uri.getHost()))) {
        return List.of(Proxy.NO_PROXY);
      }
      URI address = URI.create(proxy.contains("://") ? proxy : "http://" + proxy);
      int port = address.getPort() < 0 ? 80 : address.getPort();
      return List.of(new Proxy(Proxy.Type.HTTP, new InetSocketAddress(address.getHost(), port)));
    }

    private boolean isExempt(String host) {
      for (String pattern : variable("NO_PROXY").split(",")) {
        String suffix = pattern.strip();
        if (suffix.equals("*")
            || suffix.equals(host)
            || (!suffix.isEmpty()
                && host.endsWith(suffix.startsWith(".") ? suffix : "." + suffix))) {
          return true;
        }
      }
      return false;
    }

    private String variable(String name) {
      String value = environment.get(name);
      if (value == null) {
        value = environment.get(name.toLowerCase(Locale.ROOT));
      }
      return value == null ? "" : value;
    }

    @Override
    public void connectFailed(URI uri, SocketAddress address, IOException e) {
      // The failure reaches the caller as an exception.
    }
  }
}
