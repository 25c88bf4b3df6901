package io.github.resnet4j.train;

import io.github.resnet4j.Classifier;
import io.github.resnet4j.ResNet;
import io.github.resnet4j.checkpoint.Checkpoint;
import io.github.resnet4j.checkpoint.CheckpointException;
import io.github.resnet4j.checkpoint.CheckpointWriter;
import io.github.resnet4j.checkpoint.StoredTensor;
import io.github.resnet4j.engine.CompileOptions;
import io.github.resnet4j.engine.Session;
import io.github.resnet4j.engine.TrainingSession;
import io.github.resnet4j.image.Augmentation;
import io.github.resnet4j.nn.Parameter;
import io.github.resnet4j.nn.StateDict;
import io.github.resnet4j.tensor.Tensor;
import io.github.resnet4j.train.Dataset.Example;
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
import java.util.Set;
import java.util.SplittableRandom;
import java.util.concurrent.Future;
import java.util.stream.Collectors;
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
  private final Set<String> frozen;
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
    List<String> names =
        start.network().layers().parameters().stream().map(Parameter::name).toList();
    var parts = new ArrayList<>(recipe.frozen());
    parts.addAll(recipe.rates().keySet());
    for (String part : parts) {
      if (names.stream().noneMatch(name -> Recipe.belongs(name, part))) {
        throw new IllegalArgumentException("the network has no part '%s'".formatted(part));
      }
    }
    this.frozen =
        names.stream()
            .filter(name -> recipe.frozen().stream().anyMatch(part -> Recipe.belongs(name, part)))
            .collect(Collectors.toSet());
  }

  /** Pictures that are learnt from at once. */
  private int part() {
    return Math.ceilDiv(Math.min(recipe.batch(), data.train().size()), recipe.accumulate());
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
    var preprocessing = start.preprocessing();
    ResNet network = start.network();
    var options =
        new TrainingSession.Options(
            part(),
            preprocessing.cropHeight(),
            preprocessing.cropWidth(),
            threads,
            frozen,
            recipe.frozenStatistics(),
            recipe.stochasticDepth(),
            CompileOptions.Algorithm.AUTO,
            CompileOptions.defaults().kernels());
    try (var session =
            new TrainingSession(
                network.layers(), network.state(), network.spec().inChannels(), options);
        var loader = new Loader(preprocessing, threads)) {
      var optimizer =
          new Optimizer(
              session,
              recipe.method(),
              recipe.weightDecay(),
              name -> recipe.decayAll() || isWeight(name),
              frozen::contains,
              this::rateOf,
              recipe.clip());
      var run =
          new Run(
              session,
              optimizer,
              recipe.averaging() > 0 ? new WeightAverage(session, recipe.averaging()) : null,
              loader);
      var progress = new Progress();
      if (resume && Files.exists(output.resolve(STATE))) {
        resume(run, progress);
      }
      for (Listener listener : listeners) {
        listener.begin(optimizer.steps(), history);
      }
      while (progress.epoch < recipe.schedule().epochs()) {
        epoch(run, progress);
      }
      return model(run);
    }
  }

  /** What works together in a run. */
  private record Run(
      TrainingSession session,
      Optimizer optimizer,
      @Nullable WeightAverage average,
      Loader loader) {
    StateDict averaged() {
      if (average == null) {
        return session.state();
      }
      average.exchange();
      StateDict state = session.state();
      average.exchange();
      return state;
    }
  }

  private Classifier model(Run run) {
    return start.withNetwork(start.network().withState(run.averaged()));
  }

  /** The weights of convolutions and head: neither batch norm's nor biases. */
  private boolean isWeight(String name) {
    return start.network().state().get(name).rank() > 1;
  }

  private double rateOf(String name) {
    return recipe.rates().entrySet().stream()
        .filter(entry -> Recipe.belongs(name, entry.getKey()))
        .mapToDouble(Map.Entry::getValue)
        .reduce(1, (a, b) -> a * b);
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
    double loading = run.loader.seconds();
    int before = progress.done;
    double stepping = learn(run, progress);
    double seconds = (System.nanoTime() - begin) / 1e9;
    loading = run.loader.seconds() - loading;
    int count = data.train().size() - before;
    Classifier now = model(run);
    double[] held = look(now, run.loader);
    var result =
        new Epoch(
            progress.epoch + 1,
            rate(progress.epoch, 0, Math.ceilDiv(data.train().size(), batch())),
            progress.loss / progress.read,
            (double) progress.right / progress.read,
            held[0],
            held[1],
            count / seconds,
            count / stepping,
            count * threads / loading);
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

  /** The rest of an epoch; seconds that steps took. */
  private double learn(Run run, Progress progress) throws IOException, InterruptedException {
    int epoch = progress.epoch;
    var order = new ArrayList<Integer>();
    for (int i = 0; i < data.train().size(); i++) {
      order.add(i);
    }
    long seed = recipe.seed() * 31 + epoch;
    Collections.shuffle(order, new Random(seed));
    int classes = data.classes().size();
    int batch = batch();
    float[] targets = new float[part() * classes];
    float[] logits = new float[part() * classes];
    Tensor images = start.preprocessing().batch(part());
    long saved = System.nanoTime();
    double stepping = 0;
    List<Integer> next = part(order, progress.done, batch);
    List<Future<Tensor>> loading =
        run.loader.begin(data.train(), next, recipe.augmentation(), seed);
    while (progress.done < order.size()) {
      int first = progress.done;
      int size = Math.min(batch, order.size() - first);
      double rate = rate(epoch, first / batch, Math.ceilDiv(order.size(), batch));
      double loss = 0;
      int read = 0;
      run.session.clearGradients();
      while (progress.done < first + size) {
        List<Integer> chosen = next;
        Loader.Batch now = run.loader.await(data.train(), chosen, loading, images);
        for (IOException failure : now.failures()) {
          for (Listener listener : listeners) {
            listener.unreadable(failure);
          }
        }
        progress.done += chosen.size();
        next = part(order, progress.done, batch);
        loading = run.loader.begin(data.train(), next, recipe.augmentation(), seed);
        int count = now.examples().size();
        if (count == 0) {
          continue;
        }
        long begin = System.nanoTime();
        target(now.examples(), targets);
        recipe
            .mixing()
            .apply(images, targets, count, new SplittableRandom(seed * 1_000_003L + progress.done));
        if (recipe.stochasticDepth() > 0) {
          run.session.dropBranches(seed * 999_983L + progress.done);
        }
        // What cannot be read has no gradient.
        double ofPart = run.session.accumulate(images.data(), targets, count, (float) count / size);
        if (!Double.isFinite(ofPart)) {
          throw new ArithmeticException(
              "the loss is %s in epoch %d after %d pictures: try a lower learning rate (now %s)"
                  .formatted(ofPart, epoch + 1, progress.read + read, rate));
        }
        run.session.logits(logits);
        progress.right += right(now.examples(), logits);
        loss += ofPart * count;
        read += count;
        stepping += (System.nanoTime() - begin) / 1e9;
      }
      if (read == 0) {
        continue;
      }
      long begin = System.nanoTime();
      run.optimizer.step((float) rate);
      if (run.average != null) {
        run.average.update();
      }
      stepping += (System.nanoTime() - begin) / 1e9;
      progress.loss += loss;
      progress.read += read;
      var step =
          new Step(
              run.optimizer.steps(),
              epoch + 1,
              progress.done,
              order.size(),
              loss / read,
              (double) progress.right / progress.read,
              rate);
      for (Listener listener : listeners) {
        listener.step(step);
      }
      if (System.nanoTime() - saved >= saveEvery.toNanos() && progress.done < order.size()) {
        save(run, progress);
        saved = System.nanoTime();
      }
    }
    if (progress.read == 0) {
      throw new IOException("none of the pictures can be read");
    }
    return stepping;
  }

  /** The pictures that are learnt from next: they do not reach beyond their step's. */
  private List<Integer> part(List<Integer> order, int from, int batch) {
    int end = Math.min(order.size(), (from / batch + 1) * batch);
    return order.subList(from, Math.min(end, from + part()));
  }

  private void target(List<Example> examples, float[] targets) {
    int classes = data.classes().size();
    Arrays.fill(targets, (float) (recipe.labelSmoothing() / classes));
    for (int i = 0; i < examples.size(); i++) {
      targets[i * classes + examples.get(i).label()] += (float) (1 - recipe.labelSmoothing());
    }
  }

  private int right(List<Example> examples, float[] logits) {
    int classes = data.classes().size();
    int right = 0;
    for (int i = 0; i < examples.size(); i++) {
      int best = 0;
      for (int k = 1; k < classes; k++) {
        best = logits[i * classes + k] > logits[i * classes + best] ? k : best;
      }
      right += best == examples.get(i).label() ? 1 : 0;
    }
    return right;
  }

  /** Loss and accuracy on the held-out pictures, as a user of the model would see them. */
  private double[] look(Classifier now, Loader loader) throws IOException, InterruptedException {
    if (data.val().isEmpty()) {
      return new double[] {Double.NaN, Double.NaN};
    }
    int classes = data.classes().size();
    double loss = 0;
    int right = 0;
    int read = 0;
    try (Session session = now.network().compile(CompileOptions.defaults().withThreads(threads))) {
      for (int i = 0; i < data.val().size(); i += part()) {
        var some = new ArrayList<Integer>();
        for (int k = i; k < Math.min(data.val().size(), i + part()); k++) {
          some.add(k);
        }
        Loader.Batch pictures =
            loader.await(
                data.val(),
                some,
                loader.begin(data.val(), some, Augmentation.NONE, 0),
                start.preprocessing().batch(some.size()));
        for (IOException failure : pictures.failures()) {
          for (Listener listener : listeners) {
            listener.unreadable(failure);
          }
        }
        int count = pictures.examples().size();
        if (count > 0) {
          float[] logits = session.run(pictures.images()).data();
          right += right(pictures.examples(), logits);
          for (int n = 0; n < count; n++) {
            loss += crossEntropy(logits, n * classes, classes, pictures.examples().get(n).label());
          }
          read += count;
        }
      }
    }
    return new double[] {loss / read, (double) right / read};
  }

  private static double crossEntropy(float[] logits, int from, int classes, int label) {
    double largest = Double.NEGATIVE_INFINITY;
    for (int k = 0; k < classes; k++) {
      largest = Math.max(largest, logits[from + k]);
    }
    double sum = 0;
    for (int k = 0; k < classes; k++) {
      sum += Math.exp(logits[from + k] - largest);
    }
    return Math.log(sum) + largest - logits[from + label];
  }

  private void save(Run run, Progress progress) throws IOException {
    var tensors = new LinkedHashMap<String, StoredTensor>();
    put(MODEL, run.session.state(), tensors);
    if (run.average != null) {
      put(AVERAGE, run.averaged(), tensors);
    }
    run.optimizer
        .memory()
        .forEach((memory, values) -> put(memory + ".", run.session.toTensors(values), tensors));
    Map<String, Object> notes = new LinkedHashMap<>();
    notes.put("epochs", progress.epoch);
    notes.put("done", progress.done);
    notes.put("read", progress.read);
    notes.put("right", progress.right);
    notes.put("loss", progress.loss);
    notes.put("steps", run.optimizer.steps());
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
        run.session.load(named(checkpoint, AVERAGE, start.network().state()));
        run.average.restart();
      }
      run.session.load(named(checkpoint, MODEL, start.network().state()));
      StateDict like = run.session.toTensors(run.session.weights());
      for (Map.Entry<String, float[]> memory : run.optimizer.memory().entrySet()) {
        run.session.fromTensors(named(checkpoint, memory.getKey() + ".", like), memory.getValue());
      }
      try {
        progress.epoch = number(notes, "epochs").intValue();
        progress.done = number(notes, "done").intValue();
        progress.read = number(notes, "read").intValue();
        progress.right = number(notes, "right").intValue();
        progress.loss = number(notes, "loss").doubleValue();
        run.optimizer.resumeAfter(number(notes, "steps").longValue());
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
