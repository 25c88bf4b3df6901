package io.github.resnet4j.kernel;

import io.github.resnet4j.kernel.Vec.Width;
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
