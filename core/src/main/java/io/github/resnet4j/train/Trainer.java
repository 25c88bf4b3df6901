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
import io.github.resnet4j.nn.StateDict;
import io.github.resnet4j.tensor.Tensor;
import io.github.resnet4j.train.PictureFolder.Example;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.concurrent.Future;

/**
 * Trains a network on a folder of pictures: epochs of steps, a look at the held-out pictures after
 * each, and files that a killed run goes on from.
 *
 * <ul>
 *   <li>{@code last.safetensors} and {@code best.safetensors}: the model after the last epoch, and
 *       after the one that did best on the held-out pictures;
 *   <li>{@code state.safetensors}: all that {@link #run} needs to go on;
 *   <li>{@code metrics.csv}: a line for each epoch.
 * </ul>
 *
 * Each appears whole or not at all.
 */
public final class Trainer {
  private static final String MODEL = "model.";
  private static final String HEADER =
      "epoch,rate,train_loss,train_accuracy,val_loss,val_accuracy,images_per_second";

  /**
   * What an epoch came to; losses are cross-entropies, accuracies parts of 1. Without held-out
   * pictures theirs are NaN.
   *
   * @param number from 1
   */
  public record Epoch(
      int number,
      double rate,
      double trainLoss,
      double trainAccuracy,
      double valLoss,
      double valAccuracy,
      double imagesPerSecond) {
    private String line() {
      return String.format(
          Locale.ROOT,
          "%d,%.6g,%.5f,%.4f,%.5f,%.4f,%.1f",
          number,
          rate,
          trainLoss,
          trainAccuracy,
          valLoss,
          valAccuracy,
          imagesPerSecond);
    }
  }

  /** Hears what happens. */
  public interface Listener {
    /**
     * After every step.
     *
     * @param epoch from 1
     * @param done pictures of this epoch so far
     * @param all pictures of the epoch
     * @param loss the step's
     */
    default void step(int epoch, int done, int all, double loss) {}

    /** After every epoch. */
    default void epoch(Epoch epoch) {}

    /** A picture that could not be read, once for each time; it is left out. */
    default void unreadable(IOException failure) {}
  }

  private final Classifier start;
  private final PictureFolder data;
  private final Recipe recipe;
  private final Set<String> frozen;
  private final int threads;
  private final Path output;
  private final Listener listener;

  /**
   * @param start the network to begin with, its preprocessing and the classes' names
   * @param frozen parameters that stay as they are, by name
   * @param output the folder for the files
   * @throws IllegalArgumentException if network and pictures have different classes
   */
  public Trainer(
      Classifier start,
      PictureFolder data,
      Recipe recipe,
      Set<String> frozen,
      int threads,
      Path output,
      Listener listener) {
    if (start.network().spec().numClasses() != data.classes().size()) {
      throw new IllegalArgumentException(
          "the network has %d classes, the folder %d"
              .formatted(start.network().spec().numClasses(), data.classes().size()));
    }
    this.start = start;
    this.data = data;
    this.recipe = recipe;
    this.frozen = Set.copyOf(frozen);
    this.threads = threads;
    this.output = output;
    this.listener = listener;
  }

  /**
   * Trains to the end.
   *
   * @param resume whether to go on from {@code state.safetensors} if there is one
   * @return the trained network
   * @throws IOException if files cannot be written, the state is of another training, or no picture
   *     of a whole batch can be read
   * @throws ArithmeticException if the loss is no longer a number
   */
  public Classifier run(boolean resume) throws IOException, InterruptedException {
    Files.createDirectories(output);
    int batch = Math.min(recipe.batch(), data.train().size());
    var preprocessing = start.preprocessing();
    ResNet network = start.network();
    var options =
        new TrainingSession.Options(
            batch,
            preprocessing.cropHeight(),
            preprocessing.cropWidth(),
            threads,
            frozen,
            false,
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
              frozen::contains);
      var history = new ArrayList<String>();
      int first = resume ? resume(session, optimizer, history) : 0;
      double best = history.stream().mapToDouble(Trainer::score).max().orElse(-1);
      for (int epoch = first; epoch < recipe.schedule().epochs(); epoch++) {
        double rate = recipe.schedule().at(epoch);
        long begin = System.nanoTime();
        double[] trained = learn(session, optimizer, loader, batch, epoch, (float) rate);
        double seconds = (System.nanoTime() - begin) / 1e9;
        Classifier now = start.withNetwork(network.withState(session.state()));
        double[] held = look(now, loader, batch);
        var result =
            new Epoch(
                epoch + 1,
                rate,
                trained[0],
                trained[1],
                held[0],
                held[1],
                data.train().size() / seconds);
        history.add(result.line());
        if (score(result.line()) > best) {
          best = score(result.line());
          now.save(output.resolve("best.safetensors"));
        }
        now.save(output.resolve("last.safetensors"));
        save(session, optimizer, epoch + 1, history);
        writeMetrics(history);
        listener.epoch(result);
      }
      return start.withNetwork(network.withState(session.state()));
    }
  }

  /** The weights of convolutions and head: neither batch norm's nor biases. */
  private boolean isWeight(String name) {
    return start.network().state().get(name).rank() > 1;
  }

  /** By what the best epoch is found: the held-out accuracy, or where there is none the epoch. */
  private static double score(String line) {
    String[] fields = line.split(",");
    double accuracy = Double.parseDouble(fields[5]);
    return Double.isNaN(accuracy) ? Double.parseDouble(fields[0]) : accuracy;
  }

  /** One epoch; mean loss and accuracy. */
  private double[] learn(
      TrainingSession session, Optimizer optimizer, Loader loader, int batch, int epoch, float rate)
      throws IOException, InterruptedException {
    var order = new ArrayList<>(data.train());
    Collections.shuffle(order, new Random(recipe.seed() * 31 + epoch));
    int classes = data.classes().size();
    float[] targets = new float[batch * classes];
    float[] logits = new float[batch * classes];
    Tensor images = start.preprocessing().batch(batch);
    double loss = 0;
    int right = 0;
    int done = 0;
    int read = 0;
    List<Example> next = order.subList(0, batch);
    List<Future<Tensor>> loading = loader.begin(next, recipe.augmentation(), recipe.seed(), epoch);
    while (done < order.size()) {
      Loader.Batch now = loader.await(next, loading, images);
      now.failures().forEach(listener::unreadable);
      done += next.size();
      next = order.subList(done, Math.min(order.size(), done + batch));
      loading = loader.begin(next, recipe.augmentation(), recipe.seed(), epoch);
      int count = now.examples().size();
      if (count == 0) {
        continue;
      }
      target(now.examples(), targets);
      session.clearGradients();
      double ofBatch = session.accumulate(images.data(), targets, count, 1);
      if (!Double.isFinite(ofBatch)) {
        throw new ArithmeticException(
            "the loss is %s in epoch %d after %d pictures: try a lower learning rate (now %s)"
                .formatted(ofBatch, epoch + 1, read, rate));
      }
      session.logits(logits);
      right += right(now.examples(), logits);
      optimizer.step(rate);
      loss += ofBatch * count;
      read += count;
      listener.step(epoch + 1, done, order.size(), ofBatch);
    }
    if (read == 0) {
      throw new IOException("none of the pictures can be read");
    }
    return new double[] {loss / read, (double) right / read};
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
  private double[] look(Classifier now, Loader loader, int batch) throws InterruptedException {
    if (data.val().isEmpty()) {
      return new double[] {Double.NaN, Double.NaN};
    }
    int classes = data.classes().size();
    double loss = 0;
    int right = 0;
    int read = 0;
    try (Session session = now.network().compile(CompileOptions.defaults().withThreads(threads))) {
      for (int i = 0; i < data.val().size(); i += batch) {
        List<Example> some = data.val().subList(i, Math.min(data.val().size(), i + batch));
        Loader.Batch pictures =
            loader.await(
                some,
                loader.begin(some, Augmentation.NONE, 0, 0),
                start.preprocessing().batch(some.size()));
        pictures.failures().forEach(listener::unreadable);
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

  private Path stateFile() {
    return output.resolve("state.safetensors");
  }

  private void save(TrainingSession session, Optimizer optimizer, int epochs, List<String> history)
      throws IOException {
    var tensors = new LinkedHashMap<String, StoredTensor>();
    session
        .state()
        .entries()
        .forEach((name, tensor) -> tensors.put(MODEL + name, StoredTensor.of(tensor)));
    optimizer
        .memory()
        .forEach((memory, values) ->
            session
                .toTensors(values)
                .entries()
                .forEach(
                    (name, tensor) -> tensors.put(memory + "." + name, StoredTensor.of(tensor))));
    Map<String, Object> notes = new LinkedHashMap<>();
    notes.put("epochs", epochs);
    notes.put("steps", optimizer.steps());
    notes.put("recipe", recipe.toString());
    notes.put("classes", data.classes());
    notes.put("history", history);
    CheckpointWriter.write(stateFile(), tensors, notes);
  }

  /** Takes up a state; the number of epochs that are done. */
  private int resume(TrainingSession session, Optimizer optimizer, List<String> history)
      throws IOException {
    if (!Files.exists(stateFile())) {
      return 0;
    }
    try (var checkpoint = Checkpoint.open(stateFile())) {
      Map<String, Object> notes = checkpoint.metadata();
      same(checkpoint, "recipe", recipe.toString());
      same(checkpoint, "classes", data.classes());
      session.load(named(checkpoint, MODEL, start.network().state()));
      StateDict like = session.toTensors(session.weights());
      for (Map.Entry<String, float[]> memory : optimizer.memory().entrySet()) {
        session.fromTensors(named(checkpoint, memory.getKey() + ".", like), memory.getValue());
      }
      if (notes.get("epochs") instanceof Number epochs
          && notes.get("steps") instanceof Number steps
          && notes.get("history") instanceof List<?> lines
          && lines.size() == epochs.intValue()) {
        lines.forEach(line -> history.add(String.valueOf(line)));
        optimizer.resumeAfter(steps.longValue());
        return epochs.intValue();
      }
      throw new CheckpointException(stateFile(), "is not the state of a training");
    }
  }

  private void same(Checkpoint checkpoint, String what, Object wanted) throws CheckpointException {
    Object found = checkpoint.metadata().get(what);
    if (!wanted.equals(found)) {
      throw new CheckpointException(
          stateFile(),
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
            stateFile(), "is of another network: %s%s".formatted(prefix, entry.getKey()));
      }
      entries.put(entry.getKey(), stored.toTensor());
    }
    return new StateDict(entries);
  }

  private void writeMetrics(List<String> history) throws IOException {
    var lines = new ArrayList<String>();
    lines.add(HEADER);
    lines.addAll(history);
    Path part = output.resolve("metrics.csv.part");
    Files.write(part, lines);
    Files.move(
        part,
        output.resolve("metrics.csv"),
        StandardCopyOption.REPLACE_EXISTING,
        StandardCopyOption.ATOMIC_MOVE);
  }
}
