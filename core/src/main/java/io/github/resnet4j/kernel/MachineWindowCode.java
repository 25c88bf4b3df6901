package io.github.resnet4j.kernel;

import static io.github.resnet4j.kernel.VectorCode.at;
import static io.github.resnet4j.kernel.VectorCode.scratch;

import io.github.resnet4j.kernel.Assembler.Label;
import io.github.resnet4j.kernel.VectorCode.At;
import io.github.resnet4j.kernel.VectorCode.Gpr;
import java.util.Arrays;

/**
 * Winograd's transforms of weights and of their gradients in machine code, for one form and number
 * of channels. As in {@link MachineWinogradCode}, each consists of two passes of a one-dimensional
 * transform, with a square on the stack between them.
 *
 * <p>Parameters: windows and products; then, in bytes except for the count: their offsets, the
 * number of rows, from one weight to the next, from one product to the next, to the one below it,
 * and from the end of a row of products to the next.
 */
final class MachineWindowCode {
  private static final Gpr WINDOWS = Gpr.A0;
  private static final Gpr PRODUCTS = Gpr.A1;
  private static final Gpr ROWS = Gpr.A4;
  private static final Gpr TAP_STRIDE = Gpr.A5;
  private static final Gpr STEP = Gpr.T0;
  private static final Gpr BELOW = Gpr.T1;
  private static final Gpr GAP = Gpr.T2;
  private static final Gpr VECTOR = Gpr.T3;
  private static final Gpr COLUMN = Gpr.T4;
  private static final Gpr PLACE = Gpr.T5;

  private final MachineWinograd.RowsCode constants;
  private final int t;
  private final VectorCode code;

  /** The inputs of a one-dimensional transform, at most six. */
  private final Vec[] d = new Vec[6];

  /** Its results. */
  private final Vec[] y = new Vec[6];

  private final Vec spare;

  // Constants. The first is 1/2 for F(2×2), which needs no others, and 1/4 for F(4×4).
  private final Vec first;
  private final Vec minusSixth;
  private final Vec twelfth;
  private final Vec twentyFourth;

  private MachineWindowCode(MachineWinograd.RowsCode constants, VectorCode code) {
    this.constants = constants;
    this.t = constants.form().inputs();
    this.code = code;
    Arrays.setAll(d, code::vec);
    Arrays.setAll(y, i -> code.vec(6 + i));
    this.spare = code.vec(12);
    this.first = code.vec(13);
    this.minusSixth = code.vec(14);
    this.twelfth = code.vec(15);
    // A window has only three inputs, and its gradient three results.
    this.twentyFourth = constants.ofGradient() ? y[5] : d[5];
  }

  static byte[] write(MachineWinograd.RowsCode constants, VectorCode code) {
    return new MachineWindowCode(constants, code).write();
  }

  private byte[] write() {
    int perWord = constants.to().perWord();
    code.enter((3 * t + (perWord - 1) * t * t) * code.bytes());
    code.add(WINDOWS, Gpr.A2);
    code.add(PRODUCTS, Gpr.A3);
    code.parameter(STEP, 6);
    code.parameter(BELOW, 7);
    code.parameter(GAP, 8);
    switch (constants.form()) {
      case F2 -> constant(first, 1 / 2f);
      case F4 -> {
        constant(first, 1 / 4f);
        constant(minusSixth, -1 / 6f);
        constant(twelfth, 1 / 12f);
        constant(twentyFourth, 1 / 24f);
      }
    }
    var row = new Label();
    code.bind(row);
    code.set(VECTOR, constants.channels() / code.lanes());
    var again = new Label();
    code.bind(again);
    if (constants.ofGradient()) {
      gradient();
    } else {
      for (int input = 0; input < perWord; input++) {
        weights(input);
      }
    }
    code.add(WINDOWS, code.bytes());
    code.add(PRODUCTS, code.bytes());
    code.loop(VECTOR, again);
    code.add(WINDOWS, (perWord - 1) * rowBytes());
    code.add(PRODUCTS, GAP);
    code.loop(ROWS, row);
    code.leave();
    return code.code();
  }

  private void constant(Vec to, float value) {
    code.constant(to, Float.floatToRawIntBits(value), PLACE);
  }

  private int rowBytes() {
    return constants.channels() * Float.BYTES;
  }

  /** The result of the first pass. */
  private At half(int row, int column) {
    return scratch((row * t + column) * code.bytes());
  }

  /** The factors of an input channel that wait for those of the next one. */
  private At waiting(int row, int column) {
    return scratch((3 * t + row * t + column) * code.bytes());
  }

  /**
   * Transforms one vector of windows.
   *
   * @param input the place of the input channel in its word
   */
  private void weights(int input) {
    code.move(PLACE, WINDOWS);
    for (int r = 0; r < 3; r++) {
      for (int c = 0; c < 3; c++) {
        code.load(d[c], at(PLACE, input * rowBytes()));
        code.add(PLACE, TAP_STRIDE);
      }
      transformWindow();
      for (int c = 0; c < t; c++) {
        code.store(half(r, c), y[c]);
      }
    }
    code.move(COLUMN, PRODUCTS);
    for (int c = 0; c < t; c++) {
      for (int r = 0; r < 3; r++) {
        code.load(d[r], half(r, c));
      }
      transformWindow();
      code.move(PLACE, COLUMN);
      for (int r = 0; r < t; r++) {
        if (input + 1 < constants.to().perWord()) {
          code.store(waiting(r, c), y[r]);
          continue;
        }
        Vec factor = y[r];
        if (input > 0) {
          factor = d[0];
          code.load(factor, waiting(r, c));
          code.pair(factor, y[r]);
        }
        code.store(at(PLACE, 0), factor);
        code.add(PLACE, BELOW);
      }
      code.add(COLUMN, STEP);
    }
  }

  /** {@code G d}: from three registers of {@link #d} into {@link #y}. */
  private void transformWindow() {
    switch (constants.form()) {
      case F2 -> {
        code.add(spare, d[0], d[2]);
        code.mul(spare, spare, first);
        code.mul(y[3], d[1], first);
        code.add(y[1], spare, y[3]);
        code.sub(y[2], spare, y[3]);
        code.move(y[0], d[0]);
        code.move(y[3], d[2]);
      }
      case F4 -> {
        code.mul(y[0], d[0], first);
        // -(d0 + d2) / 6 and -d1 / 6; y1 and y2 are their sum and difference
        code.add(spare, d[0], d[2]);
        code.mul(spare, spare, minusSixth);
        code.mul(y[5], d[1], minusSixth);
        code.add(y[1], spare, y[5]);
        code.sub(y[2], spare, y[5]);
        // d0 / 24 + d2 / 6 and d1 / 12; y3 and y4 are their sum and difference
        code.mul(spare, d[0], twentyFourth);
        code.mul(y[5], d[2], minusSixth);
        code.sub(spare, spare, y[5]);
        code.mul(y[5], d[1], twelfth);
        code.add(y[3], spare, y[5]);
        code.sub(y[4], spare, y[5]);
        code.move(y[5], d[2]);
      }
    }
  }

  /** Transforms one vector of products back, and adds the results to the windows. */
  private void gradient() {
    code.move(COLUMN, PRODUCTS);
    for (int c = 0; c < t; c++) {
      code.move(PLACE, COLUMN);
      for (int r = 0; r < t; r++) {
        code.load(d[r], at(PLACE, 0));
        code.add(PLACE, BELOW);
      }
      transformProducts();
      for (int r = 0; r < 3; r++) {
        code.store(half(r, c), y[r]);
      }
      code.add(COLUMN, STEP);
    }
    code.move(PLACE, WINDOWS);
    for (int r = 0; r < 3; r++) {
      for (int c = 0; c < t; c++) {
        code.load(d[c], half(r, c));
      }
      transformProducts();
      for (int c = 0; c < 3; c++) {
        code.add(y[c], y[c], at(PLACE, 0));
        code.store(at(PLACE, 0), y[c]);
        code.add(PLACE, TAP_STRIDE);
      }
    }
  }

  /** {@code Gᵀ d}: from {@link #d} into three registers of {@link #y}. */
  private void transformProducts() {
    switch (constants.form()) {
      case F2 -> {
        code.add(spare, d[1], d[2]);
        code.mul(spare, spare, first);
        code.add(y[0], d[0], spare);
        code.add(y[2], spare, d[3]);
        code.sub(y[1], d[1], d[2]);
        code.mul(y[1], y[1], first);
      }
      case F4 -> {
        // p = d1 + d2, q = d3 + d4: y0 = d0 / 4 - p / 6 + q / 24, y2 = (q - p) / 6 + d5
        code.add(y[1], d[1], d[2]);
        code.add(spare, d[3], d[4]);
        code.mul(y[0], d[0], first);
        code.multiplyAdd(y[0], y[1], minusSixth);
        code.multiplyAdd(y[0], spare, twentyFourth);
        code.sub(y[1], y[1], spare);
        code.move(y[2], d[5]);
        code.multiplyAdd(y[2], y[1], minusSixth);
        // y1 = (d2 - d1) / 6 + (d3 - d4) / 12
        code.sub(y[1], d[1], d[2]);
        code.mul(y[1], y[1], minusSixth);
        code.sub(spare, d[3], d[4]);
        code.multiplyAdd(y[1], spare, twelfth);
      }
    }
  }
}
