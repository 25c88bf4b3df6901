package io.github.resnet4j.server;

import com.fasterxml.jackson.jr.ob.JSON;
import io.github.resnet4j.messages.Reason;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.time.Instant;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;

/**
 * A line of JSON for each request, and for what went wrong. A log that cannot be written, because
 * the disk is full, stops no request: lines are lost, and counted.
 */
final class AccessLog implements AutoCloseable {
  private final OutputStream out;
  private final boolean closes;
  private long lost;

  /**
   * @param file what is appended to; standard error if empty
   */
  AccessLog(Optional<Path> file) throws IOException {
    closes = file.isPresent();
    try {
      out =
          file.isPresent()
              ? Files.newOutputStream(
                  file.get(), StandardOpenOption.CREATE, StandardOpenOption.APPEND)
              : System.err;
    } catch (NoSuchFileException e) {
      throw new IOException(
          "--access-log %s: cannot be written: there is no folder %s"
              .formatted(e.getFile(), Path.of(e.getFile()).toAbsolutePath().getParent()),
          e);
    } catch (IOException e) {
      throw new IOException("--access-log " + Reason.of(e), e);
    }
  }

  void request(Map<String, Object> fields) {
    write(fields);
  }

  /** What went wrong, with its trace: for those who run the server, not for clients. */
  void failure(String where, Throwable e) {
    var fields = new LinkedHashMap<String, Object>();
    fields.put("event", "failure");
    fields.put("where", where);
    fields.put("error", String.valueOf(e.getMessage()));
    fields.put("type", e.getClass().getName());
    StackTraceElement[] trace = e.getStackTrace();
    fields.put("at", trace.length == 0 ? "" : trace[0].toString());
    write(fields);
  }

  void event(String event, Map<String, ?> more) {
    var fields = new LinkedHashMap<String, Object>();
    fields.put("event", event);
    fields.putAll(more);
    write(fields);
  }

  private synchronized void write(Map<String, Object> fields) {
    var line = new LinkedHashMap<String, Object>();
    line.put("time", Instant.now().toString());
    line.putAll(fields);
    try {
      out.write((JSON.std.asString(line) + "\n").getBytes(StandardCharsets.UTF_8));
      out.flush();
    } catch (IOException _) {
      lost++;
    }
  }

  /** Lines that could not be written. */
  synchronized long lost() {
    return lost;
  }

  @Override
  public void close() throws IOException {
    if (closes) {
      out.close();
    }
  }
}
