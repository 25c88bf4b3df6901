package io.github.resnet4j.server;

import io.github.resnet4j.Classifier;
import io.github.resnet4j.messages.Events;
import io.github.resnet4j.server.ApiException.Kind;
import io.github.resnet4j.tensor.Tensor;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.ReentrantLock;
import java.util.function.BooleanSupplier;

/**
 * Dynamic batching: one thread takes the queued images, up to the maximum batch size, and runs the
 * network on them. The first image of a batch waits for others only while some are being decoded,
 * so a single client never waits. Images of disconnected clients and images past their deadline are
 * dropped.
 */
final class Batcher implements AutoCloseable {
  /**
   * The result of one image.
   *
   * @param logits one per class; empty if the network has no head
   * @param embedding the last stage's output, averaged over all pixels
   * @param batchSize the number of images in the batch
   * @param queueNanos the time in the queue, in nanoseconds
   * @param inferenceNanos the time of the batch, in nanoseconds
   * @param endNanos when the batch ended, in {@link System#nanoTime()}
   */
  @SuppressWarnings("ArrayRecordComponent")
  record Result(
      float[] logits,
      float[] embedding,
      int batchSize,
      long queueNanos,
      long inferenceNanos,
      long endNanos) {}

  private record QueuedImage(
      float[] image, long queuedAt, long deadline, CompletableFuture<Result> result) {}

  private static final long POLL_NANOS = TimeUnit.MILLISECONDS.toNanos(50);

  private final String name;
  private final Classifier classifier;
  private final int[] shape;
  private final int maxBatchSize;
  private final long maxBatchDelay;
  private final Metrics metrics;
  private final Statistics statistics = new Statistics();
  private final ReentrantLock lock = new ReentrantLock();
  private final Condition changed = lock.newCondition();
  private final ArrayDeque<QueuedImage> queue = new ArrayDeque<>();
  private final AtomicInteger preparing = new AtomicInteger();
  private final Thread thread;
  private boolean closing;

  /**
   * @param classifier the model; closed with this batcher
   * @param shape the shape of an image, {@code [C, H, W]}
   */
  Batcher(
      String name,
      Classifier classifier,
      int[] shape,
      ServerOptions.Batching options,
      Metrics metrics) {
    this.name = name;
    this.classifier = classifier;
    this.shape = shape.clone();
    this.maxBatchSize = options.maxBatchSize();
    this.maxBatchDelay = options.maxBatchDelay().toNanos();
    this.metrics = metrics;
    this.thread = Thread.ofPlatform().name("batches of " + name).start(this::runBatches);
  }

  /** Runs every batch size once, so that all plans are compiled before the first request. */
  void warmUp() {
    for (int n = 1; n <= maxBatchSize; n++) {
      Tensor x = Tensor.zeros(n, shape[0], shape[1], shape[2]);
      classifier.run(x);
    }
  }

  /** Announces an image that is being decoded, so that a batch waits for it. */
  void preparationStarted() {
    preparing.incrementAndGet();
  }

  /** Ends what {@link #preparationStarted} announced, whether the image was submitted or not. */
  void preparationEnded() {
    preparing.decrementAndGet();
    lock.lock();
    try {
      changed.signal();
    } finally {
      lock.unlock();
    }
  }

  /**
   * Queues an image.
   *
   * @param image the preprocessed image, {@code [C, H, W]}
   * @param deadline in {@link System#nanoTime()}
   * @return its result; cancel it to remove the image from the queue
   */
  CompletableFuture<Result> submit(float[] image, long deadline) {
    var result = new CompletableFuture<Result>();
    lock.lock();
    try {
      if (closing) {
        throw new ApiException(Kind.UNAVAILABLE, "the model is being unloaded");
      }
      queue.add(new QueuedImage(image, System.nanoTime(), deadline, result));
      changed.signal();
    } finally {
      lock.unlock();
    }
    return result;
  }

  /**
   * Waits for results. If the client disconnects or the deadline passes, the remaining images are
   * removed from the queue.
   *
   * @param deadline in {@link System#nanoTime()}
   * @param isDisconnected whether the client has disconnected; polled while waiting
   */
  static List<Result> await(
      List<CompletableFuture<Result>> futures, long deadline, BooleanSupplier isDisconnected) {
    var results = new ArrayList<Result>();
    try {
      for (CompletableFuture<Result> future : futures) {
        while (!future.isDone()) {
          long rest = deadline - System.nanoTime();
          if (rest <= 0) {
            throw deadlineExceeded();
          }
          if (isDisconnected.getAsBoolean()) {
            throw new ApiException(Kind.CLIENT_DISCONNECTED, "the client disconnected");
          }
          try {
            future.get(Math.min(rest, POLL_NANOS), TimeUnit.NANOSECONDS);
          } catch (TimeoutException _) {
            // poll again
          }
        }
        results.add(future.get());
      }
      return results;
    } catch (ExecutionException e) {
      if (e.getCause() instanceof ApiException error) {
        throw error;
      }
      throw new IllegalStateException(e.getCause());
    } catch (InterruptedException _) {
      Thread.currentThread().interrupt();
      throw new ApiException(Kind.UNAVAILABLE, "the server is stopping");
    } finally {
      futures.forEach(future -> future.cancel(false));
    }
  }

  Statistics statistics() {
    return statistics;
  }

  int queuedImages() {
    lock.lock();
    try {
      return queue.size();
    } finally {
      lock.unlock();
    }
  }

  private void runBatches() {
    while (true) {
      List<QueuedImage> batch;
      try {
        batch = nextBatch();
      } catch (InterruptedException _) {
        return;
      }
      if (batch.isEmpty()) {
        return;
      }
      runBatch(batch);
    }
  }

  /** Waits for the next batch; empty if the batcher is closed. */
  private List<QueuedImage> nextBatch() throws InterruptedException {
    var batch = new ArrayList<QueuedImage>();
    lock.lockInterruptibly();
    try {
      long until = 0;
      while (true) {
        while (batch.size() < maxBatchSize && queue.poll() instanceof QueuedImage queued) {
          if (queued.result.isDone()) {
            continue; // cancelled
          }
          if (System.nanoTime() - queued.deadline > 0) {
            queued.result.completeExceptionally(deadlineExceeded());
            continue;
          }
          batch.add(queued);
          until = batch.getFirst().queuedAt + maxBatchDelay;
        }
        if (batch.isEmpty()) {
          if (closing) {
            return batch;
          }
          changed.await();
        } else {
          long rest = until - System.nanoTime();
          if (batch.size() == maxBatchSize || preparing.get() == 0 || rest <= 0 || closing) {
            return batch;
          }
          changed.awaitNanos(rest);
        }
      }
    } finally {
      lock.unlock();
    }
  }

  static ApiException deadlineExceeded() {
    return new ApiException(
        Kind.DEADLINE_EXCEEDED, "the deadline passed before the result was ready");
  }

  private void runBatch(List<QueuedImage> batch) {
    BatchEvent event = Events.AVAILABLE ? BatchEvent.started() : null;
    try {
      long begin = System.nanoTime();
      int size = Tensor.sizeOf(shape);
      Tensor x = Tensor.zeros(batch.size(), shape[0], shape[1], shape[2]);
      for (int i = 0; i < batch.size(); i++) {
        System.arraycopy(batch.get(i).image, 0, x.data(), i * size, size);
      }
      Classifier.Outputs outputs = classifier.run(x);
      long end = System.nanoTime();
      long nanos = end - begin;
      if (event != null) {
        event.model = name;
        event.batchSize = batch.size();
        event.queueTime = begin - batch.getFirst().queuedAt;
        event.commit();
      }
      metrics.recordBatch(batch.size(), Duration.ofNanos(nanos));
      statistics.recordBatch(batch.size(), nanos);
      for (int i = 0; i < batch.size(); i++) {
        int n = i;
        QueuedImage queued = batch.get(n);
        var result =
            new Result(
                outputs.logits().map(logits -> logits.row(n)).orElseGet(() -> new float[0]),
                outputs.embeddings().row(n),
                batch.size(),
                begin - queued.queuedAt,
                nanos,
                end);
        try {
          checkFinite("logits", result.logits);
          checkFinite("embedding", result.embedding);
          queued.result.complete(result);
        } catch (ApiException error) {
          queued.result.completeExceptionally(error);
        }
      }
    } catch (RuntimeException | Error e) {
      batch.forEach(queued -> queued.result.completeExceptionally(e));
    }
  }

  /** Throws if a value is NaN or infinite: JSON cannot represent them. */
  static void checkFinite(String output, float[] numbers) {
    int found = firstNonFinite(numbers);
    if (found >= 0) {
      throw new ApiException(
          Kind.INTERNAL,
          "the model's output '%s' contains %s at index %d; its weights or this input cause overflow"
              .formatted(output, numbers[found], found));
    }
  }

  /** The index of the first NaN or infinite value; -1 if there is none. */
  static int firstNonFinite(float[] numbers) {
    for (int i = 0; i < numbers.length; i++) {
      if (!Float.isFinite(numbers[i])) {
        return i;
      }
    }
    return -1;
  }

  /** Runs the queued images, then stops. */
  @Override
  public void close() {
    lock.lock();
    try {
      closing = true;
      changed.signal();
    } finally {
      lock.unlock();
    }
    try {
      if (!thread.join(Duration.ofMinutes(1))) {
        thread.interrupt();
        thread.join(TimeUnit.SECONDS.toMillis(5));
      }
    } catch (InterruptedException _) {
      Thread.currentThread().interrupt();
    }
    classifier.close();
  }
}
