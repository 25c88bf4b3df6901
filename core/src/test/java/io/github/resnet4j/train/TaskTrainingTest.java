package io.github.resnet4j.train;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.resnet4j.Architecture;
import io.github.resnet4j.Classifier;
import io.github.resnet4j.Model;
import io.github.resnet4j.Prediction;
import io.github.resnet4j.Task;
import io.github.resnet4j.image.Augmentation;
import io.github.resnet4j.image.Image;
import io.github.resnet4j.image.Interpolation;
import io.github.resnet4j.image.Pixels;
import io.github.resnet4j.image.Preprocessing;
import io.github.resnet4j.train.Dataset.Example;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Training with several labels per image, and with numbers. */
class TaskTrainingTest {
  private static final List<String> COLORS = List.of("red", "green", "blue");

  @TempDir private Path folder;

  /** An image with a square of each of its colors, each in its own corner. */
  private static Pixels squares(List<Integer> colors, int gray) {
    byte[] data = new byte[3 * 16 * 16];
    for (int i = 0; i < data.length; i++) {
      int channel = i % 3;
      int x = i / 3 % 16;
      int y = i / 3 / 16;
      boolean inside = colors.contains(channel) && x / 8 + y / 8 * 2 == channel;
      data[i] = (byte) (inside ? 255 : gray);
    }
    return new Pixels(16, 16, 3, data);
  }

  private static Dataset colors() {
    var random = new Random(1);
    var all = new ArrayList<Example>();
    for (int i = 0; i < 60; i++) {
      List<Integer> colors =
          IntStream.range(0, 3).filter(_ -> random.nextInt(3) == 0).boxed().toList();
      int gray = random.nextInt(60);
      all.add(new Example("i" + i, new Target.Labels(colors), () -> squares(colors, gray)));
    }
    return Dataset.split(COLORS, all, 0.25, 0);
  }

  private static Dataset brightness() {
    var random = new Random(1);
    var all = new ArrayList<Example>();
    for (int i = 0; i < 60; i++) {
      int gray = random.nextInt(256);
      var target = new Target.Values(List.of(1000f + gray, (255 - gray) / 1000f));
      all.add(new Example("i" + i, target, () -> squares(List.of(), gray)));
    }
    return Dataset.split(List.of("brightness", "darkness"), all, 0.25, 0);
  }

  private static Model start(Dataset data) {
    return Model.initialize(Architecture.named("resnet8"), data.classes(), 0)
        .withPreprocessing(
            new Preprocessing(
                16, 16, 16, Interpolation.BILINEAR, List.of(.5f, .5f, .5f), List.of(.3f, .3f, .3f)))
        .withTask(data.task());
  }

  private static Recipe.Builder recipe(int epochs) {
    return new Recipe.Builder(
            new Schedule(Schedule.Kind.COSINE, 0.05, epochs, Math.min(1, epochs - 1), List.of()))
        .batch(10)
        .augmentation(Augmentation.NONE);
  }

  /** On one thread: two would wait for each other on a busy machine. */
  private static Trainer trainer(Dataset data, Recipe recipe) {
    return new Trainer(start(data), data, recipe).withThreads(1);
  }

  @Test
  void severalLabelsAreLearnedAndThresholdsSaved() throws Exception {
    Dataset data = colors();
    Recipe recipe = recipe(15).labelSmoothing(0.02).classWeights(ClassWeights.BALANCED).build();
    Path output = folder.resolve("run");
    Trainer.Result result = trainer(data, recipe).run(output);
    var evaluation = (MultiLabelEvaluation) result.evaluation();
    assertTrue(evaluation.score() > 0.95, evaluation.toString());
    String header = Files.readAllLines(output.resolve("metrics.csv")).getFirst();
    assertTrue(header.contains("val_map"), header);

    Model best = Model.load(output.resolve("best.safetensors"));
    var task = (Task.MultiLabel) best.task();
    assertNotEquals(Task.MultiLabel.of(3), task); // chosen on the validation images
    assertEquals(evaluation.bestThresholds(), task.thresholds());
    try (var classifier = Classifier.of(best)) {
      assertEquals(List.of(), names(classifier.classify(image(List.of()), 5)));
      assertEquals(List.of("blue", "red"), names(classifier.classify(image(List.of(0, 2)), 5)));
      assertThrows(IllegalArgumentException.class, () -> classifier.values(image(List.of())));
    }
  }

  private static Image image(List<Integer> colors) {
    return Image.of("image", _ -> squares(colors, 30));
  }

  private static List<String> names(List<Prediction> predictions) {
    return predictions.stream().map(Prediction::label).sorted().toList();
  }

  @Test
  void numbersAreLearnedInTheirUnits() throws Exception {
    Dataset data = brightness();
    Recipe recipe = recipe(20).loss(new LossChoice.SmoothL1(0.5)).build();
    Path output = folder.resolve("run");
    Trainer.Result result = trainer(data, recipe).run(output);
    var evaluation = (RegressionEvaluation) result.evaluation();
    // Guessing the mean has errors of 64 and 0.064.
    assertTrue(evaluation.meanAbsoluteError(0) < 20, evaluation.toString());
    assertTrue(evaluation.meanAbsoluteError(1) < 0.02, evaluation.toString());
    try (var classifier = Classifier.load(output.resolve("best.safetensors"))) {
      float[] values = classifier.values(Image.of("image", _ -> squares(List.of(), 128)));
      assertEquals(1128, values[0], 40);
      assertThrows(IllegalArgumentException.class, () -> classifier.classify(image(List.of()), 1));
    }
  }

  /** An interrupted training gives the same file as one without interruption. */
  @Test
  void resumingIsExact() throws Exception {
    Dataset data = colors();
    Path whole = folder.resolve("whole");
    Path parts = folder.resolve("parts");
    var first = constant(0.05, 1);
    var all = constant(0.05, 2);
    trainer(data, recipe(2).schedule(all).build()).run(whole);
    trainer(data, recipe(2).schedule(first).build()).run(parts);
    trainer(data, recipe(2).schedule(all).build()).resume(parts);
    assertEquals(-1, Files.mismatch(file(whole, "last"), file(parts, "last")));
    assertEquals(-1, Files.mismatch(file(whole, "best"), file(parts, "best")));
  }

  /** Balanced sampling, resumed within the epochs, and the end after epochs that are no better. */
  @Test
  void balancedTrainingStopsEarlyAndResumesExactly() throws Exception {
    Dataset data = colors();
    Path whole = folder.resolve("whole");
    Path parts = folder.resolve("parts");
    var builder = recipe(6).sampling(Sampling.BALANCED).patience(2);
    // With a learning rate of nearly zero and frozen statistics no epoch is better than the first.
    var idle = builder.frozenStatistics(true).schedule(constant(1e-30, 6)).build();
    trainer(data, idle).run(whole);
    assertEquals(1 + 3, Files.readAllLines(whole.resolve("metrics.csv")).size());
    trainer(data, idle.toBuilder().schedule(constant(1e-30, 1)).build()).run(parts);
    trainer(data, idle).resume(parts);
    assertEquals(-1, Files.mismatch(file(whole, "last"), file(parts, "last")));
    assertEquals(1 + 3, Files.readAllLines(parts.resolve("metrics.csv")).size());
    trainer(data, idle.toBuilder().patience(3).build()).resume(parts);
    assertEquals(1 + 4, Files.readAllLines(parts.resolve("metrics.csv")).size());
  }

  @Test
  void weightedTrainingResumesExactly() throws Exception {
    Dataset colors = colors();
    List<Example> weighted = new ArrayList<>();
    for (Example each : colors.train()) {
      weighted.add(new Example(each.name(), each.target(), each.source(), weighted.size() % 3));
    }
    var data = new Dataset(colors.classes(), weighted, colors.val());
    Path whole = folder.resolve("whole");
    Path parts = folder.resolve("parts");
    var recipe = recipe(2).sampling(Sampling.WEIGHTED).schedule(constant(0.01, 2)).build();
    trainer(data, recipe).run(whole);
    trainer(data, recipe.toBuilder().schedule(constant(0.01, 1)).build()).run(parts);
    trainer(data, recipe).resume(parts);
    assertEquals(-1, Files.mismatch(file(whole, "last"), file(parts, "last")));
    assertRejected("weighted sampling needs", colors, recipe(1).sampling(Sampling.WEIGHTED));
  }

  private static Schedule constant(double rate, int epochs) {
    return new Schedule(Schedule.Kind.CONSTANT, rate, epochs, 0, List.of());
  }

  private static Path file(Path run, String name) {
    return run.resolve(name + ".safetensors");
  }

  @Test
  void resumingWithOtherTargetsIsRejected() throws Exception {
    Dataset data = colors();
    Path output = folder.resolve("run");
    trainer(data, recipe(1).build()).run(output);
    var changed = new ArrayList<>(data.train());
    changed.set(0, new Example("i0", new Target.Labels(List.of(0, 1, 2)), changed.get(0).source()));
    var other = new Dataset(COLORS, changed, data.val());
    var trainer = trainer(other, recipe(2).build());
    var e = assertThrows(IOException.class, () -> trainer.resume(output));
    assertTrue(e.getMessage().contains("training images was 45 (checksum"), e.getMessage());
  }

  @Test
  void lossThatIsNotForTheTargetsIsRejected() {
    assertRejected("focal loss is for", brightness(), recipe(1).loss(LossChoice.Focal.DEFAULT));
    assertRejected("smooth L1 is for", colors(), recipe(1).loss(new LossChoice.SmoothL1(1)));
    assertRejected("label smoothing is for", brightness(), recipe(1).labelSmoothing(0.1));
    assertRejected(
        "class weights are", brightness(), recipe(1).classWeights(ClassWeights.BALANCED));
    assertRejected(
        "no class 'rad' (did you mean",
        colors(),
        recipe(1).classWeights(new ClassWeights(false, Map.of("rad", 2.0))));
  }

  private static void assertRejected(String message, Dataset data, Recipe.Builder recipe) {
    var e =
        assertThrows(
            IllegalArgumentException.class, () -> new Trainer(start(data), data, recipe.build()));
    assertTrue(e.getMessage().contains(message), e.getMessage());
  }

  @Test
  void mixedTargetsAreRejected() {
    var examples =
        List.of(
            new Example("a", 0, () -> squares(List.of(), 0)),
            new Example("b", new Target.Labels(List.of(1)), () -> squares(List.of(), 0)));
    var e =
        assertThrows(
            IllegalArgumentException.class, () -> new Dataset(COLORS, examples, List.of()));
    assertTrue(e.getMessage().startsWith("b: "), e.getMessage());
  }
}
