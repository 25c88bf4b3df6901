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
  private final int block;
  private final int vectors;
  private int next;

  private MachineNormCode(Kind kind, int block, Width width) {
    this.code = new VectorAssembler(width);
    this.width = width;
    this.kind = kind;
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
  static byte[] write(Kind kind, int block, Width width) {
    return new MachineNormCode(kind, block, width).generate();
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
    Vec scratch = registers(4);

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
    code.add(X_AT, block * Float.BYTES);
    if (kind.readsSecond()) {
      code.add(SECOND_AT, block * Float.BYTES);
    }
    if (kind.usesThird()) {
      code.add(THIRD_AT, block * Float.BYTES);
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
    Vec sum = sums.plus(v);
    Vec products = kind.sums() ? sums.plus(vectors + v) : zero;
    code.vmovups(x, vector(X_AT, v));
    switch (kind) {
      case MOMENTS -> {
        code.vsubps(x, x, coefficients[0].plus(v));
        code.vaddps(sum, sum, x);
        code.vfmadd231ps(products, x, x);
      }
      case NORMALIZE, NORMALIZE_SUM -> {
        code.vmovaps(t, coefficients[1].plus(v));
        if (kind == Kind.NORMALIZE_SUM) {
          code.vfmadd231ps(t, coefficients[2].plus(v), vector(SECOND_AT, v));
        }
        code.vfmadd231ps(t, x, coefficients[0].plus(v));
        code.vmaxps(t, zero, t); // keeps NaN and -0
        code.vmovups(vector(THIRD_AT, v), t);
      }
      case GRADIENT_MOMENTS, GRADIENT_MOMENTS_BY_INPUT, GRADIENT_MOMENTS_BY_OUTPUT -> {
        code.vmovups(g, vector(SECOND_AT, v));
        Vec passed = g;
        if (kind == Kind.GRADIENT_MOMENTS_BY_INPUT) {
          code.vmovaps(t, coefficients[2].plus(v));
          code.vfmadd231ps(t, x, coefficients[1].plus(v));
          Macros.select(code, masked, g, t, Comparison.GREATER, zero);
          passed = masked;
        } else if (kind == Kind.GRADIENT_MOMENTS_BY_OUTPUT) {
          code.vmovups(t, vector(THIRD_AT, v));
          Macros.select(code, masked, g, t, Comparison.GREATER, zero);
          code.vmovups(vector(SECOND_AT, v), masked);
          passed = masked;
        }
        code.vaddps(sum, sum, passed);
        code.vsubps(x, x, coefficients[0].plus(v));
        code.vfmadd231ps(products, passed, x);
      }
      case GRADIENT, GRADIENT_BY_INPUT -> {
        code.vmovups(g, vector(SECOND_AT, v));
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
        code.vmovups(vector(THIRD_AT, v), t);
      }
    }
  }

  private Vec registers(int count) {
    Vec first = code.vec(next);
    next += count;
    return first;
  }

  private Mem vector(Reg base, int v) {
    return mem(base, v * width.bytes());
  }
}
