package io.github.resnet4j.kernel;

import static io.github.resnet4j.kernel.VectorCode.at;
import static io.github.resnet4j.kernel.VectorCode.scratch;

import io.github.resnet4j.kernel.Assembler.Label;
import io.github.resnet4j.kernel.VectorCode.At;
import io.github.resnet4j.kernel.VectorCode.Gpr;
import java.util.Arrays;

/**
 * Winograd's transforms in machine code, for one form and block size. Each consists of two passes
 * of the same one-dimensional transform over a square: from memory down the columns into a square
 * on the stack, then along the rows into memory.
 */
final class MachineWinogradCode {
  private static final Gpr POINTER = Gpr.T7;

  private final Winograd form;
  private final int t;
  private final int m;
  private final int channels;
  private final VectorCode code;

  /** The inputs of a one-dimensional transform, at most six. */
  private final Vec[] d = new Vec[6];

  /** Its results. */
  private final Vec[] y = new Vec[6];

  private final Vec spare;

  // Constants of F(4×4).
  private final Vec two;
  private final Vec four;
  private final Vec other; // -5 or 8

  private MachineWinogradCode(Winograd form, int channels, VectorCode code) {
    this.form = form;
    this.t = form.inputs();
    this.m = form.outputs();
    this.channels = channels;
    this.code = code;
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
  static byte[] transform(MachineWinograd.TransformCode constants, VectorCode code) {
    Winograd form = constants.form();
    var winograd = new MachineWinogradCode(form, constants.channels(), code);
    return constants.ofInput()
        ? winograd.transform(form.inputs(), winograd::transformInput, constants)
        : winograd.transform(form.outputs(), winograd::transformGradient, constants);
  }

  /**
   * Parameters: arena, weights, lists of outputs, residuals, rows and columns; then, in bytes
   * except for the count: from, out, residual, bias, first tile, count, step, row stride,
   * residual's row stride.
   */
  static byte[] output(MachineWinograd.OutputCode constants, VectorCode code) {
    return new MachineWinogradCode(constants.form(), constants.channels(), code).output(constants);
  }

  /** The number of bytes of as many values of a format. */
  private static int bytes(int count, Format format) {
    return count * Float.BYTES / format.perWord();
  }

  private static int words(int count) {
    return count * Float.BYTES;
  }

  /** The square on the stack. */
  private At square(int row, int column) {
    return scratch((row * t + column) * code.bytes());
  }

  private void constant(Vec to, float value) {
    code.constant(to, Float.floatToRawIntBits(value), POINTER);
  }

  // --- input and gradient -----------------------------------------------------------------------

  /**
   * @param n the number of rows and columns of a tile
   * @param oneDimension computes t registers from n
   */
  private byte[] transform(int n, Runnable oneDimension, MachineWinograd.TransformCode constants) {
    final Gpr in = Gpr.A0;
    final Gpr to = Gpr.A1;
    final Gpr tiles = Gpr.A2;
    final Gpr rowStride = Gpr.A3;
    final Gpr step = Gpr.A4;
    final Gpr from = Gpr.A5;
    final Gpr product = Gpr.T0;
    final Gpr vector = Gpr.T1;
    final Gpr row = Gpr.T2;
    code.enter(t * t * code.bytes());
    // The three pointers are in A0, A1, A2, the first three numbers in A3, A4, A5.
    code.add(in, Gpr.A3);
    code.add(to, Gpr.A4);
    code.add(tiles, Gpr.A5);
    code.parameter(rowStride, 7);
    code.parameter(step, 8);
    if (form == Winograd.F4) {
      constant(two, 2);
      constant(four, 4);
      constant(other, -5);
    }
    var tile = new Label();
    code.bind(tile);
    code.next(from, in, tiles);
    code.set(vector, channels / code.lanes());
    var again = new Label();
    code.bind(again);
    // Down the columns.
    for (int c = 0; c < n; c++) {
      code.move(row, from);
      for (int r = 0; r < n; r++) {
        code.load(d[r], at(row, bytes(c * channels, constants.in())), constants.in());
        if (r + 1 < n) {
          code.add(row, rowStride);
        }
      }
      oneDimension.run();
      for (int r = 0; r < t; r++) {
        code.store(square(r, c), y[r]);
      }
    }
    // Along the rows.
    code.move(product, to);
    for (int r = 0; r < t; r++) {
      for (int c = 0; c < n; c++) {
        code.load(d[c], square(r, c));
      }
      oneDimension.run();
      for (int c = 0; c < t; c++) {
        code.store(at(product, 0), y[c], constants.to(), d[0]);
        code.add(product, step);
      }
    }
    code.add(from, bytes(code.lanes(), constants.in()));
    code.add(to, bytes(code.lanes(), constants.to()));
    code.loop(vector, again);
    code.loop(6, tile);
    code.leave();
    return code.code();
  }

  /** {@code Bᵀ d}: from {@link #d} into {@link #y}. */
  private void transformInput() {
    if (form == Winograd.F2) {
      code.sub(y[0], d[0], d[2]);
      code.add(y[1], d[1], d[2]);
      code.sub(y[2], d[2], d[1]);
      code.sub(y[3], d[1], d[3]);
      return;
    }
    // y0 = 4 d0 - 5 d2 + d4, y5 = 4 d1 - 5 d3 + d5
    code.move(y[0], d[4]);
    code.multiplyAdd(y[0], d[2], other);
    code.multiplyAdd(y[0], d[0], four);
    code.multiplyAdd(d[5], d[3], other);
    code.multiplyAdd(d[5], d[1], four);
    // even = d4 - 4 d2, odd = d3 - 4 d1; y1 and y2 are their sum and difference
    code.mul(spare, d[2], four);
    code.sub(spare, d[4], spare);
    code.mul(d[0], d[1], four);
    code.sub(d[0], d[3], d[0]);
    code.add(y[1], spare, d[0]);
    code.sub(y[2], spare, d[0]);
    // d4 - d2 and 2 (d3 - d1); y3 and y4 are their sum and difference
    code.sub(d[4], d[4], d[2]);
    code.sub(d[3], d[3], d[1]);
    code.mul(d[3], d[3], two);
    code.add(y[3], d[4], d[3]);
    code.sub(y[4], d[4], d[3]);
    code.move(y[5], d[5]);
  }

  /** {@code A dy}: from {@link #d} into {@link #y}. */
  private void transformGradient() {
    code.move(y[0], d[0]);
    if (form == Winograd.F2) {
      code.add(y[1], d[0], d[1]);
      code.sub(y[2], d[0], d[1]);
      code.clear(spare);
      code.sub(y[3], spare, d[1]);
      return;
    }
    // d0 + d2 and d1 + d3; y1 and y2 are their sum and difference
    code.add(spare, d[0], d[2]);
    code.add(d[4], d[1], d[3]);
    code.add(y[1], spare, d[4]);
    code.sub(y[2], spare, d[4]);
    // d0 + 4 d2 and 2 (d1 + 4 d3); y3 and y4 are their sum and difference
    code.move(spare, d[0]);
    code.multiplyAdd(spare, d[2], four);
    code.move(d[4], d[1]);
    code.multiplyAdd(d[4], d[3], four);
    code.mul(d[4], d[4], two);
    code.add(y[3], spare, d[4]);
    code.sub(y[4], spare, d[4]);
    code.move(y[5], d[3]);
  }

  // --- output -----------------------------------------------------------------------------------

  private byte[] output(MachineWinograd.OutputCode constants) {
    final Gpr from = Gpr.A0;
    final Gpr bias = Gpr.A1;
    final Gpr outAt = Gpr.A2;
    final Gpr residualAt = Gpr.A3;
    final Gpr rows = Gpr.A4;
    final Gpr columns = Gpr.A5;
    final Gpr step = Gpr.T0;
    final Gpr plane = Gpr.T1; // then the residual's row
    final Gpr vector = Gpr.T3;
    final Gpr out = Gpr.T2;
    final Gpr residual = Gpr.T4;
    final Gpr column = Gpr.T5;
    final Gpr rowStep = Gpr.T6;
    final Gpr row = Gpr.T5; // once the columns are done
    final Gpr rowsOfTile = Gpr.T6;
    // These are free while a row is finished.
    final Vec biases = d[0];
    final Vec zero = d[1];
    final Vec belowHalf = d[2];
    final Vec added = d[3];
    code.enter(m * t * code.bytes());
    for (Gpr list : new Gpr[] {outAt, residualAt, rows, columns}) {
      code.addParameter(list, 10);
    }
    code.addParameter(bias, 9);
    code.parameter(step, 12);
    // The indices to which outputs and residuals are relative replace their parameters.
    code.addToParameter(7, from);
    code.addToParameter(8, from);
    code.addParameter(from, 6);
    if (form == Winograd.F4) {
      constant(two, 2);
      constant(four, 4);
      constant(other, 8);
    }

    var tile = new Label();
    code.bind(tile);
    code.parameter(POINTER, 7);
    code.next(out, POINTER, outAt);
    if (constants.residual() != null) {
      code.parameter(POINTER, 8);
      code.next(residual, POINTER, residualAt);
    }
    code.set(vector, 0); // in bytes
    var again = new Label();
    code.bind(again);
    // Down the columns, whose products are t planes apart.
    code.move(rowStep, step);
    for (int i = 1; i < t / 2; i++) {
      code.add(rowStep, step);
    }
    code.add(rowStep, rowStep);
    code.sum(column, from, vector);
    for (int c = 0; c < t; c++) {
      code.move(plane, column);
      for (int r = 0; r < t; r++) {
        code.load(d[r], at(plane, 0));
        if (r + 1 < t) {
          code.add(plane, rowStep);
        }
      }
      code.add(column, step);
      transformOutput();
      for (int r = 0; r < m; r++) {
        code.store(square(r, c), y[r]);
      }
    }
    // Along the rows.
    var done = new Label();
    code.loadInt(rowsOfTile, rows);
    code.move(row, out);
    if (constants.residual() != null) {
      code.move(plane, residual);
    }
    for (int r = 0; r < m; r++) {
      if (r > 0) {
        code.jumpIfLess(rowsOfTile, r + 1, done);
        code.addParameter(row, 13);
        if (constants.residual() != null) {
          code.addParameter(plane, 14);
        }
      }
      for (int c = 0; c < t; c++) {
        code.load(d[c], square(r, c));
      }
      transformOutput();
      code.sum(POINTER, bias, vector);
      code.load(biases, at(POINTER, 0));
      if (constants.relu()) {
        code.clear(zero);
      }
      if (constants.out() == Format.ROUNDED) {
        code.constant(belowHalf, Macros.BELOW_HALF, POINTER);
      }
      code.loadInt(POINTER, columns);
      var rowDone = new Label();
      for (int c = 0; c < m; c++) {
        if (c > 0) {
          code.jumpIfLess(POINTER, c + 1, rowDone);
        }
        code.add(y[c], y[c], biases);
        if (constants.residual() instanceof Format format) {
          At pixel = at(plane, words(c * constants.residualStride()));
          if (format.isFloat()) {
            code.add(y[c], y[c], pixel);
          } else {
            code.load(added, pixel, format);
            code.add(y[c], y[c], added);
          }
        }
        if (constants.relu()) {
          code.relu(y[c], zero);
        }
        At pixel = at(row, words(c * constants.pixelStride()));
        if (constants.out() == Format.ROUNDED) {
          code.round(y[c], belowHalf, d[3]);
          code.store(pixel, y[c]);
        } else {
          code.store(pixel, y[c], constants.out(), d[3]);
        }
      }
      code.bind(rowDone);
    }
    code.bind(done);
    code.add(out, bytes(code.lanes(), constants.out()));
    if (constants.residual() instanceof Format format) {
      code.add(residual, bytes(code.lanes(), format));
    }
    code.add(vector, code.bytes());
    code.jumpIfNotEqual(vector, words(channels), again);
    code.add(from, words(channels));
    code.add(rows, Integer.BYTES);
    code.add(columns, Integer.BYTES);
    code.loop(11, tile);
    code.leave();
    return code.code();
  }

  /** {@code Aᵀ m}: from {@link #d} into {@link #y}. */
  private void transformOutput() {
    if (form == Winograd.F2) {
      code.add(y[0], d[0], d[1]);
      code.add(y[0], y[0], d[2]);
      code.sub(y[1], d[1], d[2]);
      code.sub(y[1], y[1], d[3]);
      return;
    }
    // p = d1 + d2, q = d3 + d4: y0 = d0 + p + q, y2 = p + 4 q
    code.add(y[2], d[1], d[2]);
    code.add(spare, d[3], d[4]);
    code.add(y[0], d[0], y[2]);
    code.add(y[0], y[0], spare);
    code.multiplyAdd(y[2], spare, four);
    // p = d1 - d2, q = d3 - d4: y1 = p + 2 q, y3 = p + 8 q + d5
    code.sub(y[1], d[1], d[2]);
    code.sub(spare, d[3], d[4]);
    code.move(y[3], y[1]);
    code.multiplyAdd(y[1], spare, two);
    code.multiplyAdd(y[3], spare, other);
    code.add(y[3], y[3], d[5]);
  }
}
