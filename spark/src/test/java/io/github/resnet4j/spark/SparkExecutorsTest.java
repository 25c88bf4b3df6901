package io.github.resnet4j.spark;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.resnet4j.Architecture;
import io.github.resnet4j.Model;
import io.github.resnet4j.ResNet;
import io.github.resnet4j.image.Interpolation;
import io.github.resnet4j.image.Pixels;
import io.github.resnet4j.image.Preprocessing;
import io.github.resnet4j.nn.StateDict;
import io.github.resnet4j.tensor.TorchRandom;
import io.github.resnet4j.train.Dataset;
import io.github.resnet4j.train.Distillation;
import io.github.resnet4j.train.Recipe;
import io.github.resnet4j.train.Schedule;
import io.github.resnet4j.train.Trainer;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Training on Spark equals training on one machine. */
class SparkExecutorsTest {
  @TempDir Path home;

  /** The first of the embedded digits. */
  private static Dataset digits() throws IOException {
    Dataset all = Dataset.digits();
    return new Dataset(all.classes(), all.train().subList(0, 128), all.val().subList(0, 100));
  }

  private static Model start(int classes) {
    var spec = Architecture.named("resnet8").toBuilder().numClasses(classes).build();
    return new Model(
        ResNet.initialize(spec, TorchRandom.manualSeed(3)),
        new Preprocessing(
            32, 32, 32, Interpolation.BILINEAR, List.of(.3f, .3f, .3f), List.of(.35f, .35f, .35f)),
        Model.numbered(classes));
  }

  private static Recipe recipe(int epochs) {
    return Recipe.named("small-images").toBuilder()
        .schedule(new Schedule(Schedule.Kind.COSINE, 0.02, epochs, 0, List.of()))
        .batch(64)
        .build();
  }

  private static final class RecordingListener implements Trainer.Listener {
    final List<Trainer.Epoch> epochs = new ArrayList<>();
    final List<String> unreadable = new ArrayList<>();

    @Override
    public void epoch(Trainer.Epoch epoch) {
      epochs.add(epoch);
    }

    @Override
    public void unreadable(IOException failure) {
      unreadable.add(failure.getMessage());
    }
  }

  private static Trainer trainer(Dataset data, Recipe recipe, Trainer.Listener listener) {
    return new Trainer(start(data.classes().size()), data, recipe)
        .withThreads(1)
        .withListeners(listener);
  }

  private static SparkExecutors machines(Dataset data, Recipe recipe, int shares, int localSteps) {
    return machines(data, recipe, Optional.empty(), shares, localSteps);
  }

  private static SparkExecutors machines(
      Dataset data, Recipe recipe, Optional<Distillation> teacher, int shares, int localSteps) {
    Model start = start(data.classes().size());
    return new SparkExecutors(LocalSpark.get(), start, data, recipe, teacher, shares, localSteps);
  }

  @Test
  void twoSharesEqualTwoAccumulationSteps() throws IOException, InterruptedException {
    Dataset data = digits();
    Recipe whole = recipe(1).toBuilder().batch(128).build(); // one step
    Recipe parts = whole.toBuilder().accumulate(2).build();
    var teacher =
        new Distillation(
            Model.initialize(Architecture.named("resnet8"), start(10).labels(), 5)
                .withPreprocessing(start(10).preprocessing()),
            4,
            0.5);
    var one = new RecordingListener();
    StateDict alone =
        trainer(data, parts, one)
            .withDistillation(teacher)
            .run(home.resolve("alone"))
            .last()
            .network()
            .state();
    var two = new RecordingListener();
    StateDict shared =
        trainer(data, whole, two)
            .withDistillation(teacher)
            .withMachines(machines(data, whole, Optional.of(teacher), 2, 1))
            .run(home.resolve("shared"))
            .last()
            .network()
            .state();
    StateDict start = start(10).network().state();
    for (String name : start.entries().keySet()) {
      if (name.contains("running_") || name.contains("num_batches")) {
        continue; // Spark averages them over the shares
      }
      float[] a = alone.get(name).data();
      float[] b = shared.get(name).data();
      assertFalse(Arrays.equals(a, start.get(name).data()), name + " did not change");
      double largest = 0;
      double difference = 0;
      for (int i = 0; i < a.length; i++) {
        largest = Math.max(largest, Math.abs(a[i]));
        difference = Math.max(difference, Math.abs(a[i] - b[i]));
      }
      // Differences come from the order of summation; with this seed no ReLU depends on it.
      assertTrue(difference < 1e-5 * largest, name + " differs by " + difference / largest);
    }
    assertEquals(one.epochs.getFirst().trainLoss(), two.epochs.getFirst().trainLoss(), 1e-6);
    assertEquals(one.epochs.getFirst().trainScore(), two.epochs.getFirst().trainScore());
  }

  @Test
  void trainingStaysCloseToOneMachine() throws IOException, InterruptedException {
    Dataset data = digits();
    var one = new RecordingListener();
    trainer(data, recipe(3).toBuilder().accumulate(2).build(), one).run(home.resolve("alone"));
    var two = new RecordingListener();
    trainer(data, recipe(3), two)
        .withMachines(machines(data, recipe(3), 2, 1))
        .run(home.resolve("shared"));
    for (int i = 0; i < 3; i++) {
      assertEquals(one.epochs.get(i).rate(), two.epochs.get(i).rate());
      // After six steps a rounding difference has changed the sign of some ReLU input.
      assertEquals(one.epochs.get(i).trainLoss(), two.epochs.get(i).trainLoss(), 1e-3);
      // On validation images the running statistics matter too.
      assertEquals(one.epochs.get(i).valLoss(), two.epochs.get(i).valLoss(), 0.05);
    }
  }

  @Test
  void resumingIsBitExact() throws IOException, InterruptedException {
    Dataset data = digits();
    Recipe recipe = recipe(2);
    trainer(data, recipe, new RecordingListener())
        .withMachines(machines(data, recipe, 2, 2))
        .run(home.resolve("whole"));
    var killed =
        trainer(
            data,
            recipe,
            new Trainer.Listener() {
              @Override
              public void epoch(Trainer.Epoch epoch) {
                throw new IllegalStateException("killed");
              }
            });
    assertThrows(
        IllegalStateException.class,
        () -> killed.withMachines(machines(data, recipe, 2, 2)).run(home.resolve("parts")));
    trainer(data, recipe, new RecordingListener())
        .withMachines(machines(data, recipe, 2, 2))
        .resume(home.resolve("parts"));
    assertArrayEquals(
        Files.readAllBytes(home.resolve("whole/last.safetensors")),
        Files.readAllBytes(home.resolve("parts/last.safetensors")));
  }

  /** A folder gives the same data set as on one machine. */
  @Test
  void foldersGiveTheSameDataSet() throws IOException, InterruptedException {
    Dataset all = Dataset.digits();
    for (int i = 0; i < 24; i++) {
      var example = all.train().get(i);
      Path folder = home.resolve("data/" + (example.label() < 5 ? "low" : "high"));
      Files.createDirectories(folder);
      write(example.source().read(), folder.resolve(i + ".png"));
    }
    Files.writeString(home.resolve("data/low/broken.png"), "no image");
    Dataset local = Dataset.ofFolder(home.resolve("data"), 0.25, 7);
    Dataset hadoop = SparkImages.ofFolder(home.resolve("data").toString(), 0.25, 7);
    assertEquals(local.classes(), hadoop.classes());
    assertEquals(names(local.train()), names(hadoop.train()));
    assertEquals(names(local.val()), names(hadoop.val()));
    LocalSpark.get();
    var listener = new RecordingListener();
    Recipe recipe = recipe(1).toBuilder().batch(8).build();
    trainer(hadoop, recipe, listener)
        .withMachines(machines(hadoop, recipe, 2, 1))
        .run(home.resolve("run"));
    assertEquals(1, listener.epochs.size());
    assertEquals(1, listener.unreadable.size(), listener.unreadable.toString());
    assertTrue(
        listener.unreadable.getFirst().contains("broken.png"), listener.unreadable.getFirst());
    var e = assertThrows(IOException.class, () -> SparkImages.ofFolder(home + "/none", 0.25, 7));
    assertTrue(e.getMessage().contains("is not a folder"), e.getMessage());
  }

  private static List<String> names(List<Dataset.Example> examples) {
    return examples.stream()
        .map(example -> example.label() + example.name().replaceFirst("^file:", ""))
        .toList();
  }

  private static void write(Pixels pixels, Path file) throws IOException {
    var image =
        new java.awt.image.BufferedImage(
            pixels.width(), pixels.height(), java.awt.image.BufferedImage.TYPE_INT_RGB);
    for (int i = 0; i < pixels.width() * pixels.height(); i++) {
      int gray = pixels.data()[3 * i] & 0xff;
      image.setRGB(i % pixels.width(), i / pixels.width(), gray * 0x010101);
    }
    javax.imageio.ImageIO.write(image, "png", file.toFile());
  }

  @Test
  void moreSharesThanImagesAreRejected() throws IOException {
    Dataset data = digits();
    assertThrows(IllegalArgumentException.class, () -> machines(data, recipe(1), 65, 1));
    assertThrows(IllegalArgumentException.class, () -> machines(data, recipe(1), 2, 0));
  }
}
