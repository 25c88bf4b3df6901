package io.github.resnet4j.server;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.resnet4j.Model;
import io.github.resnet4j.Task;
import io.github.resnet4j.Weights;
import io.github.resnet4j.image.Preprocessing;
import io.github.resnet4j.nn.StateDict;
import io.github.resnet4j.server.Client.Answer;
import io.github.resnet4j.tensor.Tensor;
import java.io.IOException;
import java.net.http.HttpRequest.BodyPublishers;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.stream.IntStream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Models in a folder: loading, reloading and unloading while files change. */
class ModelRepositoryTest {
  @TempDir private Path folder;
  private Path models;

  @BeforeEach
  void makeFolder() throws IOException {
    models = Files.createDirectories(folder.resolve("models"));
  }

  private Client start(Map<String, Model> given, InferenceServer.ModelReader reader)
      throws IOException {
    ServerOptions usual = Client.options(folder);
    return new Client(
        new ServerOptions(
            usual.host(),
            0,
            -1,
            Optional.of(models),
            new ServerOptions.Batching(
                2, usual.batching().maxBatchDelay(), usual.batching().queueSize()),
            usual.limits(),
            usual.access(),
            usual.tls(),
            usual.accessLog(),
            usual.drainTimeout(),
            usual.compile()),
        given,
        reader);
  }

  private Client start() throws IOException {
    return start(Map.of(), Model::load);
  }

  private Path put(String place, Model classifier) throws IOException {
    Path file = Files.createDirectories(models.resolve(place)).resolve("model.safetensors");
    classifier.save(file);
    return file;
  }

  /** The digits with a head that always predicts the same class. */
  private static Model always(int digit) throws IOException {
    Model digits = Model.embedded();
    return withHead(digits, digit, 1e3f);
  }

  private static Model withHead(Model digits, int digit, float bias) {
    var entries = new LinkedHashMap<>(digits.network().state().entries());
    float[] biases = new float[10];
    biases[digit] = bias;
    entries.put("fc.bias", Tensor.of(biases, 10));
    return digits.withNetwork(digits.network().withState(new StateDict(entries)));
  }

  private static Answer load(Client client, String model) throws Exception {
    return client.post("/v2/repository/models/" + model + "/load", "application/json", "{}");
  }

  private static Answer unload(Client client, String model) throws Exception {
    return client.post("/v2/repository/models/" + model + "/unload", "application/json", "{}");
  }

  private static String index(Client client) throws Exception {
    return client.post("/v2/repository/index", "application/json", "{}").toString();
  }

  private static int classify(Client client, String model) throws Exception {
    Answer answer = client.post("/classify?model=" + model, "image/png", Client.digit(4));
    assertEquals(200, answer.status(), answer::toString);
    return (int) ((Map<?, ?>) ((List<?>) answer.json().get("predictions")).getFirst()).get("index");
  }

  private static int explain(Client client, String model) throws Exception {
    Answer answer =
        client.send(
            "/explain?model=" + model,
            request ->
                request
                    .header("Accept", "application/json")
                    .header("Content-Type", "image/png")
                    .POST(BodyPublishers.ofByteArray(four())));
    assertEquals(200, answer.status(), answer::toString);
    return (int) answer.json().get("index");
  }

  private static byte[] four() {
    try {
      return Client.digit(4);
    } catch (IOException e) {
      throw new IllegalStateException(e);
    }
  }

  @Test
  void errorWhileLoadingAffectsOnlyThatModel() throws Exception {
    put("good/1", Model.embedded());
    put("deep/1", Model.embedded());
    put("large/1", Model.embedded());
    try (var client =
        start(
            Map.of(),
            file -> {
              if (file.toString().contains("deep")) {
                throw new StackOverflowError();
              }
              if (file.toString().contains("large")) {
                throw new OutOfMemoryError();
              }
              return Model.load(file);
            })) {
      assertEquals(4, classify(client, "good"));
      for (String bad : List.of("deep", "large")) {
        assertEquals(503, client.get("/v2/models/" + bad).status());
        assertEquals(400, load(client, bad).status());
      }
      assertTrue(index(client).contains("nested too deeply"), index(client));
      assertTrue(index(client).contains("not enough memory"), index(client));
      assertEquals(200, client.get("/v2/health/ready").status());
    }
  }

  @Test
  void tooLargeInputIsRejectedBeforeAllocation() throws Exception {
    put("good/1", Model.embedded());
    Preprocessing digits = Model.embedded().preprocessing();
    put(
        "huge/1",
        Model.embedded()
            .withPreprocessing(
                new Preprocessing(
                    16384, 16384, 16384, digits.interpolation(), digits.mean(), digits.std())));
    try (var client = start()) {
      assertEquals(4, classify(client, "good"));
      assertEquals(503, client.get("/v2/models/huge").status());
      assertTrue(index(client).contains("16384 × 16384 values is too large"), index(client));
    }
  }

  @Test
  void modelPassedAtStartCanBeReloaded() throws Exception {
    try (var client = start(Map.of("digits", Model.embedded()), Model::load)) {
      assertEquals(200, unload(client, "digits").status());
      assertEquals(404, client.get("/v2/models/digits").status());
      assertTrue(index(client).contains("unloaded"), index(client));
      assertEquals(200, unload(client, "digits").status(), "unloading again has no effect");
      assertEquals(200, load(client, "digits").status());
      assertEquals(4, classify(client, "digits"));
      assertEquals(404, load(client, "cats").status());
      assertEquals(404, unload(client, "cats").status());
    }
  }

  @Test
  void failedReloadKeepsTheLoadedModel() throws Exception {
    Path file = put("m/1", always(7));
    try (var client = start()) {
      Files.writeString(file, "no checkpoint");
      Answer answer = load(client, "m");
      assertEquals(400, answer.status(), answer::toString);
      assertTrue(answer.toString().contains("version 1: model.safetensors"), answer::toString);
      assertFalse(answer.toString().contains(folder.toString()), answer::toString);
      assertEquals(7, classify(client, "m"));
      assertEquals(7, explain(client, "m"));
      assertTrue(index(client).contains("loaded before stays in service"), index(client));
      put("m/1", always(2));
      assertEquals(200, load(client, "m").status());
      assertEquals(2, classify(client, "m"));
      assertEquals(2, explain(client, "m"));
    }
  }

  @Test
  void loadedModelDoesNotDependOnItsFiles() throws Exception {
    Path file = put("m/1", always(7));
    Model digits = Model.embedded();
    // The command reads models this way: the weights are mapped, not copied.
    try (var client =
        start(
            Map.of(),
            checkpoint ->
                Model.of(
                    new Weights(
                        checkpoint,
                        Optional.of(digits.network().spec()),
                        Optional.of(digits.preprocessing()),
                        Optional.empty(),
                        Task.SINGLE_LABEL,
                        List.of())))) {
      byte[] other = Files.readAllBytes(put("other", always(3)));
      Files.write(file, other); // in place
      assertEquals(7, classify(client, "m"));
      assertEquals(7, explain(client, "m"));
      Files.delete(file);
      assertEquals(7, classify(client, "m"));
      assertEquals(7, explain(client, "m"));
    }
  }

  @Test
  void loadSynchronizesVersionsWithTheFolder() throws Exception {
    put("m/1", always(1));
    Path two = put("m/2", always(2));
    try (var client = start()) {
      assertEquals(2, classify(client, "m"));
      Files.delete(two);
      Files.delete(two.getParent());
      put("m/3", always(3));
      assertEquals(200, load(client, "m").status());
      assertEquals(List.of("3", "1"), client.get("/v2/models/m").json().get("versions"));
      assertEquals(404, client.get("/v2/models/m/versions/2").status());
      assertEquals(3, classify(client, "m"));
      for (String version : List.of("1", "3")) {
        Files.delete(models.resolve("m/" + version + "/model.safetensors"));
        Files.delete(models.resolve("m/" + version));
      }
      assertEquals(404, load(client, "m").status());
      assertEquals(404, client.get("/v2/models/m").status());
    }
  }

  @Test
  void folderLayoutRulesAreApplied() throws Exception {
    put("m/2", always(2));
    put("m/02", always(5));
    Files.createDirectories(models.resolve("m/latest"));
    put(".hidden/1", always(1));
    Path several = put("several/1", always(1));
    Files.copy(several, several.resolveSibling("model.pth"));
    put("mended/1", always(6));
    Files.writeString(models.resolve("mended/1/.model.pth.part"), "half a copy");
    Files.createDirectories(models.resolve("empty/1"));
    Path elsewhere = put("../elsewhere", always(8)).getParent();
    Files.createDirectories(models.resolve("linked"));
    Files.createSymbolicLink(models.resolve("linked/1"), elsewhere);
    Files.createSymbolicLink(models.resolve("linked/2"), Path.of("nowhere"));
    try (var client = start()) {
      String index = index(client);
      assertEquals(2, classify(client, "m"));
      assertTrue(index.contains("without leading zeros"), index);
      assertEquals(503, client.get("/v2/models/m/versions/02").status());
      assertEquals(200, load(client, "m").status());
      assertTrue(index.contains("must contain one checkpoint"), index);
      assertTrue(index.contains("contains 2"), index);
      assertTrue(index.contains("contains 0"), index);
      assertFalse(index.contains("hidden"), index);
      assertEquals(6, classify(client, "mended"));
      assertEquals(8, classify(client, "linked"));
    }
  }

  @Test
  void concurrentLoadAndUnloadSucceed() throws Exception {
    put("m/1", Model.embedded());
    try (var client = start();
        var threads = Executors.newFixedThreadPool(8)) {
      List<Future<Answer>> answers =
          IntStream.range(0, 48)
              .mapToObj(i ->
                  threads.submit(() ->
                      i % 3 == 0
                          ? unload(client, "m")
                          : i % 3 == 1
                              ? load(client, "m")
                              : client.post("/classify?model=m", "image/png", Client.digit(4))))
              .toList();
      for (int i = 0; i < answers.size(); i++) {
        Answer answer = answers.get(i).get();
        boolean proper = answer.status() == 200 || i % 3 == 2 && answer.status() == 404;
        assertTrue(proper, i + ": " + answer);
      }
      assertEquals(200, load(client, "m").status());
      assertEquals(4, classify(client, "m"));
    }
  }

  @Test
  void nonFiniteValuesAreReported() throws Exception {
    put("broken/1", withHead(Model.embedded(), 3, Float.NaN));
    put("good/1", Model.embedded());
    try (var client = start()) {
      for (String path : List.of("/classify?model=broken", "/explain?model=broken")) {
        Answer answer = client.post(path, "image/png", Client.digit(4));
        assertEquals(500, answer.status(), answer::toString);
        assertTrue(answer.toString().contains("output 'logits' contains"), answer::toString);
      }
      String zeros = "0,".repeat(3 * 32 * 32 - 1);
      Answer answer =
          client.post(
              "/v2/models/good/infer",
              "application/json",
              "{\"inputs\":[{\"name\":\"images\",\"datatype\":\"FP32\",\"shape\":[1,3,32,32],"
                  + "\"data\":["
                  + zeros
                  + "1e39]}]}");
      assertEquals(400, answer.status(), answer::toString);
      assertTrue(answer.toString().contains("contains Infinity at index 3071"), answer::toString);
    }
  }

  @Test
  void unservableInitialModelPreventsStart() throws IOException {
    Preprocessing digits = Model.embedded().preprocessing();
    var huge =
        Model.embedded()
            .withPreprocessing(
                new Preprocessing(
                    16384, 16384, 16384, digits.interpolation(), digits.mean(), digits.std()));
    assertThrows(IllegalArgumentException.class, () -> start(Map.of("digits", huge), Model::load));
  }
}
