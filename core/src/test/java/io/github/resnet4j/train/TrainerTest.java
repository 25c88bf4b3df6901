package io.github.resnet4j.train;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.resnet4j.Architecture;
import io.github.resnet4j.Classifier;
import io.github.resnet4j.ResNet;
import io.github.resnet4j.checkpoint.CheckpointException;
import io.github.resnet4j.engine.CompileOptions;
import io.github.resnet4j.image.Augmentation;
import io.github.resnet4j.image.Augmentation.Crop;
import io.github.resnet4j.image.Interpolation;
import io.github.resnet4j.image.Preprocessing;
import io.github.resnet4j.tensor.TorchRandom;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Training on pictures that the test draws. */
class TrainerTest {
  @TempDir Path home;

  @BeforeEach
  void draw() throws IOException {
    DrawnPictures.draw(home.resolve("data"));
  }

  private static Classifier start() {
    var spec = Architecture.named("resnet20").toBuilder().numClasses(2).build();
    return new Classifier(
        ResNet.initialize(spec, TorchRandom.manualSeed(0)),
        new Preprocessing(
            24, 24, 24, Interpolation.BILINEAR, List.of(.5f, .5f, .5f), List.of(.3f, .3f, .3f)),
        List.of("disc", "square"));
  }

  private static Recipe recipe(int epochs, double rate) {
    return new Recipe.Builder(new Schedule(Schedule.Kind.CONSTANT, rate, epochs, 0, List.of()))
        .batch(10)
        .decayAll(false)
        .labelSmoothing(0.05)
        .augmentation(Augmentation.of(Crop.PAD, true))
        .seed(3)
        .build();
  }

  /** Everything that has chance or memory in it. */
  private static Recipe richRecipe(int epochs) {
    return recipe(epochs, 0.01).toBuilder()
        .accumulate(2)
        .clip(1)
        .augmentation(new Augmentation(Crop.RANDOM_RESIZED, true, 0.5, true, 0.3, 0.3))
        .mixing(new Mixing(0.2, 1))
        .averaging(0.9)
        .method(Optimizer.Method.AdamW.USUAL)
        .rates(java.util.Map.of("stem", 0.1))
        .build();
  }

  private static final class Ear implements Trainer.Listener {
    final List<Trainer.Epoch> epochs = new ArrayList<>();
    final List<String> unreadable = new ArrayList<>();
    int endAfter = Integer.MAX_VALUE;
    long endAfterStep = Long.MAX_VALUE;

    @Override
    public void step(Trainer.Step step) {
      if (step.number() == endAfterStep) {
        throw new IllegalStateException("killed");
      }
    }

    @Override
    public void epoch(Trainer.Epoch epoch) {
      epochs.add(epoch);
      if (epochs.size() == endAfter) {
        throw new IllegalStateException("killed");
      }
    }

    @Override
    public void unreadable(IOException failure) {
      unreadable.add(failure.getMessage());
    }
  }

  private Trainer trainer(Recipe recipe, String output, Ear ear) throws IOException {
    var data = Dataset.of(home.resolve("data"), 0, 0);
    return new Trainer(start(), data, recipe, 2, home.resolve(output), Duration.ZERO, List.of(ear));
  }

  @Test
  void learnsAndWritesWhatItLearnt() throws IOException, InterruptedException {
    var ear = new Ear();
    trainer(recipe(12, 0.02), "run", ear).run(false);
    Trainer.Epoch last = ear.epochs.getLast();
    assertEquals(12, ear.epochs.size());
    assertTrue(last.trainLoss() < 0.6 * ear.epochs.getFirst().trainLoss(), last.toString());
    assertTrue(last.trainAccuracy() > 0.9, last.toString());
    double best = ear.epochs.stream().mapToDouble(Trainer.Epoch::valAccuracy).max().orElse(0);
    assertTrue(best > 0.8, ear.epochs.toString());
    assertEquals(13, Files.readAllLines(home.resolve("run/metrics.csv")).size());

    Classifier found = Classifier.load(home.resolve("run/best.safetensors"));
    int right = 0;
    try (var session = found.network().compile(CompileOptions.defaults())) {
      for (var example : Dataset.of(home.resolve("data"), 0, 0).val()) {
        var top = found.classify(Path.of(example.name()), 1, session).getFirst();
        right += top.label().equals(found.labels().get(example.label())) ? 1 : 0;
      }
    }
    assertEquals(best, right / 16.0, 1e-9);
  }

  @Test
  void aKilledRunEndsAsOneThatWasNotKilled() throws IOException, InterruptedException {
    trainer(recipe(3, 0.02), "whole", new Ear()).run(false);
    var ear = new Ear();
    ear.endAfter = 1;
    assertThrows(
        IllegalStateException.class, () -> trainer(recipe(3, 0.02), "parts", ear).run(false));
    trainer(recipe(3, 0.02), "parts", new Ear()).run(true);
    for (String file : List.of("last.safetensors", "best.safetensors")) {
      assertArrayEquals(
          Files.readAllBytes(home.resolve("whole").resolve(file)),
          Files.readAllBytes(home.resolve("parts").resolve(file)),
          file);
    }
    assertEquals(4, Files.readAllLines(home.resolve("parts/metrics.csv")).size());
  }

  @Test
  void aRunKilledWithinAnEpochEndsAsOneThatWasNotKilled() throws IOException, InterruptedException {
    trainer(richRecipe(2), "whole", new Ear()).run(false);
    var ear = new Ear();
    ear.endAfterStep = 8; // of 5 in each epoch: in the middle of the second, after a saved step
    assertThrows(
        IllegalStateException.class, () -> trainer(richRecipe(2), "parts", ear).run(false));
    var rest = new Ear();
    trainer(richRecipe(2), "parts", rest).run(true);
    assertEquals(1, rest.epochs.size());
    for (String file : List.of("last.safetensors", "best.safetensors")) {
      assertArrayEquals(
          Files.readAllBytes(home.resolve("whole").resolve(file)),
          Files.readAllBytes(home.resolve("parts").resolve(file)),
          file);
    }
  }

  @Test
  void anotherTrainingsStateIsRefused() throws IOException, InterruptedException {
    trainer(recipe(1, 0.02), "run", new Ear()).run(false);
    var e =
        assertThrows(
            CheckpointException.class, () -> trainer(recipe(1, 0.05), "run", new Ear()).run(true));
    assertTrue(e.getMessage().contains("recipe"), e.getMessage());
  }

  @Test
  void anUnreadablePictureIsSaidAndLeftOut() throws IOException, InterruptedException {
    Files.writeString(home.resolve("data/train/disc/broken.png"), "no picture");
    var ear = new Ear();
    trainer(recipe(2, 0.02), "run", ear).run(false);
    assertEquals(2, ear.unreadable.size(), ear.unreadable.toString());
    assertTrue(ear.unreadable.getFirst().contains("broken.png"), ear.unreadable.getFirst());
  }

  @Test
  void aLossThatIsNoNumberEndsIt() throws IOException {
    var e =
        assertThrows(
            ArithmeticException.class, () -> trainer(recipe(4, 1e30), "run", new Ear()).run(false));
    assertTrue(e.getMessage().contains("lower learning rate"), e.getMessage());
  }

  @Test
  void whatIsFrozenStays() throws IOException, InterruptedException {
    var data = Dataset.of(home.resolve("data"), 0, 0);
    Classifier start = start();
    Recipe recipe = recipe(1, 0.02).toBuilder().frozen(List.of("stem", "layer1.0.conv2")).build();
    Classifier end =
        new Trainer(start, data, recipe, 2, home.resolve("run"), Duration.ZERO, List.of())
            .run(false);
    for (String name : List.of("conv1.weight", "layer1.0.conv2.weight", "layer1.0.conv1.weight")) {
      boolean same =
          java.util.Arrays.equals(
              start.network().state().get(name).data(), end.network().state().get(name).data());
      assertEquals(!name.equals("layer1.0.conv1.weight"), same, name);
    }
  }

  /** What was learnt from the digits 0 to 5 helps with few examples of 6 to 9. */
  @Test
  void fineTuningBeatsTrainingFromScratch() throws IOException, InterruptedException {
    Dataset before = some(0, 6, Integer.MAX_VALUE);
    Dataset after = some(6, 10, 2);
    assertEquals(8, after.train().size());
    assertTrue(after.val().size() > 130);
    var first = Architecture.named("resnet8").toBuilder().numClasses(6).build();
    var spec = first.toBuilder().numClasses(4).build();
    var preprocessing =
        new Preprocessing(
            32, 32, 32, Interpolation.BILINEAR, List.of(.3f, .3f, .3f), List.of(.35f, .35f, .35f));
    var scratch =
        new Classifier(
            ResNet.initialize(first, TorchRandom.manualSeed(1)), preprocessing, before.classes());
    Recipe full =
        Recipe.named("small-images").toBuilder()
            .schedule(new Schedule(Schedule.Kind.ONE_CYCLE, 0.1, 10, 0, List.of()))
            .build();
    Classifier knows = train(scratch, before, full, "before");
    Recipe few =
        full.toBuilder()
            .schedule(new Schedule(Schedule.Kind.COSINE, 0.03, 20, 0, List.of()))
            .batch(6)
            .build();
    try (var checkpoint =
        io.github.resnet4j.checkpoint.Checkpoint.open(home.resolve("before/last.safetensors"))) {
      assertEquals(6, knows.labels().size());
      var network = ResNet.loadForTransfer(spec, checkpoint, TorchRandom.manualSeed(2)).network();
      var fine = new Classifier(network, preprocessing, after.classes());
      double tuned = heldOut(fine, after, few, "tuned");
      double fresh =
          heldOut(
              new Classifier(
                  ResNet.initialize(spec, TorchRandom.manualSeed(1)),
                  preprocessing,
                  after.classes()),
              after,
              few,
              "fresh");
      // Measured: 0.79 beside 0.45; other processors round otherwise and end elsewhere.
      assertTrue(tuned > fresh + 0.15, tuned + " beside " + fresh);
    }
  }

  private Classifier train(Classifier start, Dataset data, Recipe recipe, String name)
      throws IOException, InterruptedException {
    return new Trainer(start, data, recipe, 2, home.resolve(name), Duration.ofHours(1), List.of())
        .run(false);
  }

  private double heldOut(Classifier start, Dataset data, Recipe recipe, String name)
      throws IOException, InterruptedException {
    Classifier end = train(start, data, recipe, name);
    try (var session = end.network().compile(CompileOptions.defaults())) {
      return Evaluation.of(end, data.val(), session, _ -> {}, _ -> {}).accuracy();
    }
  }

  /** The embedded digits from one to another, as many of each to learn from. */
  private static Dataset some(int from, int end, int each) throws IOException {
    Dataset all = Dataset.digits();
    var train = new ArrayList<Dataset.Example>();
    int[] counts = new int[10];
    for (var example : all.train()) {
      if (example.label() >= from && example.label() < end && counts[example.label()]++ < each) {
        train.add(moved(example, from));
      }
    }
    var val = new ArrayList<Dataset.Example>();
    for (var example : all.val()) {
      if (example.label() >= from && example.label() < end) {
        val.add(moved(example, from));
      }
    }
    return new Dataset(all.classes().subList(from, end), train, val);
  }

  private static Dataset.Example moved(Dataset.Example example, int by) {
    return new Dataset.Example(example.name(), example.label() - by, example.source());
  }

  @Test
  void foldersThatTeachNothingAreRefused() throws IOException {
    Files.createDirectories(home.resolve("data/train/empty"));
    assertTrue(failure().contains("empty: has no pictures"), failure());
    Files.delete(home.resolve("data/train/empty"));
    Files.createDirectories(home.resolve("data/val/ring"));
    assertTrue(failure().contains("train has no class of this name"), failure());
  }

  private String failure() {
    return assertThrows(IOException.class, () -> Dataset.of(home.resolve("data"), 0, 0))
        .getMessage();
  }

  @Test
  void aPartOfEachClassIsHeldOut() throws IOException {
    var split = Dataset.of(home.resolve("data/train"), 0.25, 7);
    assertEquals(36, split.train().size());
    assertEquals(12, split.val().size());
    assertEquals(6, split.val().stream().filter(example -> example.label() == 0).count());
    assertEquals(names(split), names(Dataset.of(home.resolve("data/train"), 0.25, 7)));
  }

  private static List<String> names(Dataset data) {
    return data.val().stream().map(Dataset.Example::name).toList();
  }
}
