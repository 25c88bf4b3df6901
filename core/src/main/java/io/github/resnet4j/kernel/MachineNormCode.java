package io.github.resnet4j.kernel;

import static io.github.resnet4j.kernel.Assembler.mem;

import io.github.resnet4j.kernel.Assembler.Comparison;
import io.github.resnet4j.kernel.Assembler.Condition;
import io.github.resnet4j.kernel.Assembler.Label;
import io.github.resnet4j.kernel.Assembler.Mem;
import io.github.resnet4j.kernel.Assembler.Reg;
import io.github.resnet4j.kernel.MachineNorm.Kind;

/**
 * The code of {@link MachineNorm}: passes over pixels whose channels' coefficients stay in
 * registers.
 */
final class MachineNormCode {
  // Parameters come in the first six of these, see MachineCode.Frame.
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

  private final Assembler code;
  private final Kind kind;
  private final int block;
  private final int vectors;
  private int next;

  private MachineNormCode(Kind kind, int block, boolean wide) {
    this.code = new Assembler(wide);
    this.kind = kind;
    this.block = block;
    this.vectors = channels(block, wide) / code.lanes();
  }

  /** Channels that are done at a time: as many as there are registers for. */
  static int channels(int block, boolean wide) {
    return wide ? block : Math.min(block, block % 16 == 0 ? 16 : 8);
  }

  /**
   * Parameters: arena; then, in bytes, where x, the second operand, the third, coefficients and
   * sums begin, the row strides of the three; then rows and columns.
   */
  static byte[] write(Kind kind, int block, boolean wide) {
    return new MachineNormCode(kind, block, wide).generate();
  }

  private byte[] generate() {
    MachineCode.Frame frame = MachineCode.Frame.enter(code);
    for (Reg pointer : new Reg[] {X, SECOND, THIRD, COEFFICIENTS, TO}) {
      code.add(pointer, Reg.RDI);
    }
    code.mov(ROWS, frame.parameter(9));
    int[] coefficients = new int[kind.coefficients()];
    for (int k = 0; k < coefficients.length; k++) {
      coefficients[k] = registers(vectors);
      for (int v = 0; v < vectors; v++) {
        code.vmovups(coefficients[k] + v, vector(COEFFICIENTS, v).plus(k * block * Float.BYTES));
      }
    }
    int zero = registers(1);
    code.clear(zero);
    int sums = kind.sums() ? registers(2 * vectors) : 0;
    int scratch = registers(4);

    var row = new Label();
    code.bind(row);
    for (int i = 0; kind.sums() && i < 2 * vectors; i++) {
      code.clear(sums + i);
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
      code.vaddps(scratch, scratch, sums + i);
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
  private void pixel(int v, int[] coefficients, int zero, int sums, int scratch) {
    int x = scratch;
    int g = scratch + 1;
    int t = scratch + 2;
    int masked = scratch + 3;
    code.vmovups(x, vector(X_AT, v));
    switch (kind) {
      case MOMENTS -> {
        code.vsubps(x, x, coefficients[0] + v);
        code.vaddps(sums + v, sums + v, x);
        code.vfmadd231ps(sums + vectors + v, x, x);
      }
      case NORMALIZE, NORMALIZE_SUM -> {
        code.vmovaps(t, coefficients[1] + v);
        if (kind == Kind.NORMALIZE_SUM) {
          code.vfmadd231ps(t, coefficients[2] + v, vector(SECOND_AT, v));
        }
        code.vfmadd231ps(t, x, coefficients[0] + v);
        code.vmaxps(t, zero, t); // NaN stays, as does -0
        code.vmovups(vector(THIRD_AT, v), t);
      }
      case GRADIENT_MOMENTS, GRADIENT_MOMENTS_BY_INPUT, GRADIENT_MOMENTS_BY_OUTPUT -> {
        code.vmovups(g, vector(SECOND_AT, v));
        int passed = g;
        if (kind == Kind.GRADIENT_MOMENTS_BY_INPUT) {
          code.vmovaps(t, coefficients[2] + v);
          code.vfmadd231ps(t, x, coefficients[1] + v);
          code.select(masked, g, t, Comparison.GREATER, zero);
          passed = masked;
        } else if (kind == Kind.GRADIENT_MOMENTS_BY_OUTPUT) {
          code.vmovups(t, vector(THIRD_AT, v));
          code.select(masked, g, t, Comparison.GREATER, zero);
          code.vmovups(vector(SECOND_AT, v), masked);
          passed = masked;
        }
        code.vaddps(sums + v, sums + v, passed);
        code.vsubps(x, x, coefficients[0] + v);
        code.vfmadd231ps(sums + vectors + v, passed, x);
      }
      case GRADIENT, GRADIENT_BY_INPUT -> {
        code.vmovups(g, vector(SECOND_AT, v));
        int passed = g;
        if (kind == Kind.GRADIENT_BY_INPUT) {
          code.vmovaps(t, coefficients[4] + v);
          code.vfmadd231ps(t, x, coefficients[3] + v);
          code.select(masked, g, t, Comparison.GREATER, zero);
          passed = masked;
        }
        code.vmovaps(t, coefficients[2] + v);
        code.vfmadd231ps(t, x, coefficients[1] + v);
        code.vfmadd231ps(t, passed, coefficients[0] + v);
        code.vmovups(vector(THIRD_AT, v), t);
      }
    }
  }

  private int registers(int count) {
    int first = next;
    next += count;
    return first;
  }

  private Mem vector(Reg base, int v) {
    return mem(base, v * code.vectorBytes());
  }
}
