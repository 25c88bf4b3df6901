package io.github.resnet4j.server;

import io.github.resnet4j.engine.CompileOptions;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Optional;

/**
 * The configuration of a server.
 *
 * @param host the address to listen at
 * @param port the HTTP port; 0 for any free port
 * @param grpcPort the gRPC port; 0 for any free port, -1 for none
 * @param models the folder of models ({@code NAME/VERSION/file}); empty if all models are passed at
 *     start
 * @param batching the dynamic batching
 * @param limits the limits on requests and connections
 * @param access the access control
 * @param tls certificate and key; empty for unencrypted connections
 * @param accessLog the file for one JSON line per request; empty for standard error
 * @param drainTimeout the time for accepted requests when the server stops
 * @param compile the compile options of the networks
 */
public record ServerOptions(
    String host,
    int port,
    int grpcPort,
    Optional<Path> models,
    Batching batching,
    Limits limits,
    Access access,
    Optional<Tls> tls,
    Optional<Path> accessLog,
    Duration drainTimeout,
    CompileOptions compile) {

  /**
   * The dynamic batching.
   *
   * @param maxBatchSize the maximum number of images in a batch
   * @param maxBatchDelay the maximum time that an image waits for others that are being decoded
   * @param queueSize the maximum number of accepted requests without a response; further requests
   *     get status 503
   */
  public record Batching(int maxBatchSize, Duration maxBatchDelay, int queueSize) {
    /** Up to 16 images per batch, 2 ms, 256 requests. */
    public static final Batching DEFAULT = new Batching(16, Duration.ofMillis(2), 256);

    /**
     * @throws IllegalArgumentException if a value is out of range
     */
    public Batching {
      check(maxBatchSize >= 1 && maxBatchSize <= 1024, "max-batch-size", maxBatchSize, "1 to 1024");
      check(
          !maxBatchDelay.isNegative() && maxBatchDelay.toSeconds() < 60,
          "max-batch-delay",
          maxBatchDelay,
          "at least 0 and less than a minute");
      check(queueSize >= 1 && queueSize <= 1 << 20, "queue-size", queueSize, "1 to 1048576");
    }
  }

  /**
   * The limits on requests and connections.
   *
   * @param maxBodyBytes the maximum size of a request body, also decompressed
   * @param maxPixels the maximum number of pixels of an image
   * @param maxImages the maximum number of images in a request
   * @param requestTimeout the maximum time until the response; a client may set an earlier one
   * @param idleTimeout the maximum time without data from a connection
   */
  public record Limits(
      long maxBodyBytes,
      long maxPixels,
      int maxImages,
      Duration requestTimeout,
      Duration idleTimeout) {
    /** 16 MB, 25 million pixels, 64 images, 30 s, 30 s. */
    public static final Limits DEFAULT =
        new Limits(16 << 20, 25_000_000, 64, Duration.ofSeconds(30), Duration.ofSeconds(30));

    /**
     * @throws IllegalArgumentException if a value is out of range
     */
    public Limits {
      check(
          maxBodyBytes >= 1 && maxBodyBytes <= 1L << 30,
          "max-body-size",
          maxBodyBytes,
          "1 byte to 1 GB");
      check(maxPixels >= 1, "max-pixels", maxPixels, "at least 1");
      check(maxImages >= 1, "max-images", maxImages, "at least 1");
      check(requestTimeout.isPositive(), "request-timeout", requestTimeout, "positive");
      check(idleTimeout.isPositive(), "idle-timeout", idleTimeout, "positive");
    }
  }

  /** The certificate and the private key, as PEM files. */
  public record Tls(Path certificate, Path key) {}

  /**
   * @throws IllegalArgumentException if a port is out of range
   */
  public ServerOptions {
    check(port >= 0 && port <= 65535, "port", port, "0 to 65535");
    check(grpcPort >= -1 && grpcPort <= 65535, "grpc-port", grpcPort, "-1 to 65535");
  }

  private static void check(boolean valid, String field, Object value, String validValues) {
    if (!valid) {
      throw new IllegalArgumentException(
          "%s must be %s, was %s".formatted(field, validValues, value));
    }
  }

  /** The loopback interface, ports 8080 and 8081, and the default batching, limits and access. */
  public static ServerOptions defaults() {
    return new ServerOptions(
        "127.0.0.1",
        8080,
        8081,
        Optional.empty(),
        Batching.DEFAULT,
        Limits.DEFAULT,
        Access.DEFAULT,
        Optional.empty(),
        Optional.empty(),
        Duration.ofSeconds(30),
        CompileOptions.defaults());
  }
}
