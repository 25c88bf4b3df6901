package io.github.resnet4j.kernel;

import static io.github.resnet4j.kernel.VectorCode.at;

import io.github.resnet4j.kernel.Assembler.Label;
import io.github.resnet4j.kernel.MachineNorm.Formats;
import io.github.resnet4j.kernel.MachineNorm.Kind;
import io.github.resnet4j.kernel.VectorCode.At;
import io.github.resnet4j.kernel.VectorCode.Gpr;

/**
 * The code of {@link MachineNorm}: passes over pixels, with the channels' coefficients in
 * registers.
 */
final class MachineNormCode {
  // The parameters are in the first six of these.
  private static final Gpr X = Gpr.A1;
  private static final Gpr SECOND = Gpr.A2;
  private static final Gpr THIRD = Gpr.A3;
  private static final Gpr COEFFICIENTS = Gpr.A4;
  private static final Gpr TO = Gpr.A5;
  private static final Gpr X_AT = Gpr.T7;
  private static final Gpr SECOND_AT = Gpr.T0;
  private static final Gpr THIRD_AT = Gpr.T3;
  private static final Gpr COLUMN = Gpr.T1;
  private static final Gpr ROWS = Gpr.T2;

  private final VectorCode code;
  private final Kind kind;
  private final Formats formats;

  /** The number of channels of a pixel. */
  private final int block;

  private final int vectors;
  private int next;

  /** For results of {@link Format#ROUNDED}. */
  private Vec belowHalf;

  private MachineNormCode(Kind kind, int block, Formats formats, Target target) {
    this.code = target.function();
    this.kind = kind;
    this.formats = formats;
    this.block = block;
    this.vectors = channels(block, target) / target.lanes();
    this.belowHalf = code.vec(0);
  }

  /** The number of channels that are processed together: as many as there are registers for. */
  static int channels(int block, Target target) {
    int vectors = target.registers() == 32 ? 4 : 2;
    while (block % (vectors * target.lanes()) != 0) {
      vectors--;
    }
    return vectors * target.lanes();
  }

  /**
   * Parameters: arena; then, in bytes, the offsets of x, the second operand, the third,
   * coefficients and sums, the row strides of the three; then rows and columns.
   */
  static byte[] write(Kind kind, int block, Formats formats, Target target) {
    return new MachineNormCode(kind, block, formats, target).generate();
  }

  private byte[] generate() {
    code.enter(0);
    for (Gpr pointer : new Gpr[] {X, SECOND, THIRD, COEFFICIENTS, TO}) {
      code.add(pointer, Gpr.A0);
    }
    code.parameter(ROWS, 9);
    Vec[] coefficients = new Vec[kind.coefficients()];
    for (int k = 0; k < coefficients.length; k++) {
      coefficients[k] = registers(vectors);
      for (int v = 0; v < vectors; v++) {
        code.load(coefficients[k].plus(v), vector(COEFFICIENTS, k, v));
      }
    }
    Vec zero = registers(1);
    code.clear(zero);
    Vec sums = kind.sums() ? registers(2 * vectors) : zero;
    Vec scratch = registers(5);
    belowHalf = registers(1);
    if (formats.third() == Format.ROUNDED) {
      code.constant(belowHalf, Macros.BELOW_HALF, X_AT);
    }

    var row = new Label();
    code.bind(row);
    for (int i = 0; kind.sums() && i < 2 * vectors; i++) {
      code.clear(sums.plus(i));
    }
    code.move(X_AT, X);
    code.move(SECOND_AT, SECOND);
    code.move(THIRD_AT, THIRD);
    code.parameter(COLUMN, 10);
    var pixel = new Label();
    code.align();
    code.bind(pixel);
    for (int v = 0; v < vectors; v++) {
      pixel(v, coefficients, zero, sums, scratch);
    }
    code.add(X_AT, bytes(block, formats.x()));
    if (kind.readsSecond()) {
      code.add(SECOND_AT, bytes(block, formats.second()));
    }
    if (kind.usesThird()) {
      code.add(THIRD_AT, bytes(block, formats.third()));
    }
    code.loop(COLUMN, pixel);
    for (int i = 0; kind.sums() && i < 2 * vectors; i++) {
      At total = vector(TO, i / vectors, i % vectors);
      code.load(scratch, total);
      code.add(scratch, scratch, sums.plus(i));
      code.store(total, scratch);
    }
    code.addParameter(X, 6);
    code.addParameter(SECOND, 7);
    code.addParameter(THIRD, 8);
    code.loop(ROWS, row);
    code.leave();
    return code.code();
  }

  /** One vector of channels of one pixel. */
  private void pixel(int v, Vec[] coefficients, Vec zero, Vec sums, Vec scratch) {
    Vec x = scratch;
    Vec g = scratch.plus(1);
    Vec t = scratch.plus(2);
    Vec masked = scratch.plus(3);
    Vec second = scratch.plus(4);
    Vec sum = sums.plus(v);
    Vec products = kind.sums() ? sums.plus(vectors + v) : zero;
    load(x, X_AT, v, formats.x());
    switch (kind) {
      case MOMENTS -> {
        code.sub(x, x, coefficients[0].plus(v));
        code.add(sum, sum, x);
        code.multiplyAdd(products, x, x);
      }
      case NORMALIZE, NORMALIZE_SUM -> {
        code.move(t, coefficients[1].plus(v));
        if (kind == Kind.NORMALIZE_SUM) {
          if (formats.second() == Format.FP32) {
            code.multiplyAdd(t, coefficients[2].plus(v), at(SECOND_AT, v * code.bytes()));
          } else {
            load(second, SECOND_AT, v, formats.second());
            code.multiplyAdd(t, coefficients[2].plus(v), second);
          }
        }
        code.multiplyAdd(t, x, coefficients[0].plus(v));
        code.relu(t, zero);
        store(THIRD_AT, v, t, formats.third(), second);
      }
      case GRADIENT_MOMENTS, GRADIENT_MOMENTS_BY_INPUT, GRADIENT_MOMENTS_BY_OUTPUT -> {
        load(g, SECOND_AT, v, formats.second());
        Vec passed = g;
        if (kind == Kind.GRADIENT_MOMENTS_BY_INPUT) {
          code.move(t, coefficients[2].plus(v));
          code.multiplyAdd(t, x, coefficients[1].plus(v));
          code.selectGreater(masked, g, t, zero);
          passed = masked;
        } else if (kind == Kind.GRADIENT_MOMENTS_BY_OUTPUT) {
          load(t, THIRD_AT, v, formats.third());
          code.selectGreater(masked, g, t, zero);
          store(SECOND_AT, v, masked, formats.second(), second);
          passed = masked;
        }
        code.add(sum, sum, passed);
        code.sub(x, x, coefficients[0].plus(v));
        code.multiplyAdd(products, passed, x);
      }
      case GRADIENT, GRADIENT_BY_INPUT -> {
        load(g, SECOND_AT, v, formats.second());
        Vec passed = g;
        if (kind == Kind.GRADIENT_BY_INPUT) {
          code.move(t, coefficients[4].plus(v));
          code.multiplyAdd(t, x, coefficients[3].plus(v));
          code.selectGreater(masked, g, t, zero);
          passed = masked;
        }
        code.move(t, coefficients[2].plus(v));
        code.multiplyAdd(t, x, coefficients[1].plus(v));
        code.multiplyAdd(t, passed, coefficients[0].plus(v));
        store(THIRD_AT, v, t, formats.third(), second);
      }
    }
  }

  private Vec registers(int count) {
    Vec first = code.vec(next);
    next += count;
    return first;
  }

  /** The number of bytes of some channels. */
  private static int bytes(int channels, Format format) {
    return channels * Float.BYTES / format.perWord();
  }

  /** Loads channels of a pixel as floats. */
  private void load(Vec to, Gpr base, int v, Format format) {
    code.load(to, at(base, bytes(v * code.lanes(), format)), format);
  }

  private void store(Gpr base, int v, Vec from, Format format, Vec scratch) {
    At to = at(base, bytes(v * code.lanes(), format));
    if (format == Format.ROUNDED) {
      code.round(from, belowHalf, scratch);
      code.store(to, from);
    } else {
      code.store(to, from, format, scratch);
    }
  }

  /** A vector of an array of coefficients or sums. */
  private At vector(Gpr base, int array, int v) {
    return at(base, array * block * Float.BYTES + v * code.bytes());
  }
}
