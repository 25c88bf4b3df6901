package io.github.resnet4j.kernel;

import static io.github.resnet4j.kernel.Assembler.mem;

import io.github.resnet4j.kernel.Assembler.Condition;
import io.github.resnet4j.kernel.Assembler.Label;
import io.github.resnet4j.kernel.Assembler.Mem;
import io.github.resnet4j.kernel.Assembler.Reg;

/**
 * Winograd's transforms in machine code, for one form and block. Each is two passes of the same
 * one-dimensional transform over a square: from memory down the columns into a square on the stack,
 * from there along the rows into memory.
 */
final class MachineWinogradCode {
  private static final Reg SQUARE = Reg.RSP; // after the frame is made
  private static final Reg FRAME = Reg.RBP; // RSP before
  private static final Reg POINTER = Reg.RAX;

  // Constants of F(4×4) and what a transform needs beside its six inputs.
  private static final int TWO = 15;
  private static final int FOUR = 14;
  private static final int OTHER = 13; // -5 or 8
  private static final int RESULT = 6; // results in 6 to 11
  private static final int SPARE = 12;

  private final Winograd form;
  private final int t;
  private final int m;
  private final int block;
  private final Assembler code;

  private MachineWinogradCode(Winograd form, int block, boolean wide) {
    this.form = form;
    this.t = form.inputs();
    this.m = form.outputs();
    this.block = block;
    this.code = new Assembler(wide);
  }

  /**
   * Parameters: arena (in), arena (to), list of tiles; then, in bytes but for the count: in, to,
   * first tile, count, row stride, step. The arena comes twice to leave its sums to the code.
   */
  static byte[] input(Winograd form, int block, boolean wide) {
    var winograd = new MachineWinogradCode(form, block, wide);
    return winograd.transform(form.inputs(), winograd::transformInput);
  }

  /** Parameters as {@link #input} has them. */
  static byte[] gradient(Winograd form, int block, boolean wide) {
    var winograd = new MachineWinogradCode(form, block, wide);
    return winograd.transform(form.outputs(), winograd::transformGradient);
  }

  /**
   * Parameters: arena, weights, lists of outputs, residuals, rows and columns; then, in bytes but
   * for the count: from, out, residual, bias, first tile, count, step, row stride, residual's row
   * stride.
   */
  static byte[] output(MachineWinograd.OutputCode constants, boolean wide) {
    return new MachineWinogradCode(constants.form(), constants.channels(), wide).output(constants);
  }

  private int floats(int count) {
    return count * Float.BYTES;
  }

  private void makeSquare(int rows) {
    code.mov(FRAME, Reg.RSP);
    code.sub(Reg.RSP, rows * t * code.vectorBytes());
    code.and(Reg.RSP, -64);
  }

  private Mem square(int row, int column) {
    return mem(SQUARE, (row * t + column) * code.vectorBytes());
  }

  /** A parameter, once {@link #FRAME} holds what RSP was. */
  private static Mem parameter(MachineCode.Frame frame, int index) {
    Mem parameter = frame.parameter(index);
    return mem(FRAME, parameter.displacement());
  }

  private void constant(int register, float value) {
    code.constant(register, Float.floatToRawIntBits(value), POINTER);
  }

  // --- input and gradient -----------------------------------------------------------------------

  /**
   * @param n rows and columns of a tile
   * @param oneDimension makes t registers out of n
   */
  private byte[] transform(int n, Runnable oneDimension) {
    final Reg in = Reg.RDI;
    final Reg to = Reg.RSI;
    final Reg tiles = Reg.RDX;
    final Reg rowStride = Reg.RCX;
    final Reg step = Reg.R8;
    final Reg from = Reg.R9;
    final Reg product = Reg.R10;
    final Reg vector = Reg.R11;
    final Reg row = Reg.R12;
    MachineCode.Frame frame = MachineCode.Frame.enter(code);
    // The three pointers came in RDI, RSI, RDX, the first three numbers in RCX, R8, R9.
    code.add(in, Reg.RCX);
    code.add(to, Reg.R8);
    code.add(tiles, Reg.R9);
    makeSquare(t);
    code.mov(rowStride, parameter(frame, 7));
    code.mov(step, parameter(frame, 8));
    if (form == Winograd.F4) {
      constant(TWO, 2);
      constant(FOUR, 4);
      constant(OTHER, -5);
    }
    var tile = new Label();
    code.bind(tile);
    code.next(from, in, tiles);
    code.mov(vector, block / code.lanes());
    var again = new Label();
    code.bind(again);
    // Down the columns.
    for (int c = 0; c < n; c++) {
      code.mov(row, from);
      for (int r = 0; r < n; r++) {
        code.vmovups(r, mem(row, floats(c * block)));
        if (r + 1 < n) {
          code.add(row, rowStride);
        }
      }
      oneDimension.run();
      for (int r = 0; r < t; r++) {
        code.vmovups(square(r, c), RESULT + r);
      }
    }
    // Along the rows.
    code.mov(product, to);
    for (int r = 0; r < t; r++) {
      for (int c = 0; c < n; c++) {
        code.vmovups(c, square(r, c));
      }
      oneDimension.run();
      for (int c = 0; c < t; c++) {
        code.vmovups(mem(product), RESULT + c);
        code.add(product, step);
      }
    }
    code.add(from, code.vectorBytes());
    code.add(to, code.vectorBytes());
    code.sub(vector, 1);
    code.jump(Condition.NOT_EQUAL, again);
    code.sub(parameter(frame, 6), 1);
    code.jump(Condition.NOT_EQUAL, tile);
    code.mov(Reg.RSP, FRAME);
    frame.leave();
    return code.code();
  }

  /** {@code Bᵀ d}: from registers 0 to t into {@link #RESULT} and the next ones. */
  private void transformInput() {
    if (form == Winograd.F2) {
      code.vsubps(RESULT, 0, 2);
      code.vaddps(RESULT + 1, 1, 2);
      code.vsubps(RESULT + 2, 2, 1);
      code.vsubps(RESULT + 3, 1, 3);
      return;
    }
    // r0 = 4 d0 - 5 d2 + d4, r5 = 4 d1 - 5 d3 + d5
    code.vmovaps(RESULT, 4);
    code.vfmadd231ps(RESULT, 2, OTHER);
    code.vfmadd231ps(RESULT, 0, FOUR);
    code.vfmadd231ps(5, 3, OTHER);
    code.vfmadd231ps(5, 1, FOUR);
    // even = d4 - 4 d2, odd = d3 - 4 d1; r1 and r2 are their sum and difference
    code.vmulps(SPARE, 2, FOUR);
    code.vsubps(SPARE, 4, SPARE);
    code.vmulps(0, 1, FOUR);
    code.vsubps(0, 3, 0);
    code.vaddps(RESULT + 1, SPARE, 0);
    code.vsubps(RESULT + 2, SPARE, 0);
    // d4 - d2 and 2 (d3 - d1); r3 and r4 are their sum and difference
    code.vsubps(4, 4, 2);
    code.vsubps(3, 3, 1);
    code.vmulps(3, 3, TWO);
    code.vaddps(RESULT + 3, 4, 3);
    code.vsubps(RESULT + 4, 4, 3);
    code.vmovaps(RESULT + 5, 5);
  }

  /** {@code A dy}: from registers 0 to m into {@link #RESULT} and the next ones. */
  private void transformGradient() {
    code.vmovaps(RESULT, 0);
    if (form == Winograd.F2) {
      code.vaddps(RESULT + 1, 0, 1);
      code.vsubps(RESULT + 2, 0, 1);
      code.clear(SPARE);
      code.vsubps(RESULT + 3, SPARE, 1);
      return;
    }
    // y0 + y2 and y1 + y3; r1 and r2 are their sum and difference
    code.vaddps(SPARE, 0, 2);
    code.vaddps(4, 1, 3);
    code.vaddps(RESULT + 1, SPARE, 4);
    code.vsubps(RESULT + 2, SPARE, 4);
    // y0 + 4 y2 and 2 (y1 + 4 y3); r3 and r4 are their sum and difference
    code.vmovaps(SPARE, 0);
    code.vfmadd231ps(SPARE, 2, FOUR);
    code.vmovaps(4, 1);
    code.vfmadd231ps(4, 3, FOUR);
    code.vmulps(4, 4, TWO);
    code.vaddps(RESULT + 3, SPARE, 4);
    code.vsubps(RESULT + 4, SPARE, 4);
    code.vmovaps(RESULT + 5, 3);
  }

  // --- output -----------------------------------------------------------------------------------

  private byte[] output(MachineWinograd.OutputCode constants) {
    final Reg from = Reg.RDI;
    final Reg bias = Reg.RSI;
    final Reg outAt = Reg.RDX;
    final Reg residualAt = Reg.RCX;
    final Reg rows = Reg.R8;
    final Reg columns = Reg.R9;
    final Reg step = Reg.R10;
    final Reg plane = Reg.R11; // then the residual's row
    final Reg vector = Reg.RBX;
    final Reg out = Reg.R12;
    final Reg residual = Reg.R13;
    final Reg column = Reg.R14;
    final Reg rowStep = Reg.R15;
    final Reg row = Reg.R14; // once the columns are done
    final Reg rowsOfTile = Reg.R15;
    MachineCode.Frame frame = MachineCode.Frame.enter(code);
    for (Reg list : new Reg[] {outAt, residualAt, rows, columns}) {
      code.add(list, frame.parameter(10));
    }
    code.add(bias, frame.parameter(9));
    code.mov(step, frame.parameter(12));
    makeSquare(m);
    // The places that outputs and residuals are relative to replace their parameters.
    code.add(parameter(frame, 7), from);
    code.add(parameter(frame, 8), from);
    code.add(from, parameter(frame, 6));
    if (form == Winograd.F4) {
      constant(TWO, 2);
      constant(FOUR, 4);
      constant(OTHER, 8);
    }

    var tile = new Label();
    code.bind(tile);
    code.mov(POINTER, parameter(frame, 7));
    code.next(out, POINTER, outAt);
    if (constants.residual()) {
      code.mov(POINTER, parameter(frame, 8));
      code.next(residual, POINTER, residualAt);
    }
    code.mov(vector, 0); // in bytes
    var again = new Label();
    code.bind(again);
    // Down the columns, whose products are t planes apart.
    code.mov(rowStep, step);
    for (int i = 1; i < t / 2; i++) {
      code.add(rowStep, step);
    }
    code.add(rowStep, rowStep);
    code.lea(column, mem(from, vector, 1));
    for (int c = 0; c < t; c++) {
      code.mov(plane, column);
      for (int r = 0; r < t; r++) {
        code.vmovups(r, mem(plane));
        if (r + 1 < t) {
          code.add(plane, rowStep);
        }
      }
      code.add(column, step);
      transformOutput();
      for (int r = 0; r < m; r++) {
        code.vmovups(square(r, c), RESULT + r);
      }
    }
    // Along the rows.
    var done = new Label();
    code.movsxd(rowsOfTile, mem(rows));
    code.lea(row, mem(out, vector, 1));
    if (constants.residual()) {
      code.lea(plane, mem(residual, vector, 1));
    }
    for (int r = 0; r < m; r++) {
      if (r > 0) {
        code.cmp(rowsOfTile, r + 1);
        code.jump(Condition.LESS, done);
        code.add(row, parameter(frame, 13));
        if (constants.residual()) {
          code.add(plane, parameter(frame, 14));
        }
      }
      for (int c = 0; c < t; c++) {
        code.vmovups(c, square(r, c));
      }
      transformOutput();
      code.vmovups(0, mem(bias, vector, 1));
      if (constants.relu()) {
        code.clear(1);
      }
      if (constants.rounded()) {
        code.constant(2, Assembler.BELOW_HALF, POINTER);
      }
      code.movsxd(POINTER, mem(columns));
      var rowDone = new Label();
      for (int c = 0; c < m; c++) {
        if (c > 0) {
          code.cmp(POINTER, c + 1);
          code.jump(Condition.LESS, rowDone);
        }
        int pixel = floats(c * constants.pixelStride());
        code.vaddps(RESULT + c, RESULT + c, 0);
        if (constants.residual()) {
          code.vaddps(RESULT + c, RESULT + c, mem(plane, pixel));
        }
        if (constants.relu()) {
          code.vmaxps(RESULT + c, 1, RESULT + c);
        }
        if (constants.rounded()) {
          code.round(RESULT + c, 2, 3);
        }
        code.vmovups(mem(row, pixel), RESULT + c);
      }
      code.bind(rowDone);
    }
    code.bind(done);
    code.add(vector, code.vectorBytes());
    code.cmp(vector, floats(block));
    code.jump(Condition.NOT_EQUAL, again);
    code.add(from, floats(block));
    code.add(rows, Integer.BYTES);
    code.add(columns, Integer.BYTES);
    code.sub(parameter(frame, 11), 1);
    code.jump(Condition.NOT_EQUAL, tile);
    code.mov(Reg.RSP, FRAME);
    frame.leave();
    return code.code();
  }

  /** {@code Aᵀ m}: from registers 0 to t into {@link #RESULT} and the next ones. */
  private void transformOutput() {
    if (form == Winograd.F2) {
      code.vaddps(RESULT, 0, 1);
      code.vaddps(RESULT, RESULT, 2);
      code.vsubps(RESULT + 1, 1, 2);
      code.vsubps(RESULT + 1, RESULT + 1, 3);
      return;
    }
    // p = m1 + m2, r = m3 + m4: y0 = m0 + p + r, y2 = p + 4 r
    code.vaddps(RESULT + 2, 1, 2);
    code.vaddps(SPARE, 3, 4);
    code.vaddps(RESULT, 0, RESULT + 2);
    code.vaddps(RESULT, RESULT, SPARE);
    code.vfmadd231ps(RESULT + 2, SPARE, FOUR);
    // q = m1 - m2, s = m3 - m4: y1 = q + 2 s, y3 = q + 8 s + m5
    code.vsubps(RESULT + 1, 1, 2);
    code.vsubps(SPARE, 3, 4);
    code.vmovaps(RESULT + 3, RESULT + 1);
    code.vfmadd231ps(RESULT + 1, SPARE, TWO);
    code.vfmadd231ps(RESULT + 3, SPARE, OTHER);
    code.vaddps(RESULT + 3, RESULT + 3, 5);
  }
}
