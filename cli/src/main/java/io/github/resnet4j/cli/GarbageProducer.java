package io.github.resnet4j.cli;

import java.util.concurrent.locks.LockSupport;
import org.jspecify.annotations.Nullable;

/** A thread that allocates 1 GB per second, until it is closed. */
final class GarbageProducer implements AutoCloseable {
  private static final int ARRAY_BYTES = 1 << 14;
  private static final int ARRAYS_PER_MILLISECOND = 64;

  /** The arrays of the last milliseconds are alive, so that each collection has some to copy. */
  private final byte[] @Nullable [] alive = new byte[4096][];

  private final Thread thread = Thread.ofPlatform().daemon().name("garbage").start(this::produce);
  private volatile boolean closed;

  private void produce() {
    for (int i = 0; !closed; i++) {
      alive[i % alive.length] = new byte[ARRAY_BYTES];
      if (i % ARRAYS_PER_MILLISECOND == 0) {
        LockSupport.parkNanos(1_000_000);
      }
    }
  }

  @Override
  public void close() {
    closed = true;
  }
}
