package io.github.resnet4j.server;

import com.fasterxml.jackson.jr.ob.JSON;
import io.github.resnet4j.Model;
import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Map;
import java.util.Optional;
import java.util.function.UnaryOperator;

/** A server on the loopback for tests, and a client for it. */
final class Client implements AutoCloseable {
  static final Path SAMPLES = Path.of("../samples");

  record Answer(int status, Map<String, Object> json, HttpResponse<byte[]> response) {
    @Override
    public String toString() {
      return status + " " + new String(response.body(), StandardCharsets.UTF_8);
    }
  }

  final InferenceServer server;
  private final HttpClient http =
      HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();

  Client(ServerOptions options) throws IOException {
    this(options, Map.of("digits", Model.embedded()));
  }

  Client(ServerOptions options, Map<String, Model> models) throws IOException {
    this(options, models, Model::load);
  }

  Client(ServerOptions options, Map<String, Model> models, InferenceServer.ModelReader reader)
      throws IOException {
    server = InferenceServer.start(options, models, reader);
  }

  /** Default options on any free port, with a log file. */
  static ServerOptions options(Path folder) {
    ServerOptions usual = ServerOptions.defaults();
    return new ServerOptions(
        usual.host(),
        0,
        0,
        Optional.empty(),
        usual.batching(),
        usual.limits(),
        usual.access(),
        Optional.empty(),
        Optional.of(folder.resolve("access.log")),
        Duration.ofSeconds(5),
        usual.compile().withThreads(2));
  }

  static ServerOptions withToken(ServerOptions options, String token) {
    return new ServerOptions(
        options.host(),
        options.port(),
        options.grpcPort(),
        options.models(),
        options.batching(),
        options.limits(),
        options.access().withToken(token),
        options.tls(),
        options.accessLog(),
        options.drainTimeout(),
        options.compile());
  }

  static byte[] digit(int digit) throws IOException {
    return Files.readAllBytes(SAMPLES.resolve("digit-%d.png".formatted(digit)));
  }

  Answer send(String path, UnaryOperator<HttpRequest.Builder> request)
      throws IOException, InterruptedException {
    var builder = HttpRequest.newBuilder(URI.create(server.address() + path));
    HttpResponse<byte[]> response =
        http.send(
            request.apply(builder.timeout(Duration.ofSeconds(60))).build(),
            BodyHandlers.ofByteArray());
    Map<String, Object> json = Map.of();
    if (response.headers().firstValue("Content-Type").orElse("").equals("application/json")
        && response.body().length > 0
        && response.body()[0] == '{') {
      json = JSON.std.mapFrom(response.body());
    }
    return new Answer(response.statusCode(), json, response);
  }

  Answer get(String path) throws IOException, InterruptedException {
    return send(path, request -> request);
  }

  Answer post(String path, String type, byte[] body) throws IOException, InterruptedException {
    return send(
        path,
        request -> request.header("Content-Type", type).POST(BodyPublishers.ofByteArray(body)));
  }

  Answer post(String path, String type, String body) throws IOException, InterruptedException {
    return post(path, type, body.getBytes(StandardCharsets.UTF_8));
  }

  @Override
  public void close() throws IOException {
    server.close();
    http.close();
  }
}
