package io.github.resnet4j.server;

import io.github.resnet4j.server.Refusal.Kind;
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
 * Platform threads, bounded in number, for what keeps a processor busy. Connections live on virtual
 * threads, which share one carrier for each processor: a few requests that calculate there would
 * keep all others waiting, health checks among them.
 */
final class Workers implements AutoCloseable {
  private final ThreadPoolExecutor threads;
  private final String what;
  private final Duration longest;
  private final Kind tooLong;

  /**
   * @param what they do: the name of the threads
   * @param most how many there are
   * @param longest time that a piece of work gets, however far its deadline is
   * @param tooLong what is said of one that takes longer
   */
  Workers(String what, int most, Duration longest, Kind tooLong) {
    this.what = what;
    this.longest = longest;
    this.tooLong = tooLong;
    this.threads =
        new ThreadPoolExecutor(
            most,
            most,
            10,
            TimeUnit.SECONDS,
            new LinkedBlockingQueue<>(),
            Thread.ofPlatform().daemon().name(what + " ", 1).factory());
    threads.allowCoreThreadTimeOut(true);
  }

  /**
   * Waits until work is done. At the deadline, work that has not begun is dropped, and the thread
   * of work that has is interrupted; this returns at once, whatever the work does.
   *
   * @param deadline in {@link System#nanoTime()}
   * @throws Refusal if the deadline passed, or the time for it, or the work threw one
   */
  <T> T run(long deadline, Callable<T> work) {
    var begun = new CountDownLatch(1);
    var task =
        new FutureTask<>(() -> {
          begun.countDown();
          return work.call();
        });
    try {
      threads.execute(task);
      if (!begun.await(deadline - System.nanoTime(), TimeUnit.NANOSECONDS)) {
        throw Batcher.tooLate();
      }
      long left = deadline - System.nanoTime();
      return task.get(Math.min(left, longest.toNanos()), TimeUnit.NANOSECONDS);
    } catch (TimeoutException _) {
      throw System.nanoTime() - deadline >= 0
          ? Batcher.tooLate()
          : new Refusal(
              tooLong, "to %s it takes more than %d s".formatted(what, longest.toSeconds()));
    } catch (InterruptedException | RejectedExecutionException e) {
      if (e instanceof InterruptedException) {
        Thread.currentThread().interrupt();
      }
      throw new Refusal(Kind.NOT_READY, "the server is stopping");
    } catch (ExecutionException e) {
      switch (e.getCause()) {
        case RuntimeException cause -> throw cause;
        case Error cause -> throw cause;
        case null, default -> throw new IllegalStateException(e.getCause());
      }
    } finally {
      if (task.cancel(true)) {
        threads.remove(task); // with the body that it holds
      }
    }
  }

  /** Ends what still runs. */
  @Override
  public void close() {
    threads.shutdownNow();
  }
}
