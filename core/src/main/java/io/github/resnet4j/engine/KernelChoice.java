package io.github.resnet4j.engine;

import io.github.resnet4j.kernel.Kernels;

/** What runs underneath a network. All give the same results up to rounding. */
public enum KernelChoice {
  /** The fastest that processor and JVM offer: machine code, else vectors, else plain loops. */
  AUTO,
  /**
   * Machine code, which needs no warm-up. Needs an x86-64 processor with AVX2 and a JVM that lets
   * native code run ({@code --enable-native-access}).
   */
  MACHINE,
  /** The Vector API, which warms up for seconds ({@code --add-modules jdk.incubator.vector}). */
  VECTOR,
  /** Plain loops. */
  SCALAR;

  /** Whether processor and JVM offer it. The first call may take a tenth of a second. */
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
   * @throws IllegalArgumentException if they are not available; says why
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
