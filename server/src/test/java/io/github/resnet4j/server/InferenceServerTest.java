package io.github.resnet4j.server;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import com.fasterxml.jackson.jr.ob.JSON;
import io.github.resnet4j.Architecture;
import io.github.resnet4j.Model;
import io.github.resnet4j.ResNet;
import io.github.resnet4j.image.ImageDecoder;
import io.github.resnet4j.image.Preprocessing;
import io.github.resnet4j.server.Client.Answer;
import io.github.resnet4j.tensor.Tensor;
import io.github.resnet4j.tensor.TorchRandom;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.Socket;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyStore;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Base64;
import java.util.Collections;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import java.util.concurrent.Callable;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;
import jdk.jfr.Recording;
import jdk.jfr.consumer.RecordedEvent;
import jdk.jfr.consumer.RecordingFile;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The server over real sockets, on the loopback. */
class InferenceServerTest {
  @TempDir private static Path folder;
  private static Client client;

  @BeforeAll
  static void start() throws IOException {
    client = new Client(Client.options(folder));
  }

  @AfterAll
  static void stop() throws IOException {
    client.close();
  }

  private static int best(Map<?, ?> result) {
    return (int) ((Map<?, ?>) ((List<?>) result.get("predictions")).getFirst()).get("index");
  }

  private static List<?> results(Answer answer) {
    assertEquals(200, answer.status(), answer::toString);
    return (List<?>) answer.json().get("results");
  }

  // --- simple endpoints ---

  @Test
  void imageIsClassified() throws Exception {
    for (String type : List.of("image/png", "application/octet-stream")) {
      Answer answer = client.post("/classify?top=3", type, Client.digit(6));
      assertEquals(200, answer.status(), answer::toString);
      assertEquals(6, best(answer.json()));
      assertEquals(3, ((List<?>) answer.json().get("predictions")).size());
      assertEquals("digits", answer.json().get("model"));
    }
  }

  @Test
  void formsAndListsReportUnreadableImages() throws Exception {
    var form = new ByteArrayOutputStream();
    for (int digit : new int[] {3, -1, 8}) {
      form.write(
          "--x\r\nContent-Disposition: form-data; name=\"a\"; filename=\"a.png\"\r\n\r\n"
              .getBytes(StandardCharsets.US_ASCII));
      form.write(digit < 0 ? "no image".getBytes(StandardCharsets.US_ASCII) : Client.digit(digit));
      form.write("\r\n".getBytes(StandardCharsets.US_ASCII));
    }
    form.write("--x--\r\n".getBytes(StandardCharsets.US_ASCII));
    List<?> ofForm =
        results(client.post("/classify", "multipart/form-data; boundary=x", form.toByteArray()));
    assertEquals(3, ofForm.size());
    assertEquals(3, best((Map<?, ?>) ofForm.get(0)));
    assertTrue(((Map<?, ?>) ofForm.get(1)).get("error").toString().contains("not an image"));
    assertEquals(8, best((Map<?, ?>) ofForm.get(2)));

    String nine = Base64.getEncoder().encodeToString(Client.digit(9));
    for (String json :
        List.of("[\"%s\"]", "{\"images\": [\"%s\"]}", "[\"data:image/png;base64,%s\"]")) {
      List<?> ofJson = results(client.post("/classify", "application/json", json.formatted(nine)));
      assertEquals(9, best((Map<?, ?>) ofJson.getFirst()));
    }
  }

  @Test
  void featuresAreTheEmbedding() throws Exception {
    Answer answer = client.post("/features", "image/png", Client.digit(6));
    assertEquals(200, answer.status(), answer::toString);
    List<?> features = (List<?>) answer.json().get("features");
    Model classifier = Model.embedded();
    Tensor x =
        classifier.preprocessing().apply(ImageDecoder.DEFAULT.decode("six", Client.digit(6)));
    Tensor map = classifier.network().features(x);
    int plane = map.dim(2) * map.dim(3);
    for (int c = 0; c < map.dim(1); c++) {
      double sum = 0;
      for (int i = 0; i < plane; i++) {
        sum += map.data()[c * plane + i];
      }
      // Winograd's algorithm, and sums in another order.
      assertEquals(sum / plane, ((Number) features.get(c)).doubleValue(), 1e-4);
    }
  }

  @Test
  void explanationIsPngOrJson() throws Exception {
    Answer png = client.post("/explain", "image/png", Client.digit(6));
    assertEquals(200, png.status());
    assertEquals("image/png", png.response().headers().firstValue("Content-Type").orElse(""));
    assertEquals('P', png.response().body()[1]);
    Answer parts =
        client.send(
            "/explain?class=3&method=gradcam%2B%2B",
            request -> {
              try {
                return request
                    .header("Accept", "application/json")
                    .header("Content-Type", "image/png")
                    .POST(BodyPublishers.ofByteArray(Client.digit(6)));
              } catch (IOException e) {
                throw new IllegalStateException(e);
              }
            });
    assertEquals(3, parts.json().get("index"), parts::toString);
    assertTrue(parts.json().get("heat_map").toString().startsWith("data:image/png;base64,"));
    assertEquals(400, client.post("/explain?class=10", "image/png", Client.digit(6)).status());
  }

  // --- the Open Inference Protocol ---

  @Test
  void theServerAndItsModelsAreDescribed() throws Exception {
    assertEquals("resnet4j", client.get("/v2").json().get("name"));
    assertEquals(true, client.get("/v2/health/live").json().get("live"));
    assertEquals(true, client.get("/v2/health/ready").json().get("ready"));
    assertEquals(true, client.get("/v2/models/digits/ready").json().get("ready"));
    Answer model = client.get("/v2/models/digits/versions/1");
    assertEquals(List.of("1"), model.json().get("versions"), model::toString);
    assertEquals(404, client.get("/v2/models/cats").status());
    assertEquals(404, client.get("/v2/models/digits/versions/7").status());
    assertEquals(200, client.get("/openapi").status());
  }

  /** The fields and types are those of Triton's model_config.proto as JSON. */
  @Test
  void theConfigurationIsTritons() throws Exception {
    Map<String, Object> config = client.get("/v2/models/digits/versions/1/config").json();
    assertEquals("digits", config.get("name"));
    assertEquals(16, config.get("max_batch_size"));
    assertEquals(Map.of("max_queue_delay_microseconds", 2000), config.get("dynamic_batching"));
    assertEquals(
        List.of(
            Map.of(
                "name", "images",
                "data_type", "TYPE_FP32",
                "format", "FORMAT_NCHW",
                "dims", List.of(3, 32, 32),
                "optional", true),
            Map.of(
                "name", "encoded_images",
                "data_type", "TYPE_STRING",
                "format", "FORMAT_NONE",
                "dims", List.of(1),
                "optional", true)),
        config.get("input"));
    assertEquals(
        Map.of("name", "logits", "data_type", "TYPE_FP32", "dims", List.of(10)),
        ((List<?>) config.get("output")).getFirst());
    assertEquals(404, client.get("/v2/models/cats/config").status());
  }

  /** Only the events that the recording enables, each with what it is about. */
  @Test
  void flightRecorderHasTheEvents(@TempDir Path own) throws Exception {
    Path file = own.resolve("server.jfr");
    try (var recording = new Recording()) {
      for (String event : List.of("Load", "Compile", "Run", "Batch")) {
        recording.enable("io.github.resnet4j." + event);
      }
      recording.start();
      Path checkpoint = Path.of("../core/src/main/resources/io/github/resnet4j/digits.pth");
      try (var recorded =
          new Client(Client.options(own), Map.of("digits", Model.load(checkpoint)))) {
        recorded.post("/classify", "image/png", Client.digit(6));
      }
      recording.stop();
      recording.dump(file);
      assertEquals(Files.size(checkpoint), events(file, "Load").getFirst().getLong("bytes"));
    }
    var batch = events(file, "Batch");
    assertEquals(1, batch.size()); // the runs that warm up are none
    assertEquals("digits", batch.getFirst().getString("model"));
    assertEquals(1, batch.getFirst().getInt("batchSize"));
    var runs = events(file, "Run");
    assertEquals(17, runs.size()); // one of each batch size, and the request
    assertEquals(1, runs.getLast().getInt("batchSize"));
    if (runs.getLast().getString("kernels").equals("scalar")) {
      assertEquals(List.of(), events(file, "Compile")); // plain loops have no plan
    } else {
      var compiled = events(file, "Compile").getFirst();
      assertEquals(32, compiled.getInt("height"));
      assertTrue(compiled.getInt("steps") > 0);
      assertTrue(compiled.getLong("arenaBytes") > 0);
    }
    assertFalse(runs.getLast().getDuration().isNegative());
    assertTrue(
        runs.getLast().getDuration().compareTo(batch.getFirst().getDuration()) <= 0,
        () -> runs.getLast() + " is part of " + batch.getFirst());
  }

  private static List<RecordedEvent> events(Path file, String name) throws IOException {
    return RecordingFile.readAllEvents(file).stream()
        .filter(event -> event.getEventType().getName().equals("io.github.resnet4j." + name))
        .sorted(Comparator.comparing(RecordedEvent::getStartTime))
        .toList();
  }

  private static long number(Object fields, String... path) {
    Object at = fields;
    for (String name : path) {
      at = ((Map<?, ?>) at).get(name);
    }
    return ((Number) at).longValue();
  }

  /** Four images in three requests, and one request that fails; nothing else uses this server. */
  @Test
  void statisticsCountRequestsAndBatches(@TempDir Path own) throws Exception {
    try (var counted = new Client(Client.options(own))) {
      long before = System.nanoTime();
      String encoded = Base64.getEncoder().encodeToString(Client.digit(6));
      String two =
          """
          {"inputs": [{"name": "encoded_images", "datatype": "BYTES", "shape": [2],
           "data": ["%s", "%s"]}]}\
          """
              .formatted(encoded, encoded);
      assertEquals(200, counted.post("/v2/models/digits/infer", "application/json", two).status());
      assertEquals(200, counted.post("/classify", "image/png", Client.digit(6)).status());
      assertEquals(200, counted.post("/features", "image/png", Client.digit(6)).status());
      assertEquals(
          400,
          counted
              .post("/v2/models/digits/infer", "application/json", two.replace("2", "7"))
              .status());
      long elapsed = System.nanoTime() - before;

      Map<String, Object> all = counted.get("/v2/models/digits/stats").json();
      assertEquals(all, counted.get("/v2/models/digits/versions/1/stats").json());
      assertEquals(all, counted.get("/v2/models/stats").json());
      Object stats = ((List<?>) all.get("model_stats")).getFirst();
      assertEquals(4, number(stats, "inference_count"));
      assertTrue(
          Math.abs(System.currentTimeMillis() - number(stats, "last_inference")) < 3_600_000);
      assertEquals(1, number(stats, "inference_stats", "fail", "count"));
      assertTrue(number(stats, "inference_stats", "fail", "ns") > 0);
      long phases = 0;
      for (String phase : List.of("queue", "compute_input", "compute_infer", "compute_output")) {
        assertEquals(3, number(stats, "inference_stats", phase, "count"), phase);
        phases += number(stats, "inference_stats", phase, "ns");
      }
      assertEquals(3, number(stats, "inference_stats", "success", "count"));
      long success = number(stats, "inference_stats", "success", "ns");
      assertEquals(success, phases); // the phases are all of the time
      assertTrue(success < elapsed, success + " of " + elapsed);

      // The same batches as in the metrics.
      long images = 0;
      long nanos = 0;
      long batches = 0;
      for (Object batch : (List<?>) ((Map<?, ?>) stats).get("batch_stats")) {
        long count = number(batch, "compute_infer", "count");
        batches += count;
        images += count * number(batch, "batch_size");
        nanos += number(batch, "compute_infer", "ns");
      }
      String metrics =
          new String(counted.get("/metrics").response().body(), StandardCharsets.UTF_8);
      assertEquals(4, images);
      assertEquals(batches, number(stats, "execution_count"));
      assertEquals(batches, metric(metrics, "resnet4j_batch_size_count"));
      assertEquals(nanos / 1e9, metric(metrics, "resnet4j_batch_duration_seconds_sum"), 1e-9);
      assertEquals(4, metric(metrics, "resnet4j_phase_duration_seconds_count{phase=\"queue\"}"));
      assertTrue(number(stats, "inference_stats", "compute_infer", "ns") > 0);
    }
    assertEquals(404, client.get("/v2/models/cats/stats").status());
    assertEquals(404, client.get("/v2/models/digits/versions/7/stats").status());
  }

  private static Tensor six() throws IOException {
    return Model.embedded()
        .preprocessing()
        .apply(ImageDecoder.DEFAULT.decode("six", Client.digit(6)));
  }

  @Test
  void tensorsAreAcceptedAsJsonAndBinary() throws Exception {
    Tensor x = six();
    float[] expected = Model.embedded().network().forward(x).data();
    Answer json =
        client.post(
            "/v2/models/digits/infer",
            "application/json",
            JSON.std.asString(
                Map.of(
                    "id",
                    "abc",
                    "inputs",
                    List.of(
                        Map.of(
                            "name",
                            "images",
                            "datatype",
                            "FP32",
                            "shape",
                            x.shape(),
                            "data",
                            x.data())))));
    assertEquals(200, json.status(), json::toString);
    assertEquals("abc", json.json().get("id"));
    Map<?, ?> output = (Map<?, ?>) ((List<?>) json.json().get("outputs")).getFirst();
    assertEquals(List.of(1, 10), output.get("shape"));
    List<?> data = (List<?>) output.get("data");
    for (int c = 0; c < 10; c++) {
      assertEquals(expected[c], ((Number) data.get(c)).floatValue(), 1e-4 * 20);
    }

    byte[] header =
        ("{\"inputs\":[{\"name\":\"images\",\"datatype\":\"FP32\",\"shape\":[1,3,32,32],"
                + "\"parameters\":{\"binary_data_size\":12288}}],"
                + "\"outputs\":[{\"name\":\"logits\",\"parameters\":{\"binary_data\":true}}]}")
            .getBytes(StandardCharsets.UTF_8);
    var body = new ByteArrayOutputStream();
    body.write(header);
    body.write(InferenceJson.bytes(x.data()));
    Answer binary =
        client.send(
            "/v2/models/digits/infer",
            request ->
                request
                    .header("Inference-Header-Content-Length", String.valueOf(header.length))
                    .POST(BodyPublishers.ofByteArray(body.toByteArray())));
    assertEquals(200, binary.status(), binary::toString);
    int length =
        Integer.parseInt(
            binary.response().headers().firstValue("Inference-Header-Content-Length").orElse(""));
    byte[] bytes = binary.response().body();
    float[] logits = new float[10];
    ByteBuffer.wrap(bytes, length, 40).order(ByteOrder.LITTLE_ENDIAN).asFloatBuffer().get(logits);
    assertEquals(length + 40, bytes.length);
    assertArrayEquals(expected, logits, 1e-4f * 20);
  }

  @Test
  void invalidTensorsAreRejected() throws Exception {
    String format = "{\"inputs\":[{\"name\":\"%s\",\"datatype\":\"%s\",\"shape\":%s,\"data\":%s}]}";
    for (String body :
        List.of(
            format.formatted("images", "FP32", "[1,3,8,8]", "[1]"),
            format.formatted("images", "FP32", "[1,3,32,32]", "[1,2]"),
            format.formatted("images", "FP32", "[4611686018427387904,3,32,32]", "[1]"),
            format.formatted("images", "INT8", "[1]", "[1]"),
            format.formatted("cats", "FP32", "[1]", "[1]"),
            format.formatted("encoded_images", "BYTES", "[2]", "[\"AA==\"]"),
            format.formatted("encoded_images", "BYTES", "[1]", "[\"AA==\"]"),
            format.formatted("encoded_images", "BYTES", "[1]", "[1]"),
            format.formatted("encoded_images", "FP32", "[1]", "[\"AA==\"]"),
            format.formatted("images", "FP32", "[9223372036854775807,9223372036854775807]", "[1]"),
            format.formatted("images", "FP32", "[92233720368547758080,3,32,32]", "[1]"),
            format.formatted("images", "FP32", "[1,1,1,1,1,1,1,1,1]", "[1]"),
            format.formatted("images", "FP32", "[1.0,3,32,32]", "[1]"),
            format.formatted("images", "FP32", "[1,3,32,32]", "[NaN]"),
            format.formatted("images", "FP32", "[1,3,32,32]", "[null]"),
            format.formatted("images", "FP32", "[1,3,32,32]", "[1e99" + ",1".repeat(3071) + "]"),
            "{\"inputs\":[],\"inputs\":[]}",
            "{\"inputs\":[{},{}]}",
            "{\"inputs\":[null]}",
            "{} {}",
            "null",
            "{\"a\":1" + fields(65) + "}",
            "{\"inputs\":[{\"parameters\":{\"a\":1" + fields(65) + "}}]}",
            "{\"" + "n".repeat(2000) + "\":1}",
            "{\"inputs\":[]}",
            "{\"inputs\":[{}]}",
            "{}",
            "[]",
            "nonsense",
            "[".repeat(5000) + "]".repeat(5000))) {
      Answer answer = client.post("/v2/models/digits/infer", "application/json", body);
      assertEquals(400, answer.status(), () -> body + " " + answer);
      assertTrue(answer.json().containsKey("error"), answer::toString);
    }
  }

  private static String fields(int count) {
    var fields = new StringBuilder();
    for (int i = 0; i < count; i++) {
      fields.append(",\"f").append(i).append("\":[{}]");
    }
    return fields.toString();
  }

  private static String base64(int digit) throws IOException {
    return "\"" + Base64.getEncoder().encodeToString(Client.digit(digit)) + "\"";
  }

  private static Answer inferred(String shape, String data, String more) throws Exception {
    String body =
        "{\"inputs\":[{\"data\":%s,\"shape\":%s,\"name\":\"encoded_images\",\"datatype\":\"BYTES\"}]%s}";
    return client.post(
        "/v2/models/digits/infer", "application/json", body.formatted(data, shape, more));
  }

  /** Repeated outputs are rejected before they are stored. */
  @Test
  void repeatedOutputsAreRejected() throws Exception {
    String six = "[" + base64(6) + "]";
    for (int count : new int[] {2, 4, 700_000}) {
      String outputs = String.join(",", Collections.nCopies(count, "{\"name\":\"logits\"}"));
      Answer answer = inferred("[1]", six, ",\"outputs\":[" + outputs + "]");
      assertEquals(400, answer.status(), answer::toString);
    }
    String each = "{\"name\":\"logits\"},{\"name\":\"probabilities\"},{\"name\":\"embedding\"}";
    Answer all = inferred("[1]", six, ",\"outputs\":[" + each + "]");
    assertEquals(3, ((List<?>) all.json().get("outputs")).size(), all::toString);
  }

  @Test
  void encodedImagesMayBeNested() throws Exception {
    for (String[] each :
        new String[][] {{"[2,1]", "[[%s],[%s]]"}, {"[1,2]", "[[%s,%s]]"}, {"[2]", "[%s,%s]"}}) {
      Answer answer = inferred(each[0], each[1].formatted(base64(6), base64(7)), "");
      assertEquals(200, answer.status(), answer::toString);
      Map<?, ?> output = (Map<?, ?>) ((List<?>) answer.json().get("outputs")).getFirst();
      assertEquals(List.of(2, 10), output.get("shape"));
    }
    Answer many =
        inferred("[65]", "[" + String.join(",", Collections.nCopies(65, "\"AA==\"")) + "]", "");
    assertEquals(413, many.status(), many::toString);
  }

  /** Timeouts beyond the range of nanoseconds mean no timeout. */
  @Test
  void anyTimeoutIsAccepted() throws Exception {
    for (String timeout : List.of("9223372036854775807", "0", "10000000")) {
      String more = ",\"parameters\":{\"timeout\":" + timeout + "}";
      Answer answer = inferred("[1]", "[" + base64(6) + "]", more);
      assertEquals(200, answer.status(), answer::toString);
    }
  }

  // --- limits ---

  @Test
  void requestsBeyondTheLimitsAreRejected(@TempDir Path own) throws Exception {
    ServerOptions usual = Client.options(own);
    var limits =
        new ServerOptions.Limits(50_000, 100_000, 3, Duration.ofSeconds(2), Duration.ofSeconds(1));
    try (var small = new Client(with(usual, limits, usual.batching(), Access.DEFAULT))) {
      assertEquals(413, small.post("/classify", "image/png", new byte[60_000]).status());
      Answer bomb = small.post("/classify", "image/png", hugePng());
      assertEquals(400, bomb.status(), bomb::toString);
      assertTrue(bomb.toString().contains("pixels"), bomb::toString);
      String one = "\"" + Base64.getEncoder().encodeToString(Client.digit(1)) + "\"";
      assertEquals(
          413,
          small
              .post(
                  "/classify", "application/json", "[" + String.join(",", one, one, one, one) + "]")
              .status());
      assertEquals(415, small.post("/classify", "text/plain", "a cat").status());
      assertEquals(400, small.post("/classify", "image/png", new byte[0]).status());
      assertEquals(400, small.post("/classify?top=0", "image/png", Client.digit(1)).status());
      assertEquals(
          400, small.post("/classify", "multipart/form-data", "--x\r\n\r\n--x--").status());
      assertEquals(
          400,
          small.post("/classify", "multipart/form-data; boundary=x", "--x\r\nno end").status());

      // A client that sends a header or a body too slowly is disconnected.
      try (var slow = new Socket("127.0.0.1", small.server.port())) {
        slow.setSoTimeout(20_000);
        OutputStream out = slow.getOutputStream();
        out.write(
            "POST /classify HTTP/1.1\r\nHost: localhost\r\n".getBytes(StandardCharsets.US_ASCII));
        assertTrue(slow.getInputStream().readAllBytes().length < 1000);
      }
      // So is a client that sends too many headers.
      try (var flood = new Socket("127.0.0.1", small.server.port())) {
        flood.setSoTimeout(20_000);
        OutputStream out = flood.getOutputStream();
        out.write("GET / HTTP/1.1\r\nHost: localhost\r\n".getBytes(StandardCharsets.US_ASCII));
        try {
          for (int i = 0; i < 10_000; i++) {
            out.write(
                ("X-%d: %s\r\n".formatted(i, "y".repeat(50))).getBytes(StandardCharsets.US_ASCII));
          }
          out.flush();
        } catch (IOException _) {
          // disconnected while writing
        }
        assertFalse(answered(flood.getInputStream()).startsWith("HTTP/1.1 200"));
      }
      Thread.sleep(1500); // until the client has seen that its idle connection was closed
      Answer after = small.post("/classify", "image/png", Client.digit(6));
      assertEquals(200, after.status(), after::toString);
    }
  }

  private static String answered(InputStream in) {
    try {
      return new String(in.readNBytes(12), StandardCharsets.US_ASCII);
    } catch (IOException _) {
      return "";
    }
  }

  /** A PNG whose header declares 100,000 × 100,000 pixels. */
  private static byte[] hugePng() throws IOException {
    byte[] png = Client.digit(1);
    ByteBuffer.wrap(png).putInt(16, 100_000).putInt(20, 100_000);
    var crc = new java.util.zip.CRC32();
    crc.update(png, 12, 17);
    ByteBuffer.wrap(png).putInt(29, (int) crc.getValue());
    return png;
  }

  private static ServerOptions with(
      ServerOptions usual,
      ServerOptions.Limits limits,
      ServerOptions.Batching batching,
      Access access) {
    return new ServerOptions(
        usual.host(),
        0,
        0,
        usual.models(),
        batching,
        limits,
        access,
        usual.tls(),
        usual.accessLog(),
        usual.drainTimeout(),
        usual.compile());
  }

  @Test
  void tokenIsRequiredExceptForHealth(@TempDir Path own) throws Exception {
    ServerOptions usual = Client.options(own);
    try (var guarded =
        new Client(
            with(
                usual,
                usual.limits(),
                usual.batching(),
                Access.DEFAULT.withToken("0123456789abcdef")))) {
      for (String path : List.of("/models", "/metrics", "/v2", "/v2/models/digits")) {
        assertEquals(401, guarded.get(path).status(), path);
      }
      assertEquals(401, guarded.post("/classify", "image/png", Client.digit(6)).status());
      assertEquals(200, guarded.get("/v2/health/ready").status());
      Answer answer =
          guarded.send(
              "/models", request -> request.header("Authorization", "Bearer 0123456789abcdef"));
      assertEquals(200, answer.status());
      assertEquals(
          401,
          guarded
              .send("/models", request -> request.header("Authorization", "Bearer wrong"))
              .status());
    }
  }

  @Test
  void tlsEncryptsConnections(@TempDir Path own) throws Exception {
    Path store = own.resolve("store.p12");
    Process keytool =
        new ProcessBuilder(
                Path.of(System.getProperty("java.home"), "bin", "keytool").toString(),
                "-genkeypair",
                "-alias",
                "x",
                "-keyalg",
                "EC",
                "-dname",
                "CN=localhost",
                "-ext",
                "san=ip:127.0.0.1",
                "-storetype",
                "PKCS12",
                "-keystore",
                store.toString(),
                "-storepass",
                "secret")
            .redirectErrorStream(true)
            .start();
    keytool.getInputStream().readAllBytes();
    assertEquals(0, keytool.waitFor());
    var keys = KeyStore.getInstance(store.toFile(), "secret".toCharArray());
    var pem = Base64.getMimeEncoder();
    Path certificate =
        Files.writeString(
            own.resolve("certificate.pem"),
            "-----BEGIN CERTIFICATE-----\n%s\n-----END CERTIFICATE-----\n"
                .formatted(pem.encodeToString(keys.getCertificate("x").getEncoded())));
    Path key =
        Files.writeString(
            own.resolve("key.pem"),
            "-----BEGIN PRIVATE KEY-----\n%s\n-----END PRIVATE KEY-----\n"
                .formatted(
                    pem.encodeToString(keys.getKey("x", "secret".toCharArray()).getEncoded())));
    var trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
    trust.init(keys);
    var context = SSLContext.getInstance("TLS");
    context.init(null, trust.getTrustManagers(), null);
    ServerOptions usual = Client.options(own);
    var options =
        new ServerOptions(
            usual.host(),
            0,
            0,
            usual.models(),
            usual.batching(),
            usual.limits(),
            usual.access(),
            Optional.of(new ServerOptions.Tls(certificate, key)),
            usual.accessLog(),
            usual.drainTimeout(),
            usual.compile());
    try (var secret = new Client(options);
        var http = HttpClient.newBuilder().sslContext(context).build()) {
      var response =
          http.send(
              HttpRequest.newBuilder(URI.create(secret.server.address() + "/classify"))
                  .header("Content-Type", "image/png")
                  .POST(BodyPublishers.ofByteArray(Client.digit(6)))
                  .build(),
              HttpResponse.BodyHandlers.ofString());
      assertTrue(secret.server.address().startsWith("https://"));
      assertTrue(response.body().contains("{\"index\":6"), response::body);
    }
  }

  // --- batches, queue, deadlines ---

  private static <T> List<T> concurrently(int count, Callable<T> work)
      throws InterruptedException, ExecutionException {
    try (var threads = Executors.newVirtualThreadPerTaskExecutor()) {
      var begin = new CountDownLatch(1);
      var futures = new ArrayList<Future<T>>();
      for (int i = 0; i < count; i++) {
        futures.add(
            threads.submit(() -> {
              begin.await();
              return work.call();
            }));
      }
      begin.countDown();
      var all = new ArrayList<T>();
      for (Future<T> future : futures) {
        all.add(future.get());
      }
      return all;
    }
  }

  @Test
  void concurrentRequestsAreBatched() throws Exception {
    byte[] six = Client.digit(6);
    for (Answer answer : concurrently(64, () -> client.post("/classify", "image/png", six))) {
      assertEquals(200, answer.status(), answer::toString);
      assertEquals(6, best(answer.json()));
    }
    String metrics = new String(client.get("/metrics").response().body(), StandardCharsets.UTF_8);
    double images = metric(metrics, "resnet4j_batch_size_sum");
    double batches = metric(metrics, "resnet4j_batch_size_count");
    assertTrue(batches < images, () -> batches + " batches of " + images + " images");
    assertTrue(
        metrics.contains("resnet4j_phase_duration_seconds_bucket{phase=\"decode\""), metrics);
    assertTrue(metrics.contains("jvm_memory_used_bytes"));
    assertTrue(
        metrics.contains(
            "resnet4j_request_duration_seconds_count{endpoint=\"classify\",status=\"200\"}"));
  }

  private static double metric(String metrics, String name) {
    return metrics
        .lines()
        .filter(line -> line.startsWith(name + " ") || line.startsWith(name + "{"))
        .mapToDouble(line -> Double.parseDouble(line.substring(line.lastIndexOf(' ') + 1)))
        .sum();
  }

  @Test
  void fullQueueRejectsRequests(@TempDir Path own) throws Exception {
    ServerOptions usual = Client.options(own);
    var batching = new ServerOptions.Batching(1, Duration.ZERO, 2);
    try (var tight = new Client(with(usual, usual.limits(), batching, Access.DEFAULT))) {
      byte[] six = Client.digit(6);
      List<Answer> answers = concurrently(60, () -> tight.post("/classify", "image/png", six));
      long busy = answers.stream().filter(answer -> answer.status() == 503).count();
      assertTrue(busy > 0 && busy < 60, () -> busy + " of 60 rejected");
      for (Answer answer : answers) {
        assertTrue(answer.status() == 200 || answer.status() == 503, answer::toString);
        assertEquals(
            answer.status() == 503,
            answer.response().headers().firstValue("Retry-After").isPresent());
      }
      assertEquals(200, tight.post("/classify", "image/png", six).status());
    }
  }

  @Test
  void exceededDeadlineReturns504() throws Exception {
    byte[] six = Client.digit(6);
    List<Answer> answers =
        concurrently(100, () -> client.post("/classify?timeout_ms=1", "image/png", six));
    assertTrue(answers.stream().anyMatch(answer -> answer.status() == 504));
    for (Answer answer : answers) {
      assertTrue(answer.status() == 200 || answer.status() == 504, answer::toString);
    }
    assertEquals(400, client.post("/classify?timeout_ms=x", "image/png", six).status());
  }

  /** A disconnect is detected while images are queued, and they are not run. */
  @Test
  void imagesOfDisconnectedClientsAreNotRun(@TempDir Path own) throws Exception {
    ServerOptions usual = Client.options(own);
    var spec = Architecture.named("resnet50").toBuilder().numClasses(10).build();
    var slow =
        new Model(
            ResNet.initialize(spec, TorchRandom.manualSeed(0)),
            Preprocessing.imagenet(256, 224),
            Model.numbered(10));
    var batching = new ServerOptions.Batching(2, Duration.ZERO, 64);
    try (var busy =
            new Client(
                with(usual, usual.limits(), batching, Access.DEFAULT), Map.of("slow", slow));
        var leaving = new Socket("127.0.0.1", busy.server.port())) {
      // Sixty images take more than a second; the client disconnects long before.
      String image = "\"" + Base64.getEncoder().encodeToString(Client.digit(6)) + "\"";
      byte[] body =
          ("[" + String.join(",", Collections.nCopies(60, image)) + "]")
              .getBytes(StandardCharsets.US_ASCII);
      leaving.getOutputStream().write(request("application/json", body));
      String metrics = "";
      while (metric(metrics, "resnet4j_queued_images") < 20) {
        metrics = new String(busy.get("/metrics").response().body(), StandardCharsets.UTF_8);
      }
      leaving.close();
      for (int i = 0; i < 400 && metric(metrics, "resnet4j_requests_in_progress") > 0; i++) {
        Thread.sleep(10);
        metrics = new String(busy.get("/metrics").response().body(), StandardCharsets.UTF_8);
      }
      assertTrue(
          metrics.contains("resnet4j_errors_total{kind=\"client_disconnected\"} 1.0"), metrics);
      assertTrue(metric(metrics, "resnet4j_batch_size_sum") < 60, metrics);
    }
  }

  private static byte[] request(String type, byte[] body) throws IOException {
    var all = new ByteArrayOutputStream();
    all.write(
        "POST /classify HTTP/1.1\r\nHost: localhost\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n"
            .formatted(type, body.length)
            .getBytes(StandardCharsets.US_ASCII));
    all.write(body);
    return all.toByteArray();
  }

  // --- models from a folder ---

  @Test
  void unreadableModelDoesNotAffectOthers(@TempDir Path own) throws Exception {
    Path models = own.resolve("models");
    for (String version : List.of("1", "2")) {
      Path place = Files.createDirectories(models.resolve("good").resolve(version));
      Model.embedded().save(place.resolve("model.safetensors"));
    }
    Path bad = Files.createDirectories(models.resolve("bad/1"));
    Files.writeString(bad.resolve("model.safetensors"), "not a checkpoint");
    ServerOptions usual = Client.options(own);
    var options =
        new ServerOptions(
            usual.host(),
            0,
            0,
            Optional.of(models),
            usual.batching(),
            usual.limits(),
            usual.access(),
            usual.tls(),
            usual.accessLog(),
            usual.drainTimeout(),
            usual.compile());
    try (var many = new Client(options, Map.of())) {
      assertEquals(200, many.get("/v2/health/ready").status());
      assertEquals(List.of("2", "1"), many.get("/v2/models/good").json().get("versions"));
      assertEquals(503, many.get("/v2/models/bad").status());
      Answer listed = many.post("/v2/repository/index", "application/json", "{}");
      assertTrue(listed.toString().contains("UNAVAILABLE"), listed::toString);
      assertFalse(listed.toString().contains(own.toString()), listed::toString);
      Answer answer = many.post("/classify?model=good&version=1", "image/png", Client.digit(4));
      assertEquals("1", answer.json().get("version"), answer::toString);
      assertEquals(4, best(answer.json()));

      assertEquals(
          200, many.post("/v2/repository/models/good/unload", "application/json", "{}").status());
      assertEquals(404, many.get("/v2/models/good").status());
      assertEquals(
          200, many.post("/v2/repository/models/good/load", "application/json", "{}").status());
      assertEquals(200, many.get("/v2/models/good").status());
      assertEquals(
          400, many.post("/v2/repository/models/bad/load", "application/json", "{}").status());
      Model.embedded().save(bad.resolve("model.safetensors"));
      assertEquals(
          200, many.post("/v2/repository/models/bad/load", "application/json", "{}").status());
      for (String odd : List.of("..", "%2e%2e", "..%2f..%2fetc", "good%00", "a%20b")) {
        int status =
            many.post("/v2/repository/models/" + odd + "/load", "application/json", "{}").status();
        assertTrue(status == 404 || status == 400, odd + " " + status);
      }
    }
  }

  @Test
  void acceptedRequestsAreFinishedOnShutdown(@TempDir Path own) throws Exception {
    var stopping = new Client(Client.options(own));
    byte[] six = Client.digit(6);
    try (var threads = Executors.newVirtualThreadPerTaskExecutor()) {
      var futures = new ArrayList<Future<Integer>>();
      for (int i = 0; i < 40; i++) {
        futures.add(
            threads.submit(() -> {
              try {
                return stopping.post("/classify", "image/png", six).status();
              } catch (IOException _) {
                return -1; // too late to be accepted
              }
            }));
      }
      Thread.sleep(30);
      stopping.server.close();
      for (Future<Integer> future : futures) {
        int status = future.get();
        assertTrue(status == 200 || status == 503 || status == -1, "status " + status);
      }
    }
    stopping.close();
    List<String> lines = Files.readAllLines(own.resolve("access.log"));
    assertTrue(lines.getLast().contains("\"unanswered\":0"), lines.getLast());
    assertTrue(lines.stream().allMatch(line -> line.startsWith("{") && line.endsWith("}")));
  }

  /** Spans are exported as configured for OpenTelemetry, in the client's trace. */
  @Test
  void requestsAreTracedIfConfigured(@TempDir Path own) throws Exception {
    var received = new java.util.concurrent.LinkedBlockingQueue<String>();
    var collector =
        com.sun.net.httpserver.HttpServer.create(new java.net.InetSocketAddress("127.0.0.1", 0), 0);
    collector.createContext(
        "/v1/traces",
        exchange -> {
          received.add(
              new String(exchange.getRequestBody().readAllBytes(), StandardCharsets.ISO_8859_1));
          exchange.sendResponseHeaders(200, -1);
          exchange.close();
        });
    collector.start();
    System.setProperty(
        "otel.exporter.otlp.endpoint", "http://127.0.0.1:" + collector.getAddress().getPort());
    try (var traced = new Client(Client.options(own))) {
      Answer answer =
          traced.send(
              "/classify",
              request -> {
                try {
                  return request
                      .header("Content-Type", "image/png")
                      .header("X-Request-Id", "request-17")
                      .header(
                          "traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
                      .POST(BodyPublishers.ofByteArray(Client.digit(6)));
                } catch (IOException e) {
                  throw new IllegalStateException(e);
                }
              });
      assertEquals(200, answer.status());
    } finally {
      System.clearProperty("otel.exporter.otlp.endpoint");
      collector.stop(0);
    }
    String spans = String.join("", received);
    for (String part : List.of("POST classify", "queue", "inference", "request-17", "resnet4j")) {
      assertTrue(spans.contains(part), () -> part + " is not in " + spans);
    }
    String trace =
        new String(
            java.util.HexFormat.of().parseHex("0af7651916cd43dd8448eb211c80319c"),
            StandardCharsets.ISO_8859_1);
    assertTrue(spans.contains(trace), "another trace");
  }

  /** If the disk is full, log lines are lost and counted, and requests succeed. */
  @Test
  void unwritableLogDoesNotBlockRequests(@TempDir Path own) throws Exception {
    Path full = Path.of("/dev/full");
    assumeTrue(Files.exists(full));
    ServerOptions usual = Client.options(own);
    var options =
        new ServerOptions(
            usual.host(),
            0,
            -1,
            usual.models(),
            usual.batching(),
            usual.limits(),
            usual.access(),
            usual.tls(),
            Optional.of(full),
            usual.drainTimeout(),
            usual.compile());
    try (var slowReader = new Client(options)) {
      assertEquals(6, best(slowReader.post("/classify", "image/png", Client.digit(6)).json()));
      String metrics =
          new String(slowReader.get("/metrics").response().body(), StandardCharsets.UTF_8);
      assertTrue(metric(metrics, "resnet4j_log_lines_lost_total") > 0, metrics);
    }
  }

  /**
   * A client that sends requests and never reads responses is disconnected, and others are not
   * affected.
   */
  @Test
  void slowReaderIsDisconnected(@TempDir Path own) throws Exception {
    ServerOptions usual = Client.options(own);
    var limits =
        new ServerOptions.Limits(1 << 20, 1 << 20, 8, Duration.ofSeconds(5), Duration.ofSeconds(1));
    try (var brief = new Client(with(usual, limits, usual.batching(), Access.DEFAULT));
        var slowReader = new Socket("127.0.0.1", brief.server.port())) {
      byte[] request =
          "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n".getBytes(StandardCharsets.US_ASCII);
      boolean disconnected = false;
      long until = System.nanoTime() + Duration.ofSeconds(20).toNanos();
      var writer =
          Thread.ofVirtual()
              .start(() -> {
                try {
                  while (true) {
                    slowReader.getOutputStream().write(request);
                  }
                } catch (IOException _) {
                  // disconnected
                }
              });
      while (!disconnected && System.nanoTime() < until) {
        assertEquals(6, best(brief.post("/classify", "image/png", Client.digit(6)).json()));
        disconnected = writer.join(Duration.ofMillis(200));
      }
      assertTrue(disconnected, "it was never disconnected");
    }
  }

  @Test
  void requestMayTakeLongerThanTheIdleTimeout(@TempDir Path own) throws Exception {
    ServerOptions usual = Client.options(own);
    var limits =
        new ServerOptions.Limits(
            1 << 20, 1 << 20, 8, Duration.ofSeconds(10), Duration.ofSeconds(1));
    try (var brief = new Client(with(usual, limits, usual.batching(), Access.DEFAULT));
        var socket = new Socket("127.0.0.1", brief.server.port())) {
      OutputStream out = socket.getOutputStream();
      byte[] six = Client.digit(6);
      String host = " HTTP/1.1\r\nHost: localhost\r\n";
      String post = "POST /classify" + host + "Content-Length: " + six.length + "\r\n\r\n";
      out.write(post.getBytes(StandardCharsets.US_ASCII));
      Thread.sleep(2200);
      out.write(six);
      InputStream in = socket.getInputStream();
      assertEquals('H', in.read());
      String next = "GET /v2/health/live" + host + "Connection: close\r\n\r\n";
      out.write(next.getBytes(StandardCharsets.US_ASCII));
      String answers = new String(in.readAllBytes(), StandardCharsets.UTF_8);
      assertEquals(3, answers.split("TTP/1.1 200", -1).length, answers);
    }
  }

  /** Many requests do not leak files or memory. */
  @Test
  void filesAndMemoryDoNotGrow() throws Exception {
    byte[] six = Client.digit(6);
    var files = new ArrayList<Double>();
    var heap = new ArrayList<Long>();
    for (int round = 0; round < 4; round++) {
      for (int i = 0; i < 20; i++) {
        concurrently(20, () -> client.post("/classify", "image/png", six).status());
      }
      System.gc();
      String metrics = new String(client.get("/metrics").response().body(), StandardCharsets.UTF_8);
      files.add(metric(metrics, "process_files_open_files"));
      heap.add(Runtime.getRuntime().totalMemory() - Runtime.getRuntime().freeMemory());
    }
    // The test's own client keeps some connections.
    assertTrue(files.getLast() <= files.get(1) + 25, files::toString);
    assertTrue(heap.getLast() <= heap.get(1) + (16 << 20), heap::toString);
  }

  /**
   * Random bytes return a result or a client error, never a server error, and the server keeps
   * working.
   */
  @Test
  void randomRequestsNeverCauseServerErrors() throws Exception {
    var random = new Random(3);
    byte[] six = Client.digit(6);
    List<String> types =
        List.of("image/png", "application/json", "multipart/form-data; boundary=x", "a/b", "");
    List<String> paths =
        List.of("/classify", "/features", "/explain", "/v2/models/digits/infer", "/v2/x", "/%00");
    for (int round = 0; round < 600; round++) {
      byte[] body = round % 3 == 0 ? six.clone() : new byte[random.nextInt(300)];
      if (round % 3 != 0) {
        random.nextBytes(body);
      }
      for (int i = 0; i < 3 && body.length > 0; i++) {
        body[random.nextInt(body.length)] = (byte) random.nextInt(256);
      }
      String type = types.get(random.nextInt(types.size()));
      String path = paths.get(random.nextInt(paths.size()));
      Answer answer =
          type.isEmpty()
              ? client.send(path, request -> request.POST(BodyPublishers.ofByteArray(body)))
              : client.post(path, type, body);
      assertTrue(answer.status() < 500, () -> path + " " + type + " " + answer);
    }
    assertEquals(6, best(client.post("/classify", "image/png", six).json()));
  }
}
