package io.github.resnet4j.kernel;

import io.github.resnet4j.kernel.Vec.Width;

/**
 * Encodes vector instructions: with VEX for 256 and 128 bits, or with EVEX for 512 bits and for the
 * registers from 16 on. The registers determine the vector length.
 *
 * <p>Encodings: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2, sections
 * 2.3 (VEX) and 2.7 (EVEX).
 */
abstract class VectorEncoder extends Assembler {
  /**
   * An opcode with its prefix and map.
   *
   * @param map the number of the opcode map in VEX and EVEX
   * @param prefix the number of the mandatory prefix in VEX and EVEX: none, 66, F3, F2
   */
  record Opcode(int map, int prefix, int code) {
    static Opcode of0F(int code) {
      return new Opcode(1, 0, code);
    }

    static Opcode of660F(int code) {
      return new Opcode(1, 1, code);
    }

    static Opcode ofF30F(int code) {
      return new Opcode(1, 2, code);
    }

    static Opcode of0F38(int code) {
      return new Opcode(2, 0, code);
    }

    static Opcode of660F38(int code) {
      return new Opcode(2, 1, code);
    }

    static Opcode ofF30F38(int code) {
      return new Opcode(2, 2, code);
    }

    static Opcode ofF20F38(int code) {
      return new Opcode(2, 3, code);
    }

    static Opcode of660F3A(int code) {
      return new Opcode(3, 1, code);
    }
  }

  private final Width longest;

  /**
   * @param longest the longest vectors of the target processor
   */
  VectorEncoder(Width longest) {
    this.longest = longest;
  }

  /** A register of the longest vectors. */
  final Vec vec(int number) {
    return new Vec(longest, number);
  }

  static boolean isHigh(int register) {
    return register >= 16;
  }

  /**
   * A prefix, followed by the opcode.
   *
   * @param index bit 3 of the memory operand's index, or bit 4 of a source register
   * @param base the memory operand's base, or the source register
   * @param options of EVEX: 16 for a broadcast, and the mask register
   */
  private void evex(
      Opcode opcode, Width length, int first, int second, int index, int base, int options) {
    if (longest != Width.ZMM) {
      throw new IllegalArgumentException(
          "only AVX-512 has opcode %x on %s %d, %d, %d"
              .formatted(opcode.code, length, first, second, base));
    }
    emit(
        0x62,
        (1 ^ high(first)) << 7
            | (1 ^ index) << 6
            | (1 ^ high(base)) << 5
            | (1 ^ first >> 4) << 4
            | opcode.map,
        (~second & 15) << 3 | 4 | opcode.prefix,
        length.ordinal() << 5 | (1 ^ second >> 4) << 3 | options,
        opcode.code);
  }

  private void vex(Opcode opcode, Width length, int first, int second, int index, int base) {
    emit(
        0xC4,
        (1 ^ high(first)) << 7 | (1 ^ index) << 6 | (1 ^ high(base)) << 5 | opcode.map,
        (~second & 15) << 3 | (length == Width.XMM ? 0 : 4) | opcode.prefix,
        opcode.code);
  }

  /**
   * An instruction with register operands only.
   *
   * @param first the register in ModRM's reg field
   * @param second the operand between destination and source, 0 if there is none
   * @param mask the mask register, 0 for none
   */
  final void registers(Opcode opcode, Width length, int first, int second, int third, int mask) {
    if (length == Width.ZMM || mask > 0 || isHigh(first | second | third)) {
      evex(opcode, length, first, second, third >> 4, third, mask);
    } else {
      vex(opcode, length, first, second, 0, third);
    }
    emit(0xC0 | (first & 7) << 3 | third & 7);
  }

  /**
   * An instruction whose third operand is in memory.
   *
   * @param bytes the size of the memory operand
   */
  final void memory(Opcode opcode, Vec first, int second, Mem third, int bytes) {
    boolean isLong = first.width() == Width.ZMM || isHigh(first.number() | second);
    int index = high(third.index());
    int base = third.base().ordinal();
    if (isLong) {
      evex(opcode, first.width(), first.number(), second, index, base, 0);
    } else {
      vex(opcode, first.width(), first.number(), second, index, base);
    }
    address(first.number(), third, isLong ? bytes : 1);
  }

  /** With one float from memory repeated in all lanes. */
  final void broadcast(Opcode opcode, Vec first, Vec second, Mem third) {
    checkAlike(first, second);
    int base = third.base().ordinal();
    int index = high(third.index());
    evex(opcode, first.width(), first.number(), second.number(), index, base, 16);
    address(first.number(), third, Float.BYTES);
  }

  static void checkAlike(Vec... vectors) {
    for (Vec vector : vectors) {
      if (vector.width() != vectors[0].width()) {
        throw new IllegalArgumentException(
            "%s and %s in one instruction".formatted(vectors[0], vector));
      }
    }
  }

  final void three(Opcode opcode, Vec to, Vec a, Vec b) {
    checkAlike(to, a, b);
    registers(opcode, to.width(), to.number(), a.number(), b.number(), 0);
  }

  final void three(Opcode opcode, Vec to, Vec a, Mem b) {
    checkAlike(to, a);
    memory(opcode, to, a.number(), b, to.width().bytes());
  }

  final void two(Opcode opcode, Vec to, Vec from) {
    checkAlike(to, from);
    registers(opcode, to.width(), to.number(), 0, from.number(), 0);
  }
}
