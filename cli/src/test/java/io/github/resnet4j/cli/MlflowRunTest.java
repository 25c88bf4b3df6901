package io.github.resnet4j.cli;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.jr.ob.JSON;
import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import io.github.resnet4j.train.Metric;
import io.github.resnet4j.train.Trainer;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Tracking on a small server; tools/parity compares with a real MLflow server. */
class MlflowRunTest {
  @TempDir private Path folder;
  private HttpServer server;
  private final List<String> requests = Collections.synchronizedList(new ArrayList<>());
  private final Map<String, byte[]> files = Collections.synchronizedMap(new HashMap<>());
  private final List<Map<?, ?>> metrics = Collections.synchronizedList(new ArrayList<>());
  private final List<Map<?, ?>> parameters = Collections.synchronizedList(new ArrayList<>());
  private final List<String> warnings = Collections.synchronizedList(new ArrayList<>());
  private final CountDownLatch open = new CountDownLatch(1);
  private volatile boolean broken;

  @BeforeEach
  void start() throws IOException {
    server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
    server.createContext("/", this::answer);
    server.start();
  }

  @AfterEach
  void stop() {
    server.stop(0);
  }

  private void answer(HttpExchange exchange) throws IOException {
    byte[] body = exchange.getRequestBody().readAllBytes();
    String path = exchange.getRequestURI().getPath();
    String call = path.substring(path.lastIndexOf('/') + 1);
    requests.add(
        call + " " + exchange.getRequestHeaders().getOrDefault("Authorization", List.of()));
    int status = 200;
    String answer = "{}";
    if (broken) {
      status = 503;
    } else if (path.startsWith("/api/2.0/mlflow-artifacts/artifacts/3/r1/artifacts/")) {
      files.put(path.substring(path.indexOf("/r1/artifacts/") + 14), body);
    } else {
      switch (call) {
        case "get-by-name" -> {
          status = 404;
          answer = "{\"error_code\": \"RESOURCE_DOES_NOT_EXIST\"}";
        }
        case "create" ->
            answer =
                path.contains("experiments")
                    ? "{\"experiment_id\": \"3\"}"
                    : "{\"run\": {\"info\": {\"run_id\": \"r1\", \"artifact_uri\":"
                        + " \"mlflow-artifacts:/3/r1/artifacts\"}}}";
        case "log-batch" -> {
          await();
          Map<String, Object> batch = JSON.std.mapFrom(new String(body, StandardCharsets.UTF_8));
          add(batch.get("metrics"), metrics, 1000);
          add(batch.get("params"), parameters, 100);
        }
        case "update" -> requests.add(new String(body, StandardCharsets.UTF_8));
        default -> {}
      }
    }
    byte[] bytes = answer.getBytes(StandardCharsets.UTF_8);
    exchange.sendResponseHeaders(status, bytes.length);
    exchange.getResponseBody().write(bytes);
    exchange.close();
  }

  private void await() {
    try {
      open.await();
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
  }

  /** MLflow rejects larger batches. */
  private static void add(Object from, List<Map<?, ?>> to, int max) {
    if (from instanceof List<?> list) {
      assertTrue(list.size() <= max);
      list.forEach(each -> to.add((Map<?, ?>) each));
    }
  }

  private MlflowRun run(Map<String, String> more) {
    var environment = new HashMap<>(more);
    environment.putIfAbsent(
        "MLFLOW_TRACKING_URI", "http://127.0.0.1:" + server.getAddress().getPort() + "/");
    Map<String, String> settings = Map.of("weight averaging (EMA) decay", "x".repeat(9000));
    return MlflowRun.start(environment, folder, settings, warnings::add).orElseThrow();
  }

  private static Trainer.Start begin() {
    return new Trainer.Start(8, 0, List.of(), 1);
  }

  private static Trainer.Step step(int number, double loss) {
    return new Trainer.Step(number, 1, 8 * number, 24, loss, 0.5, 0.1);
  }

  @Test
  void trainingIsTracked() throws IOException {
    open.countDown();
    Path model = Files.write(folder.resolve("best.safetensors"), new byte[] {1, 2, 3});
    Files.writeString(folder.resolve("metrics.csv"), "epoch");
    try (var run = run(Map.of("MLFLOW_TRACKING_TOKEN", "secret"))) {
      run.begin(begin());
      run.step(step(1, 2.5));
      run.step(step(2, Double.NaN)); // left out: JSON has no NaN
      run.epoch(new Trainer.Epoch(1, 0.1, 2, 0.5, 1.5, 0.75, 9, 9, 9, Metric.ACCURACY));
      run.finish(List.of("metrics.csv", "missing.png"), model);
    }
    assertEquals(List.of(), warnings);
    assertEquals(
        List.of("weight averaging EMA decay"),
        parameters.stream().map(each -> each.get("key")).toList());
    assertEquals(500, String.valueOf(parameters.getFirst().get("value")).length());
    assertEquals(
        List.of("train_loss 2.5 1", "learning_rate 0.1 1", "learning_rate 0.1 2"),
        metrics.stream()
            .limit(3)
            .map(each -> each.get("key") + " " + each.get("value") + " " + each.get("step"))
            .toList());
    assertTrue(metrics.stream().anyMatch(each -> each.get("key").equals("val_accuracy")));
    assertArrayEquals(new byte[] {1, 2, 3}, files.get("model/model.safetensors"));
    String described = new String(files.get("model/MLmodel"), StandardCharsets.UTF_8);
    assertTrue(described.contains("    serve: resnet4j serve --weights model.safetensors\n"));
    assertEquals(3, files.size());
    assertTrue(requests.getLast().contains("FINISHED"), requests.toString());
    assertTrue(
        requests.stream()
            .filter(each -> !each.startsWith("{"))
            .allMatch(each -> each.endsWith("[Bearer secret]")));
    assertEquals("r1\n", Files.readString(folder.resolve("mlflow-run.txt")));
  }

  @Test
  void interruptedTrainingFails() {
    open.countDown();
    var user = Map.of("MLFLOW_TRACKING_USERNAME", "a", "MLFLOW_TRACKING_PASSWORD", "b");
    try (var run = run(user)) {
      run.begin(begin());
      run.step(step(1, 2.5));
    }
    assertTrue(requests.getLast().contains("FAILED"), requests.toString());
    assertTrue(requests.getFirst().endsWith("[Basic YTpi]"), requests.getFirst());
  }

  @Test
  void slowServerDoesNotDelayTheTraining() {
    try (var run = run(Map.of())) {
      run.begin(begin());
      for (int i = 1; i <= 15_000; i++) { // two metrics each, while the server does not answer
        run.step(step(i, 1));
      }
      open.countDown();
    }
    assertEquals(1, warnings.size(), warnings.toString());
    assertTrue(warnings.getFirst().matches("MLflow: [\\d,.]+ metrics were dropped.*"));
    assertTrue(metrics.size() >= 20_000 && metrics.size() < 30_000, "" + metrics.size());
  }

  @Test
  void failingServerIsOneWarning() {
    broken = true;
    try (var run = run(Map.of())) {
      run.begin(begin());
      run.step(step(1, 2.5));
      run.finish(List.of(), folder.resolve("none"));
    }
    assertEquals(1, warnings.size(), warnings.toString());
    assertTrue(warnings.getFirst().contains("status 503; the rest of this training is not"));
    assertTrue(
        MlflowRun.start(
                Map.of("MLFLOW_TRACKING_URI", "sqlite:///x"), folder, Map.of(), warnings::add)
            .isEmpty());
    assertTrue(warnings.getLast().contains("must be http"), warnings.toString());
    assertTrue(MlflowRun.start(Map.of(), folder, Map.of(), warnings::add).isEmpty());
  }
}
