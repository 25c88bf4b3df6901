package io.github.resnet4j.kernel;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/**
 * A mode for whoever works on machine code, {@code -Dresnet4j.guard=true}: kernels get copies of
 * their operands that end where a page begins that nobody may touch, and begin behind another one.
 * An access beyond an operand then ends the JVM at the very instruction. Slow, and for one thread,
 * since what a kernel wrote is copied back after each call. POSIX only.
 */
final class Guard {
  static final boolean ON = Boolean.getBoolean("resnet4j.guard");

  private Guard() {}

  /** Runs what several threads may do at once to parts of one array: here one after the other. */
  static void exclusively(Runnable work) {
    if (ON) {
      synchronized (Guard.class) {
        work.run();
      }
    } else {
      work.run();
    }
  }

  /** A copy between two forbidden pages, kept as long as the process lives. */
  static MemorySegment copyOf(float[] values) {
    MemorySegment copy = MachineCode.betweenForbiddenPages(4L * values.length);
    MemorySegment.copy(values, 0, copy, ValueLayout.JAVA_FLOAT_UNALIGNED, 0, values.length);
    return copy;
  }

  static MemorySegment copyOf(int[] values) {
    MemorySegment copy = MachineCode.betweenForbiddenPages(4L * values.length);
    MemorySegment.copy(values, 0, copy, ValueLayout.JAVA_INT_UNALIGNED, 0, values.length);
    return copy;
  }
}
