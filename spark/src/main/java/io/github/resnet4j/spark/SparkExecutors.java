package io.github.resnet4j.spark;

import io.github.resnet4j.Model;
import io.github.resnet4j.train.Dataset;
import io.github.resnet4j.train.Dataset.Example;
import io.github.resnet4j.train.Distillation;
import io.github.resnet4j.train.Machine;
import io.github.resnet4j.train.Machines;
import io.github.resnet4j.train.Recipe;
import io.github.resnet4j.train.Trainer;
import java.io.IOException;
import java.io.Serializable;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.IntFunction;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.apache.spark.SparkConf;
import org.apache.spark.SparkException;
import org.apache.spark.api.java.JavaRDD;
import org.apache.spark.api.java.JavaSparkContext;
import org.apache.spark.api.java.function.Function;
import org.apache.spark.broadcast.Broadcast;
import org.apache.spark.sql.SparkSession;
import org.jspecify.annotations.Nullable;

/**
 * Data-parallel training on Spark's executors: a round consists of a broadcast of the weights, one
 * task per share, and a {@code treeReduce} (a {@code treeAggregate} without a zero value) of the
 * contributions.
 *
 * <p>No barrier execution mode is needed: a task's result depends only on the broadcast and its
 * assignment, so Spark may rerun a task, or run it twice, and uses one result. If an executor is
 * lost, its tasks of the round are repeated. An executor that joins later is used from the next
 * round.
 */
public final class SparkExecutors implements Machines, AutoCloseable {
  /** The minimum number of validation images in a task. */
  private static final int MIN_EVALUATION_IMAGES = 64;

  private final SparkSession spark;
  private final JavaSparkContext context;
  private final Dataset data;
  private final int count;
  private final int localSteps;
  private final int microBatch;
  private final Broadcast<Training> training;

  /**
   * The data that executors receive once, at the start of a training.
   *
   * @param microBatch the number of images in a micro-batch
   */
  record Training(
      SharedModel.Broadcastable start, Recipe recipe, @Nullable Teacher teacher, int microBatch)
      implements Serializable {}

  /** A {@link Distillation} as it is sent to the executors. */
  record Teacher(SharedModel.Broadcastable model, double temperature, double weight)
      implements Serializable {}

  /** A reference to an image. */
  record ImageReference(int index, String name, int label) implements Serializable {}

  /** A training task: an assignment and its images. */
  private record TrainingTask(Assignment assignment, List<ImageReference> images)
      implements Serializable {}

  /** An evaluation task: a range of the validation images. */
  private record EvaluationTask(int first, List<ImageReference> images) implements Serializable {}

  /**
   * Opens a Spark session for a training.
   *
   * @param master the Spark master URL; empty to use Spark's configuration
   * @param start the initial model
   * @param data the data set, whose images every executor can read by name, see {@link SparkImages}
   * @param teacher that of the training, if it has one
   * @param partitions the number of shares of a batch; 0 for the number of task slots
   * @param localSteps the number of local steps before weights are averaged; 1 to add gradients at
   *     every step
   * @throws IllegalArgumentException if there are more shares than images in a batch, or {@code
   *     localSteps} is less than 1
   */
  public static SparkExecutors open(
      String master,
      Model start,
      Dataset data,
      Recipe recipe,
      Optional<Distillation> teacher,
      int partitions,
      int localSteps) {
    SparkSession spark = Sessions.open("resnet4j spark-train", master);
    return new SparkExecutors(
        spark, start, data, recipe.withKnownPrecision(), teacher, partitions, localSteps);
  }

  SparkExecutors(
      SparkSession spark,
      Model start,
      Dataset data,
      Recipe recipe,
      Optional<Distillation> teacher,
      int partitions,
      int localSteps) {
    this.spark = spark;
    this.context = JavaSparkContext.fromSparkContext(spark.sparkContext());
    this.data = data;
    SparkConf settings = spark.sparkContext().getConf();
    int cpus = settings.getInt("spark.task.cpus", 1);
    this.count = partitions > 0 ? partitions : Math.max(1, context.defaultParallelism() / cpus);
    this.localSteps = localSteps;
    int batch = Math.min(recipe.batch(), data.train().size());
    if (count > batch || localSteps < 1) {
      throw new IllegalArgumentException(
          "%d shares of a batch of %d images, %d local steps: each share needs an image, and there must"
                  .formatted(count, batch, localSteps)
              + " be at least one local step");
    }
    this.microBatch =
        Trainer.microBatch(start, recipe, data.train().size(), count, cpus, memory(settings, cpus));
    @Nullable Teacher sent =
        teacher
            .map(each ->
                new Teacher(
                    SharedModel.Broadcastable.of(each.teacher()),
                    each.temperature(),
                    each.weight()))
            .orElse(null);
    this.training =
        context.broadcast(
            new Training(SharedModel.Broadcastable.of(start), recipe, sent, microBatch));
  }

  /** The bytes of an executor's heap that a task may use; the rest is reserved for Spark. */
  private long memory(SparkConf settings, int cpus) {
    boolean local = settings.get("spark.master", "").matches("local(\\[[^,]*)?");
    long heap =
        local
            ? Runtime.getRuntime().maxMemory()
            : settings.getSizeAsBytes("spark.executor.memory", "1g");
    int cores = local ? context.defaultParallelism() : settings.getInt("spark.executor.cores", 1);
    return heap / Math.max(1, cores / cpus) * 6 / 10;
  }

  @Override
  public int microBatch() {
    return microBatch;
  }

  @Override
  public int count() {
    return count;
  }

  @Override
  public int localSteps() {
    return localSteps;
  }

  @Override
  public Contribution runRound(State from, List<Assignment> assignments) throws IOException {
    List<TrainingTask> tasks =
        assignments.stream()
            .map(each -> new TrainingTask(each, references(data.train(), each.images())))
            .toList();
    return runOnExecutors(
        from,
        tasks,
        (machine, state, task) -> machine.run(state, task.assignment, images(task.images)));
  }

  @Override
  public Contribution evaluate(State from, int images) throws IOException {
    int each = Math.max(MIN_EVALUATION_IMAGES, Math.ceilDiv(images, count));
    var tasks = new ArrayList<EvaluationTask>();
    for (int first = 0; first < images; first += each) {
      List<Integer> indices =
          IntStream.range(first, Math.min(images, first + each)).boxed().toList();
      tasks.add(new EvaluationTask(first, references(data.val(), indices)));
    }
    return runOnExecutors(
        from,
        tasks,
        (machine, state, task) ->
            machine.evaluate(
                state, images(task.images), task.first, task.first + task.images.size()));
  }

  /** The computation of a task. */
  private interface Computation<T> extends Serializable {
    Contribution run(Machine machine, State state, T task) throws InterruptedException;
  }

  private <T> Contribution runOnExecutors(State from, List<T> tasks, Computation<T> computation)
      throws IOException {
    Broadcast<Training> shared = training; // a task must not refer to this object
    Broadcast<State> state = context.broadcast(from);
    try {
      JavaRDD<Contribution> contributions =
          context
              .parallelize(tasks, tasks.size())
              .map(
                  (Function<T, Contribution>)
                      task ->
                          MachinePool.run(
                              shared.value(),
                              machine -> computation.run(machine, state.value(), task)));
      return contributions.treeReduce(Contribution::add);
    } catch (Exception e) { // Scala throws checked exceptions without declaring them
      if (e instanceof SparkException) {
        throw new IOException("a round failed on Spark: " + e.getMessage(), e);
      }
      throw e instanceof RuntimeException known ? known : new IllegalStateException(e);
    } finally {
      state.destroy();
    }
  }

  private static List<ImageReference> references(List<Example> all, List<Integer> chosen) {
    return chosen.stream()
        .map(index -> new ImageReference(index, all.get(index).name(), all.get(index).label()))
        .toList();
  }

  private static IntFunction<Example> images(List<ImageReference> references) {
    Map<Integer, ImageReference> byIndex =
        references.stream()
            .collect(Collectors.toMap(ImageReference::index, each -> each, (a, _) -> a));
    return index -> {
      ImageReference wanted = byIndex.get(index);
      if (wanted == null) {
        throw new IllegalArgumentException(
            "image %d does not belong to this task".formatted(index));
      }
      return new Example(wanted.name, wanted.label, SparkImages.source(wanted.name));
    };
  }

  @Override
  public void close() {
    training.destroy();
    spark.stop();
  }
}
