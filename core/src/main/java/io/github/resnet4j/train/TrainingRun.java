package io.github.resnet4j.train;

import io.github.resnet4j.Model;
import io.github.resnet4j.engine.TrainingSession;
import io.github.resnet4j.nn.StateDict;
import io.github.resnet4j.train.Machines.Contribution;
import io.github.resnet4j.train.Machines.Part;
import io.github.resnet4j.train.Rounds.PlannedStep;
import io.github.resnet4j.train.Trainer.Epoch;
import io.github.resnet4j.train.Trainer.Listener;
import io.github.resnet4j.train.Trainer.Start;
import io.github.resnet4j.train.Trainer.Step;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Random;
import org.jspecify.annotations.Nullable;

/** A training while it runs: its epochs and steps, and the files that it writes. */
final class TrainingRun {
  private static final String EPOCHS = "epochs";

  /** A loss that is so many times the one of guessing does not come down again. */
  private static final double DIVERGED = 1000;

  private final Trainer trainer;
  private final Dataset data;
  private final Recipe recipe;
  private final RunFolder folder;
  private final Map<String, String> fields;
  private final int microBatch;
  private final Learner learner;
  private final Rounds rounds;
  private final @Nullable WeightAverage average;
  private TrainingState state = new TrainingState();

  private TrainingRun(
      Trainer trainer,
      RunFolder folder,
      Map<String, String> fields,
      int microBatch,
      Learner learner) {
    this.trainer = trainer;
    this.data = trainer.data;
    this.recipe = trainer.recipe;
    this.folder = folder;
    this.fields = fields;
    this.microBatch = microBatch;
    this.learner = learner;
    this.rounds = rounds(trainer.machines, learner);
    this.average =
        recipe.averaging() > 0 ? new WeightAverage(learner.session(), recipe.averaging()) : null;
  }

  /**
   * Trains to the end; see {@link Trainer#run} and {@link Trainer#resume}.
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
        saved.check(fields, List.of(EPOCHS));
        // Batch norm depends on it, so it does not follow the memory of the moment.
        microBatch =
            recipe.accumulate() > 0 ? trainer.microBatch() : TrainingState.microBatch(saved);
        planned = Integer.parseInt(saved.field(EPOCHS));
      }
      // Where others compute, this machine has but weights and an optimizer.
      int own = trainer.machines == null ? microBatch : 1;
      Model start = trainer.start;
      try (var learner =
          new Learner(start.network(), start.preprocessing(), recipe, own, trainer.threads)) {
        var run = new TrainingRun(trainer, folder, fields, microBatch, learner);
        run.checkBatchNorm();
        if (saved != null) {
          run.restore(saved);
        }
        return run.toTheEnd(planned);
      }
    }
  }

  private void restore(RunFolder.Saved saved) throws IOException {
    state = TrainingState.restore(saved, trainer.start.network().state(), learner, average);
    int begun = state.epoch() + (state.done > 0 ? 1 : 0);
    if (begun > recipe.schedule().epochs()) {
      throw new IllegalArgumentException(
          "%s: %d epochs were begun already, the recipe has %d: take as many or more"
              .formatted(folder.path(), begun, recipe.schedule().epochs()));
    }
  }

  private Model toTheEnd(int planned) throws IOException, InterruptedException {
    var begin =
        new Start(microBatch, learner.optimizer().steps(), List.copyOf(state.history), planned);
    for (Listener listener : trainer.listeners) {
      listener.begin(begin);
    }
    while (state.epoch() < recipe.schedule().epochs()) {
      epoch();
    }
    return model();
  }

  private Rounds rounds(@Nullable Machines machines, Learner learner) {
    if (machines == null) {
      return new Rounds.OneMachine(learner, data);
    }
    int share = Math.ceilDiv(batch(), machines.count());
    return new Rounds.SeveralMachines(
        machines, learner, Math.ceilDiv(share, microBatch), !recipe.frozenStatistics());
  }

  /** Fails before the first step where a later one would have a micro-batch that is too small. */
  private void checkBatchNorm() {
    int smallest = microBatch;
    for (PlannedStep step : plan(0, 0)) {
      for (Part part : step.parts()) {
        smallest = Math.min(smallest, part.images().size());
      }
    }
    try {
      learner.session().checkBatch(smallest);
    } catch (IllegalArgumentException e) {
      throw new IllegalArgumentException(
          ("%s: %,d training images in batches of %,d, in micro-batches of at most %,d, leave one"
                  + " image alone; choose another batch size, fewer gradient accumulation steps,"
                  + " larger images, or freeze the batch-norm statistics")
              .formatted(e.getMessage(), data.train().size(), batch(), microBatch),
          e);
    }
  }

  /** Puts the average in the weights' place, and at the second call back. */
  private void exchange() {
    if (average != null) {
      average.exchange();
    }
  }

  /** The model as it is now: with averaged weights, where the recipe says so. */
  private Model model() {
    exchange();
    StateDict weights = learner.session().state();
    exchange();
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

  private void epoch() throws IOException, InterruptedException {
    long begin = System.nanoTime();
    int before = state.done;
    var times = Contribution.none();
    learn(times);
    double seconds = (System.nanoTime() - begin) / 1e9;
    int count = data.train().size() - before;
    Model now = model();
    Contribution held = look();
    int together = rounds.machines();
    var result =
        new Epoch(
            state.epoch() + 1,
            rate(state.epoch(), 0, Math.ceilDiv(data.train().size(), batch())),
            state.loss / state.read,
            (double) state.correct / state.read,
            held.read == 0 ? Double.NaN : held.loss / held.read,
            held.read == 0 ? Double.NaN : (double) held.right / held.read,
            count / seconds,
            count * together / times.learnSeconds,
            count * (double) trainer.threads * together / times.loadSeconds);
    if (held.read > 0 && !Double.isFinite(held.loss) || !isFinite(learner.session())) {
      throw diverged(held.read > 0 ? result.valLoss() : Double.NaN, (float) result.rate());
    }
    double best = state.history.stream().mapToDouble(Epoch::score).max().orElse(-1);
    state.add(result);
    if (result.score() > best) {
      now.save(folder.file("best.safetensors"));
    }
    now.save(folder.file("last.safetensors"));
    save();
    folder.writeLines("metrics.csv", Epoch.toCsv(state.history));
    for (Listener listener : trainer.listeners) {
      listener.epoch(result);
    }
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

  /**
   * The steps of an epoch from some image on, which a step begins with. Micro-batches are as equal
   * as possible, so that none is much smaller than batch norm is used to.
   */
  private List<PlannedStep> plan(int epoch, int done) {
    var order = new ArrayList<Integer>();
    for (int i = 0; i < data.train().size(); i++) {
      order.add(i);
    }
    Collections.shuffle(order, new Random(seed(epoch)));
    int batch = batch();
    var steps = new ArrayList<PlannedStep>();
    for (int first = done; first < order.size(); first += batch) {
      int size = Math.min(order.size() - first, batch);
      int count = Math.ceilDiv(size, microBatch);
      var parts = new ArrayList<Part>();
      for (int i = 0; i < count; i++) {
        int from = first + (int) ((long) size * i / count);
        int to = first + (int) ((long) size * (i + 1) / count);
        parts.add(new Part(List.copyOf(order.subList(from, to)), to));
      }
      double rate = rate(epoch, first / batch, Math.ceilDiv(order.size(), batch));
      steps.add(new PlannedStep(first, size, (float) rate, parts));
    }
    return steps;
  }

  private long seed(int epoch) {
    return recipe.seed() * 31 + epoch;
  }

  /** The rest of an epoch. */
  private void learn(Contribution times) throws IOException, InterruptedException {
    List<PlannedStep> steps = plan(state.epoch(), state.done);
    int atOnce = rounds.steps();
    long saved = System.nanoTime();
    for (int i = 0; i < steps.size(); i += atOnce) {
      List<PlannedStep> now = steps.subList(i, Math.min(steps.size(), i + atOnce));
      long before = learner.optimizer().steps();
      PlannedStep next = i + atOnce < steps.size() ? steps.get(i + atOnce) : null;
      Contribution sum = rounds.learn(now, next, seed(state.epoch()), this::check);
      report(sum.failures);
      PlannedStep last = now.getLast();
      state.done = last.first() + last.size();
      times.learnSeconds += sum.learnSeconds;
      times.loadSeconds += sum.loadSeconds;
      if (sum.read == 0) {
        continue;
      }
      if (average != null && learner.optimizer().steps() > before) {
        average.update();
      }
      state.correct += sum.right;
      state.loss += sum.loss;
      state.read += sum.read;
      var step =
          new Step(
              learner.optimizer().steps(),
              state.epoch() + 1,
              state.done,
              data.train().size(),
              sum.loss / sum.read,
              (double) state.correct / state.read,
              last.rate());
      for (Listener listener : trainer.listeners) {
        listener.step(step);
      }
      if (System.nanoTime() - saved >= trainer.saveInterval.toNanos()
          && i + atOnce < steps.size()) {
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
    if (!Double.isFinite(loss) || loss > DIVERGED * guessing()) {
      throw diverged(loss, rate);
    }
  }

  /** The loss of a network that thinks all classes equally likely. */
  private double guessing() {
    return Math.log(Math.max(2, data.classes().size()));
  }

  private ArithmeticException diverged(double loss, float rate) {
    return new ArithmeticException(
        String.format(
            Locale.ROOT,
            "diverged: the loss is %.3g in epoch %d (guessing gives %.2f); try a lower learning"
                + " rate (now %s) or more warm-up epochs (now %d); %s",
            loss,
            state.epoch() + 1,
            guessing(),
            Recipe.number(rate),
            recipe.schedule().warmup(),
            state.history.isEmpty()
                ? "no model was written yet"
                : "%s has the model of epoch %d"
                    .formatted(folder.file("last.safetensors"), state.history.size())));
  }

  /** Losses and counts of the validation images, for the model as it is now. */
  private Contribution look() throws IOException, InterruptedException {
    int count = data.val().size();
    if (count == 0) {
      return Contribution.none();
    }
    exchange();
    Contribution held = rounds.look(count);
    exchange();
    report(held.failures);
    return held;
  }

  private void report(List<String> failures) throws IOException {
    for (String failure : failures) {
      for (Listener listener : trainer.listeners) {
        listener.unreadable(new IOException(failure));
      }
    }
  }

  private void save() throws IOException {
    state.save(folder, learner, average, microBatch, fields);
  }
}
