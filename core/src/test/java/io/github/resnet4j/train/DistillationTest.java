package io.github.resnet4j.train;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.resnet4j.Architecture;
import io.github.resnet4j.Model;
import io.github.resnet4j.checkpoint.CheckpointException;
import io.github.resnet4j.engine.CompileOptions;
import io.github.resnet4j.image.Augmentation;
import io.github.resnet4j.image.Interpolation;
import io.github.resnet4j.image.Pixels;
import io.github.resnet4j.image.Preprocessing;
import io.github.resnet4j.tensor.Tensor;
import io.github.resnet4j.train.Dataset.Example;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Training with a teacher; LossTest compares the loss with PyTorch's. */
class DistillationTest {
  private static final List<String> CLASSES = List.of("dark", "light");

  @TempDir private Path folder;

  private static Preprocessing preprocessing(float mean, float std) {
    return new Preprocessing(
        16, 16, 16, Interpolation.BILINEAR, List.of(mean, mean, mean), List.of(std, std, std));
  }

  private static Model model(String network, long seed, float mean, float std) {
    return Model.initialize(Architecture.named(network), CLASSES, seed)
        .withPreprocessing(preprocessing(mean, std));
  }

  /** Images of one gray; the labels are right, or all the same. */
  private static Dataset grays(boolean labelled) {
    var random = new Random(1);
    var all = new ArrayList<Example>();
    for (int i = 0; i < 40; i++) {
      byte[] pixels = new byte[3 * 16 * 16];
      int gray = random.nextInt(256);
      Arrays.fill(pixels, (byte) gray);
      all.add(
          new Example(
              "i" + i, labelled && gray > 127 ? 1 : 0, () -> new Pixels(16, 16, 3, pixels)));
    }
    return new Dataset(CLASSES, all.subList(0, 30), all.subList(30, 40));
  }

  private static Trainer trainer(Dataset data, int epochs) {
    Recipe recipe =
        new Recipe.Builder(new Schedule(Schedule.Kind.CONSTANT, 0.05, epochs, 0, List.of()))
            .batch(8)
            .augmentation(Augmentation.NONE)
            .mixing(new Mixing(0.2, 0))
            .build();
    return new Trainer(model("resnet8", 1, 0.5f, 0.3f), data, recipe).withThreads(1);
  }

  /** With a weight of 1 the labels do not matter: the network learns what the teacher says. */
  @Test
  void networkLearnsFromTeacherAlone() throws IOException, InterruptedException {
    Model teacher = trainer(grays(true), 6).run(folder.resolve("teacher")).last();
    var distillation = new Distillation(teacher, 2, 1);
    Model taught =
        trainer(grays(false), 6)
            .withDistillation(distillation)
            .run(folder.resolve("taught"))
            .last();
    List<Example> truth = grays(true).val();
    assertTrue(Evaluation.of(teacher, truth).score() >= 0.9);
    assertTrue(Evaluation.of(taught, truth).score() >= 0.9);
    Model again =
        trainer(grays(true), 6).withDistillation(distillation).run(folder.resolve("again")).last();
    for (String name : again.network().state().entries().keySet()) {
      assertArrayEquals(
          again.network().state().entries().get(name).data(),
          taught.network().state().entries().get(name).data());
    }
    var other = new Distillation(teacher, 2, 0.5);
    var e =
        assertThrows(
            CheckpointException.class,
            () ->
                trainer(grays(false), 7).withDistillation(other).resume(folder.resolve("taught")));
    assertTrue(e.getMessage().contains("distillation weight was 1.0, is 0.5"), String.valueOf(e));
    var shifted = new Distillation(teacher.withPreprocessing(preprocessing(0.4f, 0.3f)), 2, 1);
    var means =
        assertThrows(
            CheckpointException.class,
            () ->
                trainer(grays(false), 7)
                    .withDistillation(shifted)
                    .resume(folder.resolve("taught")));
    assertTrue(means.getMessage().contains("teacher preprocessing was"), String.valueOf(means));
    assertTrue(Files.exists(folder.resolve("taught/best.safetensors")));
  }

  /** Images in the student's normalization give the logits of the teacher's own preprocessing. */
  @Test
  void teacherSeesImagesInItsOwnNormalization() {
    Model model = model("resnet20", 3, 0.485f, 0.229f);
    Preprocessing student = preprocessing(0.5f, 0.3f);
    byte[] pixels = new byte[3 * 16 * 16];
    new Random(2).nextBytes(pixels);
    var image = new Pixels(16, 16, 3, pixels);
    Tensor batch = student.batch(40); // more than the teacher computes at once
    for (int i = 0; i < 35; i++) {
      student.apply(image, batch, i);
    }
    try (var session = model.network().compile(CompileOptions.defaults().withThreads(1));
        var teacher = new Teacher(model, student, 1)) {
      float[] expected = session.run(model.preprocessing().apply(image)).data();
      float[] found = teacher.logits(batch, 35);
      assertEquals(70, found.length);
      for (int i = 0; i < 70; i++) {
        // The inputs differ by roundings of the two normalizations.
        assertEquals(expected[i % 2], found[i], 1e-4 * Math.abs(expected[i % 2]));
      }
    }
  }

  @Test
  void teachersOfOtherClassesAreRejected() {
    Model other =
        Model.initialize(Architecture.named("resnet8"), List.of("light", "dark"), 0)
            .withPreprocessing(preprocessing(0.5f, 0.3f));
    var e =
        assertThrows(
            IllegalArgumentException.class,
            () -> trainer(grays(true), 1).withDistillation(new Distillation(other, 4, 0.5)));
    assertEquals(
        "the teacher has other classes than the images: 2 (light, dark), not 2 (dark, light)",
        e.getMessage());
  }
}
