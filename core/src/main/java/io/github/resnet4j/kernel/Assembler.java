package io.github.resnet4j.kernel;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * Writes x86-64 machine code: the 64-bit instructions on general registers that the kernels need,
 * and jumps. {@link VectorAssembler} adds vector instructions.
 *
 * <p>Encodings: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2, section 2.1
 * (REX). Operands are in Intel's order: the destination is first.
 */
class Assembler {
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

  /** A position in the code that is the target of jumps. */
  static final class Label {
    int at = -1;
    final List<Integer> uses = new ArrayList<>();
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

  private byte[] bytes = new byte[1024];
  private int size;

  byte[] code() {
    return Arrays.copyOf(bytes, size);
  }

  // --- bytes ------------------------------------------------------------------------------------

  final void emit(int... values) {
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
   * @param unit the unit of a one-byte displacement: 1, but the operand's size for EVEX
   */
  final void address(int reg, Mem mem, int unit) {
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

  /** Bit 3 of a register's number, which does not fit into ModRM and SIB. */
  static int high(int register) {
    return register >> 3 & 1;
  }

  static int high(@Nullable Reg register) {
    return register == null ? 0 : high(register.ordinal());
  }

  // --- general instructions, all with 64 bits ---------------------------------------------------

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

  /** Loads 32 bits with sign extension. */
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

  /** Marks a target of indirect calls, for processors that require it. */
  void endbr64() {
    emit(0xF3, 0x0F, 0x1E, 0xFA);
  }

  /** An undefined instruction: stops execution. */
  void ud2() {
    emit(0x0F, 0x0B);
  }

  void cpuid() {
    emit(0x0F, 0xA2);
  }

  void xgetbv() {
    emit(0x0F, 0x01, 0xD0);
  }

  /** Loads a line into the L1 cache. */
  void prefetcht0(Mem line) {
    prefetch(0x18, 1, line);
  }

  /** Loads a line into the L2 cache. */
  void prefetcht1(Mem line) {
    prefetch(0x18, 2, line);
  }

  /** Loads a line that will be written: other cores discard their copies. */
  void prefetchw(Mem line) {
    prefetch(0x0D, 1, line);
  }

  private void prefetch(int opcode, int kind, Mem line) {
    int rex = 0x40 | high(line.index) << 1 | high(line.base);
    if (rex != 0x40) {
      emit(rex);
    }
    emit(0x0F, opcode);
    address(kind, line, 1);
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
    use(label);
  }

  void call(Label label) {
    emit(0xE8);
    use(label);
  }

  /** The address of a label. */
  void lea(Reg to, Label label) {
    rex(to.ordinal(), 0, 0);
    emit(0x8D, (to.ordinal() & 7) << 3 | 5);
    use(label);
  }

  /** Writes the distance to a label, once it is known. */
  private void use(Label label) {
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

  /** Words of 16 bits, as data. */
  void words(int... values) {
    for (int value : values) {
      emit(value, value >> 8);
    }
  }

  /** Pads with no-ops to a multiple. */
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
}
