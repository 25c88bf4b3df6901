package io.github.resnet4j.kernel;

import java.lang.foreign.MemorySegment;
import org.jspecify.annotations.Nullable;

/**
 * An array as kernels take it: beside it, made once and not at each call, the segment by which
 * machine code is given its address.
 */
public final class Floats {
  final float[] values;
  private final MemorySegment segment;

  /** In guard mode, and null otherwise. */
  private final @Nullable ThreadLocal<Guard.Copy> copies;

  private Floats(float[] values) {
    this.values = values;
    this.segment = MemorySegment.ofArray(values);
    this.copies = Guard.ON ? ThreadLocal.withInitial(() -> Guard.Copy.of(values.length)) : null;
  }

  /** Wraps an array without copying it. */
  public static Floats of(float[] values) {
    return new Floats(values);
  }

  /** What machine code works on, until {@link #leave}. */
  MemorySegment enter() {
    return copies == null ? segment : copies.get().take(values);
  }

  /** Makes what machine code wrote the array's content. */
  void leave() {
    if (copies != null) {
      copies.get().giveBack(values);
    }
  }

  /** The array itself. */
  public float[] values() {
    return values;
  }
}
