package io.github.resnet4j.kernel;

import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.IntConsumer;

/**
 * A fixed number of threads that execute the iterations of one loop at a time. The calling thread
 * takes part, so a team of one starts no thread. Thread-safe.
 */
public final class Team implements AutoCloseable {
  private final int size;
  private final ExecutorService others;

  /**
   * @param size the number of threads of a loop, including the caller; at least 1
   */
  public Team(int size) {
    if (size < 1) {
      throw new IllegalArgumentException("threads must be at least 1, was " + size);
    }
    this.size = size;
    this.others =
        Executors.newFixedThreadPool(
            Math.max(1, size - 1),
            Thread.ofPlatform().daemon().name("resnet4j-team-", 1).factory());
  }

  /** A team with one thread for each core available to the JVM (and its container). */
  public static Team ofAllCores() {
    return new Team(Runtime.getRuntime().availableProcessors());
  }

  public int size() {
    return size;
  }

  /**
   * Runs {@code body} once for every index in [0, count) and returns when all have finished. The
   * first exception thrown by a body ends the loop and is rethrown. A body must not use the team
   * itself: it would deadlock.
   */
  public void forEach(int count, IntConsumer body) {
    int helpers = Math.min(size, count) - 1;
    var next = new AtomicInteger();
    var failure = new AtomicReference<RuntimeException>();
    Runnable share =
        () -> {
          try {
            for (int i; (i = next.getAndIncrement()) < count; ) {
              body.accept(i);
            }
          } catch (RuntimeException e) {
            failure.compareAndSet(null, e);
            next.set(count);
          } catch (Error e) {
            failure.compareAndSet(null, new IllegalStateException(e));
            next.set(count);
          }
        };
    var done = new CountDownLatch(Math.max(0, helpers));
    for (int i = 0; i < helpers; i++) {
      others.execute(() -> {
        share.run();
        done.countDown();
      });
    }
    share.run();
    boolean interrupted = false;
    while (true) {
      try {
        done.await();
        break;
      } catch (InterruptedException e) {
        interrupted = true; // the other threads still read the caller's arrays: finish first
      }
    }
    if (interrupted) {
      Thread.currentThread().interrupt();
    }
    RuntimeException thrown = failure.get();
    if (thrown != null) {
      throw thrown;
    }
  }

  /** Ends the threads. */
  @Override
  public void close() {
    others.shutdown();
  }
}
