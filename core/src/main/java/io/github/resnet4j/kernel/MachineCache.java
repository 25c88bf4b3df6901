package io.github.resnet4j.kernel;

import java.lang.foreign.MemorySegment;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.Supplier;

/** The machine code of all kernels of one provider: what differs in nothing is written once. */
final class MachineCache {
  private final ConcurrentHashMap<Record, MemorySegment> codes = new ConcurrentHashMap<>();

  /**
   * Code that can be executed.
   *
   * @param constants all that the code depends on, as a record of a type that its family owns
   * @param code writes it
   */
  MemorySegment get(Record constants, Supplier<byte[]> code) {
    return codes.computeIfAbsent(constants, _ -> MachineCode.install(code.get()));
  }
}
