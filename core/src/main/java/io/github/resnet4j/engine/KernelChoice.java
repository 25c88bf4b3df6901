package io.github.resnet4j.engine;

import io.github.resnet4j.kernel.Kernels;

/** The kernels of a network. All have the same results up to rounding. */
public enum KernelChoice {
  /**
   * The fastest kernels that processor and JVM support: machine code, else vectors, else plain
   * loops.
   */
  AUTO,
  /**
   * Machine code, which needs no warm-up. Requires an x86-64 processor with AVX2 and a JVM that
   * allows native code ({@code --enable-native-access}).
   */
  MACHINE,
  /**
   * The Vector API, which needs several seconds of warm-up ({@code --add-modules
   * jdk.incubator.vector}).
   */
  VECTOR,
  /** Plain loops. */
  SCALAR;

  /**
   * Whether processor and JVM support these kernels. The first call may take a tenth of a second.
   */
  public boolean isAvailable() {
    return switch (this) {
      case AUTO, SCALAR -> true;
      case MACHINE -> Kernels.hasMachine();
      case VECTOR -> Kernels.hasVector();
    };
  }

  /**
   * The kernels.
   *
   * @throws IllegalArgumentException if they are not available, with the reason
   */
  Kernels kernels() {
    return switch (this) {
      case AUTO -> Kernels.best();
      case MACHINE -> Kernels.machine();
      case VECTOR -> Kernels.vector();
      case SCALAR -> Kernels.scalar();
    };
  }
}
