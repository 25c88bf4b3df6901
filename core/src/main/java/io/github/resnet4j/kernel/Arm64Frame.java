package io.github.resnet4j.kernel;

import io.github.resnet4j.kernel.Arm64Assembler.X;

/**
 * A function's stack frame on arm64 (Procedure Call Standard for the Arm 64-bit Architecture,
 * section 6). The first eight parameters are in x0 to x7 and the others in memory. Free are x0 to
 * x17, x19 to x22 and all vector registers; x18 belongs to the operating system.
 */
final class Arm64Frame {
  /** x19 to x22, and d8 to d15. */
  private static final int SAVED = 96;

  private final Arm64VectorAssembler code;

  private Arm64Frame(Arm64VectorAssembler code) {
    this.code = code;
  }

  static Arm64Frame enter(Arm64VectorAssembler code) {
    code.btiC();
    code.add(X.SP, X.SP, -SAVED);
    code.stp(X.X19, X.X20, X.SP, 0);
    code.stp(X.X21, X.X22, X.SP, 16);
    for (int i = 0; i < 8; i += 2) {
      code.stpD(Vec.xmm(8 + i), Vec.xmm(9 + i), X.SP, 32 + 8 * i);
    }
    return new Arm64Frame(code);
  }

  /** Loads a parameter, from the ninth (8) on. */
  void parameter(X to, int index) {
    code.ldr(to, X.SP, SAVED + 8 * (index - 8));
  }

  void leave() {
    for (int i = 0; i < 8; i += 2) {
      code.ldpD(Vec.xmm(8 + i), Vec.xmm(9 + i), X.SP, 32 + 8 * i);
    }
    code.ldp(X.X21, X.X22, X.SP, 16);
    code.ldp(X.X19, X.X20, X.SP, 0);
    code.add(X.SP, X.SP, SAVED);
    code.ret();
  }
}
