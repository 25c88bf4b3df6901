package io.github.resnet4j.train;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;

import io.github.resnet4j.Architecture;
import io.github.resnet4j.Model;
import io.github.resnet4j.checkpoint.Checkpoint;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class FineTuningTest {
  private static final List<String> ANIMALS = List.of("cat", "dog", "emu");

  @TempDir Path home;
  private Path weights = Path.of("");
  private Dataset data = new Dataset(List.of(), List.of(), List.of());

  @BeforeEach
  void prepare() throws IOException {
    DrawnImages.draw(home.resolve("data"));
    data = Dataset.of(home.resolve("data"));
    weights = home.resolve("animals.safetensors");
    Model.initialize(Architecture.named("resnet8"), ANIMALS, 1).save(weights);
  }

  private static Dataset ofClasses(List<String> classes) {
    return new Dataset(classes, List.of(), List.of());
  }

  private static float[] head(Model model) {
    return model.network().state().get("fc.weight").data();
  }

  @Test
  void otherClassesReplaceOnlyTheHead() throws IOException {
    Model start = FineTuning.of(weights.toString(), data).start();
    assertEquals(List.of("disc", "square"), start.labels());
    assertEquals(2, start.network().spec().numClasses());
    assertEquals(Model.load(weights).preprocessing(), start.preprocessing());
    assertArrayEquals(
        new int[] {2, start.network().spec().featureChannels()},
        start.network().state().get("fc.weight").shape());
    try (var file = Checkpoint.open(weights)) {
      file.tensors()
          .forEach((name, stored) -> {
            if (!name.startsWith("fc.")) {
              assertArrayEquals(
                  stored.toTensor().data(), start.network().state().get(name).data(), name);
            }
          });
    }
  }

  @Test
  void sameClassesKeepTheHead() throws IOException {
    Model base = Model.load(weights);
    assertArrayEquals(head(base), head(FineTuning.of(base, ofClasses(ANIMALS)).start()));
  }

  @Test
  void otherClassesOfTheSameNumberReplaceTheHead() throws IOException {
    Model base = Model.load(weights);
    Model start = FineTuning.of(base, ofClasses(List.of("cat", "dog", "owl"))).start();
    assertEquals(head(base).length, head(start).length);
    assertFalse(Arrays.equals(head(base), head(start)));
  }

  @Test
  void weightsWithoutLabelsKeepHeadForSameNumberOfClasses() throws IOException {
    Path raw = home.resolve("raw.pth");
    Model base = Model.load(weights);
    base.network().save(raw, Map.of());
    Dataset animals = ofClasses(ANIMALS);
    assertArrayEquals(head(base), head(FineTuning.of(raw.toString(), animals).start()));
    assertEquals(2, FineTuning.of(raw.toString(), data).start().labels().size());
  }

  @Test
  void seedOfRecipeDeterminesTheHead() throws IOException {
    var tuning = FineTuning.of(weights.toString(), data);
    Recipe other = Recipe.named("finetune").toBuilder().seed(7).build();
    assertArrayEquals(head(tuning.start()), head(tuning.start()));
    assertFalse(Arrays.equals(head(tuning.start()), head(tuning.withRecipe(other).start())));
  }

  @Test
  void runReturnsBestModelAndItsEvaluation() throws IOException, InterruptedException {
    Recipe recipe =
        new Recipe.Builder(new Schedule(Schedule.Kind.CONSTANT, 0.02, 3, 0, List.of()))
            .batch(12)
            .build();
    Path output = home.resolve("run");
    var tuning = FineTuning.of(weights.toString(), data).withRecipe(recipe);
    Trainer.Result result = tuning.run(output);
    assertEquals(data.val().size(), result.evaluation().count());
    double best =
        Files.readAllLines(output.resolve("metrics.csv")).stream()
            .skip(1)
            .mapToDouble(line -> Double.parseDouble(line.split(",")[5]))
            .max()
            .orElseThrow();
    assertEquals(best, result.evaluation().score(), 1e-4);
    assertArrayEquals(head(Model.load(output.resolve("best.safetensors"))), head(result.best()));
    assertArrayEquals(head(Model.load(output.resolve("last.safetensors"))), head(result.last()));
    var refused = assertThrows(IOException.class, () -> tuning.run(output));
    assertEquals(
        output + ": already contains a training; resume it, or choose another output folder",
        refused.getMessage());
  }

  @Test
  void unknownWeightsAreRejected() {
    var e = assertThrows(IOException.class, () -> FineTuning.of("resnet5o", data));
    assertEquals(true, e.getMessage().contains("resnet50"), e.getMessage());
  }
}
