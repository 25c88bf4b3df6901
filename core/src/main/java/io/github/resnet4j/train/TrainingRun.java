package io.github.resnet4j.train;

import io.github.resnet4j.Model;
import io.github.resnet4j.Task;
import io.github.resnet4j.engine.TrainingSession;
import io.github.resnet4j.nn.StateDict;
import io.github.resnet4j.train.Machines.Contribution;
import io.github.resnet4j.train.Machines.MicroBatch;
import io.github.resnet4j.train.RoundRunner.PlannedStep;
import io.github.resnet4j.train.Trainer.Epoch;
import io.github.resnet4j.train.Trainer.Listener;
import io.github.resnet4j.train.Trainer.Start;
import io.github.resnet4j.train.Trainer.Step;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/** A running training: its epochs and steps, and the files that it writes. */
final class TrainingRun {
  private static final String EPOCHS = "epochs";

  /** A loss larger than this multiple of the loss of guessing counts as divergence. */
  private static final double DIVERGED = 1000;

  private final Trainer trainer;
  private final Dataset data;
  private final Recipe recipe;
  private final RunFolder folder;
  private final Map<String, String> fields;
  private final int microBatch;
  private final Replica replica;
  private final RoundRunner rounds;
  private final @Nullable WeightAverage average;
  private final Metric metric;
  private TrainingState state = new TrainingState();

  private TrainingRun(
      Trainer trainer,
      RunFolder folder,
      Map<String, String> fields,
      int microBatch,
      Replica replica) {
    this.trainer = trainer;
    this.data = trainer.data;
    this.recipe = trainer.recipe;
    this.folder = folder;
    this.fields = fields;
    this.microBatch = microBatch;
    this.replica = replica;
    this.rounds = rounds(trainer.machines, replica);
    this.metric = Metric.of(trainer.start.task());
    this.average =
        recipe.averaging() > 0 ? new WeightAverage(replica.session(), recipe.averaging()) : null;
  }

  /**
   * Trains until the last epoch; see {@link Trainer#run} and {@link Trainer#resume}.
   *
   * @return the model after the last epoch
   */
  static Model run(Trainer trainer, RunFolder folder, boolean resume)
      throws IOException, InterruptedException {
    Recipe recipe = trainer.recipe;
    try (RunFolder.@Nullable Saved saved = resume && folder.hasState() ? folder.open() : null) {
      int microBatch;
      int planned = recipe.schedule().epochs();
      Map<String, String> fields = trainer.fields();
      if (saved == null) {
        microBatch = trainer.microBatch();
      } else {
        saved.check(fields, List.of(EPOCHS, Recipe.PATIENCE));
        // Batch norm depends on the micro-batch size, so a resumed run keeps it, whatever the
        // memory.
        microBatch =
            recipe.accumulate() > 0 ? trainer.microBatch() : TrainingState.microBatch(saved);
        planned = Integer.parseInt(saved.field(EPOCHS));
      }
      // If other machines compute, this one only has the weights and an optimizer.
      int own = trainer.machines == null ? microBatch : 1;
      try (var replica = trainer.replica(own)) {
        var run = new TrainingRun(trainer, folder, fields, microBatch, replica);
        run.checkBatchNorm();
        if (saved != null) {
          run.restore(saved);
          saved.close(); // Windows cannot replace a file that is mapped
        }
        return run.runEpochs(planned);
      }
    }
  }

  private void restore(RunFolder.Saved saved) throws IOException {
    state = TrainingState.restore(saved, trainer.start.network().state(), replica, average, metric);
    int started = state.epoch() + (state.done > 0 ? 1 : 0);
    if (started > recipe.schedule().epochs()) {
      throw new IllegalArgumentException(
          ("%s: %d epochs were already started, but the recipe has %d: set at least"
                  + " that many epochs")
              .formatted(folder.path(), started, recipe.schedule().epochs()));
    }
  }

  private Model runEpochs(int planned) throws IOException, InterruptedException {
    var begin =
        new Start(microBatch, replica.optimizer().steps(), List.copyOf(state.history), planned);
    for (Listener listener : trainer.listeners) {
      listener.begin(begin);
    }
    while (state.epoch() < recipe.schedule().epochs() && !isPatienceExhausted()) {
      runEpoch();
    }
    return model();
  }

  /** Whether the last epochs, as many as the recipe's patience, were no better than one before. */
  private boolean isPatienceExhausted() {
    int best = 0;
    for (int i = 1; i < state.history.size(); i++) {
      best = state.history.get(i).score() > state.history.get(best).score() ? i : best;
    }
    return recipe.patience() > 0 && state.history.size() - 1 - best >= recipe.patience();
  }

  private RoundRunner rounds(@Nullable Machines machines, Replica replica) {
    if (machines == null) {
      return new RoundRunner.OneMachine(replica, data);
    }
    int localBatch = Math.ceilDiv(batch(), machines.count());
    return new RoundRunner.SeveralMachines(
        machines, replica, Math.ceilDiv(localBatch, microBatch), !recipe.frozenStatistics());
  }

  /** Checks before the first step that no later micro-batch is too small for batch norm. */
  private void checkBatchNorm() {
    int smallest = microBatch;
    for (PlannedStep step : plan(0, 0)) {
      for (MicroBatch microBatch : step.microBatches()) {
        smallest = Math.min(smallest, microBatch.images().size());
      }
    }
    try {
      replica.session().checkBatch(smallest);
    } catch (IllegalArgumentException e) {
      throw new IllegalArgumentException(
          ("%s: %,d training images in batches of %,d, in micro-batches of at most %,d, leave one"
                  + " image alone; choose another batch size, fewer gradient accumulation steps,"
                  + " larger images, or freeze the batch-norm statistics")
              .formatted(e.getMessage(), data.train().size(), batch(), microBatch),
          e);
    }
  }

  /** Swaps the weights with their average, if there is one; a second call restores them. */
  private void swapAverage() {
    if (average != null) {
      average.swap();
    }
  }

  /** The current model, with averaged weights if the recipe asks for them. */
  private Model model() {
    swapAverage();
    StateDict weights = replica.session().state();
    swapAverage();
    Model start = trainer.start;
    return start.withNetwork(start.network().withState(weights));
  }

  private double rate(int epoch, int step, int steps) {
    List<Double> losses =
        state.history.stream()
            .map(each -> Double.isNaN(each.valLoss()) ? each.trainLoss() : each.valLoss())
            .toList();
    return recipe.schedule().at(epoch, step, steps, losses);
  }

  private void runEpoch() throws IOException, InterruptedException {
    long begin = System.nanoTime();
    unfreeze();
    int before = state.done;
    var times = Contribution.none();
    trainRestOfEpoch(times);
    double seconds = (System.nanoTime() - begin) / 1e9;
    int count = data.train().size() - before;
    Contribution validation = evaluate();
    Judged judged = judge(model(), validation);
    int machines = rounds.machines();
    var result =
        new Epoch(
            state.epoch() + 1,
            rate(state.epoch(), 0, Math.ceilDiv(data.train().size(), batch())),
            state.loss / state.read,
            accuracy(state.correct, state.read),
            validation.read == 0 ? Double.NaN : validation.loss / validation.read,
            judged.score(),
            count / seconds,
            count * machines / times.computeSeconds,
            count * (double) trainer.threads * machines / times.loadSeconds,
            metric);
    if (validation.read > 0 && !Double.isFinite(validation.loss) || !isFinite(replica.session())) {
      throw diverged(validation.read > 0 ? result.valLoss() : Double.NaN, (float) result.rate());
    }
    double best =
        state.history.stream().mapToDouble(Epoch::score).max().orElse(Double.NEGATIVE_INFINITY);
    state.add(result);
    if (result.score() > best) {
      judged.model().save(folder.file("best.safetensors"));
    }
    keep(judged.model());
    judged.model().save(folder.file("last.safetensors"));
    save();
    folder.writeLines("metrics.csv", Epoch.toCsv(state.history, metric));
    for (Listener listener : trainer.listeners) {
      listener.epoch(result);
    }
  }

  /** Writes the model of the last epoch if it is among the best, and deletes that which is not. */
  private void keep(Model model) throws IOException {
    List<Epoch> best = new ArrayList<>(state.history);
    best.sort(Comparator.comparingDouble(Epoch::score).reversed()); // stable: earlier ones first
    for (int i = 0; trainer.kept > 0 && i < best.size(); i++) {
      Path file = folder.file("epoch-%d.safetensors".formatted(best.get(i).number()));
      if (i >= trainer.kept) {
        Files.deleteIfExists(file);
      } else if (best.get(i).number() == state.epoch()) {
        model.save(file);
      }
    }
  }

  /** Trains the layers from the epoch on that the recipe names. */
  private void unfreeze() {
    if (state.starts.size() == state.epoch()) { // else resumed within the epoch
      state.starts.add(replica.optimizer().steps());
    }
    var firstEpochs = recipe.firstEpochs(trainer.start.network().layers());
    replica
        .optimizer()
        .startAt(name -> {
          int epoch = firstEpochs.applyAsInt(name);
          return epoch > state.starts.size() ? Long.MAX_VALUE : state.starts.get(epoch - 1);
        });
  }

  /** The accuracy on images of one class; NaN for others. */
  private double accuracy(int correct, int read) {
    return metric == Metric.ACCURACY && read > 0 ? (double) correct / read : Double.NaN;
  }

  /**
   * A model with the thresholds that are best for the validation images, and its score on them.
   *
   * @param score NaN without validation images
   */
  private record Judged(Model model, double score) {}

  private Judged judge(Model now, Contribution validation) {
    return switch (now.task()) {
      case Task.SingleLabel _ -> new Judged(now, accuracy(validation.correct, validation.read));
      case Task.MultiLabel(List<Float> thresholds) -> {
        var found =
            new MultiLabelEvaluation(
                now.labels(),
                thresholds,
                validation.scored.stream()
                    .map(each ->
                        new MultiLabelEvaluation.Outcome(
                            each.example(), now.probabilities(each.outputs())))
                    .toList());
        yield new Judged(now.withTask(new Task.MultiLabel(found.bestThresholds())), found.score());
      }
      case Task.Regression _ -> {
        var found =
            new RegressionEvaluation(
                now.labels(),
                validation.scored.stream()
                    .map(each ->
                        new RegressionEvaluation.Outcome(
                            each.example(), now.values(each.outputs())))
                    .toList());
        yield new Judged(now, found.score());
      }
    };
  }

  private int batch() {
    return Math.min(recipe.batch(), data.train().size());
  }

  private static boolean isFinite(TrainingSession session) {
    var arrays = new ArrayList<float[]>(session.statistics());
    arrays.add(session.parameters().weights());
    for (float[] array : arrays) {
      for (float value : array) {
        if (!Float.isFinite(value)) {
          return false;
        }
      }
    }
    return true;
  }

  /** The remaining steps of an epoch, from the image {@code done} on. */
  private List<PlannedStep> plan(int epoch, int done) {
    List<Integer> order = recipe.sampling().order(data, recipe.seed(epoch));
    int steps = Math.ceilDiv(order.size(), batch());
    return PlannedStep.of(order, done, batch(), microBatch, step -> rate(epoch, step, steps));
  }

  /** Trains the rest of an epoch. */
  private void trainRestOfEpoch(Contribution times) throws IOException, InterruptedException {
    List<PlannedStep> steps = plan(state.epoch(), state.done);
    int stepsPerRound = rounds.stepsPerRound();
    long saved = System.nanoTime();
    for (int i = 0; i < steps.size(); i += stepsPerRound) {
      List<PlannedStep> now = steps.subList(i, Math.min(steps.size(), i + stepsPerRound));
      long before = replica.optimizer().steps();
      PlannedStep next = i + stepsPerRound < steps.size() ? steps.get(i + stepsPerRound) : null;
      Contribution sum = rounds.runRound(now, next, recipe.seed(state.epoch()), this::check);
      report(sum.failures);
      PlannedStep last = now.getLast();
      state.done = last.first() + last.size();
      times.computeSeconds += sum.computeSeconds;
      times.loadSeconds += sum.loadSeconds;
      if (sum.read == 0) {
        continue;
      }
      if (average != null && replica.optimizer().steps() > before) {
        average.update();
      }
      state.correct += sum.correct;
      state.loss += sum.loss;
      state.read += sum.read;
      var step =
          new Step(
              replica.optimizer().steps(),
              state.epoch() + 1,
              state.done,
              data.train().size(),
              sum.loss / sum.read,
              accuracy(state.correct, state.read),
              last.rate());
      for (Listener listener : trainer.listeners) {
        listener.step(step);
      }
      if (System.nanoTime() - saved >= trainer.saveInterval.toNanos()
          && i + stepsPerRound < steps.size()) {
        save();
        saved = System.nanoTime();
      }
    }
    if (state.read == 0) {
      throw new IOException("none of the training images can be used");
    }
  }

  private void check(Contribution sum, float rate) {
    double loss = sum.loss / Math.max(1, sum.read);
    if (!Double.isFinite(loss) || loss > DIVERGED * guessingLoss()) {
      throw diverged(loss, rate);
    }
  }

  /** The loss of a network that gives all classes the same probability, or predicts the mean. */
  private double guessingLoss() {
    return switch (trainer.start.task()) {
      case Task.SingleLabel _ -> Math.log(Math.max(2, data.classes().size()));
      case Task.MultiLabel _ -> Math.log(2);
      case Task.Regression _ -> 1; // the variance of standardized numbers
    };
  }

  private ArithmeticException diverged(double loss, float rate) {
    return new ArithmeticException(
        String.format(
            Locale.ROOT,
            "diverged: the loss is %.3g in epoch %d (guessing gives %.2f); try a lower learning"
                + " rate (now %s) or more warm-up epochs (now %d); %s",
            loss,
            state.epoch() + 1,
            guessingLoss(),
            Recipe.number(rate),
            recipe.schedule().warmup(),
            state.history.isEmpty()
                ? "no model was written yet"
                : "%s has the model of epoch %d"
                    .formatted(folder.file("last.safetensors"), state.history.size())));
  }

  /** Losses and counts of the validation images, for the current model. */
  private Contribution evaluate() throws IOException, InterruptedException {
    int count = data.val().size();
    if (count == 0) {
      return Contribution.none();
    }
    swapAverage();
    Contribution validation = rounds.evaluate(count);
    swapAverage();
    report(validation.failures);
    return validation;
  }

  private void report(List<String> failures) throws IOException {
    for (String failure : failures) {
      for (Listener listener : trainer.listeners) {
        listener.unreadable(new IOException(failure));
      }
    }
  }

  private void save() throws IOException {
    state.save(folder, replica, average, microBatch, fields);
  }
}
