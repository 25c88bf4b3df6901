package io.github.resnet4j.kernel;

import java.lang.foreign.MemorySegment;

/**
 * An array as kernels take it: beside it, made once and not at each call, the segment by which
 * machine code is given its address.
 */
public final class Floats {
  final float[] values;
  final MemorySegment segment;

  private Floats(float[] values) {
    this.values = values;
    this.segment = MemorySegment.ofArray(values);
  }

  /** Wraps an array without copying it. */
  public static Floats of(float[] values) {
    return new Floats(values);
  }

  /** The array itself. */
  public float[] values() {
    return values;
  }
}
