package io.github.resnet4j.engine;

import io.github.resnet4j.engine.CompileOptions.Algorithm;
import io.github.resnet4j.engine.graph.AlgorithmChoice;
import io.github.resnet4j.engine.training.LaidOut;
import io.github.resnet4j.engine.training.TrainingExecutor;
import io.github.resnet4j.engine.training.TrainingPlan;
import io.github.resnet4j.engine.training.TrainingSetup;
import io.github.resnet4j.kernel.Kernels;
import io.github.resnet4j.nn.Layer;
import io.github.resnet4j.nn.Layer.Sequential;
import io.github.resnet4j.nn.StateDict;
import java.util.List;
import java.util.Set;
import java.util.SplittableRandom;

/**
 * A network that learns: forward pass in training mode, loss and gradients on the engine's kernels.
 * Memory is planned once for the largest batch; a step allocates nothing. What becomes of the
 * gradients is an optimizer's business: {@link #parameters}.
 *
 * <p>Batch norm takes the statistics of each batch (arXiv 1502.03167) and keeps running ones as
 * PyTorch does: momentum 0.1, unbiased variance.
 *
 * <p>Not for several threads at once.
 */
public final class TrainingSession implements AutoCloseable {
  /**
   * What a session is made for.
   *
   * @param batch images of the largest batch
   * @param height of an image
   * @param width of an image
   * @param threads that compute
   * @param frozen parameters that stay as they are, by name
   * @param frozenStatistics whether batch norm uses its running statistics and leaves them alone
   * @param stochasticDepth the probability that the last block's main branch is left out for an
   *     image, earlier blocks' being proportionally smaller (arXiv 1603.09382); see {@link
   *     #dropBranches}
   * @param algorithm how 3×3 convolutions of stride 1 are computed: {@link Algorithm#DIRECT} rounds
   *     as PyTorch does, all others mean by rule, which is faster
   * @param kernels what runs underneath
   */
  public record Options(
      int batch,
      int height,
      int width,
      int threads,
      Set<String> frozen,
      boolean frozenStatistics,
      double stochasticDepth,
      Algorithm algorithm,
      Kernels kernels) {
    /**
     * @throws IllegalArgumentException if batch, extents or threads are not positive
     */
    public Options {
      if (batch < 1 || height < 1 || width < 1 || threads < 1) {
        throw new IllegalArgumentException(
            "batch %d, images of %d×%d, %d threads: all must be positive"
                .formatted(batch, height, width, threads));
      }
      if (!(stochasticDepth >= 0 && stochasticDepth < 1)) {
        throw new IllegalArgumentException(
            "stochastic depth must be in [0, 1), was " + stochasticDepth);
      }
      frozen = Set.copyOf(frozen);
    }

    /** All cores, the fastest kernels, everything learns. */
    public static Options of(int batch, int height, int width) {
      return new Options(
          batch,
          height,
          width,
          Runtime.getRuntime().availableProcessors(),
          Set.of(),
          false,
          0,
          Algorithm.AUTO,
          Kernels.best());
    }
  }

  private final Options options;
  private final TrainingPlan plan;
  private final ParameterArrays parameters;
  private final TrainingExecutor executor;

  /**
   * @param network must end with a head; its logits are what is learnt
   * @param state the first weights, which are copied
   * @throws IllegalArgumentException if the network has no head, or the activations do not fit into
   *     one array
   */
  public TrainingSession(Sequential network, StateDict state, int inChannels, Options options) {
    if (!(network.layers().getLast() instanceof Layer.Linear)) {
      throw new IllegalArgumentException("a network without a head (includeTop) has no loss");
    }
    options.kernels().testForTraining();
    this.options = options;
    try {
      this.plan = lay(network, state, inChannels, options).place();
    } catch (ArithmeticException e) {
      throw new IllegalArgumentException(
          "the activations of %d images of %d×%d need more than the 8 GB of one Java array: divide"
                  .formatted(options.batch(), options.height(), options.width())
              + " the batch into micro-batches and accumulate their gradients",
          e);
    }
    this.parameters = new ParameterArrays(plan);
    this.executor = new TrainingExecutor(plan);
  }

  private static LaidOut lay(Sequential network, StateDict state, int inChannels, Options options) {
    var setup =
        new TrainingSetup(
            options.batch(),
            options.threads(),
            options.frozen(),
            options.frozenStatistics(),
            options.stochasticDepth(),
            options.algorithm() == Algorithm.DIRECT
                ? AlgorithmChoice.DIRECT
                : AlgorithmChoice.BY_RULE,
            options.kernels());
    return LaidOut.of(network, state, inChannels, options.height(), options.width(), setup);
  }

  /**
   * Bytes of the arrays that a session would hold: weights, gradients of each thread, activations.
   *
   * @return {@link Long#MAX_VALUE} if the activations do not fit into one array
   */
  public static long bytesNeeded(
      Sequential network, StateDict state, int inChannels, Options options) {
    return lay(network, state, inChannels, options).bytes();
  }

  /**
   * Fails where a batch norm would see a single value per channel, as PyTorch does: its output
   * would be constant, and nothing before it would be trained.
   *
   * @param images of a batch
   * @throws IllegalArgumentException naming the layer
   */
  public void checkBatch(int images) {
    plan.checkBatch(images);
  }

  /**
   * Forward and backward: the mean cross-entropy of a batch, and its gradients, which are added to
   * those of {@link #parameters}.
   *
   * @param images {@code [count, C, H, W]}
   * @param targets {@code [count, classes]}, the probability of each class
   * @param count images, at most the session's batch
   * @param scale what the gradients are multiplied by; 1, or less where several batches make a step
   * @return the mean loss
   * @throws IllegalArgumentException if there are more images than the session was made for, or
   *     {@link #checkBatch too few}
   */
  public double accumulate(float[] images, float[] targets, int count, float scale) {
    if (count < 1 || count > options.batch()) {
      throw new IllegalArgumentException("%d images, at most %d".formatted(count, options.batch()));
    }
    plan.checkBatch(count);
    return executor.run(images, targets, count, scale);
  }

  /**
   * Chooses the branches that the next batch goes without, if the session was made for {@link
   * Options#stochasticDepth}. Until it is asked for the first time, none.
   *
   * @param seed what the choice follows from
   */
  public void dropBranches(long seed) {
    plan.dropBranches(new SplittableRandom(seed));
  }

  /** The logits of the last batch, {@code [count, classes]}. */
  public void logits(float[] to) {
    executor.copyLogits(to);
  }

  /** Sets the gradients to zero. */
  public void clearGradients() {
    executor.clearGradients();
  }

  /** The trained parameters and their gradients. */
  public ParameterArrays parameters() {
    return parameters;
  }

  /** Batch norm's running means and variances themselves, in the order of the layers. */
  public List<float[]> statistics() {
    return plan.statistics();
  }

  /**
   * Counts batches whose statistics came from elsewhere, as {@code num_batches_tracked} does.
   *
   * @param count how many
   */
  public void countBatches(long count) {
    plan.countBatches(count);
  }

  /** Something that is done on all threads: each is given a range of indices. */
  public interface Share {
    void run(int from, int end);
  }

  /** Splits the indices of the parameters among the threads. */
  public void inParallel(Share share) {
    executor.inParallel(share::run);
  }

  /** Weights and running statistics as they are now, as PyTorch's state_dict has them. */
  public StateDict state() {
    return plan.state();
  }

  /** Replaces weights and running statistics. */
  public void load(StateDict state) {
    plan.load(state);
  }

  /** Bytes of the arrays that a session holds. */
  public long bytes() {
    return plan.bytes();
  }

  /** Where time goes: nanoseconds of each stage in the last run, for people. */
  public List<StepTime> times() {
    return executor.times().stream()
        .map(stage -> new StepTime(stage.name(), "", "", stage.imagesAtOnce(), 0, stage.seconds()))
        .toList();
  }

  @Override
  public void close() {
    executor.close();
  }
}
