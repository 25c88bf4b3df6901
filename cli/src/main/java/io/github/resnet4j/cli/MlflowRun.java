package io.github.resnet4j.cli;

import com.fasterxml.jackson.jr.ob.JSON;
import io.github.resnet4j.checkpoint.HttpAccess;
import io.github.resnet4j.train.Trainer;
import java.io.IOException;
import java.net.URI;
import java.net.URLEncoder;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublisher;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.time.ZoneOffset;
import java.time.format.DateTimeFormatter;
import java.util.ArrayList;
import java.util.Base64;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.ArrayBlockingQueue;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/**
 * Sends the parameters, metrics and files of a training to an MLflow server, over its REST API.
 *
 * <p>A training is never stopped or slowed down by its tracking: metrics are queued and sent by a
 * thread of their own; if the queue is full they are dropped; if the server cannot be reached, one
 * warning is given and the rest of the run is not tracked.
 */
final class MlflowRun implements Trainer.Listener, AutoCloseable {
  private static final int QUEUE = 20_000;
  private static final int MAX_METRICS = 1000;
  private static final int MAX_PARAMETERS = 100;
  private static final int MAX_VALUE_LENGTH = 500;
  private static final Duration TIMEOUT = Duration.ofSeconds(20);
  private static final Duration UPLOAD_TIMEOUT = Duration.ofMinutes(10);
  private static final String RUNS = "/api/2.0/mlflow/runs/";
  private static final String EXPERIMENTS = "/api/2.0/mlflow/experiments/";

  /** The file with the run's identifier, by which a resumed training continues its run. */
  private static final String ID = "mlflow-run.txt";

  private final String server;
  private final String experiment;
  private final String name;
  private final Optional<String> authorization;
  private final Path folder;
  private final Map<String, String> parameters;
  private final Consumer<String> warning;
  private final HttpClient client;
  private final BlockingQueue<Map<String, Object>> metrics = new ArrayBlockingQueue<>(QUEUE);
  private final Thread sender;
  private long step;
  private long dropped;
  private volatile boolean failed;
  private volatile boolean closing;
  private volatile @Nullable String id;
  private volatile String artifacts = "";

  /**
   * Starts the tracking.
   *
   * @param environment {@code MLFLOW_TRACKING_URI}, {@code MLFLOW_EXPERIMENT_NAME}, {@code
   *     MLFLOW_RUN_NAME}, {@code MLFLOW_TRACKING_TOKEN} or {@code MLFLOW_TRACKING_USERNAME} and
   *     {@code MLFLOW_TRACKING_PASSWORD}, usually {@link System#getenv()}
   * @param folder the output folder of the training, whose name is the default name of the run
   * @param parameters the settings, by names for people
   * @param warning receives what went wrong, at most one message for each cause
   * @return empty if {@code MLFLOW_TRACKING_URI} is not set, or is not the address of a server
   */
  public static Optional<MlflowRun> start(
      Map<String, String> environment,
      Path folder,
      Map<String, String> parameters,
      Consumer<String> warning) {
    String server = environment.getOrDefault("MLFLOW_TRACKING_URI", "").replaceAll("/+$", "");
    if (server.isBlank()) {
      return Optional.empty();
    }
    try {
      if (!server.matches("https?://.+")) {
        throw new IOException(
            "MLFLOW_TRACKING_URI must be http://… or https://…, was '" + server + "'");
      }
      return Optional.of(new MlflowRun(environment, server, folder, parameters, warning));
    } catch (IOException | IllegalArgumentException e) {
      warning.accept("MLflow: " + e.getMessage() + "; this training is not tracked");
      return Optional.empty();
    }
  }

  private MlflowRun(
      Map<String, String> environment,
      String server,
      Path folder,
      Map<String, String> parameters,
      Consumer<String> warning)
      throws IOException {
    this.server = server;
    this.folder = folder;
    this.parameters = Map.copyOf(parameters);
    this.warning = warning;
    this.experiment = environment.getOrDefault("MLFLOW_EXPERIMENT_NAME", "Default");
    this.name =
        environment.getOrDefault(
            "MLFLOW_RUN_NAME", String.valueOf(folder.toAbsolutePath().normalize().getFileName()));
    this.authorization = authorization(environment);
    this.client =
        HttpAccess.client(environment)
            .version(HttpClient.Version.HTTP_1_1) // MLflow's server rejects upgrades to HTTP/2
            .connectTimeout(TIMEOUT)
            .build();
    URI.create(server);
    this.sender = Thread.ofPlatform().daemon().name("resnet4j-mlflow").unstarted(this::send);
  }

  private static Optional<String> authorization(Map<String, String> environment) {
    String token = environment.getOrDefault("MLFLOW_TRACKING_TOKEN", "");
    String user = environment.getOrDefault("MLFLOW_TRACKING_USERNAME", "");
    if (!user.isEmpty()) { // MLflow's client prefers it, too
      String both = user + ":" + environment.getOrDefault("MLFLOW_TRACKING_PASSWORD", "");
      return Optional.of(
          "Basic " + Base64.getEncoder().encodeToString(both.getBytes(StandardCharsets.UTF_8)));
    }
    return token.isEmpty() ? Optional.empty() : Optional.of("Bearer " + token);
  }

  @Override
  public void begin(Trainer.Start start) {
    step = start.steps();
    sender.start();
  }

  @Override
  public void step(Trainer.Step now) {
    step = now.number();
    add("train_loss", now.loss());
    add("learning_rate", now.rate());
  }

  @Override
  public void epoch(Trainer.Epoch epoch) {
    add("epoch", epoch.number());
    add("train_" + epoch.metric().id(), epoch.trainScore());
    add("val_loss", epoch.valLoss());
    add("val_" + epoch.metric().id(), epoch.valScore());
    add("images_per_second", epoch.imagesPerSecond());
  }

  private void add(String key, double value) {
    if (Double.isFinite(value) && !failed) { // JSON has no NaN
      var metric = new LinkedHashMap<String, Object>();
      metric.put("key", key);
      metric.put("value", value);
      metric.put("timestamp", System.currentTimeMillis());
      metric.put("step", step);
      dropped += metrics.offer(metric) ? 0 : 1;
    }
  }

  /** The loop of the sending thread. */
  private void send() {
    try {
      open();
      while (!closing || !metrics.isEmpty()) {
        Map<String, Object> first = metrics.poll(200, TimeUnit.MILLISECONDS);
        if (first != null) {
          var batch = new ArrayList<Map<String, Object>>();
          batch.add(first);
          metrics.drainTo(batch, MAX_METRICS - 1);
          post(RUNS + "log-batch", Map.of("run_id", String.valueOf(id), "metrics", batch));
        }
      }
    } catch (IOException | RuntimeException e) {
      fail(e);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
  }

  private void fail(Exception e) {
    if (!failed) {
      failed = true;
      metrics.clear();
      warning.accept(
          "MLflow: %s; the rest of this training is not tracked there".formatted(e.getMessage()));
    }
  }

  /** Finds or creates the run. */
  private void open() throws IOException, InterruptedException {
    Path file = folder.resolve(ID);
    if (Files.exists(file)) {
      id = Files.readString(file).strip();
      Map<String, Object> found = get(RUNS + "get?run_id=" + encoded(String.valueOf(id)));
      artifacts = String.valueOf(map(map(found, "run"), "info").get("artifact_uri"));
      post(RUNS + "update", Map.of("run_id", String.valueOf(id), "status", "RUNNING"));
      return;
    }
    var run =
        post(
            RUNS + "create",
            Map.of(
                "experiment_id",
                experimentId(),
                "run_name",
                name,
                "start_time",
                System.currentTimeMillis()));
    Map<String, Object> info = map(map(run, "run"), "info");
    id = String.valueOf(info.get("run_id"));
    artifacts = String.valueOf(info.get("artifact_uri"));
    Files.writeString(file, id + "\n");
    var all = new ArrayList<Map<String, Object>>();
    parameters.forEach((key, value) ->
        all.add(
            Map.of(
                "key",
                key.replaceAll("[^\\w ./-]", ""),
                "value",
                value.substring(0, Math.min(value.length(), MAX_VALUE_LENGTH)))));
    for (int i = 0; i < all.size(); i += MAX_PARAMETERS) {
      List<?> some = all.subList(i, Math.min(all.size(), i + MAX_PARAMETERS));
      post(RUNS + "log-batch", Map.of("run_id", String.valueOf(id), "params", some));
    }
  }

  private Object experimentId() throws IOException, InterruptedException {
    String query = EXPERIMENTS + "get-by-name?experiment_name=" + encoded(experiment);
    HttpResponse<String> found = exchange(query, "GET", BodyPublishers.noBody(), TIMEOUT);
    if (found.statusCode() == 404) {
      return require(post(EXPERIMENTS + "create", Map.of("name", experiment)).get("experiment_id"));
    }
    return require(map(parsed(found), "experiment").get("experiment_id"));
  }

  private static Object require(@Nullable Object value) throws IOException {
    if (value == null) {
      throw new IOException("the server's answer has no experiment_id");
    }
    return value;
  }

  /**
   * Ends the run: waits until the metrics are sent, uploads files, and sets the status FINISHED.
   *
   * @param files files of the output folder
   * @param model the model, which is logged as {@code model/} with an {@code MLmodel} file
   */
  public void finish(List<String> files, Path model) {
    drain();
    if (failed || id == null) {
      return;
    }
    try {
      for (String each : files) {
        if (Files.exists(folder.resolve(each))) {
          upload(each, BodyPublishers.ofFile(folder.resolve(each)));
        }
      }
      String weights = "model.safetensors";
      upload("model/" + weights, BodyPublishers.ofFile(model));
      String time =
          DateTimeFormatter.ofPattern("yyyy-MM-dd HH:mm:ss.SSSSSS")
              .withZone(ZoneOffset.UTC)
              .format(Instant.now());
      upload(
          "model/MLmodel",
          BodyPublishers.ofString(
              """
              artifact_path: model
              flavors:
                resnet4j:
                  data: %1$s
                  serve: resnet4j serve --weights %1$s
                  classify: resnet4j classify --weights %1$s IMAGE
              run_id: %2$s
              utc_time_created: '%3$s'
              """
                  .formatted(weights, id, time)));
      Map<String, Object> flavor =
          Map.of("data", weights, "serve", "resnet4j serve --weights " + weights);
      Map<String, Object> logged =
          Map.of(
              "artifact_path",
              "model",
              "run_id",
              String.valueOf(id),
              "utc_time_created",
              time,
              "flavors",
              Map.of("resnet4j", flavor));
      post(
          RUNS + "log-model",
          Map.of("run_id", String.valueOf(id), "model_json", JSON.std.asString(logged)));
      end("FINISHED");
    } catch (IOException e) {
      fail(e);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
  }

  private void end(String status) throws IOException, InterruptedException {
    post(
        RUNS + "update",
        Map.of(
            "run_id",
            String.valueOf(id),
            "status",
            status,
            "end_time",
            System.currentTimeMillis()));
    failed = true; // nothing else is sent
  }

  /** Waits for the sending thread, as long as its server answers. */
  private void drain() {
    closing = true;
    try {
      sender.join(TIMEOUT.multipliedBy(2 * HttpAccess.ATTEMPTS));
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
    if (sender.isAlive()) {
      fail(new IOException(server + " does not answer"));
    } else if (dropped > 0 && !failed) {
      warning.accept(
          "MLflow: %,d metrics were dropped, since the server is slow".formatted(dropped));
    }
  }

  /** Uploads a file through the server's proxy of artifacts. */
  private void upload(String path, BodyPublisher body) throws IOException, InterruptedException {
    URI root = URI.create(artifacts);
    if (!"mlflow-artifacts".equals(root.getScheme())) {
      throw new IOException(
          "files are only uploaded to a server that stores them (mlflow-artifacts:), not to "
              + artifacts);
    }
    if (root.getAuthority() != null
        && !URI.create(server).getAuthority().equals(root.getAuthority())) {
      throw new IOException(
          "files are only uploaded to %s, not to %s".formatted(server, root.getAuthority()));
    }
    String url =
        "/api/2.0/mlflow-artifacts/artifacts" + root.getRawPath() + "/" + path.replace(" ", "%20");
    require(exchange(url, "PUT", body, UPLOAD_TIMEOUT));
  }

  private Map<String, Object> get(String path) throws IOException, InterruptedException {
    return parsed(exchange(path, "GET", BodyPublishers.noBody(), TIMEOUT));
  }

  private Map<String, Object> post(String path, Map<String, ?> body)
      throws IOException, InterruptedException {
    String json = JSON.std.asString(body);
    return parsed(exchange(path, "POST", BodyPublishers.ofString(json), TIMEOUT));
  }

  private static HttpResponse<String> require(HttpResponse<String> response) throws IOException {
    if (response.statusCode() / 100 != 2) {
      String body = response.body().strip();
      throw new IOException(
          "%s: status %d: %s"
              .formatted(
                  response.uri(),
                  response.statusCode(),
                  body.substring(0, Math.min(body.length(), 300))));
    }
    return response;
  }

  private static Map<String, Object> parsed(HttpResponse<String> response) throws IOException {
    return JSON.std.mapFrom(require(response).body());
  }

  private HttpResponse<String> exchange(
      String path, String method, BodyPublisher body, Duration timeout)
      throws IOException, InterruptedException {
    var request =
        HttpRequest.newBuilder(URI.create(server + path)).timeout(timeout).method(method, body);
    request.header("Content-Type", "application/json");
    authorization.ifPresent(value -> request.header("Authorization", value));
    return HttpAccess.send(client, request.build(), server);
  }

  private static Map<String, Object> map(Map<String, Object> fields, String key)
      throws IOException {
    if (fields.get(key) instanceof Map<?, ?> inner) {
      var copy = new LinkedHashMap<String, Object>();
      inner.forEach((name, value) -> copy.put(String.valueOf(name), value));
      return copy;
    }
    throw new IOException("the server's answer has no " + key);
  }

  private static String encoded(String text) {
    return URLEncoder.encode(text, StandardCharsets.UTF_8);
  }

  /** Ends the run; if it was not {@linkplain #finish finished}, its status is FAILED. */
  @Override
  public void close() {
    if (sender.getState() == Thread.State.NEW) {
      return; // the training did not start
    }
    drain();
    if (!failed && id != null) {
      try {
        end("FAILED");
      } catch (IOException e) {
        fail(e);
      } catch (InterruptedException e) {
        Thread.currentThread().interrupt();
      }
    }
    client.shutdownNow();
  }
}
