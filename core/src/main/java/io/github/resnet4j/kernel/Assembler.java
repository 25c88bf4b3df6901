package io.github.resnet4j.kernel;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * Writes x86-64 machine code: the few dozen instructions that the kernels need, on general
 * registers and on vectors of 512 bits (EVEX, AVX-512F) or 256 bits (VEX, AVX2 and FMA).
 *
 * <p>Encodings: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2, sections
 * 2.1 (REX), 2.3 (VEX), 2.7 (EVEX). Operands are in Intel's order, the destination first.
 */
final class Assembler {
  /** General registers, in the order of their numbers. */
  enum Reg {
    RAX,
    RCX,
    RDX,
    RBX,
    RSP,
    RBP,
    RSI,
    RDI,
    R8,
    R9,
    R10,
    R11,
    R12,
    R13,
    R14,
    R15
  }

  /** A memory operand: {@code [base + index * scale + displacement]}. */
  record Mem(Reg base, @Nullable Reg index, int scale, int displacement) {
    Mem {
      if (index == Reg.RSP) {
        throw new IllegalArgumentException("RSP cannot be an index");
      }
    }

    Mem plus(int bytes) {
      return new Mem(base, index, scale, Math.addExact(displacement, bytes));
    }
  }

  static Mem mem(Reg base) {
    return new Mem(base, null, 1, 0);
  }

  static Mem mem(Reg base, int displacement) {
    return new Mem(base, null, 1, displacement);
  }

  static Mem mem(Reg base, Reg index, int scale) {
    return new Mem(base, index, scale, 0);
  }

  /** A place in the code that jumps lead to. */
  static final class Label {
    private int at = -1;
    private final List<Integer> uses = new ArrayList<>();
  }

  /** Conditions of a jump, with their codes. */
  enum Condition {
    EQUAL(4),
    NOT_EQUAL(5),
    LESS(12),
    NOT_LESS(13);

    private final int code;

    Condition(int code) {
      this.code = code;
    }
  }

  // Opcode maps and mandatory prefixes, as VEX and EVEX number them.
  private static final int MAP_0F = 1;
  private static final int MAP_0F38 = 2;
  private static final int MAP_0F3A = 3;
  private static final int NO_PREFIX = 0;
  private static final int PREFIX_66 = 1;
  private static final int PREFIX_F3 = 2;

  private static final int UNORDERED = 3; // vcmpps: true where an operand is not a number

  private final boolean wide;
  private byte[] bytes = new byte[1024];
  private int size;

  /**
   * @param wide vectors of 512 bits, else of 256
   */
  Assembler(boolean wide) {
    this.wide = wide;
  }

  /** Bytes of a vector. */
  int vectorBytes() {
    return wide ? 64 : 32;
  }

  /** Floats of a vector. */
  int lanes() {
    return vectorBytes() / Float.BYTES;
  }

  byte[] code() {
    return Arrays.copyOf(bytes, size);
  }

  // --- bytes ------------------------------------------------------------------------------------

  private void emit(int... values) {
    for (int value : values) {
      if (size == bytes.length) {
        bytes = Arrays.copyOf(bytes, 2 * size);
      }
      bytes[size++] = (byte) value;
    }
  }

  private void emit32(int value) {
    emit(value, value >> 8, value >> 16, value >> 24);
  }

  private static boolean isByte(int value) {
    return value == (byte) value;
  }

  /**
   * ModRM, SIB and displacement.
   *
   * @param unit what a displacement of one byte is counted in: 1, but for EVEX the operand's size
   */
  private void address(int reg, Mem mem, int unit) {
    int base = mem.base.ordinal() & 7;
    boolean sib = mem.index != null || base == 4;
    int scaled = mem.displacement / unit;
    int mode =
        mem.displacement == 0 && base != 5
            ? 0
            : mem.displacement % unit == 0 && isByte(scaled) ? 1 : 2;
    emit(mode << 6 | (reg & 7) << 3 | (sib ? 4 : base));
    if (sib) {
      int index = mem.index == null ? 4 : mem.index.ordinal() & 7;
      emit(Integer.numberOfTrailingZeros(mem.scale) << 6 | index << 3 | base);
    }
    if (mode == 1) {
      emit(scaled);
    } else if (mode == 2) {
      emit32(mem.displacement);
    }
  }

  private static int high(int register) {
    return register >> 3 & 1;
  }

  private static int high(@Nullable Reg register) {
    return register == null ? 0 : high(register.ordinal());
  }

  // --- general instructions, all of 64 bits -----------------------------------------------------

  private void rex(int reg, int index, int base) {
    emit(0x48 | high(reg) << 2 | high(index) << 1 | high(base));
  }

  private void registers(int opcode, Reg rm, Reg reg) {
    rex(reg.ordinal(), 0, rm.ordinal());
    emit(opcode, 0xC0 | (reg.ordinal() & 7) << 3 | rm.ordinal() & 7);
  }

  private void memory(int opcode, int reg, Mem mem) {
    rex(reg, mem.index == null ? 0 : mem.index.ordinal(), mem.base.ordinal());
    emit(opcode);
    address(reg, mem, 1);
  }

  private void immediate(int operation, Reg reg, int value) {
    rex(0, 0, reg.ordinal());
    emit(isByte(value) ? 0x83 : 0x81, 0xC0 | operation << 3 | reg.ordinal() & 7);
    if (isByte(value)) {
      emit(value);
    } else {
      emit32(value);
    }
  }

  void mov(Reg to, Reg from) {
    registers(0x89, to, from);
  }

  void mov(Reg to, Mem from) {
    memory(0x8B, to.ordinal(), from);
  }

  void mov(Mem to, Reg from) {
    memory(0x89, from.ordinal(), to);
  }

  void mov(Reg to, int value) {
    rex(0, 0, to.ordinal());
    emit(0xC7, 0xC0 | to.ordinal() & 7);
    emit32(value);
  }

  /** Loads 32 bits and extends their sign. */
  void movsxd(Reg to, Mem from) {
    memory(0x63, to.ordinal(), from);
  }

  void lea(Reg to, Mem address) {
    memory(0x8D, to.ordinal(), address);
  }

  void add(Reg to, Reg from) {
    registers(0x01, to, from);
  }

  void add(Reg to, int value) {
    immediate(0, to, value);
  }

  void add(Reg to, Mem from) {
    memory(0x03, to.ordinal(), from);
  }

  void add(Mem to, Reg from) {
    memory(0x01, from.ordinal(), to);
  }

  void sub(Reg to, int value) {
    immediate(5, to, value);
  }

  void sub(Mem to, int value) {
    memory(0x81, 5, to);
    emit32(value);
  }

  void and(Reg to, int value) {
    immediate(4, to, value);
  }

  void cmp(Reg left, Reg right) {
    registers(0x39, left, right);
  }

  void cmp(Reg left, int right) {
    immediate(7, left, right);
  }

  void push(Reg reg) {
    stack(0x50, reg);
  }

  void pop(Reg reg) {
    stack(0x58, reg);
  }

  private void stack(int opcode, Reg reg) {
    if (high(reg) == 1) {
      emit(0x41);
    }
    emit(opcode | reg.ordinal() & 7);
  }

  void ret() {
    emit(0xC3);
  }

  /** {@code to = base + 4 * *list++}: where the next entry of a list of offsets leads. */
  void next(Reg to, Reg base, Reg list) {
    movsxd(to, mem(list));
    add(list, Integer.BYTES);
    lea(to, mem(base, to, Float.BYTES));
  }

  /** Marks a target of indirect calls, for processors that demand it. */
  void endbr64() {
    emit(0xF3, 0x0F, 0x1E, 0xFA);
  }

  void cpuid() {
    emit(0x0F, 0xA2);
  }

  void xgetbv() {
    emit(0x0F, 0x01, 0xD0);
  }

  /** Brings a line into the second-level cache. */
  void prefetcht1(Mem line) {
    int rex = 0x40 | high(line.index) << 1 | high(line.base);
    if (rex != 0x40) {
      emit(rex);
    }
    emit(0x0F, 0x18);
    address(2, line, 1);
  }

  // --- jumps ------------------------------------------------------------------------------------

  void bind(Label label) {
    label.at = size;
    for (int use : label.uses) {
      patch(use, size);
    }
  }

  void jump(Condition condition, Label label) {
    emit(0x0F, 0x80 | condition.code);
    int use = size;
    emit32(0);
    if (label.at >= 0) {
      patch(use, label.at);
    } else {
      label.uses.add(use);
    }
  }

  private void patch(int use, int target) {
    ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN).putInt(use, target - (use + 4));
  }

  /** Fills up to a multiple with instructions that do nothing. */
  void align(int multiple) {
    while (size % multiple != 0) {
      switch (multiple - size % multiple) {
        case 1 -> emit(0x90);
        case 2 -> emit(0x66, 0x90);
        case 3 -> emit(0x0F, 0x1F, 0x00);
        case 4 -> emit(0x0F, 0x1F, 0x40, 0x00);
        case 5 -> emit(0x0F, 0x1F, 0x44, 0x00, 0x00);
        case 6 -> emit(0x66, 0x0F, 0x1F, 0x44, 0x00, 0x00);
        default -> emit(0x0F, 0x1F, 0x80, 0x00, 0x00, 0x00, 0x00);
      }
    }
  }

  // --- vectors ----------------------------------------------------------------------------------

  /**
   * VEX or EVEX, and the opcode.
   *
   * @param second the operand that stands between destination and source; 0 if there is none
   * @param index bit 3 of the memory operand's index, or bit 4 of a source register
   * @param base the memory operand's base, or the source register
   * @param broadcast whether the memory operand is one float for all lanes
   * @param mask the mask register, 0 for none
   * @param length 0, 1 or 2 for vectors of 128, 256 or 512 bits
   */
  private void vector(
      int map,
      int prefix,
      int opcode,
      int first,
      int second,
      int index,
      int base,
      boolean broadcast,
      int mask,
      int length) {
    if (wide) {
      emit(
          0x62,
          (1 ^ high(first)) << 7
              | (1 ^ index) << 6
              | (1 ^ high(base)) << 5
              | (1 ^ first >> 4) << 4
              | map,
          (~second & 15) << 3 | 4 | prefix,
          length << 5 | (broadcast ? 16 : 0) | (1 ^ second >> 4) << 3 | mask,
          opcode);
    } else {
      emit(
          0xC4,
          (1 ^ high(first)) << 7 | (1 ^ index) << 6 | (1 ^ high(base)) << 5 | map,
          (~second & 15) << 3 | (length == 0 ? 0 : 4) | prefix,
          opcode);
    }
  }

  /** As long as vectors are. */
  private int full() {
    return wide ? 2 : 1;
  }

  private void vector(int map, int prefix, int opcode, int first, int second, int third) {
    vector(map, prefix, opcode, first, second, third, full());
  }

  private void vector(
      int map, int prefix, int opcode, int first, int second, int third, int length) {
    check(first, second, third);
    vector(map, prefix, opcode, first, second, wide ? third >> 4 : 0, third, false, 0, length);
    emit(0xC0 | (first & 7) << 3 | third & 7);
  }

  private void vector(int map, int prefix, int opcode, int first, int second, Mem third) {
    vector(map, prefix, opcode, first, second, third, false, vectorBytes(), full());
  }

  private void vector(
      int map,
      int prefix,
      int opcode,
      int first,
      int second,
      Mem third,
      boolean broadcast,
      int operandBytes,
      int length) {
    check(first, second, 0);
    vector(
        map,
        prefix,
        opcode,
        first,
        second,
        high(third.index),
        third.base.ordinal(),
        broadcast,
        0,
        length);
    address(first, third, wide ? operandBytes : 1);
  }

  private void check(int... registers) {
    for (int register : registers) {
      if (register < 0 || register >= (wide ? 32 : 16)) {
        throw new IllegalArgumentException("no vector register " + register);
      }
    }
  }

  void vmovups(int to, Mem from) {
    vector(MAP_0F, NO_PREFIX, 0x10, to, 0, from);
  }

  void vmovups(Mem to, int from) {
    vector(MAP_0F, NO_PREFIX, 0x11, from, 0, to);
  }

  void vmovaps(int to, int from) {
    vector(MAP_0F, NO_PREFIX, 0x28, to, 0, from);
  }

  /** One float from memory into all lanes. */
  void vbroadcastss(int to, Mem from) {
    vector(MAP_0F38, PREFIX_66, 0x18, to, 0, from, false, Float.BYTES, full());
  }

  /** The lowest lane into all lanes. */
  void vbroadcastss(int to, int from) {
    vector(MAP_0F38, PREFIX_66, 0x18, to, 0, from);
  }

  /** {@code sum += a * b}, rounded once. */
  void vfmadd231ps(int sum, int a, int b) {
    vector(MAP_0F38, PREFIX_66, 0xB8, sum, a, b);
  }

  void vfmadd231ps(int sum, int a, Mem b) {
    vector(MAP_0F38, PREFIX_66, 0xB8, sum, a, b);
  }

  /** {@code sum += a * b}, where b is one float; only with vectors of 512 bits. */
  void vfmadd231psBroadcast(int sum, int a, Mem b) {
    if (!wide) {
      throw new IllegalStateException("VEX has no broadcast operands");
    }
    vector(MAP_0F38, PREFIX_66, 0xB8, sum, a, b, true, Float.BYTES, full());
  }

  void vaddps(int to, int a, int b) {
    vector(MAP_0F, NO_PREFIX, 0x58, to, a, b);
  }

  void vaddps(int to, int a, Mem b) {
    vector(MAP_0F, NO_PREFIX, 0x58, to, a, b);
  }

  void vmulps(int to, int a, int b) {
    vector(MAP_0F, NO_PREFIX, 0x59, to, a, b);
  }

  void vsubps(int to, int a, int b) {
    vector(MAP_0F, NO_PREFIX, 0x5C, to, a, b);
  }

  /** {@code a > b ? a : b}; where one is not a number, or both are zeros, b. */
  void vmaxps(int to, int a, int b) {
    vector(MAP_0F, NO_PREFIX, 0x5F, to, a, b);
  }

  /** Sets all bits to zero. */
  void clear(int to) {
    vector(MAP_0F, PREFIX_66, 0xEF, to, to, to); // vpxord, vpxor
  }

  /** {@code to = from} in the lanes where {@code from} is not a number. */
  void moveNan(int to, int from, int scratch) {
    if (wide) {
      vector(MAP_0F, NO_PREFIX, 0xC2, 1, from, from >> 4, from, false, 0, 2); // vcmpps k1
      emit(0xC0 | 1 << 3 | from & 7, UNORDERED);
      vector(MAP_0F, NO_PREFIX, 0x28, to, 0, from >> 4, from, false, 1, 2); // vmovaps to{k1}
      emit(0xC0 | (to & 7) << 3 | from & 7);
    } else {
      vector(MAP_0F, NO_PREFIX, 0xC2, scratch, from, from); // vcmpps: ones are not a number either
      emit(UNORDERED);
      vector(MAP_0F, NO_PREFIX, 0x56, to, to, scratch); // vorps
    }
  }

  /** How two floats compare, as vcmpps has it; with what is not a number, false. */
  enum Comparison {
    EQUAL(0x00),
    GREATER(0x1E);

    private final int code;

    Comparison(int code) {
      this.code = code;
    }
  }

  /** {@code to = a (comparison) b ? from : 0}; {@code to} is none of the others. */
  void select(int to, int from, int a, Comparison comparison, int b) {
    if (wide) {
      clear(to);
      vector(MAP_0F, NO_PREFIX, 0xC2, 1, a, b >> 4, b, false, 0, 2); // vcmpps k1
      emit(0xC0 | 1 << 3 | b & 7, comparison.code);
      vector(MAP_0F, NO_PREFIX, 0x28, to, 0, from >> 4, from, false, 1, 2); // vmovaps to{k1}
      emit(0xC0 | (to & 7) << 3 | from & 7);
    } else {
      vector(MAP_0F, NO_PREFIX, 0xC2, to, a, b); // vcmpps
      emit(comparison.code);
      vector(MAP_0F, NO_PREFIX, 0x54, to, to, from); // vandps
    }
  }

  // --- narrower numbers -------------------------------------------------------------------------

  private void onlyWide() {
    if (!wide) {
      throw new IllegalStateException("there is no such instruction in VEX");
    }
  }

  /** {@code sum = sum * a + b}, rounded once. */
  void vfmadd213ps(int sum, int a, Mem b) {
    vector(MAP_0F38, PREFIX_66, 0xA8, sum, a, b);
  }

  void vmulps(int to, int a, Mem b) {
    vector(MAP_0F, NO_PREFIX, 0x59, to, a, b);
  }

  /** {@code sum += a₁ b₁, sum += a₀ b₀} on the bfloat16 halves of each lane; AVX512_BF16. */
  void vdpbf16ps(int sum, int a, int b) {
    onlyWide();
    vector(MAP_0F38, PREFIX_F3, 0x52, sum, a, b);
  }

  void vdpbf16ps(int sum, int a, Mem b) {
    onlyWide();
    vector(MAP_0F38, PREFIX_F3, 0x52, sum, a, b);
  }

  void vdpbf16psBroadcast(int sum, int a, Mem b) {
    onlyWide();
    vector(MAP_0F38, PREFIX_F3, 0x52, sum, a, b, true, Float.BYTES, full());
  }

  /** {@code sum += a · b} over the four bytes of each lane, a's unsigned; AVX512_VNNI, AVX-VNNI. */
  void vpdpbusd(int sum, int a, int b) {
    vector(MAP_0F38, PREFIX_66, 0x50, sum, a, b);
  }

  void vpdpbusd(int sum, int a, Mem b) {
    vector(MAP_0F38, PREFIX_66, 0x50, sum, a, b);
  }

  /** Rounds floats to bfloat16, into half a vector; AVX512_BF16. */
  void vcvtneps2bf16(int to, int from) {
    onlyWide();
    vector(MAP_0F38, PREFIX_F3, 0x72, to, 0, from);
  }

  /** The lower half of a vector. */
  void storeLowerHalf(Mem to, int from) {
    onlyWide();
    vector(MAP_0F, NO_PREFIX, 0x11, from, 0, to, false, 32, 1);
  }

  /** Words of 16 bits from half a vector into lanes of 32. */
  void vpmovzxwd(int to, Mem from) {
    vector(MAP_0F38, PREFIX_66, 0x33, to, 0, from, false, vectorBytes() / 2, full());
  }

  /** Bytes from a quarter of a vector into lanes, with zeros before them. */
  void vpmovzxbd(int to, Mem from) {
    vector(MAP_0F38, PREFIX_66, 0x31, to, 0, from, false, vectorBytes() / 4, full());
  }

  /** Bytes from a quarter of a vector into lanes, with their sign. */
  void vpmovsxbd(int to, Mem from) {
    vector(MAP_0F38, PREFIX_66, 0x21, to, 0, from, false, vectorBytes() / 4, full());
  }

  /** Shifts lanes to the left. */
  void vpslld(int to, int from, int bits) {
    vector(MAP_0F, PREFIX_66, 0x72, 6, to, from);
    emit(bits);
  }

  void vpsrld(int to, int from, int bits) {
    vector(MAP_0F, PREFIX_66, 0x72, 2, to, from);
    emit(bits);
  }

  void vpaddd(int to, int a, int b) {
    vector(MAP_0F, PREFIX_66, 0xFE, to, a, b);
  }

  /** The same bits into all lanes. */
  void constant(int to, int bits, Reg scratch) {
    mov(scratch, bits);
    push(scratch);
    vbroadcastss(to, mem(Reg.RSP));
    pop(scratch);
  }

  /** What is added to a float before its lower half is cut off, and, to an odd number, one more. */
  static final int BELOW_HALF = 0x7FFF;

  /**
   * Rounds floats to the nearest bfloat16, of two the even one.
   *
   * @param belowHalf a register of {@link #BELOW_HALF}
   */
  void round(int floats, int belowHalf, int scratch) {
    vpsrld(scratch, floats, 16);
    vpslld(scratch, scratch, 31);
    vpsrld(scratch, scratch, 31); // 1 where the number that remains is odd
    vpaddd(floats, floats, belowHalf);
    vpaddd(floats, floats, scratch);
    vpsrld(floats, floats, 16);
    vpslld(floats, floats, 16);
  }

  void vcvtdq2ps(int to, int from) {
    vector(MAP_0F, NO_PREFIX, 0x5B, to, 0, from);
  }

  /** To the nearest whole number, of two the even one. */
  void vcvtps2dq(int to, int from) {
    vector(MAP_0F, PREFIX_66, 0x5B, to, 0, from);
  }

  /** The greater of unsigned numbers of 16 bits. */
  void vpmaxuw(int to, int a, Mem b) {
    vector(MAP_0F38, PREFIX_66, 0x3E, to, a, b);
  }

  /** The greater of unsigned bytes. */
  void vpmaxub(int to, int a, Mem b) {
    vector(MAP_0F, PREFIX_66, 0xDE, to, a, b);
  }

  /**
   * Whole numbers as bytes into a quarter of a vector of memory, the nearest where one does not
   * fit.
   *
   * @param signed whether bytes are; if they are not, no number may be negative
   * @param scratch a register for the purpose; the numbers' own is overwritten too
   */
  void storeBytes(Mem to, int from, boolean signed, int scratch) {
    if (wide) {
      // vpmovsdb, vpmovusdb
      vector(MAP_0F38, PREFIX_F3, signed ? 0x21 : 0x11, from, 0, to, false, 16, 2);
      return;
    }
    vector(MAP_0F3A, PREFIX_66, 0x39, from, 0, scratch); // vextracti128: the upper half
    emit(1);
    vector(MAP_0F, PREFIX_66, 0x6B, from, from, scratch, 0); // vpackssdw
    vector(MAP_0F, PREFIX_66, signed ? 0x63 : 0x67, from, from, from, 0); // vpacksswb, vpackuswb
    vector(MAP_0F, PREFIX_66, 0xD6, from, 0, to, false, 8, 0); // vmovq
  }

  /** The low half of a general register into the lowest lane. */
  void vmovd(int to, Reg from) {
    if (to > 15) {
      throw new IllegalArgumentException("vmovd reaches the first 16 vector registers");
    }
    emit(
        0xC4,
        (1 ^ high(to)) << 7 | 1 << 6 | (1 ^ high(from)) << 5 | MAP_0F,
        15 << 3 | PREFIX_66,
        0x6E,
        0xC0 | (to & 7) << 3 | from.ordinal() & 7);
  }

  /** One float into the lowest lane of one of the first 16 registers. */
  void vmovss(int to, Mem from) {
    scalar(0x10, to, 0, from);
  }

  void vmovss(Mem to, int from) {
    scalar(0x11, from, 0, to);
  }

  /** {@code to = a * b} in the lowest lane. */
  void vmulss(int to, int a, Mem b) {
    scalar(0x59, to, a, b);
  }

  private void scalar(int opcode, int first, int second, Mem third) {
    emit(
        0xC4,
        (1 ^ high(first)) << 7
            | (1 ^ high(third.index)) << 6
            | (1 ^ high(third.base)) << 5
            | MAP_0F,
        (~second & 15) << 3 | PREFIX_F3,
        opcode);
    address(first, third, 1);
  }

  /** The low 128 bits, as Windows has them saved. */
  void vmovupsHalf(Mem to, int from) {
    half(0x11, to, from);
  }

  void vmovupsHalf(int to, Mem from) {
    half(0x10, from, to);
  }

  private void half(int opcode, Mem mem, int register) {
    emit(
        0xC4,
        (1 ^ high(register)) << 7 | (1 ^ high(mem.index)) << 6 | (1 ^ high(mem.base)) << 5 | MAP_0F,
        15 << 3,
        opcode);
    address(register, mem, 1);
  }

  /** Clears the upper halves, so that code without AVX stays fast. */
  void vzeroupper() {
    emit(0xC5, 0xF8, 0x77);
  }
}
