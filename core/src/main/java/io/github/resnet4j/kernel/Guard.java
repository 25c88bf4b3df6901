package io.github.resnet4j.kernel;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;
import java.util.Arrays;

/**
 * A debugging mode for machine code, {@code -Dresnet4j.guard=true}: kernels get copies of their
 * operands that lie exactly between two inaccessible pages. An access outside an operand then ends
 * the JVM at that instruction. So does a kernel that changes registers of its caller ({@link
 * SavedRegisters}). Slow; the copies are never freed.
 */
final class Guard {
  static final boolean ON = Boolean.getBoolean("resnet4j.guard");

  private static final int BLOCK = 1024;

  private Guard() {}

  /**
   * A thread's copy of an array. Several threads may run kernels on different ranges of one array
   * concurrently, so only the words that a kernel changed are written back.
   *
   * @param segment the memory that machine code uses
   * @param before the words before the kernel ran
   * @param after the words after it
   */
  record Copy(MemorySegment segment, int[] before, int[] after) {
    static Copy of(int words) {
      return new Copy(MachineCode.betweenGuardPages(4L * words), new int[words], new int[words]);
    }

    /** Copies the array. */
    MemorySegment take(float[] values) {
      MemorySegment.copy(values, 0, segment, ValueLayout.JAVA_FLOAT_UNALIGNED, 0, values.length);
      MemorySegment.copy(segment, ValueLayout.JAVA_INT_UNALIGNED, 0, before, 0, values.length);
      return segment;
    }

    /** Writes the changed words back. */
    void writeBack(float[] values) {
      MemorySegment.copy(segment, ValueLayout.JAVA_INT_UNALIGNED, 0, after, 0, after.length);
      for (int from = 0; from < before.length; from += BLOCK) {
        int end = Math.min(from + BLOCK, before.length);
        if (Arrays.equals(before, from, end, after, from, end)) {
          continue; // most blocks; much faster than the loop
        }
        for (int i = from; i < end; i++) {
          if (after[i] != before[i]) {
            values[i] = Float.intBitsToFloat(after[i]);
          }
        }
      }
    }
  }

  /**
   * Calls a kernel with copies of its operands: slices of arrays, each exactly as large as the
   * kernel may access.
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
      copies[i] = MachineCode.betweenGuardPages(operands[i].byteSize());
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
    MemorySegment copy = MachineCode.betweenGuardPages(4L * values.length);
    MemorySegment.copy(values, 0, copy, ValueLayout.JAVA_INT_UNALIGNED, 0, values.length);
    return copy;
  }
}
