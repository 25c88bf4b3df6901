package io.github.resnet4j.train;

import io.github.resnet4j.Classifier;
import io.github.resnet4j.Model;
import io.github.resnet4j.Task;
import io.github.resnet4j.nn.Loss;
import java.io.IOException;
import java.lang.reflect.RecordComponent;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/**
 * Trains a network on images: epochs of steps, each followed by an evaluation on the validation
 * images, and files from which an interrupted training is resumed.
 *
 * <ul>
 *   <li>{@code last.safetensors} and {@code best.safetensors}: the model after the last epoch, and
 *       after the one with the best validation score;
 *   <li>{@code state.safetensors}: everything that {@link #run} needs to resume, also within an
 *       epoch;
 *   <li>{@code metrics.csv}: one line per epoch.
 * </ul>
 *
 * Each file is written completely or not at all. All randomness is derived from the recipe's seed,
 * whatever the number of threads; resuming is bit-exact. Only one training at a time runs in a
 * folder.
 */
public final class Trainer {
  private static final Duration SAVE_INTERVAL = Duration.ofMinutes(10);

  /**
   * The fraction of the memory that is used for planning: the JVM and its collector need the rest.
   */
  private static final double MEMORY_FRACTION = 0.8;

  /**
   * The results of an epoch. Without validation images their values are NaN.
   *
   * @param number counted from 1
   * @param rate the learning rate of the epoch's first step
   * @param trainScore the accuracy on the training images; NaN for other metrics
   * @param valScore the value of the metric on the validation images
   * @param imagesPerSecond the total rate
   * @param stepImagesPerSecond the compute rate
   * @param loadImagesPerSecond the data-loading rate
   * @param metric what the scores are
   */
  public record Epoch(
      int number,
      double rate,
      double trainLoss,
      double trainScore,
      double valLoss,
      double valScore,
      double imagesPerSecond,
      double stepImagesPerSecond,
      double loadImagesPerSecond,
      Metric metric) {
    private static final String HEADER =
        "epoch,rate,train_loss,train_%1$s,val_loss,val_%1$s,images_per_second,"
            + "step_images_per_second,load_images_per_second";

    /** The lines of {@code metrics.csv}. */
    static List<String> toCsv(List<Epoch> epochs, Metric metric) {
      return Stream.concat(
              Stream.of(HEADER.formatted(metric.id())), epochs.stream().map(Epoch::line))
          .toList();
    }

    String line() {
      return String.format(
          Locale.ROOT,
          "%d,%.6g,%.5f,%.4f,%.5f,%.4f,%.1f,%.1f,%.1f",
          number,
          rate,
          trainLoss,
          trainScore,
          valLoss,
          valScore,
          imagesPerSecond,
          stepImagesPerSecond,
          loadImagesPerSecond);
    }

    /** The values as {@link #line}, but all their digits, so that a resumed training is exact. */
    String exactLine() {
      return Stream.of(
              trainLoss,
              trainScore,
              valLoss,
              valScore,
              imagesPerSecond,
              stepImagesPerSecond,
              loadImagesPerSecond)
          .map(String::valueOf)
          .collect(Collectors.joining(",", number + "," + rate + ",", ""));
    }

    /**
     * Parses {@code metrics.csv}.
     *
     * @param lines the file's lines, the first of which names the columns
     * @throws IllegalArgumentException if a line is invalid; the message has its number
     */
    public static List<Epoch> ofCsv(List<String> lines) {
      for (Metric metric : Metric.values()) {
        if (!lines.isEmpty() && lines.getFirst().equals(HEADER.formatted(metric.id()))) {
          var epochs = new ArrayList<Epoch>();
          for (int i = 1; i < lines.size(); i++) {
            try {
              epochs.add(of(lines.get(i), metric));
            } catch (NumberFormatException e) {
              throw new IllegalArgumentException("line %d is not an epoch".formatted(i + 1), e);
            }
          }
          return epochs;
        }
      }
      throw new IllegalArgumentException("line 1 does not name the columns of metrics.csv");
    }

    /** Parses a line of {@code metrics.csv}. */
    static Epoch of(String line, Metric metric) {
      double[] fields =
          Arrays.stream(line.split(",", -1)).mapToDouble(Double::parseDouble).toArray();
      if (fields.length != 9) {
        throw new NumberFormatException("not a line of metrics.csv: " + line);
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
          fields[8],
          metric);
    }

    /**
     * The score that determines the best epoch, higher is better: the accuracy or mean average
     * precision on the validation images; for numbers, which may have different units, the negative
     * validation loss; without validation images the epoch's number.
     */
    public double score() {
      return Double.isNaN(valLoss)
          ? number
          : metric == Metric.MEAN_ABSOLUTE_ERROR ? -valLoss : valScore;
    }
  }

  /**
   * The results of a step.
   *
   * @param number the step of the whole training, counted from 1
   * @param epoch the epoch, counted from 1
   * @param done the number of images of this epoch so far
   * @param all the number of images of the epoch
   * @param loss the mean loss of the batch
   * @param accuracy the accuracy of the epoch so far, a fraction of 1; NaN unless images have one
   *     class each
   * @param rate the learning rate
   */
  public record Step(
      long number, int epoch, int done, int all, double loss, double accuracy, double rate) {}

  /**
   * The state at the start of a training.
   *
   * @param microBatch the micro-batch size: images whose gradients are computed together
   * @param steps the number of steps of earlier runs
   * @param epochs the epochs of earlier runs
   * @param plannedEpochs the number of epochs planned in the earlier run; that of the recipe for a
   *     new training
   */
  public record Start(int microBatch, long steps, List<Epoch> epochs, int plannedEpochs) {}

  /** Receives the progress of a training. */
  public interface Listener {
    /** Called before the first step. */
    default void begin(Start start) throws IOException {}

    /** Called after every step. */
    default void step(Step step) throws IOException {}

    /** Called after every epoch, when its files are written. */
    default void epoch(Epoch epoch) throws IOException {}

    /** Called for each unreadable image, each time it is skipped. */
    default void unreadable(IOException failure) throws IOException {}
  }

  /**
   * The result of a training.
   *
   * @param last the model after the last epoch
   * @param best the model after the epoch with the best validation score
   * @param evaluation the evaluation of the best model on the validation images; empty without
   *     validation images
   */
  public record Result(Model last, Model best, Evaluation evaluation) {}

  final Model start;
  final Dataset data;
  final Recipe recipe;
  final int threads;
  final Duration saveInterval;
  final List<Listener> listeners;
  final @Nullable Machines machines;
  final int kept;
  final @Nullable Distillation distillation;

  /**
   * A training on all cores of this machine.
   *
   * @param start the initial network, with its preprocessing and the names of the classes
   * @throws IllegalArgumentException if network and images have different classes, the recipe's
   *     loss is not for their targets, or the recipe names layers that the network lacks
   */
  public Trainer(Model start, Dataset data, Recipe recipe) {
    this(
        start,
        data,
        recipe,
        Runtime.getRuntime().availableProcessors(),
        SAVE_INTERVAL,
        List.of(),
        null,
        0,
        null);
  }

  private Trainer(
      Model start,
      Dataset data,
      Recipe recipe,
      int threads,
      Duration saveInterval,
      List<Listener> listeners,
      @Nullable Machines machines,
      int kept,
      @Nullable Distillation distillation) {
    if (start.network().spec().numClasses() != data.classes().size()) {
      throw new IllegalArgumentException(
          "the network has %d classes, the data set %d"
              .formatted(start.network().spec().numClasses(), data.classes().size()));
    }
    this.start =
        start.task().getClass() == data.task().getClass() ? start : start.withTask(data.task());
    this.data = data;
    this.recipe = recipe.withKnownPrecision();
    this.threads = threads;
    this.saveInterval = saveInterval;
    this.listeners = List.copyOf(listeners);
    this.machines = machines;
    this.kept = kept;
    this.distillation = distillation;
    Recipe.requireLayers(start.network().layers(), recipe.frozen());
    Recipe.requireLayers(start.network().layers(), recipe.unfreezing().keySet());
    Recipe.requireLayers(start.network().layers(), recipe.rates().keySet());
    if (this.start.task() instanceof Task.SingleLabel && data.classes().size() < 2) {
      throw new IllegalArgumentException(
          "all images have the class '%s': there is nothing to learn; training needs two classes"
              .formatted(String.join("", data.classes())));
    }
    loss();
    if (recipe.labelSmoothing() > 0 && this.start.task() instanceof Task.Regression) {
      throw new IllegalArgumentException(
          "label smoothing is for classes, and these images have numbers: set it to 0");
    }
    if (recipe.sampling() == Sampling.BALANCED && this.start.task() instanceof Task.Regression) {
      throw new IllegalArgumentException(
          "balanced sampling is for classes, and these images have numbers");
    }
    if (recipe.sampling() == Sampling.WEIGHTED
        && (data.train().stream().allMatch(each -> each.weight() == 1)
            || data.train().stream().allMatch(each -> each.weight() == 0))) {
      throw new IllegalArgumentException(
          "weighted sampling needs images with weights, not all the same: a table with a column"
              + " 'sample_weight'");
    }
    if (machines != null
        && !(loss() instanceof Loss.CrossEntropy(List<Float> weights) && weights.isEmpty())) {
      throw new IllegalArgumentException(
          "several machines train only with cross-entropy without class weights");
    }
    if (machines != null && machines.localSteps() > 1 && !recipe.unfreezing().isEmpty()) {
      throw new IllegalArgumentException(
          "several machines unfreeze gradually only with one local step per round");
    }
    if (distillation != null) {
      distillation.requireFits(this.start);
    }
  }

  /**
   * The loss of the recipe for these images.
   *
   * @throws IllegalArgumentException if they do not match
   */
  Loss loss() {
    return recipe
        .loss()
        .of(start.task(), data.train().isEmpty() ? List.of() : recipe.classWeights().of(data));
  }

  /** A replica of the start network, on this machine. */
  Replica replica(int microBatch) {
    return new Replica(start, recipe, loss(), distillation, microBatch, threads);
  }

  /** The same training with this number of threads; by default one per core. */
  public Trainer withThreads(int count) {
    return new Trainer(
        start, data, recipe, count, saveInterval, listeners, machines, kept, distillation);
  }

  /**
   * The same training with another interval between saved states within an epoch, which limits the
   * work that an interruption loses; by default 10 minutes. A state is saved after each epoch too.
   */
  public Trainer withSaveInterval(Duration interval) {
    return new Trainer(
        start, data, recipe, threads, interval, listeners, machines, kept, distillation);
  }

  /** The same training with these listeners instead of others. */
  public Trainer withListeners(Listener... all) {
    return new Trainer(
        start, data, recipe, threads, saveInterval, List.of(all), machines, kept, distillation);
  }

  /**
   * The same training, which also keeps the models of the best epochs: {@code epoch-7.safetensors}.
   *
   * @param epochs how many of them; 0, the default, for none
   */
  public Trainer withKept(int epochs) {
    return new Trainer(
        start, data, recipe, threads, saveInterval, listeners, machines, epochs, distillation);
  }

  /**
   * The same training with a teacher, whose outputs are learned besides the labels.
   *
   * @throws IllegalArgumentException if teacher and network have different classes or channels, or
   *     the images do not have one label each
   */
  public Trainer withDistillation(Distillation teacher) {
    return new Trainer(
        start, data, recipe, threads, saveInterval, listeners, machines, kept, teacher);
  }

  /** The teacher, if there is one. */
  public Optional<Distillation> distillation() {
    return Optional.ofNullable(distillation);
  }

  /**
   * The same training on several machines. Each machine processes a part of every batch, divided
   * into the recipe's number of micro-batches. With one local step per round the result is that of
   * one machine with the micro-batches of all machines, except for the order in which gradients are
   * added, and for batch norm's running statistics, which are averaged over the machines.
   *
   * @param others have the same teacher, if there is one
   */
  public Trainer withMachines(Machines others) {
    return new Trainer(
        start, data, recipe, threads, saveInterval, listeners, others, kept, distillation);
  }

  /**
   * The micro-batch size: a machine's part of a batch, divided by the recipe's gradient
   * accumulation steps, or by the smallest number for which the memory suffices.
   *
   * @param start the network, and the size of its input
   * @param images the number of training images
   * @param machines the number of machines among which a batch is divided
   * @param threads the number of threads per machine
   * @param memory the available memory per machine, in bytes
   * @throws IllegalArgumentException if the memory is too small for a single image
   */
  public static int microBatch(
      Model start, Recipe recipe, int images, int machines, int threads, long memory) {
    int share = Math.ceilDiv(Math.min(recipe.batch(), images), machines);
    return recipe.accumulate() > 0
        ? Math.ceilDiv(Math.min(recipe.batch(), images), recipe.accumulate() * machines)
        : Replica.fittingMicroBatch(start, recipe, share, threads, memory);
  }

  int microBatch() {
    return machines != null
        ? machines.microBatch()
        : microBatch(start, recipe, data.train().size(), 1, threads, availableMemory());
  }

  /** The bytes that are available to the JVM and on the machine, less a reserve. */
  private static long availableMemory() {
    long available = Runtime.getRuntime().maxMemory();
    try {
      for (String line : Files.readAllLines(Path.of("/proc/meminfo"))) {
        if (line.startsWith("MemAvailable:")) {
          available = Math.min(available, Long.parseLong(line.replaceAll("\\D", "")) << 10);
        }
      }
    } catch (IOException | NumberFormatException e) {
      // Other systems have no such file: there only the heap's limit counts.
    }
    return (long) (MEMORY_FRACTION * available);
  }

  /**
   * Trains until the last epoch.
   *
   * @param output the output folder
   * @throws IOException if files cannot be written, the folder already contains a training, or no
   *     image can be read
   * @throws IllegalArgumentException if the memory is too small, or a batch norm would see a single
   *     value per channel
   * @throws ArithmeticException if the training diverges: the loss is NaN, infinite or a thousand
   *     times that of guessing; the files are those of the previous epoch
   */
  public Result run(Path output) throws IOException, InterruptedException {
    return run(output, false);
  }

  /**
   * Resumes the training in a folder, or starts it if there is none. Network, preprocessing, images
   * and recipe must be the same, except for the number of epochs, which may be larger: schedules
   * then continue as if it had been so from the start.
   *
   * @throws IOException as {@link #run}, and if the folder contains another training
   */
  public Result resume(Path output) throws IOException, InterruptedException {
    return run(output, true);
  }

  /**
   * A learning-rate range test: trains a copy of the network for some steps while the learning rate
   * grows exponentially. The start model stays as it is, and no file is written. The test ends
   * early when the loss diverges.
   *
   * @param from the first learning rate, such as 1e-7
   * @param to the last one, such as 10
   * @param steps the number of steps, at least 2; 100 is usual
   * @throws IllegalArgumentException if these values are out of range, or as {@link #run}
   */
  public LearningRateRange findLearningRate(double from, double to, int steps)
      throws IOException, InterruptedException {
    if (!(from > 0 && from < to && to < Double.POSITIVE_INFINITY) || steps < 2) {
      throw new IllegalArgumentException(
          "a range test needs increasing positive learning rates and at least 2 steps, was %s, %s and %d"
              .formatted(from, to, steps));
    }
    return LearningRateRange.of(this, from, to, steps);
  }

  private Result run(Path output, boolean resume) throws IOException, InterruptedException {
    Model last;
    try (var folder = RunFolder.lock(output)) {
      if (!resume && folder.hasState()) {
        throw new IOException(
            output
                + ": already contains a training; resume it, or choose another output"
                + " folder");
      }
      last = TrainingRun.run(this, folder, resume);
    }
    Model best = Model.load(output.resolve("best.safetensors"));
    try (var classifier = Classifier.builder().threads(threads).of(best)) {
      return new Result(last, best, Evaluation.of(classifier, data.val()));
    }
  }

  /**
   * The settings of this training, by names for people; a state with other settings is rejected.
   */
  Map<String, String> fields() throws IOException {
    var fields = new LinkedHashMap<String, String>(recipe.fields());
    addFields("network", start.network().spec(), fields);
    addFields("preprocessing", start.preprocessing(), fields);
    if (!(start.task() instanceof Task.SingleLabel)) { // as in states of earlier versions
      fields.put("task", start.task().toString());
    }
    if (distillation != null) {
      fields.putAll(distillation.fields());
    }
    fields.putAll(data.fields());
    if (machines != null) {
      fields.put("machines", String.valueOf(machines.count()));
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
