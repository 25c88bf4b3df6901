package io.github.resnet4j.kernel;

import static io.github.resnet4j.kernel.Assembler.mem;

import io.github.resnet4j.kernel.Assembler.Mem;
import io.github.resnet4j.kernel.Assembler.Reg;
import io.github.resnet4j.kernel.Vec.Width;
import io.github.resnet4j.kernel.VectorAssembler.Comparison;
import io.github.resnet4j.kernel.VectorAssembler.Mask;

/** Operations of several instructions, or with different instructions for each vector length. */
final class Macros {
  /**
   * Added to a float before its lower half is cut off, plus one for odd values: rounds half to
   * even.
   */
  static final int BELOW_HALF = 0x7FFF;

  private Macros() {}

  /** {@code to = base + 4 * *list++}: the address of the next entry of a list of offsets. */
  static void next(Assembler code, Reg to, Reg base, Reg list) {
    current(code, to, base, list);
    code.add(list, Integer.BYTES);
  }

  /** {@code to = base + 4 * *list}: the address of the current entry of a list of offsets. */
  static void current(Assembler code, Reg to, Reg base, Reg list) {
    code.movsxd(to, mem(list));
    code.lea(to, mem(base, to, Float.BYTES));
  }

  /** Sets all bits to zero. */
  static void clear(VectorAssembler code, Vec to) {
    code.vpxor(to, to, to);
  }

  /** Repeats the same bits in all lanes. */
  static void constant(VectorAssembler code, Vec to, int bits, Reg scratch) {
    code.mov(scratch, bits);
    code.push(scratch);
    code.vbroadcastss(to, mem(Reg.RSP));
    code.pop(scratch);
  }

  /** {@code to = from} in the lanes where {@code from} is NaN. */
  static void moveNan(VectorAssembler code, Vec to, Vec from, Vec scratch) {
    if (to.width() == Width.ZMM) {
      code.vcmpps(Mask.K1, from, Comparison.UNORDERED, from);
      code.vmovaps(to, Mask.K1, from);
    } else {
      code.vcmpps(scratch, from, Comparison.UNORDERED, from); // the bits of all ones are a NaN too
      code.vorps(to, to, scratch);
    }
  }

  /** {@code to = a (comparison) b ? from : 0}; {@code to} differs from the others. */
  static void select(VectorAssembler code, Vec to, Vec from, Vec a, Comparison comparison, Vec b) {
    if (to.width() == Width.ZMM) {
      clear(code, to);
      code.vcmpps(Mask.K1, a, comparison, b);
      code.vmovaps(to, Mask.K1, from);
    } else {
      code.vcmpps(to, a, comparison, b);
      code.vandps(to, to, from);
    }
  }

  /**
   * Rounds floats to bfloat16, half to even.
   *
   * @param belowHalf a register that holds {@link #BELOW_HALF}
   */
  static void round(VectorAssembler code, Vec floats, Vec belowHalf, Vec scratch) {
    code.vpsrld(scratch, floats, 16);
    code.vpslld(scratch, scratch, 31);
    code.vpsrld(scratch, scratch, 31); // 1 if the remaining number is odd
    code.vpaddd(floats, floats, belowHalf);
    code.vpaddd(floats, floats, scratch);
    code.vpsrld(floats, floats, 16);
    code.vpslld(floats, floats, 16);
  }

  /** Rounds floats to bfloat16, as words of 16 bits extended to 32; for vectors of 512 bits. */
  static void roundWords(VectorAssembler code, Vec floats) {
    Vec half = floats.as(Width.YMM);
    code.vcvtneps2bf16(half, floats);
    code.vpmovzxwd(floats, half);
  }

  /** Joins the values of two vectors of words of 16 bits, which have been extended to 32. */
  static void join(VectorAssembler code, Vec first, Vec second) {
    code.vpslld(second, second, 16);
    code.vpaddd(first, first, second);
  }

  /** Loads values of any format as floats. */
  static void widen(VectorAssembler code, Vec to, Mem from, Format format) {
    switch (format) {
      case FP32, ROUNDED -> code.vmovups(to, from);
      case BF16 -> {
        code.vpmovzxwd(to, from);
        code.vpslld(to, to, 16);
      }
      case U8 -> {
        code.vpmovzxbd(to, from);
        code.vcvtdq2ps(to, to);
      }
      case S8 -> {
        code.vpmovsxbd(to, from);
        code.vcvtdq2ps(to, to);
      }
    }
  }

  /**
   * Stores floats in a format, rounded; their register is overwritten.
   *
   * @param from floats, which for U8 must not be negative
   * @param belowHalf for ROUNDED, a register that holds {@link #BELOW_HALF}
   */
  static void narrow(
      VectorAssembler code, Mem to, Vec from, Format format, Vec belowHalf, Vec scratch) {
    switch (format) {
      case FP32 -> code.vmovups(to, from);
      case ROUNDED -> {
        round(code, from, belowHalf, scratch);
        code.vmovups(to, from);
      }
      case BF16 -> {
        Vec half = scratch.as(Width.YMM);
        code.vcvtneps2bf16(half, from);
        code.vmovups(to, half);
      }
      case U8, S8 -> {
        code.vcvtps2dq(from, from);
        storeBytes(code, to, from, format == Format.S8, scratch);
      }
    }
  }

  /**
   * Stores integers as bytes in a quarter of a vector of memory, with saturation.
   *
   * @param signed whether bytes are signed; if not, no number may be negative
   * @param scratch a free register; the register of the numbers is overwritten too
   */
  static void storeBytes(VectorAssembler code, Mem to, Vec from, boolean signed, Vec scratch) {
    if (from.width() == Width.ZMM) {
      if (signed) {
        code.vpmovsdb(to, from);
      } else {
        code.vpmovusdb(to, from);
      }
      return;
    }
    Vec lower = from.as(Width.XMM);
    Vec upper = scratch.as(Width.XMM);
    code.vextracti128(upper, from);
    code.vpackssdw(lower, lower, upper);
    if (signed) {
      code.vpacksswb(lower, lower, lower);
    } else {
      code.vpackuswb(lower, lower, lower);
    }
    code.vmovq(to, lower);
  }
}
