package io.github.resnet4j.server;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.resnet4j.Model;
import io.github.resnet4j.ResNet;
import io.github.resnet4j.server.Client.Answer;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Base64;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** A model without a head gives the embeddings that it gives with its head, and no classes. */
class HeadlessModelTest {
  @TempDir private static Path folder;
  private static Client client;

  @BeforeAll
  static void start() throws IOException {
    Path file = folder.resolve("headless.safetensors");
    withoutHead().save(file);
    client =
        new Client(
            Client.options(folder),
            Map.of("digits", Model.embedded(), "headless", Model.load(file)));
  }

  static Model withoutHead() throws IOException {
    Model digits = Model.embedded();
    ResNet network = digits.network();
    return new Model(
        ResNet.of(network.spec().toBuilder().includeTop(false).build(), network.state()),
        digits.preprocessing(),
        List.of());
  }

  @AfterAll
  static void stop() throws IOException {
    client.close();
  }

  private static List<?> embedding(String model) throws Exception {
    Answer answer = client.post("/features?model=" + model, "image/png", Client.digit(6));
    assertEquals(200, answer.status(), answer::toString);
    return (List<?>) answer.json().get("features");
  }

  private static Answer infer(String outputs) throws Exception {
    return client.post(
        "/v2/models/headless/infer",
        "application/json",
        "{\"inputs\":[{\"name\":\"encoded_images\",\"datatype\":\"BYTES\",\"shape\":[1],\"data\":[\"%s\"]}]%s}"
            .formatted(Base64.getEncoder().encodeToString(Client.digit(6)), outputs));
  }

  private static void hasNoClasses(Answer answer) {
    assertEquals(400, answer.status(), answer::toString);
    assertTrue(answer.toString().contains("'headless' has no head (fc.weight)"), answer::toString);
    assertTrue(answer.toString().contains("/features"), answer::toString);
  }

  @Test
  void featuresEqualThoseOfTheModelWithHead() throws Exception {
    List<?> expected = embedding("digits");
    assertFalse(expected.isEmpty());
    assertEquals(expected, embedding("headless"));
  }

  @Test
  void classifyAndExplainReportTheMissingHead() throws Exception {
    for (String path : List.of("/classify", "/explain", "/explain?method=eigencam")) {
      String model = (path.contains("?") ? "&" : "?") + "model=headless";
      hasNoClasses(client.post(path + model, "image/png", Client.digit(6)));
    }
  }

  @Test
  void inferReturnsTheEmbeddingOnly() throws Exception {
    List<?> expected = embedding("digits");
    for (String outputs : List.of("", ",\"outputs\":[{\"name\":\"embedding\"}]")) {
      Answer answer = infer(outputs);
      assertEquals(200, answer.status(), answer::toString);
      Map<?, ?> output = (Map<?, ?>) ((List<?>) answer.json().get("outputs")).getFirst();
      assertEquals("embedding", output.get("name"));
      assertEquals(List.of(1, expected.size()), output.get("shape"));
      assertEquals(expected, output.get("data"));
    }
    for (String name : List.of("logits", "probabilities")) {
      hasNoClasses(
          infer(",\"outputs\":[{\"name\":\"embedding\"},{\"name\":\"%s\"}]".formatted(name)));
    }
    Answer binary = infer(",\"parameters\":{\"binary_data_output\":true}");
    assertEquals(200, binary.status(), binary::toString);
    int json =
        Integer.parseInt(
            binary.response().headers().firstValue("Inference-Header-Content-Length").orElse(""));
    assertEquals(4 * expected.size(), binary.response().body().length - json);
  }

  @Test
  void metadataListsTheEmbeddingOnly() throws Exception {
    Answer metadata = client.get("/v2/models/headless");
    List<?> outputs = (List<?>) metadata.json().get("outputs");
    assertEquals(
        List.of("embedding"),
        outputs.stream().map(output -> ((Map<?, ?>) output).get("name")).toList());
    assertEquals(0, ((Map<?, ?>) metadata.json().get("parameters")).get("classes"));
  }
}
