package io.github.resnet4j.kernel;

import static io.github.resnet4j.kernel.MachineCode.check;
import static io.github.resnet4j.kernel.MachineCode.unexpected;
import static io.github.resnet4j.kernel.VectorCode.at;

import io.github.resnet4j.kernel.Assembler.Label;
import io.github.resnet4j.kernel.VectorCode.Gpr;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;

/** {@link Kernels#prefetch} in machine code, line by line. */
final class MachinePrefetch {
  private static final MethodHandle CALLER = MachineCode.caller(1, 2);

  private static final int CACHE_LINE = 64;

  /** The words of a line. */
  private static final int WORDS = CACHE_LINE / Float.BYTES;

  /** The number of lines per call: at most 20 µs, since the garbage collector waits for it. */
  private static final int MAX_LINES_PER_CALL = 4096;

  private record Constants(boolean forWriting) {}

  private final MemorySegment code;

  MachinePrefetch(boolean forWriting, Target target, MachineCache cache) {
    this.code = cache.get(new Constants(forWriting), () -> code(target.function(), forWriting));
  }

  /** Starts to load words. */
  void run(Floats memory, int at, int words) {
    check(memory, at, (long) at + words);
    if (Guard.ON) {
      return; // reads and writes nothing, so there is nothing to guard
    }
    int lines = Math.ceilDiv(words, WORDS);
    for (int i = 0; i < lines; i += MAX_LINES_PER_CALL) {
      try {
        CALLER.invokeExact(
            code,
            memory.enter(),
            4L * (at + i * WORDS),
            (long) Math.min(MAX_LINES_PER_CALL, lines - i));
      } catch (Throwable e) {
        throw unexpected(e);
      }
    }
  }

  /** Parameters: memory, the offset in bytes, the number of lines. */
  private static byte[] code(VectorCode code, boolean forWriting) {
    final Gpr line = Gpr.A0;
    final Gpr count = Gpr.A2;
    code.enter(0);
    code.add(line, Gpr.A1);
    var next = new Label();
    code.bind(next);
    if (forWriting) {
      code.prefetchForWriting(at(line, 0));
    } else {
      code.prefetch(at(line, 0));
    }
    code.add(line, CACHE_LINE);
    code.loop(count, next);
    code.leave();
    return code.code();
  }
}
