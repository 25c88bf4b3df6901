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
 * The access log: one JSON line per request, error or event. If a line cannot be written, for
 * example because the disk is full, the request is not affected; the lost lines are counted.
 */
final class AccessLog implements AutoCloseable {
  private final OutputStream out;
  private final boolean ownsStream;
  private long lostLines;

  /**
   * @param file the file to append to; standard error if empty
   */
  AccessLog(Optional<Path> file) throws IOException {
    ownsStream = file.isPresent();
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

  /** Logs an exception with its origin, for the operator; clients do not see it. */
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
      lostLines++;
    }
  }

  /** The number of lines that could not be written. */
  synchronized long lostLines() {
    return lostLines;
  }

  @Override
  public void close() throws IOException {
    if (ownsStream) {
      out.close();
    }
  }
}
