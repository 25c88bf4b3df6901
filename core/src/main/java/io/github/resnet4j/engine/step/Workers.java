package io.github.resnet4j.engine.step;

import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.locks.LockSupport;
import org.jspecify.annotations.Nullable;

/**
 * Threads that work on one task together and meet at barriers within it. They spin while a meeting
 * is near, since a step of a network takes microseconds; between tasks they go to sleep after a
 * moment. The calling thread is worker 0. One task at a time.
 */
public final class Workers implements AutoCloseable {
  /** Turns of a spin before a waiting thread lets others have its core. */
  private static final int SPINS = 1 << 14;

  /** What a team does together. */
  public interface Task {
    void run(int worker);
  }

  private final int size;
  private final Thread[] threads;
  private final AtomicInteger arrived = new AtomicInteger();
  private final AtomicInteger working = new AtomicInteger();
  private volatile int meeting;
  private volatile int round;
  private volatile boolean closed;
  private volatile @Nullable Throwable failure;
  private @Nullable Task task;

  public Workers(int size) {
    this.size = size;
    this.threads = new Thread[size - 1];
    for (int i = 0; i < threads.length; i++) {
      int worker = i + 1;
      threads[i] =
          Thread.ofPlatform().daemon().name("resnet4j-worker-" + worker).start(() -> serve(worker));
    }
  }

  public int size() {
    return size;
  }

  /** Runs the task once on every worker and returns when all are done. */
  public void run(Task what) {
    if (closed) {
      throw new IllegalStateException("the session is closed");
    }
    task = what;
    failure = null;
    arrived.set(0);
    working.set(size);
    round++;
    for (Thread thread : threads) {
      LockSupport.unpark(thread);
    }
    work(0);
    for (int spins = 0; working.get() > 0; spins++) {
      pause(spins);
    }
    task = null;
    Throwable thrown = failure;
    switch (thrown) {
      case null -> {}
      case RuntimeException e -> throw e;
      case Error e -> throw e;
      default -> throw new IllegalStateException(thrown);
    }
  }

  /** Waits until every worker of the running task has come here. */
  public void meet() {
    int now = meeting;
    if (arrived.incrementAndGet() == size) {
      arrived.set(0);
      meeting = now + 1;
      return;
    }
    for (int spins = 0; meeting == now; spins++) {
      if (failure != null) {
        throw new IllegalStateException("another thread failed");
      }
      pause(spins);
    }
  }

  private static void pause(int spins) {
    if (spins < SPINS) {
      Thread.onSpinWait();
    } else {
      Thread.yield(); // more threads than cores
    }
  }

  private void serve(int worker) {
    int last = 0;
    while (true) {
      for (int spins = 0; round == last && !closed; spins++) {
        if (spins < SPINS) {
          Thread.onSpinWait();
        } else {
          LockSupport.park(this);
        }
      }
      if (closed) {
        return;
      }
      last = round;
      work(worker);
    }
  }

  private void work(int worker) {
    try {
      java.util.Objects.requireNonNull(task).run(worker);
    } catch (RuntimeException | Error e) {
      if (failure == null) {
        failure = e;
      }
    } finally {
      working.decrementAndGet();
    }
  }

  @Override
  public void close() {
    closed = true;
    for (Thread thread : threads) {
      LockSupport.unpark(thread);
    }
  }
}
