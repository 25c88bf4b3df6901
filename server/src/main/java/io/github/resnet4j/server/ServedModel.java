package io.github.resnet4j.server;

import io.github.resnet4j.Classifier;
import io.github.resnet4j.Prediction;
import io.github.resnet4j.engine.CompileOptions;
import io.github.resnet4j.explain.Explainer;
import io.github.resnet4j.explain.HeatMap;
import io.github.resnet4j.image.ImageDecoder;
import io.github.resnet4j.image.ImageException;
import io.github.resnet4j.image.Pixels;
import io.github.resnet4j.image.Preprocessing;
import io.github.resnet4j.server.Batcher.Result;
import io.github.resnet4j.server.Measurements.Phase;
import io.github.resnet4j.server.Refusal.Kind;
import io.github.resnet4j.tensor.Tensor;
import java.util.List;
import java.util.OptionalInt;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Semaphore;

/** A version of a model, compiled and warm. */
final class ServedModel implements AutoCloseable {
  private final String name;
  private final String version;
  private final Classifier classifier;
  private final Batcher batcher;
  private final ImageDecoder decoder;
  private final CompileOptions compile;
  private final Measurements measurements;

  /** Pictures are decoded by as many requests as there are processors: that bounds memory too. */
  private final Semaphore decoding;

  /** Explanations keep all activations, so one at a time. */
  private final Semaphore explaining = new Semaphore(1);

  /**
   * @param decoding shared by all models
   */
  ServedModel(
      String name,
      String version,
      Classifier classifier,
      ServerOptions options,
      Semaphore decoding,
      Measurements measurements) {
    this.name = name;
    this.version = version;
    this.classifier = classifier;
    this.compile = options.compile();
    this.decoder = new ImageDecoder(false, options.limits().pixels());
    this.decoding = decoding;
    this.measurements = measurements;
    this.batcher =
        new Batcher(
            name,
            classifier.network().compile(compile.withTaps("avgpool")),
            inputShape(),
            options.batching(),
            measurements);
    batcher.warmUp();
  }

  String name() {
    return name;
  }

  String version() {
    return version;
  }

  Classifier classifier() {
    return classifier;
  }

  int[] inputShape() {
    Preprocessing prepared = classifier.preprocessing();
    return new int[] {prepared.channels(), prepared.cropHeight(), prepared.cropWidth()};
  }

  int waiting() {
    return batcher.waiting();
  }

  /** A picture, and what the network takes of it. */
  record Prepared(Pixels picture, Tensor input) {}

  /**
   * Decodes and prepares a picture.
   *
   * @param deadline in {@link System#nanoTime()}
   */
  Prepared prepare(byte[] bytes, long deadline) {
    Batcher.acquire(decoding, deadline);
    try {
      long begin = System.nanoTime();
      Pixels picture = decoder.decode("the picture", bytes);
      long decoded = System.nanoTime();
      Tensor input = classifier.preprocessing().apply(picture);
      measurements.phase(Phase.DECODE, decoded - begin);
      measurements.phase(Phase.PREPROCESS, System.nanoTime() - decoded);
      return new Prepared(picture, input);
    } catch (ImageException e) {
      throw new Refusal(
          Kind.BAD_REQUEST,
          String.valueOf(e.getMessage()).replaceFirst("^the picture: ", "the picture "));
    } finally {
      decoding.release();
    }
  }

  /** As {@link #prepare}, for a run that follows: others wait for it. */
  CompletableFuture<Result> run(byte[] picture, long deadline) {
    batcher.expect();
    try {
      return batcher.submit(prepare(picture, deadline).input.data(), deadline);
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
    Batcher.acquire(explaining, deadline);
    try {
      long begin = System.nanoTime();
      var explainer = new Explainer(classifier.network());
      HeatMap map =
          explainer.explain(prepared.input, method, index, explainer.lastStage(), compile);
      measurements.phase(Phase.EXPLAIN, System.nanoTime() - begin);
      return map;
    } finally {
      explaining.release();
    }
  }

  @Override
  public void close() {
    batcher.close();
  }
}
