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
 * The connections there are, each with the time until which it must have said what it was asked
 * for: its first request, the rest of a header, a body, the next request. One that has not is
 * closed.
 */
final class Connections implements ServerConnectionSelector, AutoCloseable {
  private static final long LOOK_MILLIS = 250;

  /** A connection, as the thread that serves it knows it. */
  static final class Connection {
    private final ConnectionContext context;
    private final RequestStream requests;
    private final ServerConnection served;
    private boolean pipelines;
    private boolean last;
    private volatile long until;
    private volatile boolean armed;
    private volatile boolean idle;
    private volatile boolean gone;
    private @Nullable Thread watch;

    private Connection(ConnectionContext context, Http1ConnectionSelector http, long mostBytes) {
      this.context = context;
      this.requests = new RequestStream(context.dataReader(), mostBytes);
      this.served = http.connection(new Rewritten(context, DataReader.create(requests)));
    }

    /** Ends the connection when the current request is answered. */
    void endAfterAnswer() {
      last = true;
    }

    /** Whether the connection ends when the current request is answered. */
    boolean endsAfterAnswer() {
      return last || !requests.keepAlive();
    }

    /**
     * Looks for the end of the connection while its thread waits for a result. What comes instead,
     * the beginning of the next request, is kept for that; so the thread must not read until {@link
     * #rest} returns.
     *
     * <p>A client that sends several requests at once, or asks for the end of the connection, may
     * end its direction while it still reads: it is not watched.
     */
    void watch() {
      pipelines |= requests.hasNext();
      if (watch == null && !pipelines && !endsAfterAnswer()) {
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

  /** A connection whose bytes pass through a {@link RequestStream}. */
  private record Rewritten(ConnectionContext context, DataReader dataReader)
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
                              connection.thank();
                            }
                          }
                        })
                    .build())
            .build();
    this.thread = Thread.ofVirtual().name("connections").start(this::look);
  }

  /** The connection that this thread serves. */
  Connection current() {
    return Objects.requireNonNull(current.get(), "not the thread of a connection");
  }

  /** A request was answered: the next one may take its time. */
  void answered() {
    if (current.get() instanceof Connection connection) {
      if (connection.endsAfterAnswer()) {
        connection.served.close(false); // it ends when the current request is done
        return;
      }
      connection.expect(System.nanoTime() + limits.idle().toNanos());
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
    var connection = new Connection(ctx, http, limits.body());
    ServerConnection served = connection.served;
    connection.expect(System.nanoTime() + limits.idle().toNanos());
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

      /** Helidon's counts a request's own time, too; idle connections are closed here. */
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
