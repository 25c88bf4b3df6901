package io.github.resnet4j.kernel;

import io.github.resnet4j.kernel.Vec.Width;
import java.util.function.Predicate;
import java.util.function.Supplier;

/**
 * A processor for which kernels are generated.
 *
 * @param width the vector length
 * @param functions starts a new function
 */
record Target(Width width, Supplier<VectorCode> functions) {
  static Target x86(Width width) {
    return new Target(width, () -> new X86Code(width));
  }

  static Target arm64() {
    return new Target(Width.XMM, Arm64Code::new);
  }

  /** The same processor with vectors of half the length, if it has them. */
  Target half() {
    return width == Width.ZMM ? x86(Width.YMM) : this;
  }

  /**
   * Whether code can load a format as floats, and store floats in it.
   *
   * @param supports whether the processor has instructions for a format
   */
  boolean converts(Format format, Predicate<Format> supports) {
    return switch (format) {
      case FP32, ROUNDED -> true;
      case BF16 -> supports.test(format);
      case U8, S8 -> width != Width.XMM; // not written for arm64
      case S16 -> false;
    };
  }

  VectorCode function() {
    return functions.get();
  }

  int lanes() {
    return width.lanes();
  }

  /** The number of vector registers. */
  int registers() {
    return width == Width.YMM ? 16 : 32;
  }

  /**
   * Checks that a block consists of whole vectors.
   *
   * @throws IllegalArgumentException if it does not, or is longer than any block
   */
  void checkBlock(int block) {
    MachineKernels.checkBlock(block, width);
  }
}
