package io.github.resnet4j.kernel;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;

/**
 * A mode for those who work on machine code, {@code -Dresnet4j.guard=true}: kernels get copies of
 * their operands that lie exactly between two pages without any access. A read or write beside an
 * operand then ends the JVM at that instruction. Slow; the copies are never freed. POSIX only.
 */
final class Guard {
  static final boolean ON = Boolean.getBoolean("resnet4j.guard");

  private Guard() {}

  /**
   * A thread's own copy of an array. Several threads may run kernels on parts of one array at the
   * same time, so only the words that a kernel changed are written back.
   *
   * @param segment what machine code works on
   * @param before its words when the kernel started
   */
  record Copy(MemorySegment segment, int[] before) {
    static Copy of(int words) {
      return new Copy(MachineCode.betweenForbiddenPages(4L * words), new int[words]);
    }

    /** Takes the array's content. */
    MemorySegment take(float[] values) {
      MemorySegment.copy(values, 0, segment, ValueLayout.JAVA_FLOAT_UNALIGNED, 0, values.length);
      MemorySegment.copy(segment, ValueLayout.JAVA_INT_UNALIGNED, 0, before, 0, values.length);
      return segment;
    }

    /** Writes back what has changed since. */
    void giveBack(float[] values) {
      for (int i = 0; i < before.length; i++) {
        int word = segment.get(ValueLayout.JAVA_INT_UNALIGNED, 4L * i);
        if (word != before[i]) {
          values[i] = segment.get(ValueLayout.JAVA_FLOAT_UNALIGNED, 4L * i);
        }
      }
    }
  }

  /**
   * Calls a kernel with copies of its operands: slices of arrays, each of what the kernel may
   * touch.
   */
  static void call(
      MethodHandle caller,
      MemorySegment code,
      MemorySegment[] operands,
      long first,
      long second,
      long third)
      throws Throwable {
    var copies = new MemorySegment[operands.length];
    for (int i = 0; i < copies.length; i++) {
      copies[i] = MachineCode.betweenForbiddenPages(operands[i].byteSize());
      copies[i].copyFrom(operands[i]);
    }
    caller.invokeExact(
        code, copies[0], copies[1], copies[2], copies[3], first, second, third, 0L, 0L, 0L, 0L);
    for (int i = 0; i < copies.length; i++) {
      operands[i].copyFrom(copies[i]);
    }
  }

  /** A copy of a list that never changes. */
  static MemorySegment copyOf(int[] values) {
    MemorySegment copy = MachineCode.betweenForbiddenPages(4L * values.length);
    MemorySegment.copy(values, 0, copy, ValueLayout.JAVA_INT_UNALIGNED, 0, values.length);
    return copy;
  }
}
