package io.github.resnet4j.engine.inference;

import io.github.resnet4j.engine.conv.DirectConv;
import io.github.resnet4j.engine.graph.Activation;
import io.github.resnet4j.engine.step.AttentionStep;
import io.github.resnet4j.engine.step.Frame;
import io.github.resnet4j.engine.step.InputStep;
import io.github.resnet4j.engine.step.Step;
import io.github.resnet4j.engine.step.Workers;
import io.github.resnet4j.kernel.Format;
import io.github.resnet4j.kernel.Kernels;
import io.github.resnet4j.tensor.Tensor;
import java.util.Arrays;
import java.util.concurrent.atomic.AtomicInteger;
import org.jspecify.annotations.Nullable;

/**
 * The threads that run plans, and the memory of each. One run at a time; it allocates nothing but
 * an arena that is larger than those before.
 */
public final class PlanRunner implements AutoCloseable {
  private static final Runnable NOTHING = () -> {};

  private final Workers workers;
  private final Frame[] frames;
  private final AtomicInteger nextImage = new AtomicInteger();
  private final Workers.Task wholeImages = this::runWholeImages;
  private final Workers.Task splitImage = this::runSplitImage;
  private final Runnable atMeeting;
  private @Nullable Plan running;
  private int endImage;

  public PlanRunner(int threads) {
    this.workers = new Workers(threads);
    this.frames = new Frame[threads];
    Arrays.setAll(frames, _ -> new Frame());
    this.atMeeting = workers::meet;
  }

  public int threads() {
    return workers.size();
  }

  /**
   * Says what the next runs read and write.
   *
   * @param input {@code [N, C, H, W]}
   * @param outputs an array for each of a plan's
   */
  public void use(float[] input, float[][] outputs) {
    for (Frame frame : frames) {
      frame.input = input;
      frame.outputs = outputs;
    }
  }

  /** The same where a plan has but one output. */
  public void use(float[] input, float[] output) {
    for (Frame frame : frames) {
      frame.input = input;
      if (frame.outputs.length != 1) {
        frame.outputs = new float[1][];
      }
      frame.outputs[0] = output;
    }
  }

  /**
   * Runs the first images of the input, every thread taking whole ones.
   *
   * @param plan that is not split into parts
   */
  public void runWholeImages(Plan plan, int images) {
    for (Frame frame : frames) {
      frame.makeRoom(plan.arenaSize());
    }
    running = plan;
    nextImage.set(0);
    endImage = images;
    workers.run(wholeImages);
  }

  /**
   * Runs some images of the input one after the other, all threads taking parts of each.
   *
   * @param plan of one image, that has as many parts as there are threads
   */
  public void runSplitImages(Plan plan, int first, int end) {
    frames[0].makeRoom(plan.arenaSize());
    running = plan;
    for (int i = first; i < end; i++) {
      frames[0].firstImage = i;
      workers.run(splitImage);
    }
  }

  private void runWholeImages(int worker) {
    Plan plan = running();
    Frame frame = frames[worker];
    for (int i; (i = nextImage.getAndAdd(plan.images())) < endImage; ) {
      frame.firstImage = i;
      plan.run(frame, Math.min(plan.images(), endImage - i), 0, NOTHING);
    }
  }

  private void runSplitImage(int worker) {
    running().run(frames[0], 1, worker, atMeeting);
  }

  private Plan running() {
    if (running == null) {
      throw new IllegalStateException("nothing to run");
    }
    return running;
  }

  /** Sees what steps write. */
  public interface Observer {
    /**
     * @param layer the layer whose result it is, or {@code input}
     * @param values a channel
     */
    void see(String layer, float[] values, int count);
  }

  /**
   * Runs image by image on this thread, and shows all that convolutions write.
   *
   * @param plan of direct convolutions, for one image at once
   * @param x {@code [N, C, H, W]}
   */
  public void observe(Plan plan, Tensor x, Observer observer) {
    Frame frame = frames[0];
    frame.makeRoom(plan.arenaSize());
    frame.input = x.data();
    frame.outputs = new float[plan.outputs().size()][];
    for (int i = 0; i < frame.outputs.length; i++) {
      frame.outputs[i] = new float[x.dim(0) * Tensor.sizeOf(plan.outputs().get(i))];
    }
    float[] channel = new float[x.dim(2) * x.dim(3)];
    for (int n = 0; n < x.dim(0); n++) {
      frame.firstImage = n;
      var phases = plan.phases().iterator();
      plan.run(
          frame,
          1,
          0,
          () -> {
            Step step = phases.next();
            if (step instanceof InputStep
                || step instanceof DirectConv
                || step instanceof AttentionStep) {
              Activation out = step.out();
              for (int c = 0; c < out.channels(); c++) {
                out.copyChannel(frame.arena(), 0, c, channel, 0);
                observer.see(step.name(), channel, out.height() * out.width());
              }
            }
          });
    }
  }

  /**
   * What takes the time of a plan's steps on these threads.
   *
   * @param imageSize floats of an image
   */
  public PlanProfiler profiler(Plan plan, int imageSize) {
    return new PlanProfiler(plan, imageSize, frames, workers);
  }

  /** Multiplications and additions a second at most; see {@link Peak}. */
  public double peakFlops(Kernels kernels, Format format, long nanos) {
    return Peak.measure(kernels, format, workers, nanos);
  }

  /** Floats of all arenas. */
  public long arenaFloats() {
    return Arrays.stream(frames).mapToLong(frame -> frame.arena().length).sum();
  }

  @Override
  public void close() {
    workers.close();
  }
}
