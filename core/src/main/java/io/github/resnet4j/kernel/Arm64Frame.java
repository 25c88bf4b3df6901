package io.github.resnet4j.kernel;

import io.github.resnet4j.kernel.Arm64Assembler.X;

/**
 * A function's stack frame on arm64 (Procedure Call Standard for the Arm 64-bit Architecture,
 * section 6). The first eight parameters are in x0 to x7, the others in memory; x6 and x7 are
 * stored there too. Free are x0 to x17, x19 to x22 and all vector registers; x18 belongs to the
 * operating system.
 */
final class Arm64Frame {
  /** x6 and x7, x19 to x22, and d8 to d15. */
  private static final int SAVED = 112;

  private static final int REGISTERS = 8;

  private final Arm64VectorAssembler code;
  private final int scratch;

  private Arm64Frame(Arm64VectorAssembler code, int scratch) {
    this.code = code;
    this.scratch = scratch;
  }

  static Arm64Frame enter(Arm64VectorAssembler code) {
    return enter(code, 0);
  }

  /**
   * Starts a function.
   *
   * @param scratch bytes of memory that it needs for itself, a multiple of 16 below 4096
   */
  static Arm64Frame enter(Arm64VectorAssembler code, int scratch) {
    code.btiC();
    code.add(X.SP, X.SP, -SAVED);
    code.stp(X.X19, X.X20, X.SP, 0);
    code.stp(X.X21, X.X22, X.SP, 16);
    for (int i = 0; i < 8; i += 2) {
      code.stpD(Vec.xmm(8 + i), Vec.xmm(9 + i), X.SP, 32 + 8 * i);
    }
    code.stp(X.X6, X.X7, X.SP, 96);
    if (scratch > 0) {
      code.add(X.SP, X.SP, -scratch);
    }
    return new Arm64Frame(code, scratch);
  }

  /** Where a parameter is, from the seventh (6) on. */
  private int place(int index) {
    return scratch + (index < REGISTERS ? SAVED - 16 + 8 * (index - 6) : SAVED + 8 * (index - 8));
  }

  /** Loads a parameter. */
  void parameter(X to, int index) {
    code.ldr(to, X.SP, place(index));
  }

  /** Changes a parameter in memory. */
  void setParameter(int index, X from) {
    code.str(from, X.SP, place(index));
  }

  void leave() {
    if (scratch > 0) {
      code.add(X.SP, X.SP, scratch);
    }
    for (int i = 0; i < 8; i += 2) {
      code.ldpD(Vec.xmm(8 + i), Vec.xmm(9 + i), X.SP, 32 + 8 * i);
    }
    code.ldp(X.X21, X.X22, X.SP, 16);
    code.ldp(X.X19, X.X20, X.SP, 0);
    code.add(X.SP, X.SP, SAVED);
    code.ret();
  }
}
