package io.github.resnet4j.server;

import io.github.resnet4j.Classifier;
import io.github.resnet4j.Model;
import io.github.resnet4j.Prediction;
import io.github.resnet4j.ResNet;
import io.github.resnet4j.engine.CompileOptions;
import io.github.resnet4j.explain.Explainer;
import io.github.resnet4j.explain.HeatMap;
import io.github.resnet4j.image.ImageDecoder;
import io.github.resnet4j.image.ImageException;
import io.github.resnet4j.image.Pixels;
import io.github.resnet4j.image.Preprocessing;
import io.github.resnet4j.nn.StateDict;
import io.github.resnet4j.server.Batcher.Result;
import io.github.resnet4j.server.Measurements.Phase;
import io.github.resnet4j.server.Refusal.Kind;
import io.github.resnet4j.tensor.Tensor;
import java.time.Duration;
import java.util.List;
import java.util.OptionalInt;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;

/** A version of a model, compiled and warm. */
final class ServedModel implements AutoCloseable {
  private final String name;
  private final String version;
  private final Model classifier;
  private final Batcher batcher;
  private final long maxPixels;
  private final CompileOptions compile;
  private final Measurements measurements;

  /** Of a batch: 256 MB, 16 images of 3 × 1182 × 1182. */
  static final long MOST_INPUT_NUMBERS = 1 << 26;

  private final Work work;

  /** All of them are taken when it is closed. */
  private final Semaphore uses = new Semaphore(Integer.MAX_VALUE);

  /**
   * Who does what takes long; shared by all models.
   *
   * @param decoding as many as there are processors: that bounds memory too
   * @param explaining one: explanations keep all activations
   */
  record Work(Workers decoding, Workers explaining) implements AutoCloseable {
    static Work start() {
      return new Work(
          new Workers(
              "decode",
              Runtime.getRuntime().availableProcessors(),
              Duration.ofSeconds(10),
              Kind.BAD_REQUEST),
          new Workers("explain", 1, Duration.ofMinutes(1), Kind.TOO_LATE));
    }

    @Override
    public void close() {
      decoding.close();
      explaining.close();
    }
  }

  /**
   * Compiles a network and runs it once for each number of images. Its weights are copied to memory
   * first: what becomes of the file later changes no answer.
   */
  ServedModel(
      String name,
      String version,
      Model classifier,
      ServerOptions options,
      Work work,
      Measurements measurements) {
    this.name = name;
    this.version = version;
    checkInput(classifier.preprocessing(), options.batching().most());
    ResNet network = classifier.network();
    this.classifier =
        classifier.withNetwork(network.withState(new StateDict(network.state().entries())));
    this.compile = options.compile();
    this.maxPixels = options.limits().pixels();
    this.work = work;
    this.measurements = measurements;
    this.batcher =
        new Batcher(
            name,
            Classifier.builder().compile(compile).of(this.classifier),
            inputShape(),
            options.batching(),
            measurements);
    try {
      batcher.warmUp();
    } catch (RuntimeException | Error e) {
      batcher.close();
      throw e;
    }
  }

  /** Before anything is allocated: what a file says must not exhaust the memory of all models. */
  private static void checkInput(Preprocessing prepared, int batch) {
    long numbers = (long) prepared.channels() * prepared.cropHeight() * prepared.cropWidth();
    if (numbers * batch > MOST_INPUT_NUMBERS) {
      throw new IllegalArgumentException(
          "its input of %d × %d × %d numbers is too large for batches of %d: at most %,d numbers"
                  .formatted(
                      prepared.channels(),
                      prepared.cropHeight(),
                      prepared.cropWidth(),
                      batch,
                      MOST_INPUT_NUMBERS)
              + " together; see --max-batch-size");
    }
  }

  /** Begins to use it; false if it is closed. {@link #release} ends that. */
  boolean hold() {
    return uses.tryAcquire();
  }

  void release() {
    uses.release();
  }

  String name() {
    return name;
  }

  String version() {
    return version;
  }

  Model classifier() {
    return classifier;
  }

  boolean hasHead() {
    return classifier.network().spec().includeTop();
  }

  /**
   * For requests that need classes.
   *
   * @throws Refusal if the network has no head
   */
  void requireHead() {
    if (!hasHead()) {
      throw new Refusal(
          Kind.BAD_REQUEST,
          "'%s' has no head (fc.weight) and so no classes; it gives embeddings: POST /features"
                  .formatted(name)
              + " or the output 'embedding'");
    }
  }

  int[] inputShape() {
    Preprocessing prepared = classifier.preprocessing();
    return new int[] {prepared.channels(), prepared.cropHeight(), prepared.cropWidth()};
  }

  int waiting() {
    return batcher.waiting();
  }

  /** What the network takes of an image: its pixels, and those as numbers. */
  record Prepared(Pixels seen, Tensor input) {}

  /**
   * Decodes and prepares an image.
   *
   * @param upright whether it is turned as its EXIF tag says
   * @param deadline in {@link System#nanoTime()}
   */
  Prepared prepare(byte[] bytes, boolean upright, long deadline) {
    return work.decoding.run(deadline, () -> prepare(bytes, new ImageDecoder(upright, maxPixels)));
  }

  private Prepared prepare(byte[] bytes, ImageDecoder decoder) {
    try {
      long begin = System.nanoTime();
      Pixels image = decoder.decode("the image", bytes);
      long decoded = System.nanoTime();
      Preprocessing preprocessing = classifier.preprocessing();
      Pixels seen = preprocessing.crop(preprocessing.channels() == 1 ? image.toGray() : image);
      Tensor input = preprocessing.batch(1);
      preprocessing.normalize(seen, input, 0);
      measurements.phase(Phase.DECODE, decoded - begin);
      measurements.phase(Phase.PREPROCESS, System.nanoTime() - decoded);
      return new Prepared(seen, input);
    } catch (ImageException e) {
      throw new Refusal(
          Kind.BAD_REQUEST,
          String.valueOf(e.getMessage()).replaceFirst("^the image: ", "the image "));
    }
  }

  /** As {@link #prepare}, for a run that follows: others wait for it. */
  CompletableFuture<Result> run(byte[] image, boolean upright, long deadline) {
    batcher.expect();
    try {
      return batcher.submit(prepare(image, upright, deadline).input.data(), deadline);
    } finally {
      batcher.arrived();
    }
  }

  /** Runs an image that was prepared elsewhere, {@code [C, H, W]}. */
  CompletableFuture<Result> run(float[] image, long deadline) {
    return batcher.submit(image, deadline);
  }

  List<Prediction> top(float[] logits, int count) {
    return classifier.top(Tensor.of(logits, 1, logits.length), count).getFirst();
  }

  /**
   * Where the network sees a class.
   *
   * @param index of the class; the most likely one if empty
   */
  HeatMap explain(Prepared prepared, Explainer.Method method, OptionalInt index, long deadline) {
    if (index.isPresent()
        && (index.getAsInt() < 0 || index.getAsInt() >= classifier.labels().size())) {
      throw new Refusal(Kind.BAD_REQUEST, "class must be 0 to " + (classifier.labels().size() - 1));
    }
    return work.explaining.run(
        deadline,
        () -> {
          long begin = System.nanoTime();
          ResNet network = classifier.network();
          HeatMap map =
              network
                  .explainer()
                  .explain(prepared.input, method, index, network.spec().lastStage(), compile);
          Batcher.checkFinite("logits", map.logits().data());
          measurements.phase(Phase.EXPLAIN, System.nanoTime() - begin);
          return map;
        });
  }

  /** Waits for the requests that use it; for a minute at most. */
  @Override
  public void close() {
    try {
      if (!uses.tryAcquire(Integer.MAX_VALUE, 1, TimeUnit.MINUTES)) {
        uses.drainPermits();
      }
    } catch (InterruptedException _) {
      Thread.currentThread().interrupt();
    }
    batcher.close();
  }
}
