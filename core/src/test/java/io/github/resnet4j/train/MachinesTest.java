package io.github.resnet4j.train;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.resnet4j.Architecture;
import io.github.resnet4j.Model;
import io.github.resnet4j.ResNet;
import io.github.resnet4j.engine.Precision;
import io.github.resnet4j.image.Augmentation;
import io.github.resnet4j.image.Augmentation.Crop;
import io.github.resnet4j.image.Interpolation;
import io.github.resnet4j.image.Preprocessing;
import io.github.resnet4j.nn.Loss;
import io.github.resnet4j.nn.StateDict;
import io.github.resnet4j.tensor.TorchRandom;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.ObjectInputStream;
import java.io.ObjectOutputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * Data-parallel training on machines that are simulated one after the other, with serialization
 * between them.
 */
class MachinesTest {
  @TempDir Path home;
  private Dataset data;

  @BeforeEach
  void draw() throws IOException {
    DrawnImages.draw(home.resolve("data"));
    data = Dataset.of(home.resolve("data"), 0, 0);
  }

  private static Model start() {
    var spec = Architecture.named("resnet8").toBuilder().numClasses(2).build();
    return new Model(
        ResNet.initialize(spec, TorchRandom.manualSeed(0)),
        new Preprocessing(
            24, 24, 24, Interpolation.BILINEAR, List.of(.5f, .5f, .5f), List.of(.3f, .3f, .3f)),
        List.of("disc", "square"));
  }

  private static Recipe recipe(int epochs) {
    return new Recipe.Builder(new Schedule(Schedule.Kind.COSINE, 0.02, epochs, 0, List.of()))
        .batch(12)
        .decayAll(false)
        .labelSmoothing(0.05)
        .augmentation(Augmentation.of(Crop.PAD, true))
        .mixing(new Mixing(0.2, 0))
        .averaging(0.9)
        .seed(3)
        .build();
  }

  /** Machines in this JVM; none keeps anything from one assignment to the next. */
  private record LocalMachines(Dataset data, Recipe recipe, int count, int localSteps)
      implements Machines {
    private Machine machine() {
      return new Machine(start(), recipe, Optional.empty(), microBatch(), 2);
    }

    @Override
    public int microBatch() {
      return Trainer.microBatch(start(), recipe, data.train().size(), count, 2, 1L << 30);
    }

    @Override
    public Contribution runRound(State from, List<Assignment> assignments)
        throws InterruptedException {
      Contribution sum = Contribution.none();
      for (Assignment each : assignments) {
        try (Machine machine = machine()) {
          sum.add(wired(machine.run(wired(from), wired(each), data.train()::get)));
        }
      }
      return sum;
    }

    @Override
    public Contribution evaluate(State from, int images) throws InterruptedException {
      try (Machine machine = machine()) {
        return wired(machine.evaluate(wired(from), data.val()::get, 0, 5))
            .add(machine.evaluate(wired(from), data.val()::get, 5, images));
      }
    }

    @SuppressWarnings("unchecked")
    private static <T> T wired(T value) {
      try {
        var bytes = new ByteArrayOutputStream();
        try (var out = new ObjectOutputStream(bytes)) {
          out.writeObject(value);
        }
        return (T)
            new ObjectInputStream(new ByteArrayInputStream(bytes.toByteArray())).readObject();
      } catch (IOException | ClassNotFoundException e) {
        throw new IllegalStateException(e);
      }
    }
  }

  private static final class RecordingListener implements Trainer.Listener {
    final List<Trainer.Epoch> epochs = new ArrayList<>();
    final List<String> unreadable = new ArrayList<>();
    long endAfterStep = Long.MAX_VALUE;

    @Override
    public void step(Trainer.Step step) {
      if (step.number() >= endAfterStep) {
        throw new IllegalStateException("interrupted");
      }
    }

    @Override
    public void epoch(Trainer.Epoch epoch) {
      epochs.add(epoch);
    }

    @Override
    public void unreadable(IOException failure) {
      unreadable.add(failure.getMessage());
    }
  }

  private Trainer trainer(Recipe recipe, RecordingListener listener) {
    return new Trainer(start(), data, recipe)
        .withThreads(2)
        .withSaveInterval(Duration.ZERO)
        .withListeners(listener);
  }

  private Model single(Recipe recipe, RecordingListener listener)
      throws IOException, InterruptedException {
    return trainer(recipe, listener).run(home.resolve("single")).last();
  }

  private Model several(Recipe recipe, int count, int localSteps, RecordingListener listener)
      throws IOException, InterruptedException {
    return trainer(recipe, listener)
        .withMachines(new LocalMachines(data, recipe, count, localSteps))
        .run(home.resolve("several"))
        .last();
  }

  private static boolean isStatistic(String name) {
    return name.contains("running_") || name.contains("num_batches");
  }

  /** The largest difference of any weight, relative to its tensor's largest. */
  private static double difference(StateDict a, StateDict b) {
    StateDict start = start().network().state();
    double most = 0;
    for (String name : start.entries().keySet()) {
      if (isStatistic(name)) {
        continue;
      }
      float[] left = a.get(name).data();
      float[] right = b.get(name).data();
      double largest = 0;
      double apart = 0;
      for (int i = 0; i < left.length; i++) {
        largest = Math.max(largest, Math.abs(left[i]));
        apart = Math.max(apart, Math.abs(left[i] - right[i]));
      }
      assertFalse(Arrays.equals(left, start.get(name).data()), name + " did not move");
      most = Math.max(most, apart / largest);
    }
    return most;
  }

  /**
   * Gradients are added in another order, and batch norm's sums are relative to running means that
   * differ: weights differ in the last bit, batch norm's biases, which are small differences, in
   * several bits. A wrong seed, rate, scale or micro-batch would cause a difference four orders of
   * magnitude larger.
   */
  private static final double FLOAT_ORDER = 1e-5;

  @Test
  void severalMachinesMatchOneMachineWithSameMicroBatches()
      throws IOException, InterruptedException {
    // 2 machines with 2 micro-batches each, of 6 images; 2 steps.
    Recipe recipe = recipe(1).toBuilder().batch(24).build();
    var one = new RecordingListener();
    Model single = single(recipe.toBuilder().accumulate(4).build(), one);
    var many = new RecordingListener();
    Model several = several(recipe.toBuilder().accumulate(2).build(), 2, 1, many);
    double apart = difference(single.network().state(), several.network().state());
    assertTrue(apart < FLOAT_ORDER, "apart " + apart);
    assertEquals(one.epochs.getFirst().trainLoss(), many.epochs.getFirst().trainLoss(), 1e-6);
    assertEquals(one.epochs.getFirst().trainScore(), many.epochs.getFirst().trainScore());
  }

  @Test
  void wholeTrainingMatchesOneMachine() throws IOException, InterruptedException {
    var one = new RecordingListener();
    single(recipe(3).toBuilder().accumulate(2).build(), one);
    var many = new RecordingListener();
    several(recipe(3), 2, 1, many);
    for (int i = 0; i < 3; i++) {
      assertEquals(one.epochs.get(i).rate(), many.epochs.get(i).rate());
      // By now a difference in the last bit has changed the ReLU of some pixel.
      assertEquals(one.epochs.get(i).trainLoss(), many.epochs.get(i).trainLoss(), 1e-3);
    }
  }

  @Test
  void machinesUnfreezeGradually() throws IOException, InterruptedException {
    Recipe recipe = recipe(2).toBuilder().averaging(0).unfreezing(Map.of("layer1", 2)).build();
    var one = new RecordingListener();
    single(recipe.toBuilder().accumulate(2).build(), one);
    var many = new RecordingListener();
    trainer(recipe, many)
        .withKept(2)
        .withMachines(new LocalMachines(data, recipe, 2, 1))
        .run(home.resolve("several"));
    assertEquals(one.epochs.getLast().trainLoss(), many.epochs.getLast().trainLoss(), 1e-3);
    String frozen = "layer1.0.conv1.weight";
    float[] before = start().network().state().get(frozen).data();
    for (int epoch : List.of(1, 2)) {
      Model then = Model.load(home.resolve("several/epoch-%d.safetensors".formatted(epoch)));
      float[] weights = then.network().state().get(frozen).data();
      assertEquals(epoch == 1, Arrays.equals(before, weights), "epoch " + epoch);
    }
    assertThrows(
        IllegalArgumentException.class, () -> several(recipe, 2, 2, new RecordingListener()));
  }

  @Test
  void incompleteBatchesAreDivided() throws IOException, InterruptedException {
    Recipe recipe =
        recipe(1).toBuilder().batch(10).build(); // 48 = 4 · 10 + 8; local batches of 4, 4, 2
    Model single = single(recipe.toBuilder().accumulate(3).build(), new RecordingListener());
    Model several = several(recipe, 3, 1, new RecordingListener());
    double apart = difference(single.network().state(), several.network().state());
    assertTrue(apart < FLOAT_ORDER, "apart " + apart);
  }

  @Test
  void oneMachineWithLocalStepsMatchesTrainer() throws IOException, InterruptedException {
    Recipe recipe = recipe(2).toBuilder().averaging(0).build();
    single(recipe, new RecordingListener());
    several(recipe, 1, 3, new RecordingListener());
    assertArrayEquals(
        Files.readAllBytes(home.resolve("single/last.safetensors")),
        Files.readAllBytes(home.resolve("several/last.safetensors")));
  }

  @Test
  void runningStatisticsAreAveraged() throws IOException, InterruptedException {
    Recipe recipe = recipe(1).toBuilder().batch(48).averaging(0).build(); // one step
    Model several = several(recipe, 2, 1, new RecordingListener());
    // The same two halves, each trained separately: momentum 0.1 from a mean of 0.
    var order = new ArrayList<Integer>();
    for (int i = 0; i < 48; i++) {
      order.add(i);
    }
    java.util.Collections.shuffle(order, new java.util.Random(3 * 31));
    double[] mean = new double[16];
    for (int half = 0; half < 2; half++) {
      var indices = order.subList(24 * half, 24 * half + 24);
      Model start = start();
      try (var replica =
          new Replica(start, recipe, new Loss.CrossEntropy(List.of()), null, 24, 2)) {
        replica.accumulate(
            data.train()::get,
            new Machines.MicroBatch(List.copyOf(indices), 24 * half + 24),
            null,
            3 * 31,
            48,
            Machines.Contribution.none());
        float[] own = replica.session().state().get("bn1.running_mean").data();
        for (int c = 0; c < mean.length; c++) {
          mean[c] += own[c] / 2;
        }
      }
    }
    float[] found = several.network().state().get("bn1.running_mean").data();
    for (int c = 0; c < mean.length; c++) {
      assertEquals(mean[c], found[c], 1e-6);
    }
    assertEquals(1, several.network().state().get("bn1.num_batches_tracked").data()[0]);
  }

  @Test
  void localSgdConverges() throws IOException, InterruptedException {
    var listener = new RecordingListener();
    Recipe recipe = recipe(12).toBuilder().averaging(0).mixing(Mixing.NONE).build();
    several(recipe, 2, 2, listener);
    assertTrue(
        listener.epochs.getLast().trainLoss() < 0.75 * listener.epochs.getFirst().trainLoss(),
        listener.epochs.toString());
    assertTrue(listener.epochs.getLast().valScore() > 0.8, listener.epochs.toString());
  }

  @Test
  void interruptedRunIsResumed() throws IOException, InterruptedException {
    for (int localSteps : List.of(1, 2)) {
      var precision = localSteps == 1 ? Precision.FP32 : Precision.BF16;
      Recipe recipe = recipe(2).toBuilder().precision(precision).build();
      String whole = "whole" + localSteps;
      String parts = "parts" + localSteps;
      var machines = new LocalMachines(data, recipe, 2, localSteps);
      trainer(recipe, new RecordingListener()).withMachines(machines).run(home.resolve(whole));
      var interrupted = new RecordingListener();
      interrupted.endAfterStep = 6;
      assertThrows(
          IllegalStateException.class,
          () -> trainer(recipe, interrupted).withMachines(machines).run(home.resolve(parts)));
      trainer(recipe, new RecordingListener()).withMachines(machines).resume(home.resolve(parts));
      assertArrayEquals(
          Files.readAllBytes(home.resolve(whole).resolve("last.safetensors")),
          Files.readAllBytes(home.resolve(parts).resolve("last.safetensors")));
    }
  }

  @Test
  void unreadableImagesAreReported() throws IOException, InterruptedException {
    Files.writeString(home.resolve("data/train/disc/broken.png"), "no image");
    data = Dataset.of(home.resolve("data"), 0, 0);
    var listener = new RecordingListener();
    several(recipe(1), 2, 1, listener);
    assertEquals(1, listener.unreadable.size());
    assertTrue(
        listener.unreadable.getFirst().contains("broken.png"), listener.unreadable.getFirst());
  }

  @Test
  void stateOfAnotherNetworkIsRejected() {
    var spec = Architecture.named("resnet20").toBuilder().numClasses(2).build();
    var other = start().withNetwork(ResNet.initialize(spec, TorchRandom.manualSeed(0)));
    try (var machine = new Machine(other, recipe(1), Optional.empty(), 4, 1);
        var replica =
            new Replica(start(), recipe(1), new Loss.CrossEntropy(List.of()), null, 4, 1)) {
      var state = Machines.State.of(replica.session(), List.of(), 0);
      assertThrows(
          IllegalArgumentException.class, () -> machine.evaluate(state, data.val()::get, 0, 1));
    }
  }
}
