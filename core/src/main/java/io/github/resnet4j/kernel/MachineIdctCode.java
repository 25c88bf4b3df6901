package io.github.resnet4j.kernel;

import static io.github.resnet4j.kernel.Assembler.mem;
import static io.github.resnet4j.kernel.Idct.F_0_298;
import static io.github.resnet4j.kernel.Idct.F_0_390;
import static io.github.resnet4j.kernel.Idct.F_0_541;
import static io.github.resnet4j.kernel.Idct.F_0_765;
import static io.github.resnet4j.kernel.Idct.F_0_899;
import static io.github.resnet4j.kernel.Idct.F_1_175;
import static io.github.resnet4j.kernel.Idct.F_1_501;
import static io.github.resnet4j.kernel.Idct.F_1_847;
import static io.github.resnet4j.kernel.Idct.F_1_961;
import static io.github.resnet4j.kernel.Idct.F_2_053;
import static io.github.resnet4j.kernel.Idct.F_2_562;
import static io.github.resnet4j.kernel.Idct.F_3_072;

import io.github.resnet4j.kernel.Assembler.Condition;
import io.github.resnet4j.kernel.Assembler.Label;
import io.github.resnet4j.kernel.Assembler.Mem;
import io.github.resnet4j.kernel.Assembler.Reg;
import io.github.resnet4j.kernel.Vec.Width;
import io.github.resnet4j.kernel.VectorAssembler.Packed;
import io.github.resnet4j.kernel.VectorAssembler.Shift;

/**
 * {@link JpegKernels#idct} in machine code: two blocks at a time, one in each half of a vector. The
 * arithmetic is that of libjpeg-turbo's SIMD code: pairs of 16-bit numbers with 32-bit sums. In the
 * names below x2 is the coefficient (or its column's result) with frequency 2.
 */
final class MachineIdctCode {
  /** Pairs of factors, for the lower and the upper number of each pair. */
  private static final int[][] FACTORS = {
    {F_0_541 + F_0_765, F_0_541}, // x2, x6: even 3
    {F_0_541, F_0_541 - F_1_847}, // x2, x6: even 2
    {F_1_175 - F_1_961, F_1_175}, // x7 + x3, x5 + x1: y3
    {F_1_175, F_1_175 - F_0_390}, // x7 + x3, x5 + x1: y4
    {F_0_298 - F_0_899, -F_0_899}, // x7, x1: odd 0
    {-F_0_899, F_1_501 - F_0_899}, // x7, x1: odd 3
    {F_2_053 - F_2_562, -F_2_562}, // x5, x3: odd 1
    {-F_2_562, F_3_072 - F_2_562} // x5, x3: odd 2
  };

  private static final int EVEN_3 = 0;
  private static final int EVEN_2 = 1;
  private static final int Y_3 = 2;
  private static final int Y_4 = 3;
  private static final int ODD_0 = 4;
  private static final int ODD_3 = 5;
  private static final int ODD_1 = 6;
  private static final int ODD_2 = 7;

  /** Vectors of constants after the factors. */
  private static final int COLUMN_ROUNDING = 8;

  private static final int ROW_ROUNDING = 9;
  private static final int ALL_BUT_DC = 10;
  private static final int ONE = 11;

  private static final int COLUMN_BITS = 11;
  private static final int ROW_BITS = 18;
  private static final int VECTOR = 32;

  private static final Reg COEFFICIENTS = Reg.RDI;
  private static final Reg STEPS = Reg.RSI;
  private static final Reg SAMPLES = Reg.RDX;
  private static final Reg LEFT = Reg.R8;
  private static final Reg STRIDE = Reg.R9;
  private static final Reg THREE_STRIDES = Reg.R10;
  private static final Reg LOWER_ROWS = Reg.R11;
  private static final Reg CONSTANTS = Reg.RAX;

  private static final int ZERO = 15;
  private static final int HALF = 14;

  private final VectorAssembler code = new VectorAssembler(Width.YMM);

  private MachineIdctCode() {}

  /**
   * Parameters: coefficients, steps, samples, unused; then the number of blocks, which is even, and
   * the stride.
   */
  static byte[] code() {
    return new MachineIdctCode().write();
  }

  private byte[] write() {
    MachineCode.Frame frame = MachineCode.Frame.enter(code);
    var constants = new Label();
    code.lea(CONSTANTS, constants);
    code.mov(Reg.RBP, Reg.RSP);
    code.sub(Reg.RSP, 16 * VECTOR);
    code.and(Reg.RSP, -VECTOR);
    code.lea(THREE_STRIDES, mem(STRIDE, STRIDE, 2));
    code.packed(Packed.VPXOR, ZERO, ZERO, ZERO);
    var pair = new Label();
    var dcOnly = new Label();
    var end = new Label();
    code.bind(pair);
    code.lea(LOWER_ROWS, mem(SAMPLES, STRIDE, 4));
    load(dcOnly);
    int[] columns = transpose(lines(COLUMN_ROUNDING, COLUMN_BITS));
    for (int i = 0; i < 8; i++) {
      code.vmovups(slot(i), Vec.ymm(columns[i]));
    }
    storeRows(lines(ROW_ROUNDING, ROW_BITS));
    next(pair);
    code.cmp(LEFT, LEFT);
    code.jump(Condition.EQUAL, end);
    code.bind(dcOnly);
    storeDc();
    next(pair);
    code.bind(end);
    code.mov(Reg.RSP, Reg.RBP);
    frame.leave();
    code.align(VECTOR);
    code.bind(constants);
    constants();
    return code.code();
  }

  private void next(Label pair) {
    code.add(COEFFICIENTS, 2 * 128);
    code.add(SAMPLES, 2 * 8);
    code.sub(LEFT, 2);
    code.jump(Condition.NOT_EQUAL, pair);
  }

  private void constants() {
    for (int[] pair : FACTORS) {
      for (int i = 0; i < 8; i++) {
        code.words(pair);
      }
    }
    for (int bits : new int[] {COLUMN_BITS, ROW_BITS}) {
      int half = 1 << (bits - 1);
      for (int i = 0; i < 8; i++) {
        code.words(half, half >> 16);
      }
    }
    for (int i = 0; i < 2; i++) {
      code.words(0, -1, -1, -1, -1, -1, -1, -1);
    }
    for (int i = 0; i < 16; i++) {
      code.words(1);
    }
  }

  private static Mem constant(int index) {
    return mem(CONSTANTS, index * VECTOR);
  }

  /** Stack slots: rows, then columns of both blocks; from 8 on partial sums. */
  private static Mem slot(int index) {
    return mem(Reg.RSP, index * VECTOR);
  }

  /** Stores two dequantized blocks in the slots; jumps if they have only DC coefficients. */
  private void load(Label dcOnly) {
    for (int row = 0; row < 8; row++) {
      code.vmovups(Vec.xmm(row), mem(COEFFICIENTS, 16 * row));
      code.vinserti128(Vec.ymm(row), Vec.ymm(row), mem(COEFFICIENTS, 128 + 16 * row));
    }
    final int others = 8;
    final int t = 9;
    code.packed(Packed.VPOR, others, 1, 2);
    for (int row = 3; row < 8; row++) {
      code.packed(Packed.VPOR, others, others, row);
    }
    code.packed(Packed.VPAND, t, 0, constant(ALL_BUT_DC));
    code.packed(Packed.VPOR, t, t, others);
    code.vptest(Vec.ymm(t), Vec.ymm(t));
    code.jump(Condition.EQUAL, dcOnly);
    for (int row = 0; row < 8; row++) {
      code.vbroadcasti128(Vec.ymm(t), mem(STEPS, 16 * row));
      code.packed(Packed.VPMULLW, row, row, t);
    }
    // Columns with only DC are multiplied by 4 in 16 bits only if all columns of the block have
    // only DC; the difference matters if that overflows.
    code.packed(Packed.VPCMPEQQ, others, others, ZERO);
    code.packed(Packed.VPUNPCKLQDQ, t, others, others);
    code.packed(Packed.VPUNPCKHQDQ, others, others, others);
    code.packed(Packed.VPAND, others, others, t);
    code.shift(Shift.VPSLLW, t, 0, 2);
    code.shift(Shift.VPSRAW, t, t, 2);
    code.vpblendvb(Vec.ymm(0), Vec.ymm(0), Vec.ymm(t), Vec.ymm(others));
    for (int row = 0; row < 8; row++) {
      code.vmovups(slot(row), Vec.ymm(row));
    }
  }

  /**
   * Transforms the slots in one direction.
   *
   * @return the registers of the eight results, 16 bits each
   */
  private int[] lines(int half, int bits) {
    code.vmovups(Vec.ymm(HALF), constant(half));
    int[] upper = half(Packed.VPUNPCKHWD, bits);
    for (int i = 0; i < 8; i++) {
      code.vmovups(slot(8 + i), Vec.ymm(upper[i]));
    }
    int[] lower = half(Packed.VPUNPCKLWD, bits);
    for (int i = 0; i < 8; i++) {
      code.packed(Packed.VPACKSSDW, lower[i], lower[i], slot(8 + i));
    }
    return lower;
  }

  /** The same for half of each vector, with 32-bit results. */
  private int[] half(Packed unpack, int bits) {
    code.vmovups(Vec.ymm(0), slot(2));
    code.packed(unpack, 1, 0, slot(6));
    code.packed(Packed.VPMADDWD, 2, 1, constant(EVEN_3));
    code.packed(Packed.VPMADDWD, 3, 1, constant(EVEN_2));
    code.vmovups(Vec.ymm(0), slot(0));
    code.packed(Packed.VPADDW, 4, 0, slot(4));
    code.packed(Packed.VPSUBW, 5, 0, slot(4));
    for (int even = 4; even <= 5; even++) { // << 13
      code.packed(unpack, even, ZERO, even);
      code.shift(Shift.VPSRAD, even, even, 3);
      code.packed(Packed.VPADDD, even, even, HALF);
    }
    code.packed(Packed.VPADDD, 0, 4, 2);
    code.packed(Packed.VPSUBD, 1, 4, 2);
    code.packed(Packed.VPADDD, 2, 5, 3);
    code.packed(Packed.VPSUBD, 3, 5, 3);

    code.vmovups(Vec.ymm(4), slot(7));
    code.packed(Packed.VPADDW, 5, 4, slot(3));
    code.vmovups(Vec.ymm(6), slot(1));
    code.packed(Packed.VPADDW, 7, 6, slot(5));
    code.packed(unpack, 8, 5, 7);
    code.packed(Packed.VPMADDWD, 9, 8, constant(Y_3));
    code.packed(Packed.VPMADDWD, 8, 8, constant(Y_4));
    code.packed(unpack, 4, 4, 6);
    code.vmovups(Vec.ymm(5), slot(5));
    code.packed(unpack, 5, 5, slot(3));
    odd(10, 4, ODD_0, 9);
    odd(11, 5, ODD_1, 8);
    odd(12, 5, ODD_2, 9);
    odd(13, 4, ODD_3, 8);

    int[] evens = {0, 2, 3, 1};
    int[] results = new int[8];
    for (int i = 0; i < 4; i++) {
      int odd = 13 - i;
      code.packed(Packed.VPADDD, 4 + i, evens[i], odd);
      code.packed(Packed.VPSUBD, evens[i], evens[i], odd);
      results[i] = 4 + i;
      results[7 - i] = evens[i];
    }
    for (int result : results) {
      code.shift(Shift.VPSRAD, result, result, bits);
    }
    return results;
  }

  private void odd(int to, int pairs, int factors, int y) {
    code.packed(Packed.VPMADDWD, to, pairs, constant(factors));
    code.packed(Packed.VPADDD, to, to, y);
  }

  /** Transposes rows and columns in each half; uses registers 8 to 11. */
  private int[] transpose(int[] rows) {
    int[] free = {8, 9, 10, 11};
    int[] words = new int[8]; // lower halves of two rows each, then the upper halves
    for (int i = 0; i < 4; i++) {
      interleave(Packed.VPUNPCKLWD, Packed.VPUNPCKHWD, rows[2 * i], rows[2 * i + 1], free[i]);
      words[i] = free[i];
      words[4 + i] = rows[2 * i];
      free[i] = rows[2 * i + 1];
    }
    int[] doubles =
        new int[8]; // columns 0, 2, 4 and 6, each with the next column: rows 0 to 3, 4 to 7
    for (int i = 0; i < 4; i++) {
      int a = words[2 * i];
      int b = words[2 * i + 1];
      int column = i < 2 ? 0 : 2;
      interleave(Packed.VPUNPCKLDQ, Packed.VPUNPCKHDQ, a, b, free[i]);
      doubles[2 * column + i % 2] = free[i];
      doubles[2 * (column + 1) + i % 2] = a;
      free[i] = b;
    }
    int[] columns = new int[8];
    for (int i = 0; i < 4; i++) {
      int a = doubles[2 * i];
      int b = doubles[2 * i + 1];
      interleave(Packed.VPUNPCKLQDQ, Packed.VPUNPCKHQDQ, a, b, free[i]);
      columns[2 * i] = free[i];
      columns[2 * i + 1] = a;
      free[i] = b;
    }
    return columns;
  }

  /**
   * Interleaves the lower halves of a and b into another register, and the upper halves into a; b
   * is free afterwards.
   */
  private void interleave(Packed lower, Packed upper, int a, int b, int to) {
    code.packed(lower, to, a, b);
    code.packed(upper, a, a, b);
  }

  /** Stores columns of results as rows of bytes. */
  private void storeRows(int[] columns) {
    for (int i = 0; i < 4; i++) {
      code.packed(Packed.VPACKSSWB, columns[i], columns[i], columns[4 + i]);
    }
    int even = columns[0]; // columns 0 and 4
    int odd = columns[1];
    interleave(Packed.VPUNPCKLBW, Packed.VPUNPCKHBW, columns[0], columns[2], 8);
    interleave(Packed.VPUNPCKLBW, Packed.VPUNPCKHBW, columns[1], columns[3], 9);
    // 8: columns 0 and 2, 9: 1 and 3, even: 4 and 6, odd: 5 and 7
    interleave(Packed.VPUNPCKLBW, Packed.VPUNPCKHBW, 8, 9, 10); // 10: rows 0 to 3, 8: 4 to 7
    interleave(Packed.VPUNPCKLBW, Packed.VPUNPCKHBW, even, odd, 11);
    interleave(Packed.VPUNPCKLDQ, Packed.VPUNPCKHDQ, 10, 11, 12);
    interleave(Packed.VPUNPCKLDQ, Packed.VPUNPCKHDQ, 8, even, 13);
    int[] pairsOfRows = {12, 10, 13, 8};
    for (int i = 0; i < 4; i++) {
      int rows = pairsOfRows[i];
      code.vpermq(Vec.ymm(rows), Vec.ymm(rows), 0, 2, 1, 3);
      code.vmovups(row(2 * i), Vec.xmm(rows));
      code.vextracti128(row(2 * i + 1), Vec.ymm(rows));
    }
  }

  /** All samples of a block are equal: (4 · DC + 16) / 32. */
  private void storeDc() {
    code.vbroadcasti128(Vec.ymm(1), mem(STEPS));
    code.packed(Packed.VPMULLW, 0, 0, 1);
    code.shift(Shift.VPSLLW, 0, 0, 2);
    code.shift(Shift.VPSRAW, 0, 0, 4);
    code.packed(Packed.VPADDW, 0, 0, constant(ONE));
    code.shift(Shift.VPSRAW, 0, 0, 1);
    code.packed(Packed.VPACKSSWB, 0, 0, 0);
    code.packed(Packed.VPSHUFB, 0, 0, ZERO);
    code.vpermq(Vec.ymm(0), Vec.ymm(0), 0, 2, 1, 3);
    for (int row = 0; row < 8; row++) {
      code.vmovups(row(row), Vec.xmm(0));
    }
  }

  private static Mem row(int row) {
    Reg rows = row < 4 ? SAMPLES : LOWER_ROWS;
    return switch (row % 4) {
      case 0 -> mem(rows);
      case 1 -> mem(rows, STRIDE, 1);
      case 2 -> mem(rows, STRIDE, 2);
      default -> mem(rows, THREE_STRIDES, 1);
    };
  }
}
