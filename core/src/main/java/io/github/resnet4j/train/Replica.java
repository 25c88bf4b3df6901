package io.github.resnet4j.train;

import io.github.resnet4j.Model;
import io.github.resnet4j.ResNet;
import io.github.resnet4j.Task;
import io.github.resnet4j.engine.CompileOptions;
import io.github.resnet4j.engine.KernelChoice;
import io.github.resnet4j.engine.Session;
import io.github.resnet4j.engine.TrainingSession;
import io.github.resnet4j.image.Augmentation;
import io.github.resnet4j.image.Preprocessing;
import io.github.resnet4j.nn.Loss;
import io.github.resnet4j.nn.Parameter;
import io.github.resnet4j.tensor.Tensor;
import io.github.resnet4j.train.Dataset.Example;
import io.github.resnet4j.train.Machines.Contribution;
import io.github.resnet4j.train.Machines.MicroBatch;
import java.io.IOException;
import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;
import java.util.concurrent.Future;
import java.util.function.IntFunction;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;

/**
 * One replica of the network in training: computes gradients, losses and counts of micro-batches.
 */
final class Replica implements AutoCloseable {
  private final Model start;
  private final ResNet network;
  private final Preprocessing preprocessing;
  private final Recipe recipe;
  private final Loss loss;
  private final @Nullable Teacher teacher;
  private final int microBatch;
  private final int threads;
  private final TrainingSession session;
  private final Optimizer optimizer;
  private final Loader loader;
  private final Tensor images;
  private final float[] targets;
  private final float[] logits;
  private final int classes;
  private @Nullable MicroBatch prepared;
  private List<Future<Tensor>> loading = List.of();

  /**
   * The number of copies of the weights in memory: optimizer state, averages, and buffers while
   * saving.
   */
  private static final int WEIGHT_COPIES = 10;

  /**
   * The number of batches of images in memory: one in computation, one being loaded, one in
   * evaluation.
   */
  private static final int BUFFERED_BATCHES = 3;

  /** The maximum number of validation images per batch: more are not faster. */
  private static final int MAX_VALIDATION_BATCH = 32;

  /**
   * @param loss the loss of the recipe for the images
   * @param distillation a teacher, if there is one
   * @param microBatch the largest number of images of a micro-batch
   */
  Replica(
      Model start,
      Recipe recipe,
      Loss loss,
      @Nullable Distillation distillation,
      int microBatch,
      int threads) {
    this.start = start;
    this.network = start.network();
    this.preprocessing = start.preprocessing();
    this.recipe = recipe;
    this.loss = loss;
    this.microBatch = microBatch;
    this.threads = threads;
    this.classes = network.spec().numClasses();
    this.session =
        new TrainingSession(
            network.layers(),
            network.state(),
            network.spec().inChannels(),
            distillation == null ? loss : distillation.loss((Loss.CrossEntropy) loss),
            options(network, preprocessing, recipe, microBatch, threads));
    this.optimizer = Optimizer.of(recipe, network.layers(), session);
    this.loader = new Loader(preprocessing, threads);
    this.teacher =
        distillation == null ? null : new Teacher(distillation.teacher(), preprocessing, threads);
    this.images = preprocessing.batch(microBatch);
    this.targets = new float[microBatch * classes];
    this.logits = new float[microBatch * classes];
  }

  private static TrainingSession.Options options(
      ResNet network, Preprocessing preprocessing, Recipe recipe, int microBatch, int threads) {
    return new TrainingSession.Options(
        microBatch,
        preprocessing.cropHeight(),
        preprocessing.cropWidth(),
        threads,
        recipe.frozenParameters(network.layers()),
        recipe.frozenStatistics(),
        recipe.stochasticDepth(),
        CompileOptions.Algorithm.AUTO,
        recipe.precision(),
        KernelChoice.AUTO);
  }

  /**
   * The largest micro-batch size that fits into the memory and whose activations fit into one
   * array, so that a local batch is divided into as few and as equal micro-batches as possible.
   *
   * @throws IllegalArgumentException if the memory is too small for a single image
   */
  static int fittingMicroBatch(
      Model start, Recipe recipe, int localBatch, int threads, long memory) {
    int steps = 1;
    while (true) {
      int microBatch = Math.ceilDiv(localBatch, steps);
      long needed = bytes(start, recipe, microBatch, threads);
      if (needed <= memory) {
        return microBatch;
      }
      if (microBatch == 1) {
        throw new IllegalArgumentException(
            ("training needs about %,d MB of memory for a single image of %d×%d, but"
                    + " only %,d MB are available: increase the JVM's memory with -Xmx, or use"
                    + " a smaller network or smaller images")
                .formatted(
                    needed >> 20,
                    start.preprocessing().cropHeight(),
                    start.preprocessing().cropWidth(),
                    memory >> 20));
      }
      // The required memory is nearly linear in the number of images.
      long one = bytes(start, recipe, 1, threads);
      long each = Math.max(1, bytes(start, recipe, 2, threads) - one);
      int maxImages = (int) Math.clamp((memory - one) / each + 1, 1, microBatch - 1);
      steps = Math.max(steps + 1, Math.ceilDiv(localBatch, maxImages));
    }
  }

  private static long bytes(Model start, Recipe recipe, int microBatch, int threads) {
    ResNet network = start.network();
    Preprocessing preprocessing = start.preprocessing();
    long session =
        TrainingSession.bytesNeeded(
            network.layers(),
            network.state(),
            network.spec().inChannels(),
            options(network, preprocessing, recipe, microBatch, threads));
    if (session == Long.MAX_VALUE) {
      return session;
    }
    long weights = 4 * network.layers().parameters().stream().mapToLong(Parameter::size).sum();
    long images =
        4L
            * microBatch
            * preprocessing.channels()
            * preprocessing.cropHeight()
            * preprocessing.cropWidth();
    return session + WEIGHT_COPIES * weights + BUFFERED_BATCHES * images;
  }

  TrainingSession session() {
    return session;
  }

  Optimizer optimizer() {
    return optimizer;
  }

  /** Starts loading the images of a micro-batch, unless already started. */
  void startLoading(IntFunction<Example> all, MicroBatch next, long seed) {
    if (!next.equals(prepared)) {
      prepared = next;
      loading = loader.start(all, next.images(), recipe.augmentation(), seeds(next, seed));
    }
  }

  /**
   * The seed of each image's augmentation: derived from epoch and image, and from the position in
   * the epoch if an image may occur more than once.
   */
  private long[] seeds(MicroBatch batch, long seed) {
    long[] seeds = new long[batch.images().size()];
    for (int i = 0; i < seeds.length; i++) {
      seeds[i] = seed * 1_000_003 + batch.images().get(i);
      if (recipe.sampling() != Sampling.UNIFORM) {
        seeds[i] = seeds[i] * 1_000_033 + batch.done() - seeds.length + i;
      }
    }
    return seeds;
  }

  /**
   * Adds the gradients of a micro-batch, scaled to the mean over the batch.
   *
   * @param all the images by index
   * @param next the next micro-batch, which is loaded meanwhile
   * @param seed the random seed of the epoch
   * @param size the batch size
   * @param sum receives losses and counts
   */
  void accumulate(
      IntFunction<Example> all,
      MicroBatch now,
      @Nullable MicroBatch next,
      long seed,
      int size,
      Contribution sum)
      throws InterruptedException {
    double busy = loader.busySeconds();
    startLoading(all, now, seed);
    Loader.Batch batch = loader.await(all, now.images(), loading, images);
    prepared = null; // another epoch's is another image
    loading = List.of();
    if (next != null) {
      startLoading(all, next, seed);
    }
    batch.failures().forEach(failure -> sum.failures.add(String.valueOf(failure.getMessage())));
    int count = usableImages(batch, sum);
    if (count > 0) {
      long begin = System.nanoTime();
      setTargets(batch.examples());
      recipe
          .mixing()
          .apply(images, targets, count, new SplittableRandom(seed * 1_000_003L + now.done()));
      if (recipe.stochasticDepth() > 0) {
        session.dropBranches(seed * 999_983L + now.done());
      }
      // Unreadable images have no gradient.
      sum.loss +=
          count * session.accumulate(images.data(), taught(count), count, (float) count / size);
      session.logits(logits);
      sum.correct += countCorrect(batch.examples(), logits);
      sum.read += count;
      sum.computeSeconds += (System.nanoTime() - begin) / 1e9;
    }
    sum.loadSeconds += loader.busySeconds() - busy;
  }

  /** The targets of the session's loss: with a teacher also its logits for these images. */
  private float[] taught(int count) {
    if (teacher == null) {
      return targets;
    }
    float[] logits = teacher.logits(images, count);
    float[] both = new float[2 * count * classes];
    for (int n = 0; n < count; n++) {
      System.arraycopy(targets, n * classes, both, 2 * n * classes, classes);
      System.arraycopy(logits, n * classes, both, (2 * n + 1) * classes, classes);
    }
    return both;
  }

  /** Returns the number of images that were read, or 0 if they are too few for batch norm. */
  private int usableImages(Loader.Batch batch, Contribution sum) {
    int count = batch.examples().size();
    if (count > 0 && !batch.failures().isEmpty()) {
      try {
        session.checkBatch(count);
      } catch (IllegalArgumentException e) {
        sum.failures.add(
            ("%s: skipped, since the other images of its micro-batch are unreadable:" + " %s")
                .formatted(batch.examples().getFirst().name(), e.getMessage()));
        return 0;
      }
    }
    return count;
  }

  private void setTargets(List<Example> examples) {
    for (int i = 0; i < examples.size(); i++) {
      float[] row = targets(examples.get(i).target(), start, recipe.labelSmoothing());
      System.arraycopy(row, 0, targets, i * classes, classes);
    }
  }

  /**
   * The targets of an image as the loss takes them.
   *
   * @param model has the classes, or the means and deviations of numbers
   * @param smoothing label smoothing: a label is {@code 1 - smoothing} and the rest is spread over
   *     all classes, or for several labels over having the class and not having it
   */
  static float[] targets(Target target, Model model, double smoothing) {
    int classes = model.labels().size();
    float[] row = new float[classes];
    switch (target) {
      case Target.Label(int index) -> {
        Arrays.fill(row, (float) (smoothing / classes));
        row[index] += (float) (1 - smoothing);
      }
      case Target.Labels(List<Integer> indices) -> {
        Arrays.fill(row, (float) (smoothing / 2));
        indices.forEach(index -> row[index] = (float) (1 - smoothing / 2));
      }
      case Target.Values(List<Float> values) -> {
        var scale = (Task.Regression) model.task();
        for (int k = 0; k < classes; k++) {
          row[k] = (values.get(k) - scale.means().get(k)) / scale.deviations().get(k);
        }
      }
    }
    return row;
  }

  /** The number of images of one class whose most likely class is the true one. */
  private int countCorrect(List<Example> examples, float[] rows) {
    int correct = 0;
    for (int i = 0; i < examples.size(); i++) {
      if (!(examples.get(i).target() instanceof Target.Label(int label))) {
        return 0;
      }
      int best = 0;
      for (int k = 1; k < classes; k++) {
        best = rows[i * classes + k] > rows[i * classes + best] ? k : best;
      }
      correct += best == label ? 1 : 0;
    }
    return correct;
  }

  /**
   * Computes loss, accuracy and outputs on validation images, with the compiled network as in
   * inference.
   */
  Contribution evaluate(IntFunction<Example> all, int from, int end) throws InterruptedException {
    Contribution sum = Contribution.none();
    ResNet now = network.withState(session.state());
    try (Session compiled = now.compile(CompileOptions.defaults().withThreads(threads))) {
      int batchSize = Math.min(microBatch, MAX_VALIDATION_BATCH);
      for (int i = from; i < end; i += batchSize) {
        List<Integer> some = IntStream.range(i, Math.min(end, i + batchSize)).boxed().toList();
        Loader.Batch batch =
            loader.await(
                all,
                some,
                loader.start(all, some, Augmentation.NONE, new long[some.size()]),
                preprocessing.batch(some.size()));
        for (IOException failure : batch.failures()) {
          sum.failures.add(String.valueOf(failure.getMessage()));
        }
        int count = batch.examples().size();
        if (count > 0) {
          float[] rows = compiled.run(batch.images()).data();
          sum.correct += countCorrect(batch.examples(), rows);
          for (int n = 0; n < count; n++) {
            Example example = batch.examples().get(n);
            float[] outputs = Arrays.copyOfRange(rows, n * classes, (n + 1) * classes);
            float[] row = targets(example.target(), start, 0);
            sum.loss += loss.apply(outputs, row, new double[classes]);
            if (!(start.task() instanceof Task.SingleLabel)) {
              sum.scored.add(new Contribution.Scored(example, outputs));
            }
          }
          sum.read += count;
        }
      }
    }
    return sum;
  }

  @Override
  public void close() {
    if (teacher != null) {
      teacher.close();
    }
    loader.close();
    session.close();
  }
}
