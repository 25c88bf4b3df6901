package io.github.resnet4j.server;

import io.github.resnet4j.Model;
import io.github.resnet4j.messages.Reason;
import io.grpc.health.v1.HealthCheckResponse.ServingStatus;
import io.grpc.protobuf.services.HealthStatusManager;
import io.helidon.common.configurable.Resource;
import io.helidon.common.pki.Keys;
import io.helidon.http.DirectHandler;
import io.helidon.http.encoding.ContentEncodingContext;
import io.helidon.webserver.ErrorHandling;
import io.helidon.webserver.WebServer;
import io.helidon.webserver.WebServerConfig;
import io.helidon.webserver.http.DirectHandlers;
import io.helidon.webserver.http.HttpRouting;
import io.helidon.webserver.http1.Http1Config;
import java.io.IOException;
import java.net.InetAddress;
import java.net.UnknownHostException;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.locks.LockSupport;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;

/**
 * Predictions over HTTP and gRPC: the Open Inference Protocol 2, simple endpoints ({@code
 * /classify}, {@code /features}, {@code /explain}), metrics for Prometheus, and a web page.
 *
 * <pre>{@code
 * try (var server =
 *     InferenceServer.start(
 *         ServerOptions.defaults(), Map.of("digits", Model.embedded()), Model::load)) {
 *   System.out.println(server.address());
 *   Thread.currentThread().join();
 * }
 * }</pre>
 */
public final class InferenceServer implements AutoCloseable {
  private static final int MAX_CONNECTIONS = 4096;

  /** The warning for a server that {@link #isUnprotected()}. */
  public static final String UNPROTECTED_WARNING =
      "no token is set: everyone who can reach this address can classify images and load and"
          + " unload models; set one with --token-file";

  private final ServerOptions options;
  private final ModelRepository models;
  private final Metrics metrics;
  private final AccessLog log;
  private final Admission admission;
  private final Connections connections;
  private final Traces traces;
  private final HealthStatusManager health;
  private final AtomicInteger accepted = new AtomicInteger();
  private final WebServer server;
  private final io.grpc.@Nullable Server grpcServer;
  private boolean closed;

  /** Reads a checkpoint in the folder of models, with its preprocessing and labels. */
  public interface ModelReader {
    Model read(java.nio.file.Path checkpoint) throws IOException;
  }

  /**
   * Starts a server. It accepts requests when this method returns.
   *
   * @param initialModels models by name, in addition to those in the folder
   * @param reader reads the checkpoints in the folder
   * @throws IOException if the server cannot listen at the address or the log cannot be written
   * @throws IllegalArgumentException if a model cannot be served
   */
  public static InferenceServer start(
      ServerOptions options, Map<String, Model> initialModels, ModelReader reader)
      throws IOException {
    return new InferenceServer(options, initialModels, reader);
  }

  private InferenceServer(
      ServerOptions options, Map<String, Model> initialModels, ModelReader reader)
      throws IOException {
    InetAddress address = addressOf(options.host());
    this.options = options;
    this.log = new AccessLog(options.accessLog());
    this.metrics = new Metrics();
    this.traces = new Traces();
    this.health = new HealthStatusManager();
    this.models = new ModelRepository(options, reader, metrics, log, this::setHealth);
    metrics.gauge(
        "resnet4j.queued.images",
        "Number of images in the queues of all models",
        models::queuedImages);
    metrics.gauge(
        "resnet4j.requests.in.progress",
        "Number of accepted requests without a response",
        accepted::get);
    metrics.counter(
        "resnet4j.log.lines.lost",
        "Total number of access log lines that could not be written",
        log,
        AccessLog::lostLines);
    this.connections =
        new Connections(
            options.limits(),
            Http1Config.builder()
                // RequestStream checks headers and applies the limits; Helidon's are set higher.
                .validateRequestHeaders(false) // it rejects every Content-Encoding
                .maxHeadersSize(2 * RequestStream.MAX_HEADER_BYTES)
                .maxPrologueLength(2 * RequestStream.MAX_LINE_BYTES));
    metrics.gauge(
        "resnet4j.http.connections", "Number of open HTTP connections", connections::count);
    this.admission =
        new Admission(
            options,
            metrics,
            log,
            accepted,
            connections,
            traces,
            Admission.bodyMemory(
                Runtime.getRuntime().maxMemory(), options.limits().maxBodyBytes()));
    var inference = new InferenceApi(options, models, metrics, admission);
    var api = new HttpApi(options, models, metrics, admission, inference);
    setHealth(false);
    initialModels.forEach(models::add);
    models.loadAll();
    var grpc = new GrpcApi(options, models, metrics, log, accepted, inference);
    var builder =
        WebServer.builder()
            .address(address)
            .port(options.port())
            .shutdownHook(false)
            .featuresDiscoverServices(false)
            // A bit more than allowed is read, so that the client sees the error response.
            .maxPayloadSize(options.limits().maxBodyBytes() + Exchange.MAX_DRAINED_BYTES)
            .maxTcpConnections(MAX_CONNECTIONS)
            .idleConnectionTimeout(options.limits().idleTimeout())
            .idleConnectionPeriod(options.limits().idleTimeout())
            .shutdownGracePeriod(options.drainTimeout())
            .contentEncoding(
                ContentEncodingContext.builder().contentEncodingsDiscoverServices(false).build())
            .errorHandling(ErrorHandling.builder().includeEntity(true).build())
            .directHandlers(direct(admission))
            .protocolsDiscoverServices(false)
            .addConnectionSelector(connections)
            .routing((HttpRouting.Builder routing) -> routing.register(api));
    WebServer http = null;
    String action = "use the certificate and its key (--tls-certificate, --tls-key)";
    try {
      options.tls().ifPresent(tls -> encrypt(builder, tls));
      action = "listen at %s, port %d (--port)".formatted(options.host(), options.port());
      http = builder.build().start();
      if (!http.isRunning()) { // Helidon only logs the reason
        throw new IOException(
            "the port is in use or not permitted, or the address does not belong to this machine");
      }
      action = "listen at %s, port %d (--grpc-port)".formatted(options.host(), options.grpcPort());
      this.grpcServer =
          options.grpcPort() < 0 ? null : new GrpcListener(options, metrics).start(grpc, health);
    } catch (IOException | RuntimeException e) {
      if (http != null) {
        http.stop(); // only gRPC's port is in use
      }
      connections.close();
      models.close();
      traces.close();
      metrics.close();
      log.close();
      throw new IOException("cannot %s: %s".formatted(action, Reason.of(rootOf(e))), e);
    }
    this.server = http;
    log.event("ready", Map.of("address", address(), "grpc_port", grpcPort()));
    if (isUnprotected()) {
      log.event("warning", Map.of("warning", UNPROTECTED_WARNING));
    }
  }

  /** What {@code grpc.health.v1.Health} answers for the server and for its service. */
  private void setHealth(boolean ready) {
    ServingStatus status = ready ? ServingStatus.SERVING : ServingStatus.NOT_SERVING;
    health.setStatus(HealthStatusManager.SERVICE_NAME_ALL_SERVICES, status);
    health.setStatus(GrpcApi.SERVICE, status);
  }

  /** Whether the server listens on an address other than the loopback and no token is set. */
  public boolean isUnprotected() {
    return !admission.isLoopback() && options.access().token().isEmpty();
  }

  /** If no model is ready, returns the reasons and what to do; otherwise empty. */
  public Optional<String> noModelReason() {
    if (models.isReady()) {
      return Optional.empty();
    }
    String reasons =
        models.list().stream()
            .map(each -> "; %s/%s: %s".formatted(each.name(), each.version(), each.reason()))
            .collect(Collectors.joining());
    return Optional.of(
        "no model is ready%s; put a checkpoint into %s and load it with POST"
                .formatted(
                    reasons,
                    options.models().map(folder -> folder.resolve("NAME/1/").toString()).orElse(""))
            + " /v2/repository/models/NAME/load");
  }

  private static InetAddress addressOf(String host) throws IOException {
    try {
      return InetAddress.getByName(host);
    } catch (UnknownHostException e) {
      throw new IOException(
          "cannot listen at '%s' (--host): it is neither an address nor a known host name;"
                  .formatted(host)
              + " 127.0.0.1 accepts clients on this machine only, 0.0.0.0 clients on any machine",
          e);
    }
  }

  private static void encrypt(WebServerConfig.Builder builder, ServerOptions.Tls tls) {
    Resource key = Resource.create(tls.key());
    Resource certificate = Resource.create(tls.certificate());
    Resource chain = Resource.create(tls.certificate()); // a resource can be read only once
    builder.tls(config ->
        config
            .privateKey(Keys.builder().pem(pem -> pem.key(key).certChain(certificate)).build())
            .privateKeyCertChain(Keys.builder().pem(pem -> pem.certChain(chain)).build()));
  }

  static DirectHandlers direct(Admission admission) {
    var handlers = DirectHandlers.builder();
    for (var event : DirectHandler.EventType.values()) {
      handlers.addHandler(event, admission::malformed);
    }
    return handlers.build();
  }

  private static Throwable rootOf(Throwable e) {
    Throwable at = e;
    while (at.getCause() != null) {
      at = at.getCause();
    }
    return at;
  }

  static String version() {
    String found = InferenceServer.class.getPackage().getImplementationVersion();
    return found == null ? "development" : found;
  }

  /** The HTTP port. */
  public int port() {
    return server.port();
  }

  /** The gRPC port, or -1 if there is none. */
  public int grpcPort() {
    return grpcServer == null ? -1 : grpcServer.getPort();
  }

  /** The URL of the server, such as {@code http://127.0.0.1:8080}. */
  public String address() {
    String host = options.host().contains(":") ? "[" + options.host() + "]" : options.host();
    return "%s://%s:%d".formatted(options.tls().isPresent() ? "https" : "http", host, port());
  }

  /**
   * Stops the server: it reports not ready, rejects new requests, and finishes the accepted ones
   * within the drain timeout.
   */
  @Override
  public void close() throws IOException {
    if (closed) {
      return;
    }
    closed = true;
    admission.stop();
    health.enterTerminalState();
    long until = System.nanoTime() + options.drainTimeout().toNanos();
    while (accepted.get() > 0 && System.nanoTime() < until) {
      LockSupport.parkNanos(5_000_000);
    }
    connections.closeIdle();
    server.stop();
    if (grpcServer != null) {
      grpcServer.shutdown();
      try {
        if (!grpcServer.awaitTermination(1, TimeUnit.SECONDS)) {
          grpcServer.shutdownNow();
        }
      } catch (InterruptedException _) {
        Thread.currentThread().interrupt();
      }
    }
    connections.close();
    models.close();
    traces.close();
    log.event("stopped", Map.of("unanswered", accepted.get()));
    metrics.close();
    log.close();
  }
}
