package io.github.resnet4j.kernel;

import io.github.resnet4j.kernel.Assembler.Condition;
import io.github.resnet4j.kernel.Assembler.Label;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Arrays;

/**
 * Writes AArch64 machine code: the instructions on general registers that the kernels need, loads,
 * stores and jumps. {@link Arm64VectorAssembler} adds vector instructions.
 *
 * <p>Encodings: Arm Architecture Reference Manual for A-profile, chapter C6. The destination is the
 * first operand. An instruction is a word of 32 bits, so many immediate operands have a limited
 * range; methods throw {@code IllegalArgumentException} if a value does not fit.
 */
class Arm64Assembler {
  /** General registers, in the order of their numbers. */
  enum X {
    X0,
    X1,
    X2,
    X3,
    X4,
    X5,
    X6,
    X7,
    X8,
    X9,
    X10,
    X11,
    X12,
    X13,
    X14,
    X15,
    X16,
    X17,
    /** Belongs to the operating system on Windows and macOS. */
    X18,
    X19,
    X20,
    X21,
    X22,
    X23,
    X24,
    X25,
    X26,
    X27,
    X28,
    X29,
    X30,
    /** The stack pointer; in some instructions this number means zero. */
    SP;

    int number() {
      return ordinal();
    }
  }

  private static final int ZERO = 31;

  private int[] words = new int[256];
  private int size;

  byte[] code() {
    ByteBuffer bytes = ByteBuffer.allocate(4 * size).order(ByteOrder.LITTLE_ENDIAN);
    bytes.asIntBuffer().put(words, 0, size);
    return bytes.array();
  }

  final void emit(int word) {
    if (size == words.length) {
      words = Arrays.copyOf(words, 2 * size);
    }
    words[size++] = word;
  }

  /** An operand's field, checked. */
  static int field(long value, int bits, int shift) {
    if (value < 0 || value >> bits != 0) {
      throw new IllegalArgumentException("%d does not fit in %d bits".formatted(value, bits));
    }
    return (int) value << shift;
  }

  static int signedField(long value, int bits, int shift) {
    long limit = 1L << bits - 1;
    if (value < -limit || value >= limit) {
      throw new IllegalArgumentException("%d does not fit in %d bits".formatted(value, bits));
    }
    return ((int) value & (1 << bits) - 1) << shift;
  }

  /** A field of an offset that is a multiple of an operand's size. */
  static int scaled(long value, int unit) {
    if (value % unit != 0) {
      throw new IllegalArgumentException("%d is no multiple of %d".formatted(value, unit));
    }
    return (int) (value / unit);
  }

  static boolean fitsScaled(int offset, int unit) {
    return offset >= 0 && offset % unit == 0 && offset / unit < 4096;
  }

  static boolean fitsUnscaled(int offset) {
    return offset >= -256 && offset < 256;
  }

  // --- jumps ------------------------------------------------------------------------------------

  final void bind(Label label) {
    label.at = size;
    for (int use : label.uses) {
      patch(use, label.at);
    }
  }

  /** Jumps of 26 bits are those without a condition; conditional ones have 19 bits. */
  private void patch(int use, int target) {
    boolean always = (words[use] & 0x7C000000) == 0x14000000;
    words[use] |= always ? signedField(target - use, 26, 0) : signedField(target - use, 19, 5);
  }

  private void jump(int word, Label label) {
    emit(word);
    if (label.at >= 0) {
      patch(size - 1, label.at);
    } else {
      label.uses.add(size - 1);
    }
  }

  final void b(Label label) {
    jump(0x14000000, label);
  }

  /** Calls a function; x30 is then the return address. */
  final void bl(Label label) {
    jump(0x94000000, label);
  }

  final void b(Condition condition, Label label) {
    jump(0x54000000 | code(condition), label);
  }

  private static int code(Condition condition) {
    return switch (condition) {
      case EQUAL -> 0;
      case NOT_EQUAL -> 1;
      case NOT_LESS -> 10;
      case LESS -> 11;
    };
  }

  final void cbz(X reg, Label label) {
    jump(0xB4000000 | reg.number(), label);
  }

  final void cbnz(X reg, Label label) {
    jump(0xB5000000 | reg.number(), label);
  }

  final void ret() {
    emit(0xD65F03C0);
  }

  /** An undefined instruction: stops execution. */
  final void udf() {
    emit(0);
  }

  /** Marks a place that may be called indirectly. */
  final void btiC() {
    emit(0xD503245F);
  }

  final void nop() {
    emit(0xD503201F);
  }

  /** Fills up with no-operations, so that the next instruction starts at a multiple of bytes. */
  final void align(int bytes) {
    while (size * 4 % bytes != 0) {
      nop();
    }
  }

  // --- arithmetic -------------------------------------------------------------------------------

  private static int three(X to, X a, X b) {
    return b.number() << 16 | a.number() << 5 | to.number();
  }

  /** Neither register may be SP. */
  final void mov(X to, X from) {
    emit(0xAA0003E0 | from.number() << 16 | to.number());
  }

  /** Any number, in one to four instructions. */
  final void mov(X to, long value) {
    boolean negative = value < 0;
    long rest = negative ? ~value : value;
    boolean first = true;
    for (int i = 0; i < 4; i++) {
      int part = (int) (rest >>> 16 * i & 0xFFFF);
      if (part != 0 || (first && rest >>> 16 * i == 0)) {
        if (first) {
          emit((negative ? 0x92800000 : 0xD2800000) | i << 21 | part << 5 | to.number());
        } else {
          int kept = (int) (value >>> 16 * i & 0xFFFF);
          emit(0xF2800000 | i << 21 | kept << 5 | to.number());
        }
        first = false;
        if (rest >>> 16 * i >>> 15 >>> 1 == 0) {
          return;
        }
      }
    }
  }

  final void add(X to, X a, X b) {
    emit(0x8B000000 | three(to, a, b));
  }

  /** {@code to = a + (b << shift)}. */
  final void add(X to, X a, X b, int shift) {
    emit(0x8B000000 | field(shift, 6, 10) | three(to, a, b));
  }

  /** {@code to = a + (b << shift)}, where b is the sign-extended lower half of a register. */
  final void addSxtw(X to, X a, X b, int shift) {
    emit(0x8B20C000 | field(shift, 3, 10) | three(to, a, b));
  }

  final void sub(X to, X a, X b) {
    emit(0xCB000000 | three(to, a, b));
  }

  /** From -4095 to 4095, or a multiple of 4096. */
  final void add(X to, X a, int value) {
    int size = Math.abs(value);
    int shifted = size >= 4096 ? 1 : 0;
    int amount = shifted == 1 ? scaled(size, 4096) : size;
    emit(
        (value < 0 ? 0xD1000000 : 0x91000000)
            | shifted << 22
            | field(amount, 12, 10)
            | a.number() << 5
            | to.number());
  }

  /**
   * {@code to = a + value} for any number of 32 bits.
   *
   * @param scratch overwritten if the number needs it
   */
  final void add(X to, X a, int value, X scratch) {
    int size = Math.abs(value);
    if (value == 0 && to == a) {
      return;
    }
    if (size < 4096 || (size % 4096 == 0 && size < 1 << 24)) {
      add(to, a, value);
    } else if (size < 1 << 24 && value > 0) {
      add(to, a, size & ~4095);
      add(to, to, size & 4095);
    } else {
      mov(scratch, value);
      add(to, a, scratch);
    }
  }

  /** Subtracts and sets the flags. */
  final void subs(X to, X a, int value) {
    emit(0xF1000000 | field(value, 12, 10) | a.number() << 5 | to.number());
  }

  final void cmp(X a, X b) {
    emit(0xEB000000 | b.number() << 16 | a.number() << 5 | ZERO);
  }

  final void cmp(X a, int value) {
    emit(0xF1000000 | field(value, 12, 10) | a.number() << 5 | ZERO);
  }

  /** Clears the lowest bits. */
  final void clearLowest(X to, X a, int bits) {
    // and, with a mask of 64 - bits ones that is rotated left by bits
    emit(
        0x92400000
            | field(64 - bits & 63, 6, 16)
            | field(63 - bits, 6, 10)
            | a.number() << 5
            | to.number());
  }

  /** Extracts an unsigned field. */
  final void ubfx(X to, X a, int lowest, int bits) {
    emit(
        0xD3400000
            | field(lowest, 6, 16)
            | field(lowest + bits - 1, 6, 10)
            | a.number() << 5
            | to.number());
  }

  /** {@code to = a << b}. */
  final void lsl(X to, X a, X b) {
    emit(0x9AC02000 | three(to, a, b));
  }

  // --- memory -----------------------------------------------------------------------------------

  /** Offsets are multiples of 8 up to 32760. */
  final void ldr(X to, X base, int offset) {
    emit(0xF9400000 | field(scaled(offset, 8), 12, 10) | base.number() << 5 | to.number());
  }

  final void str(X from, X base, int offset) {
    emit(0xF9000000 | field(scaled(offset, 8), 12, 10) | base.number() << 5 | from.number());
  }

  /** Loads 32 bits with sign. */
  final void ldrsw(X to, X base, int offset) {
    emit(0xB9800000 | field(scaled(offset, 4), 12, 10) | base.number() << 5 | to.number());
  }

  /** Loads 32 bits with sign and then adds to the base. */
  final void ldrswPost(X to, X base, int increment) {
    emit(0xB8800400 | signedField(increment, 9, 12) | base.number() << 5 | to.number());
  }

  final void stp(X first, X second, X base, int offset) {
    emit(0xA9000000 | pair(first.number(), second.number(), base, scaled(offset, 8)));
  }

  final void ldp(X first, X second, X base, int offset) {
    emit(0xA9400000 | pair(first.number(), second.number(), base, scaled(offset, 8)));
  }

  static int pair(int first, int second, X base, int offset) {
    return signedField(offset, 7, 15) | second << 10 | base.number() << 5 | first;
  }

  /** Prefetches a line to the L2 cache; offsets are multiples of 8 up to 32760. */
  final void prfmL2(X base, int offset) {
    prfm(2, base, offset);
  }

  /** Prefetches a line that will be written to the L2 cache. */
  final void prfmL2ForWriting(X base, int offset) {
    prfm(18, base, offset);
  }

  private void prfm(int operation, X base, int offset) {
    emit(0xF9800000 | field(scaled(offset, 8), 12, 10) | base.number() << 5 | operation);
  }

  // --- caches -----------------------------------------------------------------------------------

  /** Reads the sizes of cache lines (CTR_EL0). */
  final void mrsCtr(X to) {
    emit(0xD53B0020 | to.number());
  }

  /** Writes a line of data to where instructions are read from. */
  final void dcCvau(X address) {
    emit(0xD50B7B20 | address.number());
  }

  /** Invalidates a line of instructions. */
  final void icIvau(X address) {
    emit(0xD50B7520 | address.number());
  }

  final void dsbIsh() {
    emit(0xD5033B9F);
  }

  final void isb() {
    emit(0xD5033FDF);
  }
}
