package io.github.resnet4j.server;

import io.github.resnet4j.engine.CompileOptions;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Optional;

/**
 * How a server runs.
 *
 * @param host the address that it listens at
 * @param port of HTTP; 0 for any that is free
 * @param grpcPort of gRPC, likewise; -1 for none
 * @param models the folder of models ({@code NAME/VERSION/file}), or empty for what is given
 * @param batching how requests share a run of the network
 * @param limits what a request may cost
 * @param access who may ask
 * @param tls certificate and key, if connections are encrypted
 * @param accessLog the file that gets a line of JSON for each request; empty for standard error
 * @param drain how long accepted requests may take when the server stops
 * @param compile how networks are compiled
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
    Duration drain,
    CompileOptions compile) {

  /**
   * How requests share a run of the network.
   *
   * @param most images of a run
   * @param delay how long the first of them waits for others that are on their way
   * @param queue requests that are accepted and not answered yet; more are told to come again
   */
  public record Batching(int most, Duration delay, int queue) {
    /** 16 images, 2 ms, 256 requests. */
    public static final Batching USUAL = new Batching(16, Duration.ofMillis(2), 256);

    /**
     * @throws IllegalArgumentException if a number is not positive
     */
    public Batching {
      check(most >= 1 && most <= 1024, "max-batch", most, "1 to 1024");
      check(!delay.isNegative() && delay.toSeconds() < 60, "max-delay", delay, "0 to a minute");
      check(queue >= 1 && queue <= 1 << 20, "queue", queue, "1 to 1048576");
    }
  }

  /**
   * What a request may cost.
   *
   * @param body bytes of a request
   * @param pixels of an image
   * @param images of a request
   * @param deadline until an answer, if the client names no earlier one
   * @param idle how long a connection may say nothing
   */
  public record Limits(long body, long pixels, int images, Duration deadline, Duration idle) {
    /** 16 MB, 25 million pixels, 64 images, 30 s, 30 s. */
    public static final Limits USUAL =
        new Limits(16 << 20, 25_000_000, 64, Duration.ofSeconds(30), Duration.ofSeconds(30));

    /**
     * @throws IllegalArgumentException if a number is not positive
     */
    public Limits {
      check(body >= 1 && body <= 1L << 30, "max-body", body, "1 byte to 1 GB");
      check(pixels >= 1, "max-pixels", pixels, "at least 1");
      check(images >= 1, "max-images", images, "at least 1");
      check(deadline.isPositive(), "deadline", deadline, "positive");
      check(idle.isPositive(), "idle", idle, "positive");
    }
  }

  /** Files in PEM. */
  public record Tls(Path certificate, Path key) {}

  /**
   * @throws IllegalArgumentException if the port is none
   */
  public ServerOptions {
    check(port >= 0 && port <= 65535, "port", port, "0 to 65535");
    check(grpcPort >= -1 && grpcPort <= 65535, "grpc-port", grpcPort, "-1 to 65535");
  }

  private static void check(boolean legal, String field, Object value, String legalValues) {
    if (!legal) {
      throw new IllegalArgumentException(
          "%s must be %s, was %s".formatted(field, legalValues, value));
    }
  }

  /** On the loopback, ports 8080 and 8081, everything as usual. */
  public static ServerOptions usual() {
    return new ServerOptions(
        "127.0.0.1",
        8080,
        8081,
        Optional.empty(),
        Batching.USUAL,
        Limits.USUAL,
        Access.USUAL,
        Optional.empty(),
        Optional.empty(),
        Duration.ofSeconds(30),
        CompileOptions.defaults());
  }
}
