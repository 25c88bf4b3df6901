package io.github.resnet4j.kernel;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import io.github.resnet4j.kernel.Arm64Assembler.X;
import io.github.resnet4j.kernel.Assembler.Condition;
import io.github.resnet4j.kernel.Assembler.Label;
import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SymbolLookup;
import java.lang.invoke.MethodHandle;

/**
 * On arm64, instructions that were written as data must be cleaned from the data cache before they
 * run, and older contents of the instruction cache be discarded (Arm Architecture Reference Manual,
 * B2.4.4). macOS and Windows have functions for it. Linux has none in libc, so a routine in machine
 * code does it; the routine itself is coherent, since Linux cleans a page when it becomes
 * executable for the first time.
 */
final class InstructionCache {
  private static final long CURRENT_PROCESS = -1;

  /** With the parameters address and number of bytes, on Windows also the process. */
  private static final MethodHandle FLUSH = flush();

  private InstructionCache() {}

  private static MethodHandle flush() {
    Linker linker = Linker.nativeLinker();
    if (MachineCode.WINDOWS) {
      return linker.downcallHandle(
          SymbolLookup.libraryLookup("kernel32", Arena.global())
              .findOrThrow("FlushInstructionCache"),
          FunctionDescriptor.of(JAVA_INT, JAVA_LONG, ADDRESS, JAVA_LONG));
    }
    MemorySegment function =
        MachineCode.MAC
            ? linker.defaultLookup().findOrThrow("sys_icache_invalidate")
            : MachineCode.installCoherent(routine());
    return linker.downcallHandle(function, FunctionDescriptor.ofVoid(ADDRESS, JAVA_LONG));
  }

  /** Makes code that was just written executable by all processors. */
  static void flush(MemorySegment code) throws Throwable {
    if (MachineCode.WINDOWS) {
      int done = (int) FLUSH.invokeExact(CURRENT_PROCESS, code, code.byteSize());
      if (done == 0) {
        throw new UnsupportedOperationException("the instruction cache cannot be flushed");
      }
    } else {
      FLUSH.invokeExact(code, code.byteSize());
    }
  }

  /** A function of an address and a number of bytes. */
  static byte[] routine() {
    final X from = X.X0;
    final X end = X.X1;
    var code = new Arm64Assembler();
    code.btiC();
    code.add(end, end, from);
    code.mrsCtr(X.X2);
    forEachLine(code, 16, from, end, true);
    code.dsbIsh();
    forEachLine(code, 0, from, end, false);
    code.dsbIsh();
    code.isb();
    code.ret();
    return code.code();
  }

  /**
   * @param bit where X2 has the logarithm of the number of words of a line
   */
  private static void forEachLine(Arm64Assembler code, int bit, X from, X end, boolean data) {
    final X line = X.X3;
    final X address = X.X4;
    code.ubfx(line, X.X2, bit, 4);
    code.mov(address, 4);
    code.lsl(line, address, line);
    code.mov(address, from); // code starts with a page
    var again = new Label();
    code.bind(again);
    if (data) {
      code.dcCvau(address);
    } else {
      code.icIvau(address);
    }
    code.add(address, address, line);
    code.cmp(address, end);
    code.b(Condition.LESS, again);
  }
}
