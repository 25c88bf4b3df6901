package io.github.resnet4j.engine;

import io.github.resnet4j.engine.conv.PackedWeights;
import io.github.resnet4j.engine.graph.AlgorithmChoice;
import io.github.resnet4j.engine.graph.Arithmetic;
import io.github.resnet4j.engine.inference.Autotuner;
import io.github.resnet4j.engine.inference.Plan;
import io.github.resnet4j.engine.inference.PlanCompiler;
import io.github.resnet4j.engine.inference.PlanProfiler;
import io.github.resnet4j.engine.inference.PlanRunner;
import io.github.resnet4j.engine.inference.Tuning;
import io.github.resnet4j.engine.inference.Workload;
import io.github.resnet4j.engine.reference.ReferenceForward;
import io.github.resnet4j.engine.step.Step;
import io.github.resnet4j.kernel.Format;
import io.github.resnet4j.kernel.Kernels;
import io.github.resnet4j.kernel.Team;
import io.github.resnet4j.messages.Events;
import io.github.resnet4j.nn.Layer.Sequential;
import io.github.resnet4j.nn.StateDict;
import io.github.resnet4j.tensor.Tensor;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.SequencedMap;
import java.util.concurrent.locks.ReentrantLock;
import org.jspecify.annotations.Nullable;

/**
 * A compiled network with its own threads and memory.
 *
 * <p>If a batch has at least as many images as there are threads, every thread processes whole
 * images; the remaining images are split by rows and channels. A plan is compiled when an input
 * size is first used; after that {@link #run(Tensor, Tensor)} allocates nothing. With scalar
 * kernels there are no plans: {@link ReferenceForward} runs instead, which the JVM compiles to
 * faster code.
 *
 * <p>Thread-safe: concurrent calls run one after the other, since one call already uses all
 * threads. {@link #close} waits for the running batch and ends the threads.
 */
public final class Session implements InferenceSession {
  private static final System.Logger LOG = System.getLogger("io.github.resnet4j");

  /**
   * The largest number of images that a thread processes together; more save little time and need
   * more memory.
   */
  private static final int MAX_IMAGES_PER_THREAD = 8;

  /** The largest number of cached plans: a service may receive any number of image sizes. */
  private static final int MAX_PLANS = 32;

  private final Sequential network;
  private final StateDict state;
  private final int inChannels;
  private final CompileOptions options;
  private final Kernels kernels;
  private final Optional<PrecisionChoice> choice;
  private final Arithmetic arithmetic;
  private final PackedWeights weights;
  private final PlanCompiler compiler;
  private final @Nullable Tuning tuning;
  private final PlanRunner runner;

  /** Runs instead of plans if the kernels are scalar. */
  private final @Nullable ReferenceForward reference;

  private final ReentrantLock turn = new ReentrantLock();
  private final List<Plan> plans = new ArrayList<>();

  /**
   * @param network the layers
   * @param state the weights; changes after a plan was compiled have no effect on it
   * @param inChannels the number of channels of the images
   * @param quantization the ranges of the activations, if known
   * @throws IllegalArgumentException if the precision needs a quantization and there is none
   */
  public Session(
      Sequential network,
      StateDict state,
      int inChannels,
      Optional<Quantization> quantization,
      CompileOptions options) {
    this(network, state, inChannels, quantization, options, options.kernels().kernels());
  }

  private Session(
      Sequential network,
      StateDict state,
      int inChannels,
      Optional<Quantization> quantization,
      CompileOptions options,
      Kernels kernels) {
    this(
        network,
        state,
        inChannels,
        quantization,
        options,
        kernels,
        choice(network, state, inChannels, quantization, options, kernels));
  }

  private Session(
      Sequential network,
      StateDict state,
      int inChannels,
      Optional<Quantization> quantization,
      CompileOptions options,
      Kernels kernels,
      Optional<PrecisionChoice> choice) {
    this(
        network,
        state,
        inChannels,
        options,
        kernels,
        choice,
        choice
            .map(PrecisionChoice::precision)
            .orElse(options.precision())
            .arithmetic(quantization, kernels),
        new PackedWeights(state));
  }

  /** Measures and logs, if the precision is {@link Precision#AUTO}. */
  private static Optional<PrecisionChoice> choice(
      Sequential network,
      StateDict state,
      int inChannels,
      Optional<Quantization> quantization,
      CompileOptions options,
      Kernels kernels) {
    if (options.precision() != Precision.AUTO) {
      return Optional.empty();
    }
    var measured = options.withTaps();
    if (options.algorithm() == CompileOptions.Algorithm.TUNED) {
      measured = measured.withAlgorithm(CompileOptions.Algorithm.AUTO);
    }
    var one = measured;
    var choice =
        PrecisionChoice.measure(
            network,
            inChannels,
            quantization.isPresent(),
            kernels,
            precision ->
                new Session(
                    network,
                    state,
                    inChannels,
                    quantization,
                    one.withPrecision(precision),
                    kernels));
    LOG.log(System.Logger.Level.DEBUG, "precision auto: " + choice);
    return Optional.of(choice);
  }

  private Session(
      Sequential network,
      StateDict state,
      int inChannels,
      CompileOptions options,
      Kernels kernels,
      Optional<PrecisionChoice> choice,
      Arithmetic arithmetic,
      PackedWeights weights) {
    this.network = network;
    this.state = state;
    this.inChannels = inChannels;
    this.options = options;
    this.kernels = kernels;
    this.choice = choice;
    this.arithmetic = arithmetic;
    boolean compiled = kernels.isOptimized() || arithmetic.format() != Format.FP32;
    this.weights = weights;
    this.compiler = new PlanCompiler(network, inChannels, options.taps(), arithmetic, kernels);
    this.tuning =
        options.algorithm() == CompileOptions.Algorithm.DIRECT || !compiled
            ? null
            : Tuning.load(kernels, state.size() * Float.BYTES);
    this.runner = new PlanRunner(compiled ? options.threads() : 1);
    this.reference =
        compiled ? null : new ReferenceForward(network, state, new Team(options.threads()));
  }

  @Override
  public CompileOptions options() {
    return options;
  }

  /**
   * Another session on the same packed weights, with its own threads and memory for activations.
   * Use it for calls that must run concurrently. Each session is closed separately.
   */
  @Override
  public Session sibling() {
    return new Session(network, state, inChannels, options, kernels, choice, arithmetic, weights);
  }

  /**
   * Another session on the same packed weights, as {@link #sibling}, with other taps.
   *
   * @param layers whose results are outputs too, see {@link CompileOptions#taps}
   */
  @Override
  public Session withTaps(String... layers) {
    return new Session(
        network, state, inChannels, options.withTaps(layers), kernels, choice, arithmetic, weights);
  }

  /** The name of the kernels that run the network: {@code machine code, 512 bit}. */
  @Override
  public String kernels() {
    return kernels.name();
  }

  /** The precision of the computation; never {@link Precision#AUTO}. */
  @Override
  public Precision precision() {
    return Precision.of(arithmetic);
  }

  /** Why this precision was chosen, if the options have {@link Precision#AUTO}. */
  public Optional<PrecisionChoice> precisionChoice() {
    return choice;
  }

  /**
   * Runs the network, as with {@code model.eval()}.
   *
   * @param x {@code [N, C, H, W]}
   * @return logits {@code [N, classes]}, or a feature map {@code [N, C, H, W]} if the network has
   *     no head
   * @throws IllegalArgumentException if the input has another shape
   */
  @Override
  public Tensor run(Tensor x) {
    return runAll(x).lastEntry().getValue();
  }

  /**
   * Runs the network.
   *
   * @return the tapped results ({@link CompileOptions#taps}) by layer name, {@code [N, C, H, W]},
   *     and last the network's own result as {@code output}
   */
  @Override
  public SequencedMap<String, Tensor> runAll(Tensor x) {
    check(x);
    turn.lock();
    RunEvent event = Events.AVAILABLE ? RunEvent.started() : null;
    try {
      if (reference != null) {
        return reference.runAll(x, options.taps());
      }
      Plan plan = firstPlan(x.dim(0), x.dim(2), x.dim(3));
      var results = new LinkedHashMap<String, Tensor>();
      float[][] outputs = new float[plan.outputs().size()][];
      for (int i = 0; i < outputs.length; i++) {
        int[] one = plan.outputs().get(i);
        int[] shape = new int[one.length + 1];
        shape[0] = x.dim(0);
        System.arraycopy(one, 0, shape, 1, one.length);
        Tensor result = Tensor.zeros(shape);
        outputs[i] = result.data();
        results.put(i < options.taps().size() ? options.taps().get(i) : "output", result);
      }
      runner.use(x.data(), outputs);
      run(x.dim(0), x.dim(2), x.dim(3));
      return results;
    } finally {
      if (event != null) {
        commit(event, x);
      }
      turn.unlock();
    }
  }

  /**
   * Runs the network, writes the result into an existing tensor and allocates nothing.
   *
   * @param x {@code [N, C, H, W]}
   * @param y takes the result, {@code [N, classes]} or {@code [N, C, H, W]}
   * @throws IllegalArgumentException if a shape does not match, or the session has taps
   */
  @Override
  public void run(Tensor x, Tensor y) {
    check(x);
    if (!options.taps().isEmpty()) {
      throw new IllegalArgumentException("a session with taps has several outputs: use runAll");
    }
    turn.lock();
    RunEvent event = Events.AVAILABLE ? RunEvent.started() : null;
    try {
      if (reference != null) {
        Tensor result = reference.run(x);
        if (!result.sameShape(y)) {
          throw new IllegalArgumentException(
              "the result of %s is %s, not %s".formatted(x, result, y));
        }
        System.arraycopy(result.data(), 0, y.data(), 0, y.size());
        return;
      }
      int[] one = firstPlan(x.dim(0), x.dim(2), x.dim(3)).outputs().getLast();
      boolean fits = y.rank() == one.length + 1 && y.dim(0) == x.dim(0);
      for (int i = 0; fits && i < one.length; i++) {
        fits = y.dim(i + 1) == one[i];
      }
      if (!fits) {
        throw new IllegalArgumentException(
            "the result of %s is [%d] and %s, not %s"
                .formatted(x, x.dim(0), Arrays.toString(one), y));
      }
      runner.use(x.data(), y.data());
      run(x.dim(0), x.dim(2), x.dim(3));
    } finally {
      if (event != null) {
        commit(event, x);
      }
      turn.unlock();
    }
  }

  private void commit(RunEvent event, Tensor x) {
    event.batchSize = x.dim(0);
    event.height = x.dim(2);
    event.width = x.dim(3);
    event.threads = options.threads();
    event.precision = precision().toString();
    event.kernels = kernels();
    event.commit();
  }

  private void check(Tensor x) {
    if (x.rank() != 4 || x.dim(0) < 1 || x.dim(1) != inChannels) {
      throw new IllegalArgumentException(
          "the input must be [N, %d, H, W], was %s".formatted(inChannels, x));
    }
  }

  /** The plan that processes the first image of a batch. */
  private Plan firstPlan(int n, int height, int width) {
    return n >= runner.threads()
        ? plan(height, width, wholeImagesPerThread(n), 1)
        : plan(height, width, 1, runner.threads());
  }

  /**
   * How many whole images each thread processes together in a batch of {@code n}, at least the
   * number of threads.
   */
  private int wholeImagesPerThread(int n) {
    int each = n / runner.threads();
    return Math.ceilDiv(each, Math.ceilDiv(each, MAX_IMAGES_PER_THREAD));
  }

  private void run(int n, int height, int width) {
    int whole = n / runner.threads() * runner.threads();
    if (whole > 0) {
      runner.runWholeImages(plan(height, width, wholeImagesPerThread(n), 1), whole);
    }
    if (whole < n) {
      runner.runSplitImages(plan(height, width, 1, runner.threads()), whole, n);
    }
  }

  private Plan plan(int height, int width, int images, int parts) {
    for (int i = 0; i < plans.size(); i++) {
      Plan known = plans.get(i);
      Workload workload = known.workload();
      if (workload.height() == height
          && workload.width() == width
          && workload.images() == images
          && workload.parts() == parts) {
        return known;
      }
    }
    CompileEvent event = Events.AVAILABLE ? CompileEvent.started() : null;
    var workload = new Workload(height, width, images, parts);
    if (options.algorithm() == CompileOptions.Algorithm.TUNED && tuning != null) {
      new Autotuner(compiler, state, plan -> profiler(plan, height, width)).tune(tuning, workload);
    }
    Plan plan =
        compiler.compile(workload, weights, tuning == null ? AlgorithmChoice.DIRECT : tuning);
    if (plans.size() == MAX_PLANS) {
      plans.removeFirst();
    }
    plans.add(plan);
    if (event != null) {
      event.height = height;
      event.width = width;
      event.images = images;
      event.parts = parts;
      event.steps = plan.sections().stream().mapToInt(each -> each.steps().size()).sum();
      event.arenaBytes = (long) plan.arenaSize() * Float.BYTES;
      event.precision = precision().toString();
      event.kernels = kernels();
      event.commit();
    }
    return plan;
  }

  private PlanProfiler profiler(Plan plan, int height, int width) {
    return runner.profiler(plan, inChannels * height * width);
  }

  /**
   * Runs image by image on this thread, and passes the results of all convolutions to an observer.
   */
  void observe(Tensor x, PlanRunner.Observer observer) {
    check(x);
    turn.lock();
    try {
      var workload = new Workload(x.dim(2), x.dim(3), 1, 1);
      runner.observe(compiler.compile(workload, weights, AlgorithmChoice.DIRECT), x, observer);
    } finally {
      turn.unlock();
    }
  }

  /**
   * The steps of the plan for a batch, without running them.
   *
   * @param n the batch size
   */
  public List<StepTime> plan(int n, int height, int width) {
    turn.lock();
    try {
      return times(firstPlan(n, height, width), Map.of());
    } finally {
      turn.unlock();
    }
  }

  /**
   * The steps of the plan for a batch and their times, each measured within runs of the whole plan.
   *
   * @param n the batch size
   * @param nanos how long to measure, warm-up included
   */
  public List<StepTime> measure(int n, int height, int width, long nanos) {
    turn.lock();
    try {
      Plan plan = firstPlan(n, height, width);
      return times(plan, profiler(plan, height, width).measure(nanos));
    } finally {
      turn.unlock();
    }
  }

  private static List<StepTime> times(Plan plan, Map<Step, Double> seconds) {
    var times = new ArrayList<StepTime>();
    for (Plan.Section section : plan.sections()) {
      for (Step step : section.steps()) {
        times.add(
            new StepTime(
                step.name(),
                step.algorithm(),
                step.out().layout().shape(),
                section.images(),
                step.flops(),
                seconds.getOrDefault(step, 0.0)));
      }
    }
    return times;
  }

  /**
   * The peak rate of the kernels on all threads, in multiplications and additions per second, with
   * operands that stay in the L1 cache: an upper bound for every direct convolution.
   *
   * @param nanos how long to measure
   */
  public double peakFlops(long nanos) {
    turn.lock();
    try {
      return runner.peakFlops(kernels, arithmetic.format(), nanos);
    } finally {
      turn.unlock();
    }
  }

  /** The number of floats that the session holds for activations. */
  public long arenaFloats() {
    turn.lock();
    try {
      return runner.arenaFloats();
    } finally {
      turn.unlock();
    }
  }

  /** Ends the threads, after the running batch. A closed session cannot run. */
  @Override
  public void close() {
    turn.lock();
    try {
      runner.close();
      if (reference != null) {
        reference.team().close();
      }
    } finally {
      turn.unlock();
    }
  }

  /** {@code Session[FP32, 8 threads, machine code, 512 bit]}. */
  @Override
  public String toString() {
    return "Session[%s, %d threads, %s]".formatted(precision(), options.threads(), kernels());
  }
}
