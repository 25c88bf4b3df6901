package io.github.resnet4j.kernel;

import static io.github.resnet4j.kernel.Assembler.mem;

import io.github.resnet4j.kernel.Assembler.Condition;
import io.github.resnet4j.kernel.Assembler.Label;
import io.github.resnet4j.kernel.Assembler.Mem;
import io.github.resnet4j.kernel.Assembler.Reg;
import io.github.resnet4j.kernel.Vec.Width;
import java.util.Arrays;

/**
 * Winograd's transforms in machine code, for one form and block size. Each consists of two passes
 * of the same one-dimensional transform over a square: from memory down the columns into a square
 * on the stack, then along the rows into memory.
 */
final class MachineWinogradCode {
  private static final Reg SQUARE = Reg.RSP; // after the frame is created
  private static final Reg FRAME = Reg.RBP; // RSP before
  private static final Reg POINTER = Reg.RAX;

  private final Winograd form;
  private final int t;
  private final int m;
  private final int block;
  private final Width width;
  private final VectorAssembler code;

  /** The inputs of a one-dimensional transform, at most six. */
  private final Vec[] d = new Vec[6];

  /** Its results. */
  private final Vec[] y = new Vec[6];

  private final Vec spare;

  // Constants of F(4×4).
  private final Vec two;
  private final Vec four;
  private final Vec other; // -5 or 8

  private MachineWinogradCode(Winograd form, int block, Width width) {
    this.form = form;
    this.t = form.inputs();
    this.m = form.outputs();
    this.block = block;
    this.width = width;
    this.code = new VectorAssembler(width);
    Arrays.setAll(d, code::vec);
    Arrays.setAll(y, i -> code.vec(6 + i));
    this.spare = code.vec(12);
    this.other = code.vec(13);
    this.four = code.vec(14);
    this.two = code.vec(15);
  }

  /**
   * Parameters: arena (in), arena (to), list of tiles; then, in bytes except for the count: in, to,
   * first tile, count, row stride, step. The arena is passed twice, so that the code may change one
   * of the pointers.
   */
  static byte[] input(Winograd form, int block, Width width) {
    var winograd = new MachineWinogradCode(form, block, width);
    return winograd.transform(form.inputs(), winograd::transformInput);
  }

  /** The parameters are those of {@link #input}. */
  static byte[] gradient(Winograd form, int block, Width width) {
    var winograd = new MachineWinogradCode(form, block, width);
    return winograd.transform(form.outputs(), winograd::transformGradient);
  }

  /**
   * Parameters: arena, weights, lists of outputs, residuals, rows and columns; then, in bytes
   * except for the count: from, out, residual, bias, first tile, count, step, row stride,
   * residual's row stride.
   */
  static byte[] output(MachineWinograd.OutputCode constants, Width width) {
    return new MachineWinogradCode(constants.form(), constants.channels(), width).output(constants);
  }

  private int floats(int count) {
    return count * Float.BYTES;
  }

  private void makeSquare(int rows) {
    code.mov(FRAME, Reg.RSP);
    code.sub(Reg.RSP, rows * t * width.bytes());
    code.and(Reg.RSP, -64);
  }

  private Mem square(int row, int column) {
    return mem(SQUARE, (row * t + column) * width.bytes());
  }

  /** A parameter, after {@link #FRAME} is set. */
  private static Mem parameter(MachineCode.Frame frame, int index) {
    Mem parameter = frame.parameter(index);
    return mem(FRAME, parameter.displacement());
  }

  private void constant(Vec to, float value) {
    Macros.constant(code, to, Float.floatToRawIntBits(value), POINTER);
  }

  // --- input and gradient -----------------------------------------------------------------------

  /**
   * @param n the number of rows and columns of a tile
   * @param oneDimension computes t registers from n
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
    // The three pointers are in RDI, RSI, RDX, the first three numbers in RCX, R8, R9.
    code.add(in, Reg.RCX);
    code.add(to, Reg.R8);
    code.add(tiles, Reg.R9);
    makeSquare(t);
    code.mov(rowStride, parameter(frame, 7));
    code.mov(step, parameter(frame, 8));
    if (form == Winograd.F4) {
      constant(two, 2);
      constant(four, 4);
      constant(other, -5);
    }
    var tile = new Label();
    code.bind(tile);
    Macros.next(code, from, in, tiles);
    code.mov(vector, block / width.lanes());
    var again = new Label();
    code.bind(again);
    // Down the columns.
    for (int c = 0; c < n; c++) {
      code.mov(row, from);
      for (int r = 0; r < n; r++) {
        code.vmovups(d[r], mem(row, floats(c * block)));
        if (r + 1 < n) {
          code.add(row, rowStride);
        }
      }
      oneDimension.run();
      for (int r = 0; r < t; r++) {
        code.vmovups(square(r, c), y[r]);
      }
    }
    // Along the rows.
    code.mov(product, to);
    for (int r = 0; r < t; r++) {
      for (int c = 0; c < n; c++) {
        code.vmovups(d[c], square(r, c));
      }
      oneDimension.run();
      for (int c = 0; c < t; c++) {
        code.vmovups(mem(product), y[c]);
        code.add(product, step);
      }
    }
    code.add(from, width.bytes());
    code.add(to, width.bytes());
    code.sub(vector, 1);
    code.jump(Condition.NOT_EQUAL, again);
    code.sub(parameter(frame, 6), 1);
    code.jump(Condition.NOT_EQUAL, tile);
    code.mov(Reg.RSP, FRAME);
    frame.leave();
    return code.code();
  }

  /** {@code Bᵀ d}: from {@link #d} into {@link #y}. */
  private void transformInput() {
    if (form == Winograd.F2) {
      code.vsubps(y[0], d[0], d[2]);
      code.vaddps(y[1], d[1], d[2]);
      code.vsubps(y[2], d[2], d[1]);
      code.vsubps(y[3], d[1], d[3]);
      return;
    }
    // y0 = 4 d0 - 5 d2 + d4, y5 = 4 d1 - 5 d3 + d5
    code.vmovaps(y[0], d[4]);
    code.vfmadd231ps(y[0], d[2], other);
    code.vfmadd231ps(y[0], d[0], four);
    code.vfmadd231ps(d[5], d[3], other);
    code.vfmadd231ps(d[5], d[1], four);
    // even = d4 - 4 d2, odd = d3 - 4 d1; y1 and y2 are their sum and difference
    code.vmulps(spare, d[2], four);
    code.vsubps(spare, d[4], spare);
    code.vmulps(d[0], d[1], four);
    code.vsubps(d[0], d[3], d[0]);
    code.vaddps(y[1], spare, d[0]);
    code.vsubps(y[2], spare, d[0]);
    // d4 - d2 and 2 (d3 - d1); y3 and y4 are their sum and difference
    code.vsubps(d[4], d[4], d[2]);
    code.vsubps(d[3], d[3], d[1]);
    code.vmulps(d[3], d[3], two);
    code.vaddps(y[3], d[4], d[3]);
    code.vsubps(y[4], d[4], d[3]);
    code.vmovaps(y[5], d[5]);
  }

  /** {@code A dy}: from {@link #d} into {@link #y}. */
  private void transformGradient() {
    code.vmovaps(y[0], d[0]);
    if (form == Winograd.F2) {
      code.vaddps(y[1], d[0], d[1]);
      code.vsubps(y[2], d[0], d[1]);
      Macros.clear(code, spare);
      code.vsubps(y[3], spare, d[1]);
      return;
    }
    // d0 + d2 and d1 + d3; y1 and y2 are their sum and difference
    code.vaddps(spare, d[0], d[2]);
    code.vaddps(d[4], d[1], d[3]);
    code.vaddps(y[1], spare, d[4]);
    code.vsubps(y[2], spare, d[4]);
    // d0 + 4 d2 and 2 (d1 + 4 d3); y3 and y4 are their sum and difference
    code.vmovaps(spare, d[0]);
    code.vfmadd231ps(spare, d[2], four);
    code.vmovaps(d[4], d[1]);
    code.vfmadd231ps(d[4], d[3], four);
    code.vmulps(d[4], d[4], two);
    code.vaddps(y[3], spare, d[4]);
    code.vsubps(y[4], spare, d[4]);
    code.vmovaps(y[5], d[3]);
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
    // These are free while a row is finished.
    final Vec biases = d[0];
    final Vec zero = d[1];
    final Vec belowHalf = d[2];
    MachineCode.Frame frame = MachineCode.Frame.enter(code);
    for (Reg list : new Reg[] {outAt, residualAt, rows, columns}) {
      code.add(list, frame.parameter(10));
    }
    code.add(bias, frame.parameter(9));
    code.mov(step, frame.parameter(12));
    makeSquare(m);
    // The indices to which outputs and residuals are relative replace their parameters.
    code.add(parameter(frame, 7), from);
    code.add(parameter(frame, 8), from);
    code.add(from, parameter(frame, 6));
    if (form == Winograd.F4) {
      constant(two, 2);
      constant(four, 4);
      constant(other, 8);
    }

    var tile = new Label();
    code.bind(tile);
    code.mov(POINTER, parameter(frame, 7));
    Macros.next(code, out, POINTER, outAt);
    if (constants.residual()) {
      code.mov(POINTER, parameter(frame, 8));
      Macros.next(code, residual, POINTER, residualAt);
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
        code.vmovups(d[r], mem(plane));
        if (r + 1 < t) {
          code.add(plane, rowStep);
        }
      }
      code.add(column, step);
      transformOutput();
      for (int r = 0; r < m; r++) {
        code.vmovups(square(r, c), y[r]);
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
        code.vmovups(d[c], square(r, c));
      }
      transformOutput();
      code.vmovups(biases, mem(bias, vector, 1));
      if (constants.relu()) {
        Macros.clear(code, zero);
      }
      if (constants.rounded()) {
        Macros.constant(code, belowHalf, Macros.BELOW_HALF, POINTER);
      }
      code.movsxd(POINTER, mem(columns));
      var rowDone = new Label();
      for (int c = 0; c < m; c++) {
        if (c > 0) {
          code.cmp(POINTER, c + 1);
          code.jump(Condition.LESS, rowDone);
        }
        int pixel = floats(c * constants.pixelStride());
        code.vaddps(y[c], y[c], biases);
        if (constants.residual()) {
          code.vaddps(y[c], y[c], mem(plane, pixel));
        }
        if (constants.relu()) {
          code.vmaxps(y[c], zero, y[c]);
        }
        if (constants.rounded()) {
          Macros.round(code, y[c], belowHalf, d[3]);
        }
        code.vmovups(mem(row, pixel), y[c]);
      }
      code.bind(rowDone);
    }
    code.bind(done);
    code.add(vector, width.bytes());
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

  /** {@code Aᵀ m}: from {@link #d} into {@link #y}. */
  private void transformOutput() {
    if (form == Winograd.F2) {
      code.vaddps(y[0], d[0], d[1]);
      code.vaddps(y[0], y[0], d[2]);
      code.vsubps(y[1], d[1], d[2]);
      code.vsubps(y[1], y[1], d[3]);
      return;
    }
    // p = d1 + d2, q = d3 + d4: y0 = d0 + p + q, y2 = p + 4 q
    code.vaddps(y[2], d[1], d[2]);
    code.vaddps(spare, d[3], d[4]);
    code.vaddps(y[0], d[0], y[2]);
    code.vaddps(y[0], y[0], spare);
    code.vfmadd231ps(y[2], spare, four);
    // p = d1 - d2, q = d3 - d4: y1 = p + 2 q, y3 = p + 8 q + d5
    code.vsubps(y[1], d[1], d[2]);
    code.vsubps(spare, d[3], d[4]);
    code.vmovaps(y[3], y[1]);
    code.vfmadd231ps(y[1], spare, two);
    code.vfmadd231ps(y[3], spare, other);
    code.vaddps(y[3], y[3], d[5]);
  }
}
