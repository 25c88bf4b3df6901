package io.github.resnet4j.engine.step;

import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.locks.LockSupport;
import org.jspecify.annotations.Nullable;

/**
 * Threads that execute one task together and synchronize at barriers within it. Waiting threads
 * spin, since a step of a network takes microseconds; if there are more threads than cores, they
 * soon offer their core to the threads that they wait for. Between tasks they sleep after a short
 * time. The calling thread is worker 0. One task at a time.
 */
public final class Workers implements AutoCloseable {
  /**
   * The number of spins before a waiting thread yields: about a millisecond. A thread that yields
   * earlier may lose its core to another program for several milliseconds.
   */
  private static final int SPINS = 1 << 14;

  /** The same with more threads than cores: some thread can only run if this one yields. */
  private static final int SPINS_OF_TOO_MANY = 1 << 9;

  /** How often a thread without a task yields before it sleeps. */
  private static final int YIELDS = 1 << 10;

  /** A task that all workers execute. */
  public interface Task {
    void run(int worker);
  }

  private final int size;
  private final int maxSpins;
  private final Thread[] threads;
  private final AtomicInteger arrived = new AtomicInteger();
  private final AtomicInteger working = new AtomicInteger();
  private volatile int generation;
  private volatile int round;
  private volatile boolean closed;
  private volatile @Nullable Throwable failure;
  private @Nullable Task task;

  public Workers(int size) {
    this.size = size;
    this.maxSpins = size > Runtime.getRuntime().availableProcessors() ? SPINS_OF_TOO_MANY : SPINS;
    this.threads = new Thread[size - 1];
    for (int i = 0; i < threads.length; i++) {
      int worker = i + 1;
      threads[i] =
          Thread.ofPlatform()
              .daemon()
              .name("resnet4j-worker-" + worker)
              .start(() -> waitForTasks(worker));
    }
  }

  public int size() {
    return size;
  }

  /** Executes the task once on every worker and returns when all have finished. */
  public void run(Task newTask) {
    if (closed) {
      throw new IllegalStateException("the session is closed");
    }
    task = newTask;
    failure = null;
    arrived.set(0);
    working.set(size);
    round++;
    for (Thread thread : threads) {
      LockSupport.unpark(thread);
    }
    execute(0);
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

  /** Waits until every worker of the running task has reached this barrier. */
  public void barrier() {
    int now = generation;
    if (arrived.incrementAndGet() == size) {
      arrived.set(0);
      generation = now + 1;
      return;
    }
    for (int spins = 0; generation == now; spins++) {
      if (failure != null) {
        throw new IllegalStateException("another thread failed");
      }
      pause(spins);
    }
  }

  private void pause(int spins) {
    if (spins < maxSpins) {
      Thread.onSpinWait();
    } else {
      Thread.yield(); // more threads than cores, or other programs run
    }
  }

  private void waitForTasks(int worker) {
    int last = 0;
    while (true) {
      for (int spins = 0; round == last && !closed; spins++) {
        if (spins < maxSpins || (maxSpins < SPINS && spins < maxSpins + YIELDS)) {
          pause(spins);
        } else {
          LockSupport.park(this);
        }
      }
      if (closed) {
        return;
      }
      last = round;
      execute(worker);
    }
  }

  private void execute(int worker) {
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
