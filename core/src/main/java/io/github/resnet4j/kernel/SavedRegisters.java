package io.github.resnet4j.kernel;

import static io.github.resnet4j.kernel.Assembler.mem;

import io.github.resnet4j.kernel.Arm64Assembler.X;
import io.github.resnet4j.kernel.Assembler.Condition;
import io.github.resnet4j.kernel.Assembler.Label;
import io.github.resnet4j.kernel.Assembler.Reg;
import java.util.Arrays;
import java.util.List;
import java.util.Random;

/**
 * Checks in guard mode that kernels preserve the registers that belong to their caller. The JVM
 * would continue with wrong values, and fail much later. A function around each kernel fills these
 * registers with known bits, calls the kernel, and executes an undefined instruction, which ends
 * the JVM, if one of them has changed.
 */
final class SavedRegisters {
  /** Words of parameters on the stack, at least as many as any kernel has. */
  private static final int PARAMETERS = 21;

  private static final List<Reg> SYSTEM_V =
      List.of(Reg.RBX, Reg.RBP, Reg.R12, Reg.R13, Reg.R14, Reg.R15);
  private static final List<Reg> WINDOWS =
      List.of(Reg.RBX, Reg.RBP, Reg.R12, Reg.R13, Reg.R14, Reg.R15, Reg.RDI, Reg.RSI);

  private SavedRegisters() {}

  /** A function with a kernel's parameters that calls it and checks the registers. */
  static byte[] checked(byte[] kernel) {
    return MachineCode.ARM64 ? arm64(kernel) : x86(kernel, MachineCode.WINDOWS);
  }

  /** On Windows, xmm6 to xmm15 belong to the caller too. */
  static byte[] x86(byte[] kernel, boolean windows) {
    List<Reg> saved = windows ? WINDOWS : SYSTEM_V;
    int vectors = windows ? 10 : 0;
    var code = new VectorAssembler(Vec.Width.YMM);
    var bits = new Label();
    var changed = new Label();
    var body = new Label();
    code.endbr64();
    saved.forEach(code::push);
    int frame = 8 * PARAMETERS + 16 * vectors;
    code.sub(Reg.RSP, frame);
    for (int i = 0; i < vectors; i++) {
      code.vmovups(mem(Reg.RSP, 8 * PARAMETERS + 16 * i), Vec.xmm(6 + i));
    }
    int parameters = frame + 8 * saved.size() + 8; // after the return address
    for (int i = 0; i < PARAMETERS; i++) {
      code.mov(Reg.RAX, mem(Reg.RSP, parameters + 8 * i));
      code.mov(mem(Reg.RSP, 8 * i), Reg.RAX);
    }
    code.lea(Reg.R11, bits);
    for (int i = 0; i < saved.size(); i++) {
      code.mov(saved.get(i), mem(Reg.R11, 8 * i));
    }
    for (int i = 0; i < vectors; i++) {
      code.vmovups(Vec.xmm(6 + i), mem(Reg.R11, 64 + 16 * i));
    }

    code.call(body);

    code.lea(Reg.R11, bits);
    for (int i = 0; i < saved.size(); i++) {
      code.mov(Reg.RAX, mem(Reg.R11, 8 * i));
      code.cmp(Reg.RAX, saved.get(i));
      code.jump(Condition.NOT_EQUAL, changed);
    }
    for (int i = 0; i < vectors; i++) {
      code.vmovups(mem(Reg.RSP), Vec.xmm(6 + i));
      for (int half = 0; half < 16; half += 8) {
        code.mov(Reg.RAX, mem(Reg.RSP, half));
        code.mov(Reg.R10, mem(Reg.R11, 64 + 16 * i + half));
        code.cmp(Reg.RAX, Reg.R10);
        code.jump(Condition.NOT_EQUAL, changed);
      }
    }
    for (int i = 0; i < vectors; i++) {
      code.vmovups(Vec.xmm(6 + i), mem(Reg.RSP, 8 * PARAMETERS + 16 * i));
    }
    code.add(Reg.RSP, frame);
    saved.reversed().forEach(code::pop);
    code.ret();

    code.bind(changed);
    code.ud2();
    code.align(64);
    code.bind(bits);
    code.words(new Random(1).ints(32 + 8 * vectors).toArray());
    code.align(64);
    code.bind(body);
    return join(code.code(), kernel);
  }

  /** x19 to x29 and d8 to d15. */
  static byte[] arm64(byte[] kernel) {
    final X expected = X.X9;
    final X actual = X.X10;
    List<X> saved = List.of(X.values()).subList(X.X19.ordinal(), X.X30.ordinal());
    long[] bits = new Random(1).longs(saved.size()).toArray();
    int firstVector = 8 * PARAMETERS + 8 * (saved.size() + 1);
    int frame = Math.ceilDiv(firstVector + 64, 16) * 16;
    var code = new Arm64VectorAssembler();
    var changed = new Label();
    var body = new Label();
    code.btiC();
    code.add(X.SP, X.SP, -frame);
    for (int i = 0; i < PARAMETERS; i++) {
      code.ldr(expected, X.SP, frame + 8 * i);
      code.str(expected, X.SP, 8 * i);
    }
    for (int i = 0; i < saved.size(); i++) {
      code.str(saved.get(i), X.SP, 8 * (PARAMETERS + i));
      code.mov(saved.get(i), bits[i]);
    }
    code.str(X.X30, X.SP, 8 * (PARAMETERS + saved.size()));
    for (int i = 0; i < 8; i++) {
      if (i % 2 == 0) {
        code.stpD(Vec.xmm(8 + i), Vec.xmm(9 + i), X.SP, firstVector + 8 * i);
      }
      code.dup4s(Vec.xmm(8 + i), saved.get(i));
    }

    code.bl(body);

    for (int i = 0; i < saved.size(); i++) {
      code.mov(expected, bits[i]);
      code.cmp(expected, saved.get(i));
      code.b(Condition.NOT_EQUAL, changed);
    }
    for (int i = 0; i < 8; i++) {
      code.stpD(Vec.xmm(8 + i), Vec.xmm(8 + i), X.SP, 0);
      code.ldr(actual, X.SP, 0);
      int half = (int) bits[i];
      code.mov(expected, (long) half << 32 | half & 0xFFFF_FFFFL);
      code.cmp(expected, actual);
      code.b(Condition.NOT_EQUAL, changed);
    }
    for (int i = 0; i < 8; i += 2) {
      code.ldpD(Vec.xmm(8 + i), Vec.xmm(9 + i), X.SP, firstVector + 8 * i);
    }
    for (int i = 0; i < saved.size(); i++) {
      code.ldr(saved.get(i), X.SP, 8 * (PARAMETERS + i));
    }
    code.ldr(X.X30, X.SP, 8 * (PARAMETERS + saved.size()));
    code.add(X.SP, X.SP, frame);
    code.ret();

    code.bind(changed);
    code.udf();
    code.align(64);
    code.bind(body);
    return join(code.code(), kernel);
  }

  private static byte[] join(byte[] first, byte[] second) {
    byte[] both = Arrays.copyOf(first, first.length + second.length);
    System.arraycopy(second, 0, both, first.length, second.length);
    return both;
  }
}
