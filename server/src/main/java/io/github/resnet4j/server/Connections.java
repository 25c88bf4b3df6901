package io.github.resnet4j.server;

import io.helidon.common.buffers.BufferData;
import io.helidon.common.buffers.DataReader;
import io.helidon.common.buffers.DataWriter;
import io.helidon.common.socket.HelidonSocket;
import io.helidon.common.socket.PeerInfo;
import io.helidon.http.Headers;
import io.helidon.webserver.ConnectionContext;
import io.helidon.webserver.ListenerContext;
import io.helidon.webserver.Router;
import io.helidon.webserver.http1.Http1Config;
import io.helidon.webserver.http1.Http1ConnectionListener;
import io.helidon.webserver.http1.Http1ConnectionSelector;
import io.helidon.webserver.spi.ServerConnection;
import io.helidon.webserver.spi.ServerConnectionSelector;
import java.io.UncheckedIOException;
import java.time.Duration;
import java.util.Objects;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutorService;
import org.jspecify.annotations.Nullable;

/**
 * The open HTTP connections. Each has a deadline for the data that it has to send: its first
 * request, the rest of a header, a body, the next request. A connection past its deadline is
 * closed.
 */
final class Connections implements ServerConnectionSelector, AutoCloseable {
  private static final long CHECK_MILLIS = 250;

  /** A connection; used by the thread that serves it. */
  static final class Connection {
    private final ConnectionContext context;
    private final RequestStream requests;
    private final ServerConnection served;
    private boolean isPipelined;
    private boolean closeAfterResponse;
    private volatile long deadline;
    private volatile boolean hasDeadline;
    private volatile boolean idle;
    private volatile boolean disconnected;
    private @Nullable Thread monitorThread;

    private Connection(ConnectionContext context, Http1ConnectionSelector http, long maxBodyBytes) {
      this.context = context;
      this.requests = new RequestStream(context.dataReader(), maxBodyBytes);
      this.served = http.connection(new RewrittenContext(context, DataReader.create(requests)));
    }

    /** Closes the connection after the response to the current request. */
    void closeAfterResponse() {
      closeAfterResponse = true;
    }

    /** Whether the connection is closed after the response to the current request. */
    boolean closesAfterResponse() {
      return closeAfterResponse || !requests.keepAlive();
    }

    /**
     * Detects a disconnect while the serving thread waits for a result, by reading from the
     * connection. Data that arrives belongs to the next request and is kept for it, so the serving
     * thread must not read until {@link #awaitMonitor} returns.
     *
     * <p>A client that pipelines requests or has requested {@code Connection: close} may half-close
     * the connection while it still reads, so it is not monitored.
     */
    void monitor() {
      isPipelined |= requests.hasNext();
      if (monitorThread == null && !isPipelined && !closesAfterResponse()) {
        monitorThread =
            Thread.ofVirtual()
                .start(() -> {
                  try {
                    context.dataReader().pullData();
                  } catch (RuntimeException _) {
                    disconnected = true;
                  }
                });
      }
    }

    /** Whether the client has disconnected; false if it is not monitored. */
    boolean isDisconnected() {
      return disconnected;
    }

    /** After the response: waits until the monitor has received data or a disconnect. */
    private void awaitMonitor() {
      if (monitorThread != null) {
        try {
          monitorThread.join();
        } catch (InterruptedException _) {
          Thread.currentThread().interrupt();
        }
        monitorThread = null;
      }
    }

    /** Sets the deadline for the expected data, in {@link System#nanoTime()}. */
    void setDeadline(long nanoTime) {
      deadline = nanoTime;
      hasDeadline = true;
    }

    /** The expected data has arrived. */
    void clearDeadline() {
      hasDeadline = false;
    }
  }

  /** A connection whose input is read through a {@link RequestStream}. */
  private record RewrittenContext(ConnectionContext context, DataReader dataReader)
      implements ConnectionContext {
    @Override
    public ListenerContext listenerContext() {
      return context.listenerContext();
    }

    @Override
    public ExecutorService executor() {
      return context.executor();
    }

    @Override
    public DataWriter dataWriter() {
      return context.dataWriter();
    }

    @Override
    public Router router() {
      return context.router();
    }

    @Override
    public HelidonSocket serverSocket() {
      return context.serverSocket();
    }

    @Override
    public PeerInfo remotePeer() {
      return context.remotePeer();
    }

    @Override
    public PeerInfo localPeer() {
      return context.localPeer();
    }

    @Override
    public boolean isSecure() {
      return context.isSecure();
    }

    @Override
    public String socketId() {
      return context.socketId();
    }

    @Override
    public String childSocketId() {
      return context.childSocketId();
    }
  }

  private final ServerOptions.Limits limits;
  private final Http1ConnectionSelector http;
  private final Set<Connection> all = ConcurrentHashMap.newKeySet();
  private final ThreadLocal<@Nullable Connection> current = new ThreadLocal<>();
  private final Thread thread;

  Connections(ServerOptions.Limits limits, Http1Config.Builder config) {
    this.limits = limits;
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
                              connection.clearDeadline();
                            }
                          }
                        })
                    .build())
            .build();
    this.thread = Thread.ofVirtual().name("connections").start(this::closeExpired);
  }

  /** The connection that the current thread serves. */
  Connection current() {
    return Objects.requireNonNull(current.get(), "not the thread of a connection");
  }

  /** A response was sent: the idle timeout starts. */
  void responseSent() {
    if (current.get() instanceof Connection connection) {
      if (connection.closesAfterResponse()) {
        connection.served.close(false); // after the current request
        return;
      }
      connection.setDeadline(System.nanoTime() + limits.idleTimeout().toNanos());
      connection.idle = true;
      connection.awaitMonitor();
    }
  }

  /** Closes the connections that wait for their next request. */
  void closeIdle() {
    for (Connection connection : all) {
      if (connection.idle) {
        close(connection);
      }
    }
  }

  private void closeExpired() {
    try {
      while (true) {
        Thread.sleep(CHECK_MILLIS);
        long now = System.nanoTime();
        for (Connection connection : all) {
          if (connection.hasDeadline && now - connection.deadline > 0) {
            close(connection);
          }
        }
      }
    } catch (InterruptedException _) {
      // the server is stopping
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
    var connection = new Connection(ctx, http, limits.maxBodyBytes());
    ServerConnection served = connection.served;
    connection.setDeadline(System.nanoTime() + limits.idleTimeout().toNanos());
    all.add(connection);
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

      /**
       * Zero, since Helidon's idle time includes the time of a request; this class closes idle
       * connections.
       */
      @Override
      public Duration idleTime() {
        return Duration.ZERO;
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
