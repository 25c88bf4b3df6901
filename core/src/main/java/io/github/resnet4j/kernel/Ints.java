package io.github.resnet4j.kernel;

import java.lang.foreign.MemorySegment;

/**
 * A list of numbers that never changes and knows its extremes (zero is among them), so that where a
 * kernel is about to read and write can be checked for the whole list at once.
 */
public final class Ints {
  final int[] values;
  final MemorySegment segment;
  final int least;
  final int most;

  private Ints(int[] values) {
    this.values = values;
    this.segment = Guard.ON ? Guard.copyOf(values) : MemorySegment.ofArray(values);
    int low = 0;
    int high = 0;
    for (int value : values) {
      low = Math.min(low, value);
      high = Math.max(high, value);
    }
    this.least = low;
    this.most = high;
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
