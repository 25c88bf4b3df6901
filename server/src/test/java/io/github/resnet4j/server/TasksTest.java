package io.github.resnet4j.server;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.resnet4j.Classifier;
import io.github.resnet4j.Model;
import io.github.resnet4j.Task;
import io.github.resnet4j.image.Image;
import io.github.resnet4j.server.Client.Answer;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Base64;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Models for several labels and for numbers. */
class TasksTest {
  @TempDir private static Path folder;
  private static float[] logits = {};
  private static Client client;

  @BeforeAll
  static void start() throws IOException {
    Model digits = Model.embedded();
    try (var classifier = Classifier.of(digits)) {
      var batch = classifier.prepare(List.of(Image.of("6", Client.digit(6))));
      logits = classifier.run(batch.input()).logits().orElseThrow().row(0);
    }
    // Only the seventh class reaches its threshold.
    var thresholds = new ArrayList<>(Collections.nCopies(10, 1f));
    thresholds.set(6, 0.5f);
    var numbers = new Task.Regression(Collections.nCopies(10, 100f), Collections.nCopies(10, 2f));
    client =
        new Client(
            Client.options(folder),
            Map.of(
                "labels", digits.withTask(new Task.MultiLabel(thresholds)),
                "none", digits.withTask(new Task.MultiLabel(Collections.nCopies(10, 1f))),
                "numbers", digits.withTask(numbers)));
  }

  @AfterAll
  static void stop() throws IOException {
    client.close();
  }

  private static Map<String, Object> classify(String model) throws Exception {
    Answer answer = client.post("/classify?model=" + model, "image/png", Client.digit(6));
    assertEquals(200, answer.status(), answer::toString);
    return answer.json();
  }

  @Test
  void labelsThatReachTheirThresholdAreReturned() throws Exception {
    var all = (List<?>) classify("labels").get("predictions");
    assertEquals(1, all.size());
    var one = (Map<?, ?>) all.getFirst();
    assertEquals("6", one.get("label"));
    double sigmoid = 1 / (1 + Math.exp(-logits[6]));
    assertEquals(sigmoid, ((Number) one.get("probability")).doubleValue(), 1e-5); // a batch's bits
    assertEquals(List.of(), classify("none").get("predictions"));
  }

  @Test
  void numbersHaveTheirUnits() throws Exception {
    var values = (Map<?, ?>) classify("numbers").get("values");
    assertEquals(10, values.size());
    assertEquals(100 + 2 * logits[6], ((Number) values.get("6")).doubleValue(), 1e-3);
  }

  @Test
  void inferenceProtocolHasSigmoids() throws Exception {
    Answer answer = infer("labels");
    assertEquals(200, answer.status(), answer::toString);
    var output = (Map<?, ?>) ((List<?>) answer.json().get("outputs")).getFirst();
    double first = ((Number) ((List<?>) output.get("data")).getFirst()).doubleValue();
    assertEquals(1 / (1 + Math.exp(-logits[0])), first, 1e-5);
    Answer refused = infer("numbers");
    assertEquals(400, refused.status());
    assertTrue(refused.toString().contains("predicts numbers"), refused::toString);
  }

  private static Answer infer(String model) throws Exception {
    return client.post(
        "/v2/models/%s/infer".formatted(model),
        "application/json",
        """
        {"inputs":[{"name":"encoded_images","datatype":"BYTES","shape":[1],"data":["%s"]}],
         "outputs":[{"name":"probabilities"}]}
        """
            .formatted(Base64.getEncoder().encodeToString(Client.digit(6))));
  }

  @Test
  void numbersHaveNoExplanation() throws Exception {
    Answer answer = client.post("/explain?model=numbers", "image/png", Client.digit(6));
    assertEquals(400, answer.status(), answer::toString);
  }
}
