package io.github.resnet4j.kernel;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/**
 * An array as kernels take it: beside it, made once and not at each call, the segment by which
 * machine code is given its address.
 */
public final class Floats {
  final float[] values;
  private final MemorySegment segment;

  private Floats(float[] values) {
    this.values = values;
    this.segment = Guard.ON ? Guard.copyOf(values) : MemorySegment.ofArray(values);
  }

  /** Wraps an array without copying it. */
  public static Floats of(float[] values) {
    return new Floats(values);
  }

  /** What machine code works on, until {@link #leave}. */
  MemorySegment enter() {
    if (Guard.ON) {
      MemorySegment.copy(values, 0, segment, ValueLayout.JAVA_FLOAT_UNALIGNED, 0, values.length);
    }
    return segment;
  }

  /** Makes what machine code wrote the array's content. */
  void leave() {
    leave(0, values.length);
  }

  /** The same where it wrote only so many floats. */
  void leave(int from, int count) {
    if (Guard.ON) {
      MemorySegment.copy(segment, ValueLayout.JAVA_FLOAT_UNALIGNED, 4L * from, values, from, count);
    }
  }

  /** The array itself. */
  public float[] values() {
    return values;
  }
}
