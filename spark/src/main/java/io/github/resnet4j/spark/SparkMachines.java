package io.github.resnet4j.spark;

import io.github.resnet4j.Model;
import io.github.resnet4j.train.Dataset;
import io.github.resnet4j.train.Dataset.Example;
import io.github.resnet4j.train.Machines;
import io.github.resnet4j.train.Recipe;
import io.github.resnet4j.train.Trainer;
import java.io.IOException;
import java.io.Serializable;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
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

/**
 * Spark's executors as machines that learn together: a round is a broadcast of the weights, a task
 * for each share, and a {@code treeReduce} (a {@code treeAggregate} without a zero) of what they
 * contribute.
 *
 * <p>No barrier is needed. A task's result follows from the broadcast and its assignment alone, so
 * Spark may run it again, elsewhere, or twice at once, and takes one result of each. An executor
 * that is lost costs its tasks of the round; those that come later take part from the next one.
 */
public final class SparkMachines implements Machines, AutoCloseable {
  /** Held-out images of a task, at least: less is not worth a task. */
  private static final int LOOK = 64;

  private final SparkSession spark;
  private final JavaSparkContext context;
  private final Dataset data;
  private final int count;
  private final int localSteps;
  private final int microBatch;
  private final Broadcast<Training> training;

  /**
   * What executors know of a training from its beginning.
   *
   * @param part images of a micro-batch
   */
  record Training(SharedModel.Wire start, Recipe recipe, int part) implements Serializable {}

  /** An image, as a task is told of it. */
  record Named(int index, String name, int label) implements Serializable {}

  /** An assignment and its images. */
  private record Task(Assignment assignment, List<Named> images) implements Serializable {}

  /** A range of the held-out images. */
  private record Look(int first, List<Named> images) implements Serializable {}

  /**
   * @param master where, as {@code spark-submit --master} says it; empty if Spark knows already
   * @param start the network to begin with
   * @param data its images are known by paths that every executor can read, see {@link SparkImages}
   * @param shares into how many a step is cut; 0 for as many as there are task slots
   * @param localSteps steps that a machine does alone before weights are averaged; 1 for none
   * @throws IllegalArgumentException if there are more shares than images of a step
   */
  public static SparkMachines open(
      String master, Model start, Dataset data, Recipe recipe, int shares, int localSteps) {
    SparkSession spark = Sessions.open("resnet4j spark-train", master);
    return new SparkMachines(spark, start, data, recipe, shares, localSteps);
  }

  SparkMachines(
      SparkSession spark, Model start, Dataset data, Recipe recipe, int shares, int localSteps) {
    this.spark = spark;
    this.context = JavaSparkContext.fromSparkContext(spark.sparkContext());
    this.data = data;
    SparkConf settings = spark.sparkContext().getConf();
    int cpus = settings.getInt("spark.task.cpus", 1);
    this.count = shares > 0 ? shares : Math.max(1, context.defaultParallelism() / cpus);
    this.localSteps = localSteps;
    int batch = Math.min(recipe.batch(), data.train().size());
    if (count > batch || localSteps < 1) {
      throw new IllegalArgumentException(
          "%d shares of a step of %d images, %d local steps: needs an image for each share, and a"
                  .formatted(count, batch, localSteps)
              + " step");
    }
    this.microBatch =
        Trainer.microBatch(start, recipe, data.train().size(), count, cpus, memory(settings, cpus));
    this.training = context.broadcast(new Training(SharedModel.Wire.of(start), recipe, microBatch));
  }

  /** Bytes of an executor's heap that a task may fill, with a reserve for Spark's own. */
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
    List<Task> tasks =
        assignments.stream()
            .map(each -> new Task(each, named(data.train(), each.images())))
            .toList();
    Broadcast<Training> known = training;
    return round(
        from,
        tasks,
        (state, task) ->
            ExecutorMachine.use(
                known.value(),
                machine -> machine.run(state, task.assignment, images(task.images))));
  }

  @Override
  public Contribution evaluate(State from, int images) throws IOException {
    int each = Math.max(LOOK, Math.ceilDiv(images, count));
    var tasks = new ArrayList<Look>();
    for (int first = 0; first < images; first += each) {
      List<Integer> some = IntStream.range(first, Math.min(images, first + each)).boxed().toList();
      tasks.add(new Look(first, named(data.val(), some)));
    }
    Broadcast<Training> known = training;
    return round(
        from,
        tasks,
        (state, task) ->
            ExecutorMachine.use(
                known.value(),
                machine ->
                    machine.evaluate(
                        state, images(task.images), task.first, task.first + task.images.size())));
  }

  /** What a task does. */
  private interface Step<T> extends Serializable {
    Contribution of(State state, T task) throws Exception;
  }

  private <T> Contribution round(State from, List<T> tasks, Step<T> step) throws IOException {
    Broadcast<State> state = context.broadcast(from);
    try {
      JavaRDD<Contribution> contributions =
          context
              .parallelize(tasks, tasks.size())
              .map((Function<T, Contribution>) task -> step.of(state.value(), task));
      return contributions.treeReduce(Contribution::add);
    } catch (Exception e) { // Scala throws checked ones undeclared
      if (e instanceof SparkException) {
        throw new IOException("a round failed on Spark: " + e.getMessage(), e);
      }
      throw e instanceof RuntimeException known ? known : new IllegalStateException(e);
    } finally {
      state.destroy();
    }
  }

  private static List<Named> named(List<Example> all, List<Integer> chosen) {
    return chosen.stream()
        .map(index -> new Named(index, all.get(index).name(), all.get(index).label()))
        .toList();
  }

  private static IntFunction<Example> images(List<Named> named) {
    Map<Integer, Named> byIndex =
        named.stream().collect(Collectors.toMap(Named::index, each -> each, (a, _) -> a));
    return index -> {
      Named wanted = byIndex.get(index);
      if (wanted == null) {
        throw new IllegalArgumentException("image %d is not of this task".formatted(index));
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
