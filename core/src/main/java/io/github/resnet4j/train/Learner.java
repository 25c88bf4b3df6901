package io.github.resnet4j.train;

import io.github.resnet4j.Model;
import io.github.resnet4j.ResNet;
import io.github.resnet4j.engine.CompileOptions;
import io.github.resnet4j.engine.KernelChoice;
import io.github.resnet4j.engine.Session;
import io.github.resnet4j.engine.TrainingSession;
import io.github.resnet4j.image.Augmentation;
import io.github.resnet4j.image.Preprocessing;
import io.github.resnet4j.nn.Parameter;
import io.github.resnet4j.tensor.Tensor;
import io.github.resnet4j.train.Dataset.Example;
import io.github.resnet4j.train.Machines.Contribution;
import io.github.resnet4j.train.Machines.Part;
import java.io.IOException;
import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;
import java.util.concurrent.Future;
import java.util.function.IntFunction;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;

/** Learns from images, part by part: gradients, and what losses and counts come to. */
final class Learner implements AutoCloseable {
  private final ResNet network;
  private final Preprocessing preprocessing;
  private final Recipe recipe;
  private final int part;
  private final int threads;
  private final TrainingSession session;
  private final Optimizer optimizer;
  private final Loader loader;
  private final Tensor images;
  private final float[] targets;
  private final float[] logits;
  private final int classes;
  private @Nullable Part prepared;
  private List<Future<Tensor>> loading = List.of();

  /** Copies of the weights that a training makes, of moments and averages and while it saves. */
  private static final int COPIES = 10;

  /** Batches of images in memory: one that is computed, one that is read, one that is evaluated. */
  private static final int BATCHES = 3;

  /** Validation images at once, at most: more are not faster. */
  private static final int VALIDATED = 32;

  /**
   * @param part images of a micro-batch, at most
   */
  Learner(ResNet network, Preprocessing preprocessing, Recipe recipe, int part, int threads) {
    this.network = network;
    this.preprocessing = preprocessing;
    this.recipe = recipe;
    this.part = part;
    this.threads = threads;
    this.classes = network.spec().numClasses();
    this.session =
        new TrainingSession(
            network.layers(),
            network.state(),
            network.spec().inChannels(),
            options(network, preprocessing, recipe, part, threads));
    this.optimizer = Optimizer.of(recipe, network.layers(), session);
    this.loader = new Loader(preprocessing, threads);
    this.images = preprocessing.batch(part);
    this.targets = new float[part * classes];
    this.logits = new float[part * classes];
  }

  private static TrainingSession.Options options(
      ResNet network, Preprocessing preprocessing, Recipe recipe, int part, int threads) {
    return new TrainingSession.Options(
        part,
        preprocessing.cropHeight(),
        preprocessing.cropWidth(),
        threads,
        recipe.frozenOf(network.layers()),
        recipe.frozenStatistics(),
        recipe.stochasticDepth(),
        CompileOptions.Algorithm.AUTO,
        KernelChoice.AUTO);
  }

  /**
   * The images of the micro-batches of a share that are as few, and as equal, as memory and one
   * array for the activations allow.
   *
   * @throws IllegalArgumentException if the memory does not suffice for a single image
   */
  static int fitting(Model start, Recipe recipe, int share, int threads, long memory) {
    int steps = 1;
    while (true) {
      int part = Math.ceilDiv(share, steps);
      long needed = bytes(start, recipe, part, threads);
      if (needed <= memory) {
        return part;
      }
      if (part == 1) {
        throw new IllegalArgumentException(
            ("training needs about %,d MB of memory for a single image of %d×%d, there are %,d MB:"
                    + " give the JVM more (-Xmx), or take a smaller network or smaller images")
                .formatted(
                    needed >> 20,
                    start.preprocessing().cropHeight(),
                    start.preprocessing().cropWidth(),
                    memory >> 20));
      }
      // Memory is all but proportional to the images, less what a single one needs anyway.
      long one = bytes(start, recipe, 1, threads);
      long each = Math.max(1, bytes(start, recipe, 2, threads) - one);
      int most = (int) Math.clamp((memory - one) / each + 1, 1, part - 1);
      steps = Math.max(steps + 1, Math.ceilDiv(share, most));
    }
  }

  private static long bytes(Model start, Recipe recipe, int part, int threads) {
    ResNet network = start.network();
    Preprocessing preprocessing = start.preprocessing();
    long session =
        TrainingSession.bytesNeeded(
            network.layers(),
            network.state(),
            network.spec().inChannels(),
            options(network, preprocessing, recipe, part, threads));
    if (session == Long.MAX_VALUE) {
      return session;
    }
    long weights = 4 * network.layers().parameters().stream().mapToLong(Parameter::size).sum();
    long images =
        4L
            * part
            * preprocessing.channels()
            * preprocessing.cropHeight()
            * preprocessing.cropWidth();
    return session + COPIES * weights + BATCHES * images;
  }

  TrainingSession session() {
    return session;
  }

  Optimizer optimizer() {
    return optimizer;
  }

  /** Begins to read the images of a part, if that was not begun already. */
  void prepare(IntFunction<Example> all, Part next, long seed) {
    if (!next.equals(prepared)) {
      prepared = next;
      loading = loader.begin(all, next.images(), recipe.augmentation(), seed);
    }
  }

  /**
   * Adds the gradients of a part, scaled to its share of a step.
   *
   * @param all the images that there are, by index
   * @param next what comes then, which is read meanwhile
   * @param seed of the epoch
   * @param size images of the step
   * @param sum takes losses and counts
   */
  void learn(
      IntFunction<Example> all,
      Part now,
      @Nullable Part next,
      long seed,
      int size,
      Contribution sum)
      throws InterruptedException {
    double busy = loader.seconds();
    prepare(all, now, seed);
    Loader.Batch batch = loader.await(all, now.images(), loading, images);
    prepared = null; // another epoch's is another image
    loading = List.of();
    if (next != null) {
      prepare(all, next, seed);
    }
    batch.failures().forEach(failure -> sum.failures.add(String.valueOf(failure.getMessage())));
    int count = enough(batch, sum);
    if (count > 0) {
      long begin = System.nanoTime();
      target(batch.examples());
      recipe
          .mixing()
          .apply(images, targets, count, new SplittableRandom(seed * 1_000_003L + now.done()));
      if (recipe.stochasticDepth() > 0) {
        session.dropBranches(seed * 999_983L + now.done());
      }
      // What cannot be read has no gradient.
      sum.loss += count * session.accumulate(images.data(), targets, count, (float) count / size);
      session.logits(logits);
      sum.right += right(batch.examples(), logits);
      sum.read += count;
      sum.learnSeconds += (System.nanoTime() - begin) / 1e9;
    }
    sum.loadSeconds += loader.seconds() - busy;
  }

  /** How many images were read; none where batch norm needs more than are left. */
  private int enough(Loader.Batch batch, Contribution sum) {
    int count = batch.examples().size();
    if (count > 0 && !batch.failures().isEmpty()) {
      try {
        session.checkBatch(count);
      } catch (IllegalArgumentException e) {
        sum.failures.add(
            "%s: is left out, as the other images of its micro-batch cannot be read: %s"
                .formatted(batch.examples().getFirst().name(), e.getMessage()));
        return 0;
      }
    }
    return count;
  }

  private void target(List<Example> examples) {
    Arrays.fill(targets, (float) (recipe.labelSmoothing() / classes));
    for (int i = 0; i < examples.size(); i++) {
      targets[i * classes + examples.get(i).label()] += (float) (1 - recipe.labelSmoothing());
    }
  }

  private int right(List<Example> examples, float[] rows) {
    int right = 0;
    for (int i = 0; i < examples.size(); i++) {
      int best = 0;
      for (int k = 1; k < classes; k++) {
        best = rows[i * classes + k] > rows[i * classes + best] ? k : best;
      }
      right += best == examples.get(i).label() ? 1 : 0;
    }
    return right;
  }

  /** Loss and accuracy on validation images, as a user of the model sees them. */
  Contribution look(IntFunction<Example> all, int from, int end) throws InterruptedException {
    Contribution sum = Contribution.none();
    ResNet now = network.withState(session.state());
    try (Session compiled = now.compile(CompileOptions.defaults().withThreads(threads))) {
      int atOnce = Math.min(part, VALIDATED);
      for (int i = from; i < end; i += atOnce) {
        List<Integer> some = IntStream.range(i, Math.min(end, i + atOnce)).boxed().toList();
        Loader.Batch batch =
            loader.await(
                all,
                some,
                loader.begin(all, some, Augmentation.NONE, 0),
                preprocessing.batch(some.size()));
        for (IOException failure : batch.failures()) {
          sum.failures.add(String.valueOf(failure.getMessage()));
        }
        int count = batch.examples().size();
        if (count > 0) {
          float[] rows = compiled.run(batch.images()).data();
          sum.right += right(batch.examples(), rows);
          for (int n = 0; n < count; n++) {
            sum.loss += crossEntropy(rows, n * classes, classes, batch.examples().get(n).label());
          }
          sum.read += count;
        }
      }
    }
    return sum;
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

  @Override
  public void close() {
    loader.close();
    session.close();
  }
}
