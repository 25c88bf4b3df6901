package io.github.resnet4j.train;

import io.github.resnet4j.Model;
import io.github.resnet4j.checkpoint.StoredTensor;
import io.github.resnet4j.engine.ParameterArrays;
import io.github.resnet4j.engine.TrainingSession;
import io.github.resnet4j.nn.StateDict;
import io.github.resnet4j.train.Machines.Contribution;
import io.github.resnet4j.train.Machines.Part;
import io.github.resnet4j.train.Rounds.PlannedStep;
import java.io.IOException;
import java.lang.reflect.RecordComponent;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Random;
import org.jspecify.annotations.Nullable;

/**
 * Trains a network on images: epochs of steps, an evaluation on the validation images after each,
 * and files from which a killed run is resumed.
 *
 * <ul>
 *   <li>{@code last.safetensors} and {@code best.safetensors}: the model after the last epoch, and
 *       after the one with the highest validation accuracy;
 *   <li>{@code state.safetensors}: all that {@link #run} needs to resume, in the middle of an epoch
 *       too;
 *   <li>{@code metrics.csv}: a line for each epoch.
 * </ul>
 *
 * Each appears whole or not at all. All randomness is derived from the recipe's seed, whatever the
 * number of threads that read images; resuming is bit-exact. One training at a time runs in a
 * folder.
 */
public final class Trainer {
  private static final String MODEL = "model.";
  private static final String AVERAGE = "average.";
  private static final String EPOCHS = "epochs";

  /** A loss that is so many times the one of guessing does not come down again. */
  private static final double DIVERGED = 1000;

  /** The part of the memory that is planned with: the JVM and its collector need some. */
  private static final double PLANNED = 0.8;

  private static final String HEADER =
      "epoch,rate,train_loss,train_accuracy,val_loss,val_accuracy,images_per_second,"
          + "step_images_per_second,load_images_per_second";

  /**
   * The results of an epoch; losses are cross-entropies, accuracies fractions of 1. Without
   * validation images theirs are NaN.
   *
   * @param number from 1
   * @param rate the learning rate of the epoch's first step
   * @param imagesPerSecond altogether
   * @param stepImagesPerSecond the rate of computing alone
   * @param loadImagesPerSecond the rate of reading and augmenting alone
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

    /** By which the best epoch is found: its validation accuracy, or without it the later one. */
    public double score() {
      return Double.isNaN(valAccuracy) ? number : valAccuracy;
    }
  }

  /**
   * The results of a step.
   *
   * @param number of the whole training, from 1
   * @param epoch from 1
   * @param done images of this epoch so far
   * @param all images of the epoch
   * @param loss the mean of its images
   * @param accuracy the mean of the epoch so far, a fraction of 1
   * @param rate the learning rate
   */
  public record Step(
      long number, int epoch, int done, int all, double loss, double accuracy, double rate) {}

  /**
   * What a training begins with.
   *
   * @param microBatch images whose gradients are computed at once
   * @param steps that an earlier run has done already
   * @param epochs that it has done
   * @param plannedEpochs how many epochs that run was to have; those of the recipe for a new one
   */
  public record Start(int microBatch, long steps, List<Epoch> epochs, int plannedEpochs) {}

  /** Is told what happens. */
  public interface Listener {
    /** Before the first step. */
    default void begin(Start start) throws IOException {}

    /** After every step. */
    default void step(Step step) throws IOException {}

    /** After every epoch, when its files are written. */
    default void epoch(Epoch epoch) throws IOException {}

    /** An image that could not be used, once for each time; it is left out. */
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

  private final Model start;
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
   * @throws IllegalArgumentException if network and images have different classes, or the recipe
   *     names layers that the network lacks
   */
  public Trainer(
      Model start,
      Dataset data,
      Recipe recipe,
      int threads,
      Path output,
      Duration saveEvery,
      List<Listener> listeners) {
    this(start, data, recipe, threads, output, saveEvery, listeners, null);
  }

  private Trainer(
      Model start,
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
    Recipe.requireLayers(start.network().layers(), recipe.frozen());
    Recipe.requireLayers(start.network().layers(), recipe.rates().keySet());
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
   * The images of a micro-batch: a machine's share of a batch, divided by the recipe's gradient
   * accumulation steps, or by as few as the memory allows.
   *
   * @param start the network, and the extents of its input
   * @param images that there are to train on
   * @param machines that share a batch
   * @param threads of a machine
   * @param memory bytes that a machine has for it
   * @throws IllegalArgumentException if the memory does not suffice for a single image
   */
  public static int microBatch(
      Model start, Recipe recipe, int images, int machines, int threads, long memory) {
    int share = Math.ceilDiv(Math.min(recipe.batch(), images), machines);
    return recipe.accumulate() > 0
        ? Math.ceilDiv(Math.min(recipe.batch(), images), recipe.accumulate() * machines)
        : Learner.fitting(start, recipe, share, threads, memory);
  }

  private int microBatch() {
    return machines != null
        ? machines.microBatch()
        : microBatch(start, recipe, data.train().size(), 1, threads, availableMemory());
  }

  /** Bytes that the JVM may still take, and the machine still has, less a reserve. */
  private static long availableMemory() {
    long available = Runtime.getRuntime().maxMemory();
    try {
      for (String line : Files.readAllLines(Path.of("/proc/meminfo"))) {
        if (line.startsWith("MemAvailable:")) {
          available = Math.min(available, Long.parseLong(line.replaceAll("\\D", "")) << 10);
        }
      }
    } catch (IOException | NumberFormatException e) {
      // Other systems have no such file: there the heap's limit counts alone.
    }
    return (long) (PLANNED * available);
  }

  /**
   * Trains to the end.
   *
   * @param resume whether to resume from {@code state.safetensors} if there is one: with the same
   *     network, preprocessing, images and recipe, but for the number of epochs, which may be
   *     larger: then schedules go on as if it had been so from the beginning
   * @return the trained network
   * @throws IOException if files cannot be written, another training runs in the folder, the state
   *     is of another training, or no image can be read
   * @throws IllegalArgumentException if the memory does not suffice, or a batch norm would see a
   *     single value per channel
   * @throws ArithmeticException if the training diverges: the loss is NaN, infinite or a thousand
   *     times that of guessing; the files are those of the epoch before
   */
  public Model run(boolean resume) throws IOException, InterruptedException {
    try (var folder = RunFolder.lock(output);
        RunFolder.@Nullable Saved saved = resume && folder.hasState() ? folder.open() : null) {
      int microBatch;
      int planned = recipe.schedule().epochs();
      Map<String, String> fields = fields();
      if (saved == null) {
        microBatch = microBatch();
      } else {
        saved.check(fields, List.of(EPOCHS));
        // Batch norm depends on it, so it does not follow the memory of the moment.
        microBatch =
            recipe.accumulate() > 0 ? microBatch() : saved.number("micro_batch").intValue();
        planned = Integer.parseInt(saved.field(EPOCHS));
      }
      // Where others compute, this machine has but weights and an optimizer.
      int own = machines == null ? microBatch : 1;
      try (var learner =
          new Learner(start.network(), start.preprocessing(), recipe, own, threads)) {
        checkBatchNorm(microBatch, learner.session());
        WeightAverage average =
            recipe.averaging() > 0
                ? new WeightAverage(learner.session(), recipe.averaging())
                : null;
        var run =
            new Run(folder, fields, microBatch, learner, rounds(learner, microBatch), average);
        var progress = new Progress();
        if (saved != null) {
          resume(saved, run, progress);
        }
        var begin = new Start(microBatch, run.optimizer().steps(), List.copyOf(history), planned);
        for (Listener listener : listeners) {
          listener.begin(begin);
        }
        while (progress.epoch < recipe.schedule().epochs()) {
          epoch(run, progress);
        }
        return model(run);
      }
    }
  }

  private Rounds rounds(Learner learner, int microBatch) {
    if (machines == null) {
      return new Rounds.OneMachine(learner, data);
    }
    int share = Math.ceilDiv(batch(), machines.count());
    return new Rounds.SeveralMachines(
        machines, learner, Math.ceilDiv(share, microBatch), !recipe.frozenStatistics());
  }

  /** Fails before the first step where a later one would have a micro-batch that is too small. */
  private void checkBatchNorm(int microBatch, TrainingSession session) {
    int smallest = microBatch;
    for (PlannedStep step : plan(0, 0, microBatch)) {
      for (Part part : step.parts()) {
        smallest = Math.min(smallest, part.images().size());
      }
    }
    try {
      session.checkBatch(smallest);
    } catch (IllegalArgumentException e) {
      throw new IllegalArgumentException(
          ("%s: %,d training images in batches of %,d, in micro-batches of at most %,d, leave one"
                  + " image alone; choose another batch size, fewer gradient accumulation steps,"
                  + " larger images, or freeze the batch-norm statistics")
              .formatted(e.getMessage(), data.train().size(), batch(), microBatch),
          e);
    }
  }

  /** What this training is, by names for people: a state of another one is refused by them. */
  private Map<String, String> fields() throws IOException {
    var fields = new LinkedHashMap<String, String>(recipe.fields());
    addFields("network", start.network().spec(), fields);
    addFields("preprocessing", start.preprocessing(), fields);
    fields.putAll(data.fields());
    if (machines != null) {
      fields.put("shares of a batch", String.valueOf(machines.count()));
      fields.put("local steps", String.valueOf(machines.localSteps()));
    }
    return fields;
  }

  private static void addFields(String prefix, Record record, Map<String, String> fields) {
    for (RecordComponent component : record.getClass().getRecordComponents()) {
      String words = component.getName().replaceAll("([A-Z])", " $1").toLowerCase(Locale.ROOT);
      try {
        Object value = component.getAccessor().invoke(record);
        fields.put(prefix + " " + words, String.valueOf(value));
      } catch (ReflectiveOperationException e) {
        throw new IllegalStateException(e);
      }
    }
  }

  /** What works together in a run. */
  private record Run(
      RunFolder folder,
      Map<String, String> fields,
      int microBatch,
      Learner learner,
      Rounds rounds,
      @Nullable WeightAverage average) {
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
  private Model model(Run run) {
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
    Model now = model(run);
    Contribution held = look(run);
    int together = run.rounds.machines();
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
    if (held.read > 0 && !Double.isFinite(held.loss) || !isFinite(run.session())) {
      throw diverged(
          held.read > 0 ? result.valLoss() : Double.NaN, (float) result.rate(), progress);
    }
    double best = history.stream().mapToDouble(Epoch::score).max().orElse(-1);
    history.add(result);
    if (result.score() > best) {
      now.save(run.folder.file("best.safetensors"));
    }
    now.save(run.folder.file("last.safetensors"));
    progress.epoch++;
    progress.done = 0;
    progress.read = 0;
    progress.right = 0;
    progress.loss = 0;
    save(run, progress);
    var lines = new ArrayList<String>();
    lines.add(HEADER);
    history.forEach(epoch -> lines.add(epoch.line()));
    run.folder.writeLines("metrics.csv", lines);
    for (Listener listener : listeners) {
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
  private List<PlannedStep> plan(int epoch, int done, int microBatch) {
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
  private void learn(Run run, Progress progress, Contribution times)
      throws IOException, InterruptedException {
    List<PlannedStep> steps = plan(progress.epoch, progress.done, run.microBatch);
    int atOnce = run.rounds.steps();
    long saved = System.nanoTime();
    for (int i = 0; i < steps.size(); i += atOnce) {
      List<PlannedStep> now = steps.subList(i, Math.min(steps.size(), i + atOnce));
      long before = run.optimizer().steps();
      PlannedStep next = i + atOnce < steps.size() ? steps.get(i + atOnce) : null;
      Contribution sum =
          run.rounds.learn(
              now, next, seed(progress.epoch), (learnt, rate) -> check(learnt, rate, progress));
      report(sum.failures);
      PlannedStep last = now.getLast();
      progress.done = last.first() + last.size();
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
              last.rate());
      for (Listener listener : listeners) {
        listener.step(step);
      }
      if (System.nanoTime() - saved >= saveEvery.toNanos() && i + atOnce < steps.size()) {
        save(run, progress);
        saved = System.nanoTime();
      }
    }
    if (progress.read == 0) {
      throw new IOException("none of the training images can be used");
    }
  }

  private void check(Contribution sum, float rate, Progress progress) {
    double loss = sum.loss / Math.max(1, sum.read);
    if (!Double.isFinite(loss) || loss > DIVERGED * guessing()) {
      throw diverged(loss, rate, progress);
    }
  }

  /** The loss of a network that thinks all classes equally likely. */
  private double guessing() {
    return Math.log(Math.max(2, data.classes().size()));
  }

  private ArithmeticException diverged(double loss, float rate, Progress progress) {
    return new ArithmeticException(
        String.format(
            Locale.ROOT,
            "diverged: the loss is %.3g in epoch %d (guessing gives %.2f); try a lower learning"
                + " rate (now %s) or more warm-up epochs (now %d); %s",
            loss,
            progress.epoch + 1,
            guessing(),
            Recipe.number(rate),
            recipe.schedule().warmup(),
            history.isEmpty()
                ? "no model was written yet"
                : "%s has the model of epoch %d"
                    .formatted(output.resolve("last.safetensors"), history.size())));
  }

  /** Losses and counts of the validation images, for the model as it is now. */
  private Contribution look(Run run) throws IOException, InterruptedException {
    int count = data.val().size();
    if (count == 0) {
      return Contribution.none();
    }
    run.exchange();
    Contribution held = run.rounds.look(count);
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
        .forEach((memory, values) ->
            put(memory + ".", run.session().parameters().toTensors(values), tensors));
    Map<String, Object> notes = new LinkedHashMap<>();
    notes.put("epoch", progress.epoch);
    notes.put("done", progress.done);
    notes.put("read", progress.read);
    notes.put("correct", progress.right);
    notes.put("loss", progress.loss);
    notes.put("steps", run.optimizer().steps());
    notes.put("micro_batch", run.microBatch);
    notes.put("history", history.stream().map(Epoch::line).toList());
    run.folder.save(tensors, notes, run.fields);
  }

  private static void put(String prefix, StateDict state, Map<String, StoredTensor> tensors) {
    state.entries().forEach((name, tensor) -> tensors.put(prefix + name, StoredTensor.of(tensor)));
  }

  private void resume(RunFolder.Saved saved, Run run, Progress progress) throws IOException {
    StateDict like = start.network().state();
    if (run.average != null) {
      run.session().load(saved.tensors(AVERAGE, like));
      run.average.restart();
    }
    run.session().load(saved.tensors(MODEL, like));
    ParameterArrays parameters = run.session().parameters();
    StateDict trained = parameters.toTensors(parameters.weights());
    for (Map.Entry<String, float[]> memory : run.optimizer().namedMemory().entrySet()) {
      parameters.fromTensors(saved.tensors(memory.getKey() + ".", trained), memory.getValue());
    }
    progress.epoch = saved.number("epoch").intValue();
    progress.done = saved.number("done").intValue();
    progress.read = saved.number("read").intValue();
    progress.right = saved.number("correct").intValue();
    progress.loss = saved.number("loss").doubleValue();
    run.optimizer().resumeAfter(saved.number("steps").longValue());
    try {
      for (String line : saved.lines("history")) {
        history.add(Epoch.of(line));
      }
    } catch (NumberFormatException e) {
      throw saved.notAState();
    }
    int begun = progress.epoch + (progress.done > 0 ? 1 : 0);
    if (begun > recipe.schedule().epochs()) {
      throw new IllegalArgumentException(
          "%s: %d epochs were begun already, the recipe has %d: take as many or more"
              .formatted(output, begun, recipe.schedule().epochs()));
    }
  }
}
