package io.github.resnet4j.server;

import io.github.resnet4j.Model;
import io.github.resnet4j.messages.Reason;
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
 * /classify}, {@code /features}, {@code /explain}), metrics for Prometheus, and a page to try it
 * all.
 *
 * <pre>{@code
 * try (var server =
 *     InferenceServer.start(
 *         ServerOptions.usual(), Map.of("digits", Model.embedded()), Model::load)) {
 *   System.out.println(server.address());
 *   Thread.currentThread().join();
 * }
 * }</pre>
 */
public final class InferenceServer implements AutoCloseable {
  private static final int MOST_CONNECTIONS = 4096;

  /** What {@link #isOpenToAll()} means. */
  public static final String OPEN_TO_ALL =
      "there is no token: everybody who reaches this address may classify, and load and unload"
          + " models; set one with --token-file";

  private final ServerOptions options;
  private final ModelRepository models;
  private final Measurements measurements;
  private final AccessLog log;
  private final Admission admission;
  private final Connections connections;
  private final Traces traces;
  private final AtomicInteger accepted = new AtomicInteger();
  private final WebServer server;
  private final io.grpc.@Nullable Server grpcServer;
  private boolean closed;

  /** Reads a checkpoint of the folder with the preprocessing and labels that belong to it. */
  public interface Reader {
    Model read(java.nio.file.Path checkpoint) throws IOException;
  }

  /**
   * Starts a server; it answers when this returns.
   *
   * @param given models by name, beside those of the folder
   * @param reader reads the checkpoints of the folder
   * @throws IOException if the address cannot be listened at, or the log not be written
   * @throws IllegalArgumentException if there is no model at all
   */
  public static InferenceServer start(
      ServerOptions options, Map<String, Model> given, Reader reader) throws IOException {
    return new InferenceServer(options, given, reader);
  }

  private InferenceServer(ServerOptions options, Map<String, Model> given, Reader reader)
      throws IOException {
    InetAddress address = addressOf(options.host());
    this.options = options;
    this.log = new AccessLog(options.accessLog());
    this.measurements = new Measurements();
    this.traces = new Traces();
    this.models = new ModelRepository(options, reader, measurements, log);
    measurements.gauge("resnet4j.queue.images", "Images that wait for a run", models::waiting);
    measurements.gauge("resnet4j.accepted", "Requests without their answer yet", accepted::get);
    measurements.gauge("resnet4j.log.lost", "Lines that could not be written", log::lost);
    this.connections =
        new Connections(
            options.limits(),
            Http1Config.builder()
                // RequestStream checks headers and has the limits, these are only above them.
                .validateRequestHeaders(false) // it refuses every Content-Encoding
                .maxHeadersSize(2 * RequestStream.MOST_HEADER_BYTES)
                .maxPrologueLength(2 * RequestStream.LONGEST_LINE));
    measurements.gauge("resnet4j.connections", "Connections of HTTP", connections::count);
    this.admission = new Admission(options, measurements, log, accepted, connections, traces);
    var api = new HttpApi(options, models, measurements, admission);
    given.forEach(models::add);
    models.loadAll();
    var grpc = new GrpcApi(options, models, measurements, log, accepted, api);
    var builder =
        WebServer.builder()
            .address(address)
            .port(options.port())
            .shutdownHook(false)
            .featuresDiscoverServices(false)
            // A little more than is allowed is read, so that its client sees the refusal.
            .maxPayloadSize(options.limits().body() + Exchange.LINGER)
            .maxTcpConnections(MOST_CONNECTIONS)
            .idleConnectionTimeout(options.limits().idle())
            .idleConnectionPeriod(options.limits().idle())
            .shutdownGracePeriod(options.drain())
            .contentEncoding(
                ContentEncodingContext.builder().contentEncodingsDiscoverServices(false).build())
            .errorHandling(ErrorHandling.builder().includeEntity(true).build())
            .directHandlers(direct(admission))
            .protocolsDiscoverServices(false)
            .addConnectionSelector(connections)
            .routing((HttpRouting.Builder routing) -> routing.register(api));
    WebServer http = null;
    String step = "use the certificate and its key (--tls-certificate, --tls-key)";
    try {
      options.tls().ifPresent(tls -> encrypt(builder, tls));
      step = "listen at %s, port %d (--port)".formatted(options.host(), options.port());
      http = builder.build().start();
      if (!http.isRunning()) { // Helidon only logs why
        throw new IOException(
            "the port is taken or may not be used, or the address is not this machine's");
      }
      step = "listen at %s, port %d (--grpc-port)".formatted(options.host(), options.grpcPort());
      this.grpcServer = options.grpcPort() < 0 ? null : grpc.start();
    } catch (IOException | RuntimeException e) {
      if (http != null) {
        http.stop(); // gRPC's port was the one that is taken
      }
      connections.close();
      models.close();
      traces.close();
      measurements.close();
      log.close();
      throw new IOException("cannot %s: %s".formatted(step, Reason.of(rootOf(e))), e);
    }
    this.server = http;
    log.event("ready", Map.of("address", address(), "grpc_port", grpcPort()));
    if (isOpenToAll()) {
      log.event("warning", Map.of("warning", OPEN_TO_ALL));
    }
  }

  /**
   * Whether everybody who reaches this machine may ask: other machines do, and there is no token.
   */
  public boolean isOpenToAll() {
    return !admission.isLoopback() && options.access().token().isEmpty();
  }

  /**
   * Says why no request can be answered yet, and what to do: the folder of models has none that can
   * be read.
   */
  public Optional<String> withoutModels() {
    if (models.isReady()) {
      return Optional.empty();
    }
    String reasons =
        models.list().stream()
            .map(each -> "; %s/%s: %s".formatted(each.name(), each.version(), each.reason()))
            .collect(Collectors.joining());
    return Optional.of(
        "no model can answer yet%s; put a checkpoint into %s, and load it with POST"
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
          "cannot listen at '%s' (--host): it is neither an address nor a name that is known;"
                  .formatted(host)
              + " 127.0.0.1 is for clients on this machine only, 0.0.0.0 for all",
          e);
    }
  }

  private static void encrypt(WebServerConfig.Builder builder, ServerOptions.Tls tls) {
    Resource key = Resource.create(tls.key());
    Resource certificate = Resource.create(tls.certificate());
    Resource chain = Resource.create(tls.certificate()); // a resource can be read once
    builder.tls(config ->
        config
            .privateKey(Keys.builder().pem(pem -> pem.key(key).certChain(certificate)).build())
            .privateKeyCertChain(Keys.builder().pem(pem -> pem.certChain(chain)).build()));
  }

  private static DirectHandlers direct(Admission admission) {
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

  /** The port that it listens at. */
  public int port() {
    return server.port();
  }

  /** The port of gRPC, or -1. */
  public int grpcPort() {
    return grpcServer == null ? -1 : grpcServer.getPort();
  }

  /** {@code http://127.0.0.1:8080}. */
  public String address() {
    String host = options.host().contains(":") ? "[" + options.host() + "]" : options.host();
    return "%s://%s:%d".formatted(options.tls().isPresent() ? "https" : "http", host, port());
  }

  /**
   * Stops: says that it is not ready, finishes what was accepted, within the time there is for it,
   * and takes no more.
   */
  @Override
  public void close() throws IOException {
    if (closed) {
      return;
    }
    closed = true;
    admission.stop();
    long until = System.nanoTime() + options.drain().toNanos();
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
    measurements.close();
    log.close();
  }
}
