package io.github.resnet4j.server;

import io.github.resnet4j.Classifier;
import io.github.resnet4j.Model;
import io.github.resnet4j.Prediction;
import io.github.resnet4j.ResNet;
import io.github.resnet4j.Task;
import io.github.resnet4j.engine.CompileOptions;
import io.github.resnet4j.explain.Explainer;
import io.github.resnet4j.explain.HeatMap;
import io.github.resnet4j.image.ImageDecoder;
import io.github.resnet4j.image.ImageException;
import io.github.resnet4j.image.Pixels;
import io.github.resnet4j.image.Preprocessing;
import io.github.resnet4j.nn.StateDict;
import io.github.resnet4j.server.ApiException.Kind;
import io.github.resnet4j.server.Batcher.Result;
import io.github.resnet4j.server.Metrics.Phase;
import io.github.resnet4j.tensor.Tensor;
import java.time.Duration;
import java.util.List;
import java.util.OptionalInt;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;

/** A loaded version of a model: compiled, and warmed up. */
final class ServedModel implements AutoCloseable {
  private final String name;
  private final String version;
  private final Model classifier;
  private final Batcher batcher;
  private final long maxPixels;
  private final CompileOptions compile;
  private final Metrics metrics;

  /** The maximum number of values in the input of a batch: 256 MB, 16 images of 3 × 1182 × 1182. */
  static final long MAX_INPUT_VALUES = 1 << 26;

  private final WorkerPools pools;

  /** One permit per request in progress; closing acquires all of them. */
  private final Semaphore leases = new Semaphore(Integer.MAX_VALUE);

  /**
   * The threads for long computations; all models use the same ones.
   *
   * @param decoding one thread per processor, which also bounds memory
   * @param explanation one thread, since an explanation keeps all activations in memory
   */
  record WorkerPools(WorkerPool decoding, WorkerPool explanation) implements AutoCloseable {
    static WorkerPools start() {
      return new WorkerPools(
          new WorkerPool(
              "decode",
              Runtime.getRuntime().availableProcessors(),
              Duration.ofSeconds(10),
              Kind.BAD_REQUEST),
          new WorkerPool("explain", 1, Duration.ofMinutes(1), Kind.DEADLINE_EXCEEDED));
    }

    @Override
    public void close() {
      decoding.close();
      explanation.close();
    }
  }

  /**
   * Compiles a network and runs it once for each batch size. The weights are copied to memory
   * first, so later changes of the file have no effect.
   */
  ServedModel(
      String name,
      String version,
      Model classifier,
      ServerOptions options,
      WorkerPools pools,
      Metrics metrics) {
    this.name = name;
    this.version = version;
    checkInput(classifier.preprocessing(), options.batching().maxBatchSize());
    ResNet network = classifier.network();
    this.classifier =
        classifier.withNetwork(network.withState(new StateDict(network.state().entries())));
    this.compile = options.compile();
    this.maxPixels = options.limits().maxPixels();
    this.pools = pools;
    this.metrics = metrics;
    this.batcher =
        new Batcher(
            name,
            Classifier.builder().compile(compile).of(this.classifier),
            inputShape(),
            options.batching(),
            metrics);
    try {
      batcher.warmUp();
    } catch (RuntimeException | Error e) {
      batcher.close();
      throw e;
    }
  }

  /** Checks the input size before memory is allocated, so that a file cannot exhaust the memory. */
  private static void checkInput(Preprocessing prepared, int batch) {
    long numbers = (long) prepared.channels() * prepared.cropHeight() * prepared.cropWidth();
    if (numbers * batch > MAX_INPUT_VALUES) {
      throw new IllegalArgumentException(
          "its input of %d × %d × %d values is too large for batches of %d: at most %,d values"
                  .formatted(
                      prepared.channels(),
                      prepared.cropHeight(),
                      prepared.cropWidth(),
                      batch,
                      MAX_INPUT_VALUES)
              + " in total; see --max-batch-size");
    }
  }

  /** Marks the model as in use until {@link #release}; returns false if it is closed. */
  boolean acquire() {
    return leases.tryAcquire();
  }

  void release() {
    leases.release();
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
   * Checks that the network has classes.
   *
   * @throws ApiException if the network has no head
   */
  void requireHead() {
    if (!hasHead()) {
      throw new ApiException(
          Kind.BAD_REQUEST,
          "'%s' has no head (fc.weight) and therefore no classes; request embeddings with POST"
                  .formatted(name)
              + " /features or the output 'embedding'");
    }
  }

  /**
   * Checks that the network predicts classes, and not numbers.
   *
   * @throws ApiException if it does not
   */
  void requireClasses() {
    requireHead();
    if (predictsNumbers()) {
      throw new ApiException(
          Kind.BAD_REQUEST,
          "'%s' predicts numbers and not classes; POST /classify returns them as 'values'"
              .formatted(name));
    }
  }

  boolean predictsNumbers() {
    return classifier.task() instanceof Task.Regression;
  }

  int[] inputShape() {
    Preprocessing prepared = classifier.preprocessing();
    return new int[] {prepared.channels(), prepared.cropHeight(), prepared.cropWidth()};
  }

  Statistics statistics() {
    return batcher.statistics();
  }

  int queuedImages() {
    return batcher.queuedImages();
  }

  /** A preprocessed image: the resized and cropped pixels, and the input tensor. */
  record Prepared(Pixels pixels, Tensor input) {}

  /**
   * Decodes and preprocesses an image.
   *
   * @param exifOrientation whether it is rotated according to its EXIF tag
   * @param deadline in {@link System#nanoTime()}
   */
  Prepared prepare(byte[] bytes, boolean exifOrientation, long deadline) {
    return pools.decoding.run(
        deadline, () -> prepare(bytes, new ImageDecoder(exifOrientation, maxPixels)));
  }

  private Prepared prepare(byte[] bytes, ImageDecoder decoder) {
    try {
      long begin = System.nanoTime();
      Pixels image = decoder.decode("the image", bytes);
      long decoded = System.nanoTime();
      Preprocessing preprocessing = classifier.preprocessing();
      Pixels pixels = preprocessing.crop(preprocessing.channels() == 1 ? image.toGray() : image);
      Tensor input = preprocessing.batch(1);
      preprocessing.normalize(pixels, input, 0);
      metrics.recordPhase(Phase.DECODE, decoded - begin);
      metrics.recordPhase(Phase.PREPROCESS, System.nanoTime() - decoded);
      return new Prepared(pixels, input);
    } catch (ImageException e) {
      throw new ApiException(
          Kind.BAD_REQUEST,
          String.valueOf(e.getMessage()).replaceFirst("^the image: ", "the image "));
    }
  }

  /** Decodes, preprocesses and queues an image; meanwhile a batch waits for it. */
  CompletableFuture<Result> run(byte[] image, boolean exifOrientation, long deadline) {
    batcher.preparationStarted();
    try {
      return batcher.submit(prepare(image, exifOrientation, deadline).input.data(), deadline);
    } finally {
      batcher.preparationEnded();
    }
  }

  /** Queues an image that the client has preprocessed, {@code [C, H, W]}. */
  CompletableFuture<Result> run(float[] image, long deadline) {
    return batcher.submit(image, deadline);
  }

  List<Prediction> top(float[] logits, int count) {
    return classifier.top(Tensor.of(logits, 1, logits.length), count).getFirst();
  }

  /**
   * Computes the heat map of a class.
   *
   * @param index the class; if empty, the most probable one
   */
  HeatMap explain(Prepared prepared, Explainer.Method method, OptionalInt index, long deadline) {
    if (index.isPresent()
        && (index.getAsInt() < 0 || index.getAsInt() >= classifier.labels().size())) {
      throw new ApiException(
          Kind.BAD_REQUEST, "class must be 0 to " + (classifier.labels().size() - 1));
    }
    return pools.explanation.run(
        deadline,
        () -> {
          long begin = System.nanoTime();
          ResNet network = classifier.network();
          HeatMap map =
              network
                  .explainer()
                  .explain(prepared.input, method, index, network.spec().lastStage(), compile);
          Batcher.checkFinite("logits", map.logits().data());
          metrics.recordPhase(Phase.EXPLAIN, System.nanoTime() - begin);
          return map;
        });
  }

  /** Waits for the requests in progress, for at most a minute. */
  @Override
  public void close() {
    try {
      if (!leases.tryAcquire(Integer.MAX_VALUE, 1, TimeUnit.MINUTES)) {
        leases.drainPermits();
      }
    } catch (InterruptedException _) {
      Thread.currentThread().interrupt();
    }
    batcher.close();
  }
}
