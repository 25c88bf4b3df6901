package io.github.resnet4j.train;

import io.github.resnet4j.ResNet;
import io.github.resnet4j.engine.CompileOptions;
import io.github.resnet4j.engine.Session;
import io.github.resnet4j.engine.TrainingSession;
import io.github.resnet4j.image.Augmentation;
import io.github.resnet4j.image.Preprocessing;
import io.github.resnet4j.tensor.Tensor;
import io.github.resnet4j.train.Dataset.Example;
import io.github.resnet4j.train.Machines.Contribution;
import io.github.resnet4j.train.Machines.Part;
import java.io.IOException;
import java.util.Arrays;
import java.util.List;
import java.util.Set;
import java.util.SplittableRandom;
import java.util.concurrent.Future;
import java.util.function.IntFunction;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;

/** Learns from pictures, part by part: gradients, and what losses and counts come to. */
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

  /**
   * @param part pictures that are learnt from at once, at most
   */
  Learner(ResNet network, Preprocessing preprocessing, Recipe recipe, int part, int threads) {
    this.network = network;
    this.preprocessing = preprocessing;
    this.recipe = recipe;
    this.part = part;
    this.threads = threads;
    this.classes = network.spec().numClasses();
    Set<String> frozen = recipe.frozenOf(network.layers());
    this.session =
        new TrainingSession(
            network.layers(),
            network.state(),
            network.spec().inChannels(),
            new TrainingSession.Options(
                part,
                preprocessing.cropHeight(),
                preprocessing.cropWidth(),
                threads,
                frozen,
                recipe.frozenStatistics(),
                recipe.stochasticDepth(),
                CompileOptions.Algorithm.AUTO,
                CompileOptions.defaults().kernels()));
    this.optimizer = Optimizer.of(recipe, network.layers(), session);
    this.loader = new Loader(preprocessing, threads);
    this.images = preprocessing.batch(part);
    this.targets = new float[part * classes];
    this.logits = new float[part * classes];
  }

  TrainingSession session() {
    return session;
  }

  Optimizer optimizer() {
    return optimizer;
  }

  /** A copy of the gradients. */
  float[] gradients() {
    int at = session.gradientsAt();
    return Arrays.copyOfRange(session.gradients(), at, at + session.size());
  }

  /** Begins to read the pictures of a part, if that was not begun already. */
  void prepare(IntFunction<Example> all, Part next, long seed) {
    if (!next.equals(prepared)) {
      prepared = next;
      loading = loader.begin(all, next.pictures(), recipe.augmentation(), seed);
    }
  }

  /**
   * Adds the gradients of a part, scaled to its share of a step.
   *
   * @param all the pictures that there are, by index
   * @param next what comes then, which is read meanwhile
   * @param seed of the epoch
   * @param size pictures of the step
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
    Loader.Batch batch = loader.await(all, now.pictures(), loading, images);
    prepared = null; // another epoch's is another picture
    loading = List.of();
    if (next != null) {
      prepare(all, next, seed);
    }
    batch.failures().forEach(failure -> sum.failures.add(String.valueOf(failure.getMessage())));
    int count = batch.examples().size();
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

  /** Loss and accuracy on pictures that are not learnt from, as a user of the model sees them. */
  Contribution look(IntFunction<Example> all, int from, int end) throws InterruptedException {
    Contribution sum = Contribution.none();
    ResNet now = network.withState(session.state());
    try (Session compiled = now.compile(CompileOptions.defaults().withThreads(threads))) {
      for (int i = from; i < end; i += part) {
        List<Integer> some = IntStream.range(i, Math.min(end, i + part)).boxed().toList();
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
