package io.github.resnet4j.kernel;

import java.lang.foreign.MemorySegment;
import java.util.Arrays;

/**
 * An immutable list of integers with its minimum and maximum (zero if it is empty), so that all
 * accesses of a kernel can be checked at once.
 */
public final class Ints {
  final int[] values;
  final MemorySegment segment;
  final int min;
  final int max;

  private Ints(int[] values) {
    this.values = values;
    this.segment = Guard.ON ? Guard.copyOf(values) : MemorySegment.ofArray(values);
    this.min = Arrays.stream(values).min().orElse(0);
    this.max = Arrays.stream(values).max().orElse(0);
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
