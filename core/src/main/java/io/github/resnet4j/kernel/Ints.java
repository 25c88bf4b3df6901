package io.github.resnet4j.kernel;

import java.lang.foreign.MemorySegment;

/**
 * An immutable list of integers with its minimum and maximum (at most and at least zero), so that
 * all accesses of a kernel can be checked at once.
 */
public final class Ints {
  final int[] values;
  final MemorySegment segment;
  final int min;
  final int max;

  private Ints(int[] values) {
    this.values = values;
    this.segment = Guard.ON ? Guard.copyOf(values) : MemorySegment.ofArray(values);
    int low = 0;
    int high = 0;
    for (int value : values) {
      low = Math.min(low, value);
      high = Math.max(high, value);
    }
    this.min = low;
    this.max = high;
  }

  /** A copy of the values. */
  public static Ints of(int... values) {
    return new Ints(values.clone());
  }

  public int get(int index) {
    return values[index];
  }

  public int size() {
    return values.length;
  }
}
