package io.github.resnet4j.kernel;

import java.lang.foreign.MemorySegment;
import org.jspecify.annotations.Nullable;

/**
 * An array for kernels, together with the memory segment that passes its address to machine code;
 * the segment is created only once.
 */
public final class Floats {
  final float[] values;
  private final MemorySegment segment;

  /** Only in guard mode, else null. */
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

  /** The memory that machine code uses, until {@link #leave}. */
  MemorySegment enter() {
    return copies == null ? segment : copies.get().take(values);
  }

  /** Copies what machine code wrote to the array, in guard mode. */
  void leave() {
    if (copies != null) {
      copies.get().writeBack(values);
    }
  }

  /** The array itself. */
  public float[] values() {
    return values;
  }
}
