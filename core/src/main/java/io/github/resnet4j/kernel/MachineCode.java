package io.github.resnet4j.kernel;

import static io.github.resnet4j.kernel.Assembler.mem;
import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import io.github.resnet4j.kernel.Assembler.Reg;
import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemoryLayout;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SymbolLookup;
import java.lang.invoke.MethodHandle;
import java.util.Arrays;
import java.util.EnumSet;
import java.util.Locale;
import java.util.Optional;
import java.util.Set;

/**
 * Executable memory, processor features and calling conventions. No other class accesses memory
 * outside Java's checks.
 *
 * <p>Memory is never writable and executable at the same time: it is written, then protected. It is
 * never freed, since kernels are generated once for each shape.
 */
final class MachineCode {
  static final boolean WINDOWS =
      System.getProperty("os.name", "").toLowerCase(Locale.ROOT).startsWith("windows");
  static final boolean MAC =
      System.getProperty("os.name", "").toLowerCase(Locale.ROOT).startsWith("mac");

  /** Whether this is an arm64 processor, with a JVM for it. */
  static final boolean ARM64 = System.getProperty("os.arch", "").equals("aarch64");

  /** A multiple of the size of every system's pages; those of arm64 have up to 64 kB. */
  private static final long PAGE = ARM64 ? 65_536 : 4096;

  // POSIX: sys/mman.h
  private static final int PROT_NONE = 0;
  private static final int PROT_READ = 1;
  private static final int PROT_WRITE = 2;
  private static final int PROT_EXEC = 4;
  private static final int MAP_PRIVATE = 2;
  private static final int MAP_ANONYMOUS = MAC ? 0x1000 : 0x20;

  // Windows: memoryapi.h
  private static final int MEM_COMMIT_AND_RESERVE = 0x3000;
  private static final int PAGE_NOACCESS = 1;
  private static final int PAGE_READWRITE = 4;
  private static final int PAGE_EXECUTE_READ = 0x20;

  private MachineCode() {}

  // --- executable memory ------------------------------------------------------------------------

  /**
   * Copies code to executable memory.
   *
   * @throws UnsupportedOperationException if the system provides no such memory
   */
  static MemorySegment install(byte[] code) {
    byte[] whole = Guard.ON ? SavedRegisters.checked(code) : code;
    MemorySegment memory = installCoherent(whole);
    if (ARM64) {
      try {
        InstructionCache.flush(memory.asSlice(0, whole.length));
      } catch (Throwable e) {
        throw unexpected(e);
      }
    }
    return memory;
  }

  /** {@link #install} for processors whose instruction cache follows the data cache. */
  static MemorySegment installCoherent(byte[] code) {
    long size = Math.ceilDiv(code.length, PAGE) * PAGE;
    try {
      MemorySegment memory = (WINDOWS ? Windows.allocate(size) : Posix.allocate(size));
      if (!ARM64) { // there, zeros are no instruction
        memory.fill((byte) 0xCC); // int3: stops execution past the end
      }
      MemorySegment.copy(code, 0, memory, JAVA_BYTE, 0, code.length);
      if (WINDOWS) {
        Windows.seal(memory);
      } else {
        Posix.seal(memory);
      }
      return memory;
    } catch (Throwable e) {
      throw unexpected(e);
    }
  }

  /**
   * Memory that ends at the start of an inaccessible page, with another inaccessible page before
   * it.
   *
   * @throws UnsupportedOperationException if the system provides no such memory
   */
  static MemorySegment betweenGuardPages(long size) {
    long pages = Math.ceilDiv(size, PAGE) * PAGE;
    try {
      long total = pages + 2 * PAGE;
      MemorySegment memory = WINDOWS ? Windows.allocate(total) : Posix.allocate(total);
      for (long page : new long[] {0, PAGE + pages}) {
        MemorySegment guard = memory.asSlice(page, PAGE);
        boolean done =
            WINDOWS ? Windows.protect(guard, PAGE_NOACCESS) : Posix.protect(guard, PROT_NONE);
        if (!done) {
          throw new UnsupportedOperationException("the system provides no inaccessible memory");
        }
      }
      return memory.asSlice(PAGE + pages - size, size);
    } catch (Throwable e) {
      throw unexpected(e);
    }
  }

  private static MethodHandle function(SymbolLookup library, String name, FunctionDescriptor type) {
    return Linker.nativeLinker().downcallHandle(library.findOrThrow(name), type);
  }

  private static final class Posix {
    private static final SymbolLookup LIBC = Linker.nativeLinker().defaultLookup();
    private static final MethodHandle MMAP =
        function(
            LIBC,
            "mmap",
            FunctionDescriptor.of(
                JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_INT, JAVA_INT, JAVA_INT, JAVA_LONG));
    private static final MethodHandle MPROTECT =
        function(LIBC, "mprotect", FunctionDescriptor.of(JAVA_INT, JAVA_LONG, JAVA_LONG, JAVA_INT));

    static MemorySegment allocate(long size) throws Throwable {
      long address =
          (long)
              MMAP.invokeExact(
                  0L, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0L);
      if (address == -1) {
        throw new UnsupportedOperationException("the system provides no memory for machine code");
      }
      return MemorySegment.ofAddress(address).reinterpret(size);
    }

    static void seal(MemorySegment memory) throws Throwable {
      if (!protect(memory, PROT_READ | PROT_EXEC)) {
        throw new UnsupportedOperationException("the system does not allow executable memory");
      }
    }

    static boolean protect(MemorySegment memory, int access) throws Throwable {
      return (int) MPROTECT.invokeExact(memory.address(), memory.byteSize(), access) == 0;
    }
  }

  private static final class Windows {
    private static final SymbolLookup KERNEL32 =
        SymbolLookup.libraryLookup("kernel32", Arena.global());
    private static final MethodHandle VIRTUAL_ALLOC =
        function(
            KERNEL32,
            "VirtualAlloc",
            FunctionDescriptor.of(JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_INT, JAVA_INT));
    private static final MethodHandle VIRTUAL_PROTECT =
        function(
            KERNEL32,
            "VirtualProtect",
            FunctionDescriptor.of(JAVA_INT, JAVA_LONG, JAVA_LONG, JAVA_INT, ADDRESS));

    static MemorySegment allocate(long size) throws Throwable {
      long address =
          (long) VIRTUAL_ALLOC.invokeExact(0L, size, MEM_COMMIT_AND_RESERVE, PAGE_READWRITE);
      if (address == 0) {
        throw new UnsupportedOperationException("the system provides no memory for machine code");
      }
      return MemorySegment.ofAddress(address).reinterpret(size);
    }

    static void seal(MemorySegment memory) throws Throwable {
      if (!protect(memory, PAGE_EXECUTE_READ)) {
        throw new UnsupportedOperationException("the system does not allow executable memory");
      }
    }

    static boolean protect(MemorySegment memory, int access) throws Throwable {
      try (Arena arena = Arena.ofConfined()) {
        MemorySegment before = arena.allocate(JAVA_INT);
        return (int)
                VIRTUAL_PROTECT.invokeExact(memory.address(), memory.byteSize(), access, before)
            != 0;
      }
    }
  }

  // --- calls ------------------------------------------------------------------------------------

  /**
   * A handle for functions with pointers to Java arrays, then longs; its first argument is the
   * code. Calls must be short, since the garbage collector waits for them.
   */
  static MethodHandle caller(int pointers, int longs) {
    MemoryLayout[] parameters = new MemoryLayout[pointers + longs];
    for (int i = 0; i < parameters.length; i++) {
      parameters[i] = i < pointers ? ADDRESS : JAVA_LONG;
    }
    return Linker.nativeLinker()
        .downcallHandle(FunctionDescriptor.ofVoid(parameters), Linker.Option.critical(true));
  }

  /** Checks that a range is within an array; kernels make no other checks. */
  static void check(Floats array, long from, long end) {
    int size = array.values.length;
    if (from < 0 || from > size || end > size) {
      throw new IndexOutOfBoundsException("[%d, %d) of %d floats".formatted(from, end, size));
    }
  }

  /** Converts what a method handle's call can throw. */
  static RuntimeException unexpected(Throwable e) {
    return switch (e) {
      case RuntimeException runtime -> runtime;
      case Error error -> throw error;
      default -> new IllegalStateException(e);
    };
  }

  /**
   * A function's stack frame. With every calling convention, the first six parameters are in RDI,
   * RSI, RDX, RCX, R8 and R9 and the others in {@link #parameter}; all other registers are free.
   */
  static final class Frame {
    private static final Reg[] SAVED = {
      Reg.RBX, Reg.RBP, Reg.R12, Reg.R13, Reg.R14, Reg.R15, Reg.RDI, Reg.RSI
    };
    private static final int SYSTEM_V_SAVED = 6; // the first of them
    private static final int XMM_BYTES = 160; // xmm6 to xmm15 are callee-saved on Windows

    private final VectorAssembler code;
    private final boolean windows;
    private final boolean vectors;

    private Frame(VectorAssembler code, boolean windows, boolean vectors) {
      this.code = code;
      this.windows = windows;
      this.vectors = vectors;
    }

    /** Starts a function that uses vectors. */
    static Frame enter(VectorAssembler code) {
      return enter(code, WINDOWS, true);
    }

    static Frame enter(VectorAssembler code, boolean windows, boolean vectors) {
      var frame = new Frame(code, windows, vectors);
      code.endbr64();
      for (int i = 0; i < frame.saved(); i++) {
        code.push(SAVED[i]);
      }
      if (windows) {
        code.sub(Reg.RSP, XMM_BYTES);
        for (int i = 0; vectors && i < 10; i++) {
          code.vmovups(mem(Reg.RSP, 16 * i), Vec.xmm(6 + i));
        }
        code.mov(Reg.RDI, Reg.RCX);
        code.mov(Reg.RSI, Reg.RDX);
        code.mov(Reg.RDX, Reg.R8);
        code.mov(Reg.RCX, Reg.R9);
        code.mov(Reg.R8, frame.parameter(4));
        code.mov(Reg.R9, frame.parameter(5));
      }
      return frame;
    }

    private int saved() {
      return windows ? SAVED.length : SYSTEM_V_SAVED;
    }

    /** The memory operand of a parameter, from the seventh (6) on. */
    Assembler.Mem parameter(int index) {
      int pushed = 8 * saved() + 8; // and the return address
      // Windows reserves space for its first four parameters, although they are in registers.
      return windows
          ? mem(Reg.RSP, XMM_BYTES + pushed + 8 * index)
          : mem(Reg.RSP, pushed + 8 * (index - 6));
    }

    void leave() {
      if (vectors) {
        code.vzeroupper();
      }
      if (windows) {
        for (int i = 0; vectors && i < 10; i++) {
          code.vmovups(Vec.xmm(6 + i), mem(Reg.RSP, 16 * i));
        }
        code.add(Reg.RSP, XMM_BYTES);
      }
      for (int i = saved() - 1; i >= 0; i--) {
        code.pop(SAVED[i]);
      }
      code.ret();
    }
  }

  // --- features ---------------------------------------------------------------------------------

  /** Features of the processor that the operating system supports. */
  enum Feature {
    /** AVX2 and FMA: vectors of 256 bits. */
    AVX2,
    /** Products of bytes in 256-bit vectors. */
    AVX_VNNI,
    /** AVX-512F, BW and VL: vectors of 512 bits. */
    AVX512,
    AVX512_VNNI,
    AVX512_BF16,
    /** Matrices of bfloat16; see {@link #permitMatrices}. */
    AMX_BF16,
    /** Matrices of bytes; see {@link #permitMatrices}. */
    AMX_INT8
  }

  /**
   * The reason why machine code is not available, or empty. It checks only Java's settings and
   * calls no native code.
   */
  static Optional<String> obstacle() {
    if (!ARM64
        && !System.getProperty("os.arch", "").equals("amd64")
        && !System.getProperty("os.arch", "").equals("x86_64")) {
      return Optional.of("it requires an x86-64 or arm64 processor");
    }
    if (!MachineCode.class.getModule().isNativeAccessEnabled()) {
      return Optional.of("start Java with --enable-native-access=%s".formatted(moduleName()));
    }
    return Optional.empty();
  }

  private static String moduleName() {
    Module module = MachineCode.class.getModule();
    return module.isNamed() ? module.getName() : "ALL-UNNAMED";
  }

  /**
   * Reads the features of the processor and checks that the operating system saves the registers.
   */
  static Set<Feature> features() {
    var features = EnumSet.noneOf(Feature.class);
    if (cpuid(0, 0)[0] < 7) {
      return features;
    }
    int[] leaf1 = cpuid(1, 0);
    int[] leaf7 = cpuid(7, 0);
    boolean fma = bit(leaf1[2], 12);
    boolean osxsave = bit(leaf1[2], 27);
    boolean avx = bit(leaf1[2], 28);
    if (!fma || !osxsave || !avx || !bit(leaf7[1], 5)) {
      return features;
    }
    int kept = xgetbv();
    if ((kept & 0b110) != 0b110) { // xmm, upper halves of ymm
      return features;
    }
    int more = leaf7[0] >= 1 ? cpuid(7, 1)[0] : 0;
    features.add(Feature.AVX2);
    if (bit(more, 4)) {
      features.add(Feature.AVX_VNNI);
    }
    // opmask, upper halves of zmm0-15, zmm16-31
    boolean zmm = (kept & 0b1110_0000) == 0b1110_0000;
    if (zmm && bit(leaf7[1], 16) && bit(leaf7[1], 30) && bit(leaf7[1], 31)) {
      features.add(Feature.AVX512);
      if (bit(leaf7[2], 11)) {
        features.add(Feature.AVX512_VNNI);
      }
      if (bit(more, 5)) {
        features.add(Feature.AVX512_BF16);
      }
      boolean matrices = (kept & 0b11 << 17) == 0b11 << 17 && bit(leaf7[3], 24);
      if (matrices && bit(leaf7[3], 22)) {
        features.add(Feature.AMX_BF16);
      }
      if (matrices && bit(leaf7[3], 25)) {
        features.add(Feature.AMX_INT8);
      }
    }
    return features;
  }

  /**
   * Asks the operating system to save matrix registers, which Linux does only for processes that
   * ask for it.
   *
   * @return whether kernels may use these registers; always false on other systems
   */
  static boolean permitMatrices() {
    return System.getProperty("os.name", "").equals("Linux") && Linux.permitMatrices();
  }

  private static final class Linux {
    // asm/unistd_64.h, asm/prctl.h
    private static final long SYS_ARCH_PRCTL = 158;
    private static final long ARCH_REQ_XCOMP_PERM = 0x1023;
    private static final long XFEATURE_XTILEDATA = 18;
    private static final MethodHandle SYSCALL =
        Linker.nativeLinker()
            .downcallHandle(
                Linker.nativeLinker().defaultLookup().findOrThrow("syscall"),
                FunctionDescriptor.of(JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG),
                Linker.Option.firstVariadicArg(1));

    static boolean permitMatrices() {
      try {
        return (long) SYSCALL.invokeExact(SYS_ARCH_PRCTL, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA)
            == 0;
      } catch (Throwable e) {
        throw unexpected(e);
      }
    }
  }

  private static boolean bit(int word, int bit) {
    return (word >> bit & 1) != 0;
  }

  /** EAX, EBX, ECX, EDX. */
  private static int[] cpuid(int leaf, int subleaf) {
    var code = new VectorAssembler(Vec.Width.YMM);
    Frame frame = Frame.enter(code, WINDOWS, false);
    code.mov(Reg.R8, Reg.RDI);
    code.mov(Reg.RAX, Reg.RSI);
    code.mov(Reg.RCX, Reg.RDX);
    code.cpuid();
    code.mov(mem(Reg.R8, 0), Reg.RAX);
    code.mov(mem(Reg.R8, 8), Reg.RBX);
    code.mov(mem(Reg.R8, 16), Reg.RCX);
    code.mov(mem(Reg.R8, 24), Reg.RDX);
    frame.leave();
    long[] registers = ask(code, leaf, subleaf);
    return Arrays.stream(registers).mapToInt(register -> (int) register).toArray();
  }

  private static int xgetbv() {
    var code = new VectorAssembler(Vec.Width.YMM);
    Frame frame = Frame.enter(code, WINDOWS, false);
    code.mov(Reg.R8, Reg.RDI);
    code.mov(Reg.RCX, 0);
    code.xgetbv();
    code.mov(mem(Reg.R8, 0), Reg.RAX);
    frame.leave();
    return (int) ask(code, 0, 0)[0];
  }

  /** Calls a function that writes up to four registers. */
  private static long[] ask(VectorAssembler code, long first, long second) {
    long[] registers = new long[4];
    try {
      caller(1, 2)
          .invokeExact(install(code.code()), MemorySegment.ofArray(registers), first, second);
    } catch (Throwable e) {
      throw unexpected(e);
    }
    return registers;
  }
}
