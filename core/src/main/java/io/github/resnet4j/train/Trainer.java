package io.github.resnet4j.train;

import io.github.resnet4j.Classifier;
import io.github.resnet4j.Model;
import java.io.IOException;
import java.lang.reflect.RecordComponent;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.stream.Stream;
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
  private static final Duration SAVE_INTERVAL = Duration.ofMinutes(10);

  /** The part of the memory that is planned with: the JVM and its collector need some. */
  private static final double PLANNED = 0.8;

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
    private static final String HEADER =
        "epoch,rate,train_loss,train_accuracy,val_loss,val_accuracy,images_per_second,"
            + "step_images_per_second,load_images_per_second";

    /** The lines of {@code metrics.csv}. */
    static List<String> toCsv(List<Epoch> epochs) {
      return Stream.concat(Stream.of(HEADER), epochs.stream().map(Epoch::line)).toList();
    }

    String line() {
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

  /**
   * The result of a training.
   *
   * @param last the model after the last epoch
   * @param best the model after the epoch with the highest validation accuracy
   * @param evaluation of the best model on the validation images; of no image where there are none
   */
  public record Result(Model last, Model best, Evaluation evaluation) {}

  final Model start;
  final Dataset data;
  final Recipe recipe;
  final int threads;
  final Duration saveInterval;
  final List<Listener> listeners;
  final @Nullable Machines machines;

  /**
   * A training on all cores of this machine.
   *
   * @param start the network to begin with, its preprocessing and the classes' names
   * @throws IllegalArgumentException if network and images have different classes, or the recipe
   *     names layers that the network lacks
   */
  public Trainer(Model start, Dataset data, Recipe recipe) {
    this(
        start,
        data,
        recipe,
        Runtime.getRuntime().availableProcessors(),
        SAVE_INTERVAL,
        List.of(),
        null);
  }

  private Trainer(
      Model start,
      Dataset data,
      Recipe recipe,
      int threads,
      Duration saveInterval,
      List<Listener> listeners,
      @Nullable Machines machines) {
    if (start.network().spec().numClasses() != data.classes().size()) {
      throw new IllegalArgumentException(
          "the network has %d classes, the data set %d"
              .formatted(start.network().spec().numClasses(), data.classes().size()));
    }
    this.start = start;
    this.data = data;
    this.recipe = recipe;
    this.threads = threads;
    this.saveInterval = saveInterval;
    this.listeners = List.copyOf(listeners);
    this.machines = machines;
    Recipe.requireLayers(start.network().layers(), recipe.frozen());
    Recipe.requireLayers(start.network().layers(), recipe.rates().keySet());
  }

  /** The same training on this number of threads; the default is one for each core. */
  public Trainer withThreads(int count) {
    return new Trainer(start, data, recipe, count, saveInterval, listeners, machines);
  }

  /**
   * The same training with another interval between saved states within an epoch, the most work
   * that a killed run loses; the default is 10 minutes. A state is saved after each epoch too.
   */
  public Trainer withSaveInterval(Duration interval) {
    return new Trainer(start, data, recipe, threads, interval, listeners, machines);
  }

  /** The same training with these listeners in place of others. */
  public Trainer withListeners(Listener... all) {
    return new Trainer(start, data, recipe, threads, saveInterval, List.of(all), machines);
  }

  /**
   * The same training on several machines, each of which takes its share of every step and cuts
   * that into as many parts as the recipe says. With one local step a round it is the training of
   * one machine that cuts its steps into the parts of all, but for the order in which gradients are
   * added, and for batch norm's running statistics, which are the mean of the machines'.
   */
  public Trainer withMachines(Machines others) {
    return new Trainer(start, data, recipe, threads, saveInterval, listeners, others);
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

  int microBatch() {
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
   * @param output the folder for the files
   * @throws IOException if files cannot be written, the folder has a training in it already, or no
   *     image can be read
   * @throws IllegalArgumentException if the memory does not suffice, or a batch norm would see a
   *     single value per channel
   * @throws ArithmeticException if the training diverges: the loss is NaN, infinite or a thousand
   *     times that of guessing; the files are those of the epoch before
   */
  public Result run(Path output) throws IOException, InterruptedException {
    return run(output, false);
  }

  /**
   * Resumes the training of a folder, or begins it if there is none. Network, preprocessing, images
   * and recipe must be the same, but for the number of epochs, which may be larger: then schedules
   * go on as if it had been so from the beginning.
   *
   * @throws IOException as {@link #run}, and if the folder has another training in it
   */
  public Result resume(Path output) throws IOException, InterruptedException {
    return run(output, true);
  }

  private Result run(Path output, boolean resume) throws IOException, InterruptedException {
    Model last;
    try (var folder = RunFolder.lock(output)) {
      if (!resume && folder.hasState()) {
        throw new IOException(
            output + ": contains a training already; resume it, or choose another output folder");
      }
      last = TrainingRun.run(this, folder, resume);
    }
    Model best = Model.load(output.resolve("best.safetensors"));
    try (var classifier = Classifier.builder().threads(threads).of(best)) {
      return new Result(last, best, Evaluation.of(classifier, data.val()));
    }
  }

  /** What this training is, by names for people: a state of another one is refused by them. */
  Map<String, String> fields() throws IOException {
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

  /** {@code Trainer[Model[resnet50, …], Dataset[10 classes, …], 8 threads]}. */
  @Override
  public String toString() {
    return "Trainer[%s, %s, %d threads]".formatted(start, data, threads);
  }
}
