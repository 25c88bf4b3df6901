package io.github.resnet4j.server;

import io.github.resnet4j.server.ApiException.Kind;
import java.time.Duration;
import java.util.concurrent.Callable;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.FutureTask;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.ThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;

/**
 * A bounded pool of platform threads for CPU-bound work. Connections run on virtual threads, which
 * have one carrier thread per processor: if a few requests computed on them, all others would wait,
 * including health checks.
 */
final class WorkerPool implements AutoCloseable {
  private final ThreadPoolExecutor threads;
  private final String name;
  private final Duration timeLimit;
  private final Kind timeLimitError;

  /**
   * @param name the task, a verb; also the name of the threads
   * @param size the number of threads
   * @param timeLimit the maximum time for a task, even if its deadline is later
   * @param timeLimitError the kind of error for a task that takes longer
   */
  WorkerPool(String name, int size, Duration timeLimit, Kind timeLimitError) {
    this.name = name;
    this.timeLimit = timeLimit;
    this.timeLimitError = timeLimitError;
    this.threads =
        new ThreadPoolExecutor(
            size,
            size,
            10,
            TimeUnit.SECONDS,
            new LinkedBlockingQueue<>(),
            Thread.ofPlatform().daemon().name(name + " ", 1).factory());
    threads.allowCoreThreadTimeOut(true);
  }

  /**
   * Runs a task and waits for its result. At the deadline, a task that has not started is dropped,
   * and the thread of one that has is interrupted; this method returns without waiting for it.
   *
   * @param deadline in {@link System#nanoTime()}
   * @throws ApiException if the deadline or the time limit has passed, or if the task throws one
   */
  <T> T run(long deadline, Callable<T> task) {
    var started = new CountDownLatch(1);
    var future =
        new FutureTask<>(() -> {
          started.countDown();
          return task.call();
        });
    try {
      threads.execute(future);
      if (!started.await(deadline - System.nanoTime(), TimeUnit.NANOSECONDS)) {
        throw Batcher.deadlineExceeded();
      }
      long left = deadline - System.nanoTime();
      return future.get(Math.min(left, timeLimit.toNanos()), TimeUnit.NANOSECONDS);
    } catch (TimeoutException _) {
      throw System.nanoTime() - deadline >= 0
          ? Batcher.deadlineExceeded()
          : new ApiException(
              timeLimitError,
              "the time limit of %d s to %s it was exceeded"
                  .formatted(timeLimit.toSeconds(), name));
    } catch (InterruptedException | RejectedExecutionException e) {
      if (e instanceof InterruptedException) {
        Thread.currentThread().interrupt();
      }
      throw new ApiException(Kind.UNAVAILABLE, "the server is stopping");
    } catch (ExecutionException e) {
      switch (e.getCause()) {
        case RuntimeException cause -> throw cause;
        case Error cause -> throw cause;
        case null, default -> throw new IllegalStateException(e.getCause());
      }
    } finally {
      if (future.cancel(true)) {
        threads.remove(future); // releases the request body that it refers to
      }
    }
  }

  /** Interrupts the running tasks. */
  @Override
  public void close() {
    threads.shutdownNow();
  }
}
