package io.github.resnet4j.train;

import io.github.resnet4j.Classifier;
import io.github.resnet4j.checkpoint.Checkpoint;
import io.github.resnet4j.checkpoint.CheckpointException;
import io.github.resnet4j.checkpoint.CheckpointWriter;
import io.github.resnet4j.checkpoint.StoredTensor;
import io.github.resnet4j.engine.TrainingSession;
import io.github.resnet4j.nn.Parameter;
import io.github.resnet4j.nn.StateDict;
import io.github.resnet4j.tensor.Tensor;
import io.github.resnet4j.train.Machines.Assignment;
import io.github.resnet4j.train.Machines.Contribution;
import io.github.resnet4j.train.Machines.Part;
import io.github.resnet4j.train.Machines.Share;
import io.github.resnet4j.train.Machines.State;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import java.util.Random;
import org.jspecify.annotations.Nullable;

/**
 * Trains a network on pictures: epochs of steps, a look at the held-out pictures after each, and
 * files that a killed run goes on from.
 *
 * <ul>
 *   <li>{@code last.safetensors} and {@code best.safetensors}: the model after the last epoch, and
 *       after the one that did best on the held-out pictures;
 *   <li>{@code state.safetensors}: all that {@link #run} needs to go on, from the middle of an
 *       epoch too;
 *   <li>{@code metrics.csv}: a line for each epoch.
 * </ul>
 *
 * Each appears whole or not at all. All chance follows from the recipe's seed, whatever the number
 * of threads that read pictures; a run that was killed and resumed ends with the same bits as one
 * that was not.
 */
public final class Trainer {
  private static final String MODEL = "model.";
  private static final String AVERAGE = "average.";
  private static final String STATE = "state.safetensors";
  private static final String HEADER =
      "epoch,rate,train_loss,train_accuracy,val_loss,val_accuracy,images_per_second,"
          + "step_images_per_second,load_images_per_second";

  /**
   * What an epoch came to; losses are cross-entropies, accuracies parts of 1. Without held-out
   * pictures theirs are NaN.
   *
   * @param number from 1
   * @param rate of the epoch's first step
   * @param imagesPerSecond altogether
   * @param stepImagesPerSecond what learning alone would reach
   * @param loadImagesPerSecond what reading and augmenting alone would reach
   */
  public record Epoch(
      int number,
      double rate,
      double trainLoss,
      double trainAccuracy,
      double valLoss,
      double valAccuracy,
      double imagesPerSecond,
      double stepImagesPerSecond,
      double loadImagesPerSecond) {
    private String line() {
      return String.format(
          Locale.ROOT,
          "%d,%.6g,%.5f,%.4f,%.5f,%.4f,%.1f,%.1f,%.1f",
          number,
          rate,
          trainLoss,
          trainAccuracy,
          valLoss,
          valAccuracy,
          imagesPerSecond,
          stepImagesPerSecond,
          loadImagesPerSecond);
    }

    /**
     * An epoch of {@code metrics.csv}.
     *
     * @throws IllegalArgumentException if the line is none
     */
    public static Epoch of(String line) {
      double[] fields =
          Arrays.stream(line.split(",", -1)).mapToDouble(Double::parseDouble).toArray();
      if (fields.length != 9) {
        throw new NumberFormatException("no epoch: " + line);
      }
      return new Epoch(
          (int) fields[0],
          fields[1],
          fields[2],
          fields[3],
          fields[4],
          fields[5],
          fields[6],
          fields[7],
          fields[8]);
    }

    /** By what the best epoch is found: the held-out accuracy, or without it the later one. */
    private double score() {
      return Double.isNaN(valAccuracy) ? number : valAccuracy;
    }
  }

  /**
   * What a step came to.
   *
   * @param number of the whole training, from 1
   * @param epoch from 1
   * @param done pictures of this epoch so far
   * @param all pictures of the epoch
   * @param loss the mean of its pictures
   * @param accuracy the mean of the epoch so far, a part of 1
   * @param rate the learning rate
   */
  public record Step(
      long number, int epoch, int done, int all, double loss, double accuracy, double rate) {}

  /** Hears what happens. */
  public interface Listener {
    /**
     * Before the first step.
     *
     * @param steps that an earlier run has done already
     * @param epochs that it has done
     */
    default void begin(long steps, List<Epoch> epochs) throws IOException {}

    /** After every step. */
    default void step(Step step) throws IOException {}

    /** After every epoch, when its files are written. */
    default void epoch(Epoch epoch) throws IOException {}

    /** A picture that could not be read, once for each time; it is left out. */
    default void unreadable(IOException failure) throws IOException {}
  }

  /** How far an epoch has come. */
  private static final class Progress {
    int epoch;
    int done;
    int read;
    int right;
    double loss;
  }

  private final Classifier start;
  private final Dataset data;
  private final Recipe recipe;
  private final int threads;
  private final Path output;
  private final Duration saveEvery;
  private final List<Listener> listeners;
  private final @Nullable Machines machines;
  private final List<Epoch> history = new ArrayList<>();

  /**
   * @param start the network to begin with, its preprocessing and the classes' names
   * @param output the folder for the files
   * @param saveEvery how much work a killed run may lose; at most an epoch's
   * @throws IllegalArgumentException if network and pictures have different classes, or the recipe
   *     speaks of parts that the network lacks
   */
  public Trainer(
      Classifier start,
      Dataset data,
      Recipe recipe,
      int threads,
      Path output,
      Duration saveEvery,
      List<Listener> listeners) {
    this(start, data, recipe, threads, output, saveEvery, listeners, null);
  }

  private Trainer(
      Classifier start,
      Dataset data,
      Recipe recipe,
      int threads,
      Path output,
      Duration saveEvery,
      List<Listener> listeners,
      @Nullable Machines machines) {
    if (start.network().spec().numClasses() != data.classes().size()) {
      throw new IllegalArgumentException(
          "the network has %d classes, the folder %d"
              .formatted(start.network().spec().numClasses(), data.classes().size()));
    }
    this.start = start;
    this.data = data;
    this.recipe = recipe;
    this.threads = threads;
    this.output = output;
    this.saveEvery = saveEvery;
    this.listeners = List.copyOf(listeners);
    this.machines = machines;
    List<String> names =
        start.network().layers().parameters().stream().map(Parameter::name).toList();
    var parts = new ArrayList<>(recipe.frozen());
    parts.addAll(recipe.rates().keySet());
    for (String part : parts) {
      if (names.stream().noneMatch(name -> Recipe.belongs(name, part))) {
        throw new IllegalArgumentException("the network has no part '%s'".formatted(part));
      }
    }
  }

  /**
   * The same training on several machines, each of which takes its share of every step and cuts
   * that into as many parts as the recipe says. With one local step a round it is the training of
   * one machine that cuts its steps into the parts of all, but for the order in which gradients are
   * added, and for batch norm's running statistics, which are the mean of the machines'.
   */
  public Trainer on(Machines others) {
    return new Trainer(start, data, recipe, threads, output, saveEvery, listeners, others);
  }

  /**
   * How many pictures are learnt from at once.
   *
   * @param recipe that they are learnt by
   * @param pictures that there are
   * @param machines that share a step
   */
  public static int part(Recipe recipe, int pictures, int machines) {
    return Math.ceilDiv(Math.min(recipe.batch(), pictures), recipe.accumulate() * machines);
  }

  private int part() {
    return part(recipe, data.train().size(), machines == null ? 1 : machines.count());
  }

  /**
   * Trains to the end.
   *
   * @param resume whether to go on from {@code state.safetensors} if there is one
   * @return the trained network
   * @throws IOException if files cannot be written, the state is of another training, or no picture
   *     can be read
   * @throws ArithmeticException if the loss is no longer a number
   */
  public Classifier run(boolean resume) throws IOException, InterruptedException {
    Files.createDirectories(output);
    try (var parts = Files.newDirectoryStream(output, "{*,.*}.part")) {
      for (Path part : parts) { // of a run that was killed while it wrote
        Files.delete(part);
      }
    }
    // Where others learn, this machine has but weights and an optimizer.
    int part = machines == null ? part() : 1;
    try (var learner = new Learner(start.network(), start.preprocessing(), recipe, part, threads)) {
      var run =
          new Run(
              learner,
              recipe.averaging() > 0
                  ? new WeightAverage(learner.session(), recipe.averaging())
                  : null);
      var progress = new Progress();
      if (resume && Files.exists(output.resolve(STATE))) {
        resume(run, progress);
      }
      for (Listener listener : listeners) {
        listener.begin(run.optimizer().steps(), history);
      }
      while (progress.epoch < recipe.schedule().epochs()) {
        epoch(run, progress);
      }
      return model(run);
    }
  }

  /** What works together in a run. */
  private record Run(Learner learner, @Nullable WeightAverage average) {
    TrainingSession session() {
      return learner.session();
    }

    Optimizer optimizer() {
      return learner.optimizer();
    }

    /** Puts the average in the weights' place, and at the second call back. */
    void exchange() {
      if (average != null) {
        average.exchange();
      }
    }
  }

  /** The model as it is now: with averaged weights, where the recipe says so. */
  private Classifier model(Run run) {
    run.exchange();
    StateDict state = run.session().state();
    run.exchange();
    return start.withNetwork(start.network().withState(state));
  }

  private double rate(int epoch, int step, int steps) {
    List<Double> losses =
        history.stream()
            .map(each -> Double.isNaN(each.valLoss()) ? each.trainLoss() : each.valLoss())
            .toList();
    return recipe.schedule().at(epoch, step, steps, losses);
  }

  private void epoch(Run run, Progress progress) throws IOException, InterruptedException {
    long begin = System.nanoTime();
    int before = progress.done;
    var times = Contribution.none();
    learn(run, progress, times);
    double seconds = (System.nanoTime() - begin) / 1e9;
    int count = data.train().size() - before;
    Classifier now = model(run);
    Contribution held = look(run);
    int together = machines == null ? 1 : machines.count();
    var result =
        new Epoch(
            progress.epoch + 1,
            rate(progress.epoch, 0, Math.ceilDiv(data.train().size(), batch())),
            progress.loss / progress.read,
            (double) progress.right / progress.read,
            held.read == 0 ? Double.NaN : held.loss / held.read,
            held.read == 0 ? Double.NaN : (double) held.right / held.read,
            count / seconds,
            count * together / times.learnSeconds,
            count * (double) threads * together / times.loadSeconds);
    double best = history.stream().mapToDouble(Epoch::score).max().orElse(-1);
    history.add(result);
    if (result.score() > best) {
      now.save(output.resolve("best.safetensors"));
    }
    now.save(output.resolve("last.safetensors"));
    progress.epoch++;
    progress.done = 0;
    progress.read = 0;
    progress.right = 0;
    progress.loss = 0;
    save(run, progress);
    writeMetrics();
    for (Listener listener : listeners) {
      listener.epoch(result);
    }
  }

  private int batch() {
    return Math.min(recipe.batch(), data.train().size());
  }

  /**
   * A step of an epoch.
   *
   * @param first how many pictures of the epoch come before it
   * @param size its pictures
   */
  private record Planned(int first, int size, float rate, List<Part> parts) {}

  /** The steps of an epoch from some picture on, which a step begins with. */
  private List<Planned> plan(int epoch, int done) {
    var order = new ArrayList<Integer>();
    for (int i = 0; i < data.train().size(); i++) {
      order.add(i);
    }
    Collections.shuffle(order, new Random(seed(epoch)));
    int batch = batch();
    var steps = new ArrayList<Planned>();
    for (int first = done; first < order.size(); first += batch) {
      int end = Math.min(order.size(), first + batch);
      var parts = new ArrayList<Part>();
      for (int from = first; from < end; from += part()) {
        int to = Math.min(end, from + part());
        parts.add(new Part(List.copyOf(order.subList(from, to)), to));
      }
      double rate = rate(epoch, first / batch, Math.ceilDiv(order.size(), batch));
      steps.add(new Planned(first, end - first, (float) rate, parts));
    }
    return steps;
  }

  private long seed(int epoch) {
    return recipe.seed() * 31 + epoch;
  }

  /** The rest of an epoch. */
  private void learn(Run run, Progress progress, Contribution times)
      throws IOException, InterruptedException {
    List<Planned> steps = plan(progress.epoch, progress.done);
    int atOnce = machines == null ? 1 : machines.localSteps();
    long saved = System.nanoTime();
    for (int i = 0; i < steps.size(); i += atOnce) {
      List<Planned> now = steps.subList(i, Math.min(steps.size(), i + atOnce));
      long before = run.optimizer().steps();
      Contribution sum =
          machines == null
              ? alone(run, now.getFirst(), i + 1 < steps.size() ? steps.get(i + 1) : null, progress)
              : together(run, now, progress, machines);
      report(sum.failures);
      Planned last = now.getLast();
      progress.done = last.first + last.size;
      times.learnSeconds += sum.learnSeconds;
      times.loadSeconds += sum.loadSeconds;
      if (sum.read == 0) {
        continue;
      }
      if (run.average != null && run.optimizer().steps() > before) {
        run.average.update();
      }
      progress.right += sum.right;
      progress.loss += sum.loss;
      progress.read += sum.read;
      var step =
          new Step(
              run.optimizer().steps(),
              progress.epoch + 1,
              progress.done,
              data.train().size(),
              sum.loss / sum.read,
              (double) progress.right / progress.read,
              last.rate);
      for (Listener listener : listeners) {
        listener.step(step);
      }
      if (System.nanoTime() - saved >= saveEvery.toNanos() && i + atOnce < steps.size()) {
        save(run, progress);
        saved = System.nanoTime();
      }
    }
    if (progress.read == 0) {
      throw new IOException("none of the pictures can be read");
    }
  }

  /** A step on this machine; what comes first in the next one is read meanwhile. */
  private Contribution alone(Run run, Planned step, @Nullable Planned next, Progress progress)
      throws InterruptedException {
    var sum = Contribution.none();
    run.session().clearGradients();
    for (int i = 0; i < step.parts.size(); i++) {
      Part following =
          i + 1 < step.parts.size()
              ? step.parts.get(i + 1)
              : next == null ? null : next.parts.getFirst();
      Part part = step.parts.get(i);
      long seed = seed(progress.epoch);
      run.learner.learn(data.train()::get, part, following, seed, step.size, sum);
      check(sum, step.rate, progress);
    }
    if (sum.read > 0) {
      long begin = System.nanoTime();
      run.optimizer().step(step.rate);
      sum.learnSeconds += (System.nanoTime() - begin) / 1e9;
    }
    return sum;
  }

  /** A round on all machines. */
  private Contribution together(Run run, List<Planned> steps, Progress progress, Machines others)
      throws IOException, InterruptedException {
    TrainingSession session = run.session();
    Optimizer optimizer = run.optimizer();
    boolean local = others.localSteps() > 1;
    var assignments = new ArrayList<Assignment>();
    for (int machine = 0; machine < others.count(); machine++) {
      var shares = new ArrayList<Share>();
      for (Planned step : steps) {
        int from = Math.min(step.parts.size(), machine * recipe.accumulate());
        int end = Math.min(step.parts.size(), from + recipe.accumulate());
        List<Part> parts = List.copyOf(step.parts.subList(from, end));
        int own = parts.stream().mapToInt(part -> part.pictures().size()).sum();
        if (own > 0) {
          shares.add(new Share(parts, local ? own : step.size, step.rate));
        }
      }
      if (!shares.isEmpty()) {
        assignments.add(new Assignment(seed(progress.epoch), List.copyOf(shares)));
      }
    }
    List<float[]> memory = optimizer.memory();
    var state = State.of(session, local ? memory : List.of(), optimizer.steps());
    Contribution sum = others.work(state, assignments);
    check(sum, steps.getLast().rate, progress);
    if (sum.machines == 0) {
      return sum;
    }
    int at = 1;
    if (!recipe.frozenStatistics()) {
      sum.average(at, session.statistics());
      session.countBatches(steps.size());
      at += session.statistics().size();
    }
    if (local) {
      sum.average(0, List.of(session.weights()));
      sum.average(at, memory);
      optimizer.resumeAfter(optimizer.steps() + steps.size());
    } else {
      float[] gradients = sum.arrays.getFirst();
      System.arraycopy(gradients, 0, session.gradients(), session.gradientsAt(), gradients.length);
      optimizer.step(steps.getFirst().rate);
    }
    return sum;
  }

  private static void check(Contribution sum, float rate, Progress progress) {
    if (!Double.isFinite(sum.loss)) {
      throw new ArithmeticException(
          "the loss is no number in epoch %d after %d pictures: try a lower learning rate (now %s)"
              .formatted(progress.epoch + 1, progress.read + sum.read, rate));
    }
  }

  /** Losses and counts of the held-out pictures, for the model as it is now. */
  private Contribution look(Run run) throws IOException, InterruptedException {
    int count = data.val().size();
    if (count == 0) {
      return Contribution.none();
    }
    run.exchange();
    Contribution held =
        machines == null
            ? run.learner.look(data.val()::get, 0, count)
            : machines.look(State.of(run.session(), List.of(), run.optimizer().steps()), count);
    run.exchange();
    report(held.failures);
    return held;
  }

  private void report(List<String> failures) throws IOException {
    for (String failure : failures) {
      for (Listener listener : listeners) {
        listener.unreadable(new IOException(failure));
      }
    }
  }

  private void save(Run run, Progress progress) throws IOException {
    var tensors = new LinkedHashMap<String, StoredTensor>();
    put(MODEL, run.session().state(), tensors);
    if (run.average != null) {
      run.exchange();
      put(AVERAGE, run.session().state(), tensors);
      run.exchange();
    }
    run.optimizer()
        .namedMemory()
        .forEach((memory, values) -> put(memory + ".", run.session().toTensors(values), tensors));
    Map<String, Object> notes = new LinkedHashMap<>();
    notes.put("epochs", progress.epoch);
    notes.put("done", progress.done);
    notes.put("read", progress.read);
    notes.put("right", progress.right);
    notes.put("loss", progress.loss);
    notes.put("steps", run.optimizer().steps());
    notes.put("recipe", recipe.toString());
    notes.put("classes", data.classes());
    notes.put("pictures", data.train().size());
    notes.put("history", history.stream().map(Epoch::line).toList());
    CheckpointWriter.write(output.resolve(STATE), tensors, notes);
  }

  private static void put(String prefix, StateDict state, Map<String, StoredTensor> tensors) {
    state.entries().forEach((name, tensor) -> tensors.put(prefix + name, StoredTensor.of(tensor)));
  }

  /** Takes up a state. */
  private void resume(Run run, Progress progress) throws IOException {
    try (var checkpoint = Checkpoint.open(output.resolve(STATE))) {
      Map<String, Object> notes = checkpoint.metadata();
      same(checkpoint, "recipe", recipe.toString());
      same(checkpoint, "classes", data.classes());
      same(checkpoint, "pictures", data.train().size());
      if (run.average != null) {
        run.session().load(named(checkpoint, AVERAGE, start.network().state()));
        run.average.restart();
      }
      run.session().load(named(checkpoint, MODEL, start.network().state()));
      StateDict like = run.session().toTensors(run.session().weights());
      for (Map.Entry<String, float[]> memory : run.optimizer().namedMemory().entrySet()) {
        run.session()
            .fromTensors(named(checkpoint, memory.getKey() + ".", like), memory.getValue());
      }
      try {
        progress.epoch = number(notes, "epochs").intValue();
        progress.done = number(notes, "done").intValue();
        progress.read = number(notes, "read").intValue();
        progress.right = number(notes, "right").intValue();
        progress.loss = number(notes, "loss").doubleValue();
        run.optimizer().resumeAfter(number(notes, "steps").longValue());
        for (Object line : (List<?>) Objects.requireNonNull(notes.get("history"))) {
          history.add(Epoch.of(String.valueOf(line)));
        }
      } catch (ClassCastException | NullPointerException | NumberFormatException e) {
        throw new CheckpointException(output.resolve(STATE), "is not the state of a training");
      }
    }
  }

  private static Number number(Map<String, Object> notes, String name) {
    return (Number) Objects.requireNonNull(notes.get(name));
  }

  private void same(Checkpoint checkpoint, String what, Object wanted) throws CheckpointException {
    Object found = checkpoint.metadata().get(what);
    if (!wanted.equals(found)) {
      throw new CheckpointException(
          output.resolve(STATE),
          "belongs to another training: its %s is %s, this one's %s; resume with the same options, or"
                  .formatted(what, found, wanted)
              + " take another output folder");
    }
  }

  /** The tensors whose names begin so, in the shapes of others. */
  private StateDict named(Checkpoint checkpoint, String prefix, StateDict like)
      throws CheckpointException {
    var entries = new LinkedHashMap<String, Tensor>();
    for (Map.Entry<String, Tensor> entry : like.entries().entrySet()) {
      StoredTensor stored = checkpoint.tensors().get(prefix + entry.getKey());
      if (stored == null
          || !Arrays.equals(
              stored.shape().stream().mapToInt(Math::toIntExact).toArray(),
              entry.getValue().shape())) {
        throw new CheckpointException(
            output.resolve(STATE), "is of another network: %s%s".formatted(prefix, entry.getKey()));
      }
      entries.put(entry.getKey(), stored.toTensor());
    }
    return new StateDict(entries);
  }

  private void writeMetrics() throws IOException {
    var lines = new ArrayList<String>();
    lines.add(HEADER);
    history.forEach(epoch -> lines.add(epoch.line()));
    Path part = output.resolve("metrics.csv.part");
    Files.write(part, lines);
    Files.move(
        part,
        output.resolve("metrics.csv"),
        StandardCopyOption.REPLACE_EXISTING,
        StandardCopyOption.ATOMIC_MOVE);
  }
}
