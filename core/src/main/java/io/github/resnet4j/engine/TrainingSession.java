package io.github.resnet4j.engine;

import io.github.resnet4j.engine.CompileOptions.Algorithm;
import io.github.resnet4j.engine.graph.AlgorithmChoice;
import io.github.resnet4j.engine.training.StandardizedConvolutions;
import io.github.resnet4j.engine.training.TrainingExecutor;
import io.github.resnet4j.engine.training.TrainingLayout;
import io.github.resnet4j.engine.training.TrainingPlan;
import io.github.resnet4j.engine.training.TrainingSetup;
import io.github.resnet4j.kernel.Format;
import io.github.resnet4j.kernel.Kernels;
import io.github.resnet4j.nn.Layer;
import io.github.resnet4j.nn.Layer.Sequential;
import io.github.resnet4j.nn.Loss;
import io.github.resnet4j.nn.StateDict;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import java.util.SplittableRandom;

/**
 * A network in training: forward pass in training mode, loss and gradients on the engine's kernels.
 * Memory is planned once for the largest batch; a training step allocates nothing. An optimizer
 * updates the weights: {@link #parameters}.
 *
 * <p>Batch norm uses the statistics of each batch (arXiv 1502.03167) and updates running statistics
 * as PyTorch does: momentum 0.1, unbiased variance.
 *
 * <p>Not thread-safe.
 */
public final class TrainingSession implements AutoCloseable {
  /**
   * The settings of a session.
   *
   * @param batch the largest batch size
   * @param height the height of an image in pixels
   * @param width the width of an image in pixels
   * @param threads the number of threads
   * @param frozen names of parameters that are not trained
   * @param frozenStatistics whether batch norm uses its running statistics and does not update them
   * @param stochasticDepth the drop-path rate: the probability that the last block's main branch is
   *     dropped for an image, proportionally smaller for earlier blocks (arXiv 1603.09382); see
   *     {@link #dropBranches}
   * @param algorithm how 3×3 convolutions of stride 1 are computed: {@link Algorithm#DIRECT} rounds
   *     as PyTorch does; all others choose by a rule, which is faster
   * @param precision {@link Precision#FP32}; {@link Precision#BF16}, in which activations and their
   *     gradients are stored in bfloat16 and products summed in single precision, while weights,
   *     statistics, the head and the loss stay floats; or {@link Precision#AUTO}, which is BF16
   *     where it is faster
   * @param kernels the kernels to use
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
      Precision precision,
      KernelChoice kernels) {
    /**
     * @throws IllegalArgumentException if batch, extents or threads are not positive, or the
     *     drop-path rate is out of range
     */
    public Options {
      if (batch < 1 || height < 1 || width < 1 || threads < 1) {
        throw new IllegalArgumentException(
            "batch %d, images of %d×%d, %d threads: all must be positive"
                .formatted(batch, height, width, threads));
      }
      if (!(stochasticDepth >= 0 && stochasticDepth < 1)) {
        throw new IllegalArgumentException(
            "the drop-path rate must be in [0, 1), was " + stochasticDepth);
      }
      if (precision == Precision.INT8 || precision == Precision.WEIGHTS) {
        throw new IllegalArgumentException(
            "training computes in fp32 or bf16, not in "
                + precision.name().toLowerCase(Locale.ROOT));
      }
      frozen = Set.copyOf(frozen);
    }

    /** All cores, the fastest kernels, all parameters trained. */
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
          Precision.FP32,
          KernelChoice.AUTO);
    }

    /** The same options with another precision. */
    public Options withPrecision(Precision value) {
      return new Options(
          batch,
          height,
          width,
          threads,
          frozen,
          frozenStatistics,
          stochasticDepth,
          algorithm,
          value,
          kernels);
    }

    private Format format() {
      return switch (precision) {
        case BF16 -> Format.BF16;
        case AUTO -> kernels.kernels().trainsFasterWith(Format.BF16) ? Format.BF16 : Format.FP32;
        default -> Format.FP32;
      };
    }
  }

  private static final Loss CROSS_ENTROPY = new Loss.CrossEntropy(List.of());

  private final Options options;
  private final TrainingPlan plan;
  private final ParameterArrays parameters;
  private final StandardizedConvolutions standardized;
  private final TrainingExecutor executor;

  /**
   * A session with the loss of images of one class each: {@link Loss.CrossEntropy}.
   *
   * @param network must end with a head, whose logits are trained
   * @param state the initial weights, which are copied
   * @throws IllegalArgumentException if the network has no head, or the activations do not fit into
   *     one array
   */
  public TrainingSession(Sequential network, StateDict state, int inChannels, Options options) {
    this(network, state, inChannels, CROSS_ENTROPY, options);
  }

  /**
   * A session with another loss.
   *
   * @param network must end with a head, whose outputs are trained
   * @param state the initial weights, which are copied
   * @throws IllegalArgumentException if the network has no head, or the activations do not fit into
   *     one array
   */
  public TrainingSession(
      Sequential network, StateDict state, int inChannels, Loss loss, Options options) {
    if (!(network.layers().getLast() instanceof Layer.Linear)) {
      throw new IllegalArgumentException("a network without a head (includeTop) has no loss");
    }
    options.kernels().kernels().testForTraining(options.format());
    this.options = options;
    try {
      this.plan = lay(network, state, inChannels, loss, options).place();
    } catch (ArithmeticException e) {
      throw new IllegalArgumentException(
          "the activations of %d images of %d×%d need more than the 8 GB of one Java array: divide"
                  .formatted(options.batch(), options.height(), options.width())
              + " the batch into micro-batches and accumulate their gradients",
          e);
    }
    this.parameters = new ParameterArrays(plan);
    this.standardized = plan.standardizedConvolutions();
    this.executor = new TrainingExecutor(plan);
  }

  /**
   * The precision in which this processor trains faster: {@link Precision#BF16} or {@link
   * Precision#FP32}; a short measurement of its instructions.
   */
  public static Precision fastestPrecision() {
    return Kernels.best().trainsFasterWith(Format.BF16) ? Precision.BF16 : Precision.FP32;
  }

  private static TrainingLayout lay(
      Sequential network, StateDict state, int inChannels, Loss loss, Options options) {
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
            options.format(),
            options.kernels().kernels(),
            loss);
    return TrainingLayout.of(network, state, inChannels, options.height(), options.width(), setup);
  }

  /**
   * The number of bytes of the arrays that a session would hold: weights, gradients of each thread,
   * activations.
   *
   * @return {@link Long#MAX_VALUE} if the activations do not fit into one array
   */
  public static long bytesNeeded(
      Sequential network, StateDict state, int inChannels, Options options) {
    return lay(network, state, inChannels, CROSS_ENTROPY, options).bytes();
  }

  /**
   * Checks that every batch norm has more than one value per channel, as PyTorch does: with one
   * value its output is constant and no layer before it is trained.
   *
   * @param images the batch size
   * @throws IllegalArgumentException naming the layer
   */
  public void checkBatch(int images) {
    plan.checkBatch(images);
  }

  /**
   * Runs the forward and backward pass. The gradients of the mean loss are added to those of {@link
   * #parameters}.
   *
   * @param images {@code [count, C, H, W]}
   * @param targets {@code [count, classes]}, the targets of the session's loss: for cross-entropy
   *     the probability of each class
   * @param count the number of images, at most the session's batch size
   * @param scale the factor of the gradients: 1, or less if a training step accumulates several
   *     batches
   * @return the mean loss
   * @throws IllegalArgumentException if there are more images than the session's batch size, or
   *     {@link #checkBatch too few}
   */
  public double accumulate(float[] images, float[] targets, int count, float scale) {
    if (count < 1 || count > options.batch()) {
      throw new IllegalArgumentException(
          "a batch of %d images is more than the session's batch size of %d"
              .formatted(count, options.batch()));
    }
    plan.checkBatch(count);
    standardized.begin();
    try {
      return executor.run(images, targets, count, scale);
    } finally {
      standardized.end();
    }
  }

  /**
   * Chooses the branches that are dropped in the next batch, if {@link Options#stochasticDepth} is
   * positive. Without a call no branch is dropped.
   *
   * @param seed the random seed of the choice
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

  /**
   * Batch norm's running means and variances themselves, not copies, in the order of the layers.
   */
  public List<float[]> statistics() {
    return plan.statistics();
  }

  /**
   * Adds to {@code num_batches_tracked} the batches whose statistics were computed elsewhere.
   *
   * @param count the number of batches
   */
  public void countBatches(long count) {
    plan.countBatches(count);
  }

  /** A task that all threads execute, each with its own range of indices. */
  public interface RangeTask {
    void run(int from, int end);
  }

  /** Splits the indices of the parameters among the threads and runs the task on all of them. */
  public void inParallel(RangeTask task) {
    executor.inParallel(task::run);
  }

  /** The current weights and running statistics, as PyTorch's state_dict has them. */
  public StateDict state() {
    return plan.state();
  }

  /** Replaces weights and running statistics. */
  public void load(StateDict state) {
    plan.load(state);
  }

  /** The precision of activations: {@link Precision#FP32} or {@link Precision#BF16}. */
  public Precision precision() {
    return options.format() == Format.BF16 ? Precision.BF16 : Precision.FP32;
  }

  /** The number of bytes of the arrays that the session holds. */
  public long bytes() {
    return plan.bytes();
  }

  /** The time of each stage in the last forward and backward pass. */
  public List<StepTime> times() {
    return executor.times().stream()
        .map(stage -> new StepTime(stage.name(), "", "", stage.chunkSize(), 0, stage.seconds()))
        .toList();
  }

  @Override
  public void close() {
    executor.close();
  }

  /** {@code TrainingSession[batch size 32, 224×224, 8 threads]}. */
  @Override
  public String toString() {
    return "TrainingSession[batch size %d, %d×%d, %d threads]"
        .formatted(options.batch(), options.height(), options.width(), options.threads());
  }
}
