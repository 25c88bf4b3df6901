package io.github.resnet4j.kernel;

import static io.github.resnet4j.kernel.Assembler.mem;

import io.github.resnet4j.kernel.Assembler.Condition;
import io.github.resnet4j.kernel.Assembler.Label;
import io.github.resnet4j.kernel.Assembler.Mem;
import io.github.resnet4j.kernel.Assembler.Reg;
import io.github.resnet4j.kernel.MachineNorm.Kind;
import io.github.resnet4j.kernel.Vec.Width;
import io.github.resnet4j.kernel.VectorAssembler.Comparison;

/**
 * The code of {@link MachineNorm}: passes over pixels, with the channels' coefficients in
 * registers.
 */
final class MachineNormCode {
  // The parameters are in the first six of these, see MachineCode.Frame.
  private static final Reg X = Reg.RSI;
  private static final Reg SECOND = Reg.RDX;
  private static final Reg THIRD = Reg.RCX;
  private static final Reg COEFFICIENTS = Reg.R8;
  private static final Reg TO = Reg.R9;
  private static final Reg X_AT = Reg.RAX;
  private static final Reg SECOND_AT = Reg.RBX;
  private static final Reg THIRD_AT = Reg.RBP;
  private static final Reg COLUMN = Reg.R10;
  private static final Reg ROWS = Reg.R11;

  private final VectorAssembler code;
  private final Width width;
  private final Kind kind;
  private final Format format;

  /** The number of channels of a pixel. */
  private final int block;

  private final int vectors;
  private int next;

  private MachineNormCode(Kind kind, int block, Format format, Width width) {
    this.code = new VectorAssembler(width);
    this.width = width;
    this.kind = kind;
    this.format = format;
    this.block = block;
    this.vectors = channels(block, width) / width.lanes();
  }

  /** The number of channels that are processed together: as many as there are registers for. */
  static int channels(int block, Width width) {
    return width == Width.ZMM ? block : Math.min(block, block % 16 == 0 ? 16 : 8);
  }

  /**
   * Parameters: arena; then, in bytes, the offsets of x, the second operand, the third,
   * coefficients and sums, the row strides of the three; then rows and columns.
   */
  static byte[] write(Kind kind, int block, Format format, Width width) {
    return new MachineNormCode(kind, block, format, width).generate();
  }

  private byte[] generate() {
    MachineCode.Frame frame = MachineCode.Frame.enter(code);
    for (Reg pointer : new Reg[] {X, SECOND, THIRD, COEFFICIENTS, TO}) {
      code.add(pointer, Reg.RDI);
    }
    code.mov(ROWS, frame.parameter(9));
    Vec[] coefficients = new Vec[kind.coefficients()];
    for (int k = 0; k < coefficients.length; k++) {
      coefficients[k] = registers(vectors);
      for (int v = 0; v < vectors; v++) {
        code.vmovups(
            coefficients[k].plus(v), vector(COEFFICIENTS, v).plus(k * block * Float.BYTES));
      }
    }
    Vec zero = registers(1);
    Macros.clear(code, zero);
    Vec sums = kind.sums() ? registers(2 * vectors) : zero;
    Vec scratch = registers(5);

    var row = new Label();
    code.bind(row);
    for (int i = 0; kind.sums() && i < 2 * vectors; i++) {
      Macros.clear(code, sums.plus(i));
    }
    code.mov(X_AT, X);
    code.mov(SECOND_AT, SECOND);
    code.mov(THIRD_AT, THIRD);
    code.mov(COLUMN, frame.parameter(10));
    var pixel = new Label();
    code.align(32);
    code.bind(pixel);
    for (int v = 0; v < vectors; v++) {
      pixel(v, coefficients, zero, sums, scratch);
    }
    int bytes = block * Float.BYTES / format.perWord();
    code.add(X_AT, bytes);
    if (kind.readsSecond()) {
      code.add(SECOND_AT, bytes);
    }
    if (kind.usesThird()) {
      code.add(THIRD_AT, bytes);
    }
    code.sub(COLUMN, 1);
    code.jump(Condition.NOT_EQUAL, pixel);
    for (int i = 0; kind.sums() && i < 2 * vectors; i++) {
      Mem total = vector(TO, i % vectors).plus(i / vectors * block * Float.BYTES);
      code.vmovups(scratch, total);
      code.vaddps(scratch, scratch, sums.plus(i));
      code.vmovups(total, scratch);
    }
    code.add(X, frame.parameter(6));
    code.add(SECOND, frame.parameter(7));
    code.add(THIRD, frame.parameter(8));
    code.sub(ROWS, 1);
    code.jump(Condition.NOT_EQUAL, row);
    frame.leave();
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
    load(x, X_AT, v);
    switch (kind) {
      case MOMENTS -> {
        code.vsubps(x, x, coefficients[0].plus(v));
        code.vaddps(sum, sum, x);
        code.vfmadd231ps(products, x, x);
      }
      case NORMALIZE, NORMALIZE_SUM -> {
        code.vmovaps(t, coefficients[1].plus(v));
        if (kind == Kind.NORMALIZE_SUM) {
          if (format == Format.BF16) {
            load(second, SECOND_AT, v);
            code.vfmadd231ps(t, coefficients[2].plus(v), second);
          } else {
            code.vfmadd231ps(t, coefficients[2].plus(v), vector(SECOND_AT, v));
          }
        }
        code.vfmadd231ps(t, x, coefficients[0].plus(v));
        code.vmaxps(t, zero, t); // keeps NaN and -0
        store(THIRD_AT, v, t, second);
      }
      case GRADIENT_MOMENTS, GRADIENT_MOMENTS_BY_INPUT, GRADIENT_MOMENTS_BY_OUTPUT -> {
        load(g, SECOND_AT, v);
        Vec passed = g;
        if (kind == Kind.GRADIENT_MOMENTS_BY_INPUT) {
          code.vmovaps(t, coefficients[2].plus(v));
          code.vfmadd231ps(t, x, coefficients[1].plus(v));
          Macros.select(code, masked, g, t, Comparison.GREATER, zero);
          passed = masked;
        } else if (kind == Kind.GRADIENT_MOMENTS_BY_OUTPUT) {
          load(t, THIRD_AT, v);
          Macros.select(code, masked, g, t, Comparison.GREATER, zero);
          store(SECOND_AT, v, masked, second);
          passed = masked;
        }
        code.vaddps(sum, sum, passed);
        code.vsubps(x, x, coefficients[0].plus(v));
        code.vfmadd231ps(products, passed, x);
      }
      case GRADIENT, GRADIENT_BY_INPUT -> {
        load(g, SECOND_AT, v);
        Vec passed = g;
        if (kind == Kind.GRADIENT_BY_INPUT) {
          code.vmovaps(t, coefficients[4].plus(v));
          code.vfmadd231ps(t, x, coefficients[3].plus(v));
          Macros.select(code, masked, g, t, Comparison.GREATER, zero);
          passed = masked;
        }
        code.vmovaps(t, coefficients[2].plus(v));
        code.vfmadd231ps(t, x, coefficients[1].plus(v));
        code.vfmadd231ps(t, passed, coefficients[0].plus(v));
        store(THIRD_AT, v, t, second);
      }
    }
  }

  private Vec registers(int count) {
    Vec first = code.vec(next);
    next += count;
    return first;
  }

  /** Loads channels of a pixel as floats. */
  private void load(Vec to, Reg base, int v) {
    Macros.widen(code, to, mem(base, v * width.bytes() / format.perWord()), format);
  }

  private void store(Reg base, int v, Vec from, Vec scratch) {
    Mem to = mem(base, v * width.bytes() / format.perWord());
    Macros.narrow(code, to, from, format, scratch, scratch);
  }

  private Mem vector(Reg base, int v) {
    return mem(base, v * width.bytes());
  }
}
