package io.github.resnet4j.engine.inference;

import io.github.resnet4j.engine.conv.DirectConv;
import io.github.resnet4j.engine.graph.Activation;
import io.github.resnet4j.engine.step.AttentionStep;
import io.github.resnet4j.engine.step.ExecutionContext;
import io.github.resnet4j.engine.step.GroupNormStep;
import io.github.resnet4j.engine.step.InputStep;
import io.github.resnet4j.engine.step.NormStep;
import io.github.resnet4j.engine.step.Step;
import io.github.resnet4j.engine.step.Workers;
import io.github.resnet4j.kernel.Format;
import io.github.resnet4j.kernel.Kernels;
import io.github.resnet4j.tensor.Tensor;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;
import org.jspecify.annotations.Nullable;

/**
 * The threads that run plans, and the memory of each. One call at a time; it allocates only an
 * arena that is larger than those before.
 */
public final class PlanRunner implements AutoCloseable {
  private static final Runnable NO_OP = () -> {};

  private final Workers workers;
  private final ExecutionContext[] contexts;
  private final AtomicInteger nextImage = new AtomicInteger();
  private final Workers.Task wholeImages = this::runWholeImages;
  private final Workers.Task splitImage = this::runSplitImage;
  private final Runnable barrier;
  private @Nullable Plan running;
  private int endImage;

  public PlanRunner(int threads) {
    this.workers = new Workers(threads);
    this.contexts = new ExecutionContext[threads];
    Arrays.setAll(contexts, _ -> new ExecutionContext());
    this.barrier = workers::barrier;
  }

  public int threads() {
    return workers.size();
  }

  /**
   * Sets the arrays of the next runs.
   *
   * @param input {@code [N, C, H, W]}
   * @param outputs an array for each output of the plan
   */
  public void use(float[] input, float[][] outputs) {
    for (ExecutionContext context : contexts) {
      context.input = input;
      context.outputs = outputs;
    }
  }

  /** The same for a plan with one output. */
  public void use(float[] input, float[] output) {
    for (ExecutionContext context : contexts) {
      context.input = input;
      if (context.outputs.length != 1) {
        context.outputs = new float[1][];
      }
      context.outputs[0] = output;
    }
  }

  /**
   * Runs the first images of the input; every thread processes whole images.
   *
   * @param plan a plan that is not split into parts
   */
  public void runWholeImages(Plan plan, int images) {
    for (ExecutionContext context : contexts) {
      context.ensureCapacity(plan.arenaSize());
    }
    running = plan;
    nextImage.set(0);
    endImage = images;
    workers.run(wholeImages);
  }

  /**
   * Runs some images of the input one after the other; all threads process parts of each.
   *
   * @param plan a plan for one image, with as many parts as there are threads
   */
  public void runSplitImages(Plan plan, int first, int end) {
    contexts[0].ensureCapacity(plan.arenaSize());
    running = plan;
    for (int i = first; i < end; i++) {
      contexts[0].firstImage = i;
      workers.run(splitImage);
    }
  }

  private void runWholeImages(int worker) {
    Plan plan = running();
    ExecutionContext context = contexts[worker];
    for (int i; (i = nextImage.getAndAdd(plan.images())) < endImage; ) {
      context.firstImage = i;
      plan.run(context, Math.min(plan.images(), endImage - i), 0, NO_OP);
    }
  }

  private void runSplitImage(int worker) {
    running().run(contexts[0], 1, worker, barrier);
  }

  private Plan running() {
    if (running == null) {
      throw new IllegalStateException("no plan is running");
    }
    return running;
  }

  /** Receives the results of steps. */
  public interface Observer {
    /**
     * @param layer the layer whose result it is, or {@code input}
     * @param values the values of a channel
     */
    void see(String layer, float[] values, int count);
  }

  /**
   * Runs image by image on this thread, and passes the results of all convolutions to an observer.
   *
   * @param plan a plan of direct convolutions, for one image
   * @param x {@code [N, C, H, W]}
   */
  public void observe(Plan plan, Tensor x, Observer observer) {
    ExecutionContext context = contexts[0];
    context.ensureCapacity(plan.arenaSize());
    context.input = x.data();
    context.outputs = new float[plan.outputs().size()][];
    for (int i = 0; i < context.outputs.length; i++) {
      context.outputs[i] = new float[x.dim(0) * Tensor.sizeOf(plan.outputs().get(i))];
    }
    float[] channel = new float[x.dim(2) * x.dim(3)];
    for (int n = 0; n < x.dim(0); n++) {
      context.firstImage = n;
      List<Step> phases = plan.phases();
      var done = new AtomicInteger();
      plan.run(
          context,
          1,
          0,
          () -> {
            Step step = phases.get(done.getAndIncrement());
            boolean isComplete = done.get() == phases.size() || phases.get(done.get()) != step;
            if (isComplete
                && (step instanceof InputStep
                    || step instanceof DirectConv
                    || step instanceof NormStep
                    || step instanceof GroupNormStep
                    || step instanceof AttentionStep)) {
              Activation out = step.out();
              for (int c = 0; c < out.channels(); c++) {
                out.copyChannel(context.arena(), 0, c, channel, 0);
                observer.see(step.name(), channel, out.height() * out.width());
              }
            }
          });
    }
  }

  /**
   * A profiler of a plan on these threads.
   *
   * @param imageSize the number of floats of an image
   */
  public PlanProfiler profiler(Plan plan, int imageSize) {
    return new PlanProfiler(plan, imageSize, contexts, workers);
  }

  /** The peak rate in multiplications and additions per second; see {@link PeakFlops}. */
  public double peakFlops(Kernels kernels, Format format, long nanos) {
    return PeakFlops.measure(kernels, format, workers, nanos);
  }

  /** The number of floats of all arenas. */
  public long arenaFloats() {
    return Arrays.stream(contexts).mapToLong(context -> context.arena().length).sum();
  }

  @Override
  public void close() {
    workers.close();
  }
}
