package io.github.resnet4j.kernel;

import java.lang.foreign.MemorySegment;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.Supplier;

/** The machine code of all kernels of one provider: equal code is generated once. */
final class MachineCache {
  private final ConcurrentHashMap<Record, MemorySegment> codes = new ConcurrentHashMap<>();

  /**
   * Returns executable code.
   *
   * @param constants all constants of the code, as a record of a type that belongs to its family
   * @param code generates the code
   */
  MemorySegment get(Record constants, Supplier<byte[]> code) {
    return codes.computeIfAbsent(constants, _ -> MachineCode.install(code.get()));
  }
}
