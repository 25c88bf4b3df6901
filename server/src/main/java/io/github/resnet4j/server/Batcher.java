package io.github.resnet4j.server;

import io.github.resnet4j.Classifier;
import io.github.resnet4j.server.Refusal.Kind;
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
 * Lets requests share runs of a network. One thread takes what waits, at most so many images, and
 * runs it. The first image waits for others only while there are some on their way: a client alone
 * is never kept waiting. Who went away or is too late is passed over.
 */
final class Batcher implements AutoCloseable {
  /**
   * What an image came to.
   *
   * @param logits of its classes; none from a network without a head
   * @param embedding the last stage's mean over all pixels
   * @param batch images of the run
   * @param queueNanos until the run began
   * @param runNanos of the run
   * @param endNanos when it ended, in {@link System#nanoTime()}
   */
  @SuppressWarnings("ArrayRecordComponent")
  record Result(
      float[] logits,
      float[] embedding,
      int batch,
      long queueNanos,
      long runNanos,
      long endNanos) {}

  private record Waiting(
      float[] image, long since, long deadline, CompletableFuture<Result> result) {}

  private static final long LOOK_NANOS = TimeUnit.MILLISECONDS.toNanos(50);

  private final Classifier classifier;
  private final int[] shape;
  private final int most;
  private final long delay;
  private final Measurements measurements;
  private final ReentrantLock lock = new ReentrantLock();
  private final Condition changed = lock.newCondition();
  private final ArrayDeque<Waiting> queue = new ArrayDeque<>();
  private final AtomicInteger coming = new AtomicInteger();
  private final Thread thread;
  private boolean closing;

  /**
   * @param classifier closed with this
   * @param shape of an image, {@code [C, H, W]}
   */
  Batcher(
      String name,
      Classifier classifier,
      int[] shape,
      ServerOptions.Batching options,
      Measurements measurements) {
    this.classifier = classifier;
    this.shape = shape.clone();
    this.most = options.most();
    this.delay = options.delay().toNanos();
    this.measurements = measurements;
    this.thread = Thread.ofPlatform().name("batches of " + name).start(this::work);
  }

  /** Runs every number of images once, so that the first requests find all plans compiled. */
  void warmUp() {
    for (int n = 1; n <= most; n++) {
      Tensor x = Tensor.zeros(n, shape[0], shape[1], shape[2]);
      classifier.run(x);
    }
  }

  /** Says that an image is being prepared: worth waiting for. */
  void expect() {
    coming.incrementAndGet();
  }

  /** Says that it does not come, or came. */
  void arrived() {
    coming.decrementAndGet();
    lock.lock();
    try {
      changed.signal();
    } finally {
      lock.unlock();
    }
  }

  /**
   * Asks for a run.
   *
   * @param image {@code [C, H, W]}, prepared
   * @param deadline in {@link System#nanoTime()}
   * @return cancel it to give the place up
   */
  CompletableFuture<Result> submit(float[] image, long deadline) {
    var result = new CompletableFuture<Result>();
    lock.lock();
    try {
      if (closing) {
        throw new Refusal(Kind.NOT_READY, "the model is being unloaded");
      }
      queue.add(new Waiting(image, System.nanoTime(), deadline, result));
      changed.signal();
    } finally {
      lock.unlock();
    }
    return result;
  }

  /**
   * Waits for results. A client that went away meanwhile, or the deadline, gives their places up.
   *
   * @param deadline in {@link System#nanoTime()}
   * @param isGone whether nobody waits any more; asked from time to time
   */
  static List<Result> await(
      List<CompletableFuture<Result>> futures, long deadline, BooleanSupplier isGone) {
    var results = new ArrayList<Result>();
    try {
      for (CompletableFuture<Result> future : futures) {
        while (!future.isDone()) {
          long rest = deadline - System.nanoTime();
          if (rest <= 0) {
            throw tooLate();
          }
          if (isGone.getAsBoolean()) {
            throw new Refusal(Kind.GONE, "the client went away");
          }
          try {
            future.get(Math.min(rest, LOOK_NANOS), TimeUnit.NANOSECONDS);
          } catch (TimeoutException _) {
            // look again
          }
        }
        results.add(future.get());
      }
      return results;
    } catch (ExecutionException e) {
      if (e.getCause() instanceof Refusal refusal) {
        throw refusal;
      }
      throw new IllegalStateException(e.getCause());
    } catch (InterruptedException _) {
      Thread.currentThread().interrupt();
      throw new Refusal(Kind.NOT_READY, "the server is stopping");
    } finally {
      futures.forEach(future -> future.cancel(false));
    }
  }

  int waiting() {
    lock.lock();
    try {
      return queue.size();
    } finally {
      lock.unlock();
    }
  }

  private void work() {
    while (true) {
      List<Waiting> batch;
      try {
        batch = next();
      } catch (InterruptedException _) {
        return;
      }
      if (batch.isEmpty()) {
        return;
      }
      run(batch);
    }
  }

  /** The images of the next run; none if there are to be no more. */
  private List<Waiting> next() throws InterruptedException {
    var batch = new ArrayList<Waiting>();
    lock.lockInterruptibly();
    try {
      long until = 0;
      while (true) {
        while (batch.size() < most && queue.poll() instanceof Waiting waiting) {
          if (waiting.result.isDone()) {
            continue; // cancelled
          }
          if (System.nanoTime() - waiting.deadline > 0) {
            waiting.result.completeExceptionally(tooLate());
            continue;
          }
          batch.add(waiting);
          until = batch.getFirst().since + delay;
        }
        if (batch.isEmpty()) {
          if (closing) {
            return batch;
          }
          changed.await();
        } else {
          long rest = until - System.nanoTime();
          if (batch.size() == most || coming.get() == 0 || rest <= 0 || closing) {
            return batch;
          }
          changed.awaitNanos(rest);
        }
      }
    } finally {
      lock.unlock();
    }
  }

  static Refusal tooLate() {
    return new Refusal(Kind.TOO_LATE, "the deadline passed before there was a result");
  }

  private void run(List<Waiting> batch) {
    try {
      long begin = System.nanoTime();
      int size = Tensor.sizeOf(shape);
      Tensor x = Tensor.zeros(batch.size(), shape[0], shape[1], shape[2]);
      for (int i = 0; i < batch.size(); i++) {
        System.arraycopy(batch.get(i).image, 0, x.data(), i * size, size);
      }
      Classifier.Outputs outputs = classifier.run(x);
      long end = System.nanoTime();
      long took = end - begin;
      measurements.ran(batch.size(), Duration.ofNanos(took));
      for (int i = 0; i < batch.size(); i++) {
        int n = i;
        Waiting waiting = batch.get(n);
        var result =
            new Result(
                outputs.logits().map(logits -> logits.row(n)).orElseGet(() -> new float[0]),
                outputs.embeddings().row(n),
                batch.size(),
                begin - waiting.since,
                took,
                end);
        try {
          checkFinite("logits", result.logits);
          checkFinite("embedding", result.embedding);
          waiting.result.complete(result);
        } catch (Refusal refusal) {
          waiting.result.completeExceptionally(refusal);
        }
      }
    } catch (RuntimeException | Error e) {
      batch.forEach(waiting -> waiting.result.completeExceptionally(e));
    }
  }

  /** Neither JSON nor a client's code has a place for what is no number. */
  static void checkFinite(String output, float[] numbers) {
    int found = notFinite(numbers);
    if (found >= 0) {
      throw new Refusal(
          Kind.FAILED,
          "the model's %s are not finite: %s at %d; its weights or this input make it overflow"
              .formatted(output, numbers[found], found));
    }
  }

  /** Where the first number is that is not finite; -1 if there is none. */
  static int notFinite(float[] numbers) {
    for (int i = 0; i < numbers.length; i++) {
      if (!Float.isFinite(numbers[i])) {
        return i;
      }
    }
    return -1;
  }

  /** Runs what waits, then stops. */
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
