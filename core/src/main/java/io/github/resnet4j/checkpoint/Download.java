package io.github.resnet4j.checkpoint;

import java.io.FileNotFoundException;
import java.io.IOException;
import java.io.InputStream;
import java.net.ConnectException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpHeaders;
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
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicLong;
import org.jspecify.annotations.Nullable;

/**
 * Downloads files over HTTP(S) into a cache folder. An interrupted transfer is resumed, in the same
 * process or a later one; the file gets its name only after it is complete and its checksum is
 * correct. Two processes that download the same file wait for each other.
 *
 * <p>Proxies and certificates are those of {@link HttpAccess}. The token of Hugging Face is sent to
 * its server only, also after a redirect.
 */
public final class Download {
  /**
   * The number of consecutive attempts with less than {@link #PROGRESS_BYTES} of progress; a slow
   * connection with progress may fail more often.
   */
  private static final int ATTEMPTS = 4;

  private static final long PROGRESS_BYTES = 1 << 20;
  private static final long MAX_BYTES = 16L << 30;
  private static final int MAX_REDIRECTS = 10;
  private static final int MAX_TEXT_BYTES = 16 << 20;
  private static final Map<Path, Object> LOCKS = new ConcurrentHashMap<>();

  private final Map<String, String> environment;
  private @Nullable HttpClient client;
  private final Progress progress;
  private final Duration stall;

  /** Receives the progress of a transfer. */
  public interface Progress {
    /**
     * @param file the name of the file
     * @param bytes the number of bytes so far, including those of earlier attempts
     * @param total the total number of bytes, or −1 if the server does not send it
     */
    void at(String file, long bytes, long total);
  }

  /**
   * @param environment contains the variables of the proxy, usually {@link System#getenv()}
   * @param stall a connection is closed if no data arrives for this time
   */
  public Download(Map<String, String> environment, Progress progress, Duration stall) {
    this.progress = progress;
    this.stall = stall;
    this.environment = Map.copyOf(environment);
    HttpAccess.permitProxyPasswords(environment);
  }

  /** Created on first use: this takes a quarter of a second, and most files are in the cache. */
  private synchronized HttpClient client() throws IOException {
    if (client == null) {
      client = HttpAccess.client(environment).connectTimeout(stall).build();
    }
    return client;
  }

  /** Uses this process's environment and closes a connection after half a minute without data. */
  public Download(Progress progress) {
    this(System.getenv(), progress, Duration.ofSeconds(30));
  }

  /**
   * Downloads a file, unless it is already in the folder.
   *
   * @param sha256 the first digits of its SHA-256 in hexadecimal; if empty, the checksum in the
   *     server's {@code X-Linked-Etag} header is used, if there is one
   * @throws FileNotFoundException if the server says 404
   * @throws IOException naming the URL, and the folder in which the file can be placed manually
   */
  public Path fetch(URI url, Path folder, String name, String sha256) throws IOException {
    Path file = folder.resolve(name);
    if (Files.exists(file)) {
      return file;
    }
    Files.createDirectories(folder);
    // The file lock excludes other processes, but throws an exception among threads of one process.
    synchronized (LOCKS.computeIfAbsent(file.toAbsolutePath(), _ -> new Object())) {
      return fetchLocked(url, folder, file, sha256);
    }
  }

  private Path fetchLocked(URI url, Path folder, Path file, String sha256) throws IOException {
    String name = String.valueOf(file.getFileName());
    Path temporaryFile = folder.resolve(name + ".part");
    try (var channel =
            FileChannel.open(
                temporaryFile,
                StandardOpenOption.CREATE,
                StandardOpenOption.READ,
                StandardOpenOption.WRITE);
        var _ = channel.lock()) {
      if (Files.exists(file)) { // another thread or process downloaded it
        Files.deleteIfExists(temporaryFile);
        return file;
      }
      String expected = transfer(url, channel, name, sha256);
      String actual = sha256(channel);
      if (!actual.startsWith(expected)) {
        Files.deleteIfExists(temporaryFile);
        throw new IOException(
            "%s: its SHA-256 starts with %s, expected %s; the download was deleted"
                .formatted(url, actual.substring(0, Math.max(8, expected.length())), expected));
      }
      channel.force(true);
      Files.move(temporaryFile, file, StandardCopyOption.ATOMIC_MOVE);
      return file;
    } catch (FileNotFoundException e) {
      Files.deleteIfExists(temporaryFile);
      throw e;
    } catch (IOException e) {
      throw new IOException(
          "%s%nto avoid the download, put the file into %s"
              .formatted(e.getMessage(), folder.toAbsolutePath()),
          e);
    }
  }

  /** Downloads the file, in several attempts if necessary; returns the expected checksum. */
  private String transfer(URI url, FileChannel temporaryFile, String name, String sha256)
      throws IOException {
    IOException last = null;
    for (int failures = 0; failures < ATTEMPTS; ) {
      long before = temporaryFile.size();
      try {
        pause(failures);
        var linked = attempt(url, temporaryFile, name);
        return sha256.isEmpty() ? linked.orElse("") : sha256;
      } catch (FileNotFoundException | PermanentFailure e) {
        throw e;
      } catch (IOException e) {
        last = e;
        failures = temporaryFile.size() - before >= PROGRESS_BYTES ? 1 : failures + 1;
      }
    }
    throw new IOException("cannot download %s: %s".formatted(url, reason(last)), last);
  }

  /** A response that would not change in another attempt. */
  private static final class PermanentFailure extends IOException {
    private static final long serialVersionUID = 1;

    PermanentFailure(String message) {
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

  private Optional<String> attempt(URI url, FileChannel temporaryFile, String name)
      throws IOException {
    long received = temporaryFile.size();
    var request = HttpRequest.newBuilder(url).timeout(stall);
    if (received > 0) {
      request.header("Range", "bytes=" + received + "-");
    }
    Answer answer = send(request);
    HttpResponse<InputStream> response = answer.last();
    try (InputStream body = response.body()) {
      int status = response.statusCode();
      if (status == 404 || status == 410) {
        throw new FileNotFoundException(
            "%s: the server does not have this file (%d)".formatted(url, status));
      }
      if (status == 416) { // the partial file is too long: start again
        temporaryFile.truncate(0);
        throw new IOException("the server refused to resume at byte " + received);
      }
      if (status != 200 && status != 206) {
        String message = "%s: the server responded with status %d".formatted(url, status);
        if (status == 401 || status == 403) {
          throw new PermanentFailure(refusal(answer, url));
        }
        throw status >= 500 || status == 429
            ? new IOException(message)
            : new PermanentFailure(message);
      }
      boolean resumes =
          status == 206
              && response
                  .headers()
                  .firstValue("Content-Range")
                  .orElse("")
                  .startsWith("bytes " + received + "-");
      if (status == 206 && !resumes) {
        temporaryFile.truncate(0);
        throw new IOException("the server resumed at another byte than requested");
      }
      long start = resumes ? received : 0;
      long length = response.headers().firstValueAsLong("Content-Length").orElse(-1);
      temporaryFile.truncate(start).position(start);
      copy(body, temporaryFile, name, start, length < 0 ? -1 : start + length);
    }
    return linkedSha256(answer);
  }

  /**
   * A response after redirects.
   *
   * @param headers those of all responses, the last one first
   */
  private record Answer(HttpResponse<InputStream> last, List<HttpHeaders> headers) {
    Optional<String> header(String name) {
      return headers.stream().flatMap(each -> each.firstValue(name).stream()).findFirst();
    }
  }

  /** Sends a request and follows redirects, but not from HTTPS to HTTP. */
  private Answer send(HttpRequest.Builder request) throws IOException {
    var headers = new ArrayList<HttpHeaders>();
    URI url = request.build().uri();
    for (int hop = 0; hop <= MAX_REDIRECTS; hop++) {
      HttpResponse<InputStream> response = sendOnce(request.copy().uri(url));
      headers.addFirst(response.headers());
      Optional<String> location = response.headers().firstValue("Location");
      if (response.statusCode() / 100 != 3 || location.isEmpty()) {
        return new Answer(response, headers);
      }
      response.body().close();
      url = redirected(url, location.get());
    }
    throw new PermanentFailure(url + ": more than %d redirects".formatted(MAX_REDIRECTS));
  }

  private static URI redirected(URI from, String location) throws IOException {
    URI to;
    try {
      to = from.resolve(location);
    } catch (IllegalArgumentException e) {
      throw new PermanentFailure(from + ": redirects to an invalid address, " + location);
    }
    boolean isHttp = "http".equals(to.getScheme()) && "http".equals(from.getScheme());
    if (!isHttp && !"https".equals(to.getScheme()) || to.getHost() == null) {
      throw new PermanentFailure(from + ": redirects to another kind of address, " + to);
    }
    return to;
  }

  private HttpResponse<InputStream> sendOnce(HttpRequest.Builder request) throws IOException {
    if (HuggingFaceHub.isServer(request.build().uri(), environment)) {
      HuggingFaceHub.token(environment)
          .ifPresent(token -> request.header("Authorization", "Bearer " + token));
    }
    try {
      return client().send(request.build(), HttpResponse.BodyHandlers.ofInputStream());
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw new IOException("interrupted", e);
    }
  }

  /** The message for a response with status 401 or 403. */
  private String refusal(Answer answer, URI url) throws IOException {
    return HuggingFaceHub.isServer(url, environment)
        ? HuggingFaceHub.refusal(answer.header("X-Error-Code").orElse(""), url, environment)
        : "%s: the server responded with status %d".formatted(url, answer.last().statusCode());
  }

  private void copy(
      InputStream body, FileChannel temporaryFile, String name, long start, long total)
      throws IOException {
    var arrived = new AtomicLong(start);
    var watch = Thread.ofVirtual().start(() -> closeWhenStalled(body, arrived));
    try {
      byte[] buffer = new byte[1 << 16];
      for (int count; (count = body.read(buffer)) >= 0; ) {
        var bytes = ByteBuffer.wrap(buffer, 0, count);
        while (bytes.hasRemaining()) {
          temporaryFile.write(bytes);
        }
        long now = arrived.addAndGet(count);
        if (now > MAX_BYTES) {
          throw new PermanentFailure(
              name + ": more than 16 GB were received, which is too large for weights");
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
      // An interrupt means that the transfer ended; a stream that cannot be closed is already
      // closed.
    }
  }

  /** Hugging Face sends the SHA-256 of large files in a header before it redirects. */
  private static Optional<String> linkedSha256(Answer answer) {
    return answer
        .header("X-Linked-Etag")
        .map(tag -> tag.replace("\"", "").toLowerCase(Locale.ROOT))
        .filter(tag -> tag.matches("[0-9a-f]{64}"));
  }

  /** The text of a small file, and a response header. */
  record SmallFile(String text, Optional<String> header) {}

  /**
   * Downloads a small text into memory.
   *
   * @throws FileNotFoundException if the server says 404
   */
  SmallFile fetchText(URI url, String header) throws IOException {
    Answer answer;
    try {
      answer = send(HttpRequest.newBuilder(url).timeout(stall));
    } catch (IOException e) {
      throw new IOException("cannot download %s: %s".formatted(url, reason(e)), e);
    }
    HttpResponse<InputStream> response = answer.last();
    try (InputStream body = response.body()) {
      if (response.statusCode() == 401 || response.statusCode() == 403) {
        throw new IOException(refusal(answer, url));
      }
      if (response.statusCode() == 404) {
        throw new FileNotFoundException(url + ": the server does not have this file (404)");
      }
      if (response.statusCode() != 200) {
        throw new IOException(url + ": the server responded with status " + response.statusCode());
      }
      byte[] bytes = body.readNBytes(MAX_TEXT_BYTES);
      return new SmallFile(new String(bytes, StandardCharsets.UTF_8), answer.header(header));
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
        ? "no connection; check that this machine is online"
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
}
