package io.github.resnet4j.kernel;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SymbolLookup;
import java.lang.invoke.MethodHandle;
import java.util.EnumSet;
import java.util.Set;

/** Optional instructions of arm64 processors that the kernels use. */
enum Arm64Feature {
  /** Products of bytes (FEAT_DotProd). */
  DOT_PRODUCT(0, 20, "hw.optional.arm.FEAT_DotProd", 43),
  /** Products of signed with unsigned bytes (FEAT_I8MM). */
  MIXED_DOT_PRODUCT(1, 13, "hw.optional.arm.FEAT_I8MM", 66),
  /** bfloat16 (FEAT_BF16). */
  BF16(1, 14, "hw.optional.arm.FEAT_BF16", 68);

  // Linux: sys/auxv.h
  private static final long AT_HWCAP = 16;
  private static final long AT_HWCAP2 = 26;

  private final int word;
  private final int bit;
  private final String sysctl;
  private final int windows;

  /**
   * @param word 0 for HWCAP, 1 for HWCAP2 of Linux
   * @param bit its bit there
   * @param sysctl its name on macOS
   * @param windows its number for IsProcessorFeaturePresent
   */
  Arm64Feature(int word, int bit, String sysctl, int windows) {
    this.word = word;
    this.bit = bit;
    this.sysctl = sysctl;
    this.windows = windows;
  }

  /** Asks the operating system. */
  static Set<Arm64Feature> detect() {
    try {
      return MachineCode.WINDOWS ? onWindows() : MachineCode.MAC ? onMac() : onLinux();
    } catch (Throwable e) {
      throw MachineCode.unexpected(e);
    }
  }

  private static Set<Arm64Feature> onLinux() throws Throwable {
    Linker linker = Linker.nativeLinker();
    MethodHandle getauxval =
        linker.downcallHandle(
            linker.defaultLookup().findOrThrow("getauxval"),
            FunctionDescriptor.of(JAVA_LONG, JAVA_LONG));
    return ofLinux((long) getauxval.invokeExact(AT_HWCAP), (long) getauxval.invokeExact(AT_HWCAP2));
  }

  /** The features that Linux reports in two words. */
  static Set<Arm64Feature> ofLinux(long hwcap, long hwcap2) {
    var found = EnumSet.noneOf(Arm64Feature.class);
    for (Arm64Feature feature : values()) {
      if (((feature.word == 0 ? hwcap : hwcap2) >> feature.bit & 1) != 0) {
        found.add(feature);
      }
    }
    return found;
  }

  private static Set<Arm64Feature> onMac() throws Throwable {
    Linker linker = Linker.nativeLinker();
    MethodHandle sysctlbyname =
        linker.downcallHandle(
            linker.defaultLookup().findOrThrow("sysctlbyname"),
            FunctionDescriptor.of(JAVA_INT, ADDRESS, ADDRESS, ADDRESS, ADDRESS, JAVA_LONG));
    var found = EnumSet.noneOf(Arm64Feature.class);
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment value = arena.allocate(JAVA_INT);
      MemorySegment size = arena.allocate(JAVA_LONG);
      for (Arm64Feature feature : values()) {
        value.set(JAVA_INT, 0, 0);
        size.set(JAVA_LONG, 0, JAVA_INT.byteSize());
        int failed =
            (int)
                sysctlbyname.invokeExact(
                    arena.allocateFrom(feature.sysctl), value, size, MemorySegment.NULL, 0L);
        if (failed == 0 && value.get(JAVA_INT, 0) != 0) {
          found.add(feature);
        }
      }
    }
    return found;
  }

  private static Set<Arm64Feature> onWindows() throws Throwable {
    MethodHandle isPresent =
        Linker.nativeLinker()
            .downcallHandle(
                SymbolLookup.libraryLookup("kernel32", Arena.global())
                    .findOrThrow("IsProcessorFeaturePresent"),
                FunctionDescriptor.of(JAVA_INT, JAVA_INT));
    var found = EnumSet.noneOf(Arm64Feature.class);
    for (Arm64Feature feature : values()) {
      if ((int) isPresent.invokeExact(feature.windows) != 0) {
        found.add(feature);
      }
    }
    return found;
  }
}
