package io.github.resnet4j.server;

import io.helidon.common.buffers.BufferData;
import io.helidon.http.Headers;
import io.helidon.webserver.ConnectionContext;
import io.helidon.webserver.http1.Http1Config;
import io.helidon.webserver.http1.Http1ConnectionListener;
import io.helidon.webserver.http1.Http1ConnectionSelector;
import io.helidon.webserver.spi.ServerConnection;
import io.helidon.webserver.spi.ServerConnectionSelector;
import java.io.UncheckedIOException;
import java.time.Duration;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import org.jspecify.annotations.Nullable;

/**
 * The connections there are, each with the time until which it must have said what it was asked
 * for: its first request, the rest of a header, a body, the next request. One that has not is
 * closed. Helidon closes those that are idle between requests, not those that are slow within one.
 */
final class Connections implements ServerConnectionSelector, AutoCloseable {
  private static final long LOOK_MILLIS = 250;

  /** A connection, as the thread that serves it knows it. */
  static final class Connection {
    private final ConnectionContext context;
    private volatile long until;
    private volatile boolean armed;
    private volatile boolean idle;
    private volatile boolean gone;
    private @Nullable Thread watch;

    private Connection(ConnectionContext context) {
      this.context = context;
    }

    /**
     * Looks for the end of the connection while its thread waits for a result. What comes instead,
     * the beginning of the next request, is kept for that; so the thread must not read until {@link
     * #rest} returns.
     */
    void watch() {
      if (watch == null) {
        watch =
            Thread.ofVirtual()
                .start(() -> {
                  try {
                    context.dataReader().pullData();
                  } catch (RuntimeException _) {
                    gone = true;
                  }
                });
      }
    }

    /** Whether the client hung up, if it is watched. */
    boolean isGone() {
      return gone;
    }

    /** After the answer: waits for the next request or the end, if it was watched. */
    private void rest() {
      if (watch != null) {
        try {
          watch.join();
        } catch (InterruptedException _) {
          Thread.currentThread().interrupt();
        }
        watch = null;
      }
    }

    /** Gives it until then, in {@link System#nanoTime()}. */
    void expect(long nanoTime) {
      until = nanoTime;
      armed = true;
    }

    /** It has said all that it was asked for. */
    void thank() {
      armed = false;
    }
  }

  private final Duration idle;
  private final Http1ConnectionSelector http;
  private final Set<Connection> all = ConcurrentHashMap.newKeySet();
  private final ThreadLocal<@Nullable Connection> current = new ThreadLocal<>();
  private final Thread thread;

  Connections(Duration idle, Http1Config.Builder config) {
    this.idle = idle;
    this.http =
        Http1ConnectionSelector.builder()
            .config(
                config
                    .addReceiveListener(
                        new Http1ConnectionListener() {
                          @Override
                          public void headers(ConnectionContext ctx, Headers headers) {
                            if (current.get() instanceof Connection connection) {
                              connection.idle = false;
                              connection.thank();
                            }
                          }
                        })
                    .build())
            .build();
    this.thread = Thread.ofVirtual().name("connections").start(this::look);
  }

  /** The connection that this thread serves. */
  @Nullable Connection current() {
    return current.get();
  }

  /** A request was answered: the next one may take its time. */
  void answered() {
    if (current.get() instanceof Connection connection) {
      connection.expect(System.nanoTime() + idle.toNanos());
      connection.idle = true;
      connection.rest();
    }
  }

  /** Closes those that wait for another request. */
  void closeIdle() {
    for (Connection connection : all) {
      if (connection.idle) {
        close(connection);
      }
    }
  }

  private void look() {
    try {
      while (true) {
        Thread.sleep(LOOK_MILLIS);
        long now = System.nanoTime();
        for (Connection connection : all) {
          if (connection.armed && now - connection.until > 0) {
            close(connection);
          }
        }
      }
    } catch (InterruptedException _) {
      // the server stops
    }
  }

  private void close(Connection connection) {
    all.remove(connection);
    try {
      connection.context.serverSocket().close();
    } catch (UncheckedIOException _) {
      // closed already
    }
  }

  int count() {
    return all.size();
  }

  @Override
  public int bytesToIdentifyConnection() {
    return http.bytesToIdentifyConnection();
  }

  @Override
  public Support supports(BufferData data) {
    return http.supports(data);
  }

  @Override
  public Set<String> supportedApplicationProtocols() {
    return http.supportedApplicationProtocols();
  }

  @Override
  public ServerConnection connection(ConnectionContext ctx) {
    var connection = new Connection(ctx);
    connection.expect(System.nanoTime() + idle.toNanos());
    all.add(connection);
    ServerConnection served = http.connection(ctx);
    return new ServerConnection() {
      @Override
      public void handle(io.helidon.common.concurrency.limits.Limit limit)
          throws InterruptedException {
        current.set(connection);
        try {
          served.handle(limit);
        } finally {
          current.remove();
          all.remove(connection);
        }
      }

      @Override
      public Duration idleTime() {
        return served.idleTime();
      }

      @Override
      public void close(boolean interrupt) {
        served.close(interrupt);
      }
    };
  }

  @Override
  public void close() {
    thread.interrupt();
  }
}
