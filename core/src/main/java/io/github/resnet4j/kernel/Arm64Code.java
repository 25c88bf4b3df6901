package io.github.resnet4j.kernel;

import io.github.resnet4j.kernel.Arm64Assembler.X;
import io.github.resnet4j.kernel.Arm64VectorAssembler.Part;
import io.github.resnet4j.kernel.Assembler.Condition;
import io.github.resnet4j.kernel.Assembler.Label;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/** {@link VectorCode} for arm64. */
final class Arm64Code implements VectorCode {
  /** Memory operands of other instructions than loads and stores are loaded to this register. */
  private static final Vec OPERAND = Vec.xmm(31);

  private static final X SCRATCH = X.X17;

  private final Arm64VectorAssembler code = new Arm64VectorAssembler();

  /** Null before {@link #enter}. */
  private @Nullable Arm64Frame frame;

  private Arm64Frame frame() {
    return Objects.requireNonNull(frame);
  }

  private static X reg(Gpr register) {
    int number = register.ordinal();
    return X.values()[number < 6 ? number : number + 2]; // x0 to x5, x8 to x15
  }

  private static X base(At at) {
    return at.base() == null ? X.SP : reg(at.base());
  }

  private Vec operand(At at) {
    code.ldr(Part.Q, OPERAND, base(at), at.offset());
    return OPERAND;
  }

  @Override
  public byte[] code() {
    return code.code();
  }

  @Override
  public int lanes() {
    return Arm64Conv.LANES;
  }

  @Override
  public Vec vec(int number) {
    return Vec.xmm(number);
  }

  @Override
  public void enter(int scratch) {
    frame = Arm64Frame.enter(code, Math.ceilDiv(scratch, 16) * 16);
  }

  @Override
  public void leave() {
    frame().leave();
  }

  @Override
  public void bind(Label label) {
    code.bind(label);
  }

  @Override
  public void align() {
    code.align(32);
  }

  @Override
  public void loop(Gpr count, Label again) {
    code.subs(reg(count), reg(count), 1);
    code.b(Condition.NOT_EQUAL, again);
  }

  @Override
  public void loop(int parameter, Label again) {
    frame().parameter(SCRATCH, parameter);
    code.subs(SCRATCH, SCRATCH, 1);
    frame().setParameter(parameter, SCRATCH);
    code.b(Condition.NOT_EQUAL, again);
  }

  @Override
  public void jumpIfLess(Gpr value, int than, Label to) {
    code.cmp(reg(value), than);
    code.b(Condition.LESS, to);
  }

  @Override
  public void jumpIfNotEqual(Gpr value, int to, Label label) {
    code.cmp(reg(value), to);
    code.b(Condition.NOT_EQUAL, label);
  }

  @Override
  public void move(Gpr to, Gpr from) {
    code.mov(reg(to), reg(from));
  }

  @Override
  public void set(Gpr to, int value) {
    code.mov(reg(to), value);
  }

  @Override
  public void add(Gpr to, Gpr value) {
    code.add(reg(to), reg(to), reg(value));
  }

  @Override
  public void add(Gpr to, int value) {
    code.add(reg(to), reg(to), value, SCRATCH);
  }

  @Override
  public void sum(Gpr to, Gpr a, Gpr b) {
    code.add(reg(to), reg(a), reg(b));
  }

  @Override
  public void parameter(Gpr to, int index) {
    frame().parameter(reg(to), index);
  }

  @Override
  public void addParameter(Gpr to, int index) {
    frame().parameter(SCRATCH, index);
    code.add(reg(to), reg(to), SCRATCH);
  }

  @Override
  public void addToParameter(int index, Gpr value) {
    frame().parameter(SCRATCH, index);
    code.add(SCRATCH, SCRATCH, reg(value));
    frame().setParameter(index, SCRATCH);
  }

  @Override
  public void loadInt(Gpr to, Gpr from) {
    code.ldrsw(reg(to), reg(from), 0);
  }

  @Override
  public void next(Gpr to, Gpr base, Gpr list) {
    code.ldrswPost(SCRATCH, reg(list), Integer.BYTES);
    code.add(reg(to), reg(base), SCRATCH, 2);
  }

  @Override
  public void prefetch(At line) {
    code.prfmL2(base(line), line.offset());
  }

  @Override
  public void prefetchForWriting(At line) {
    code.prfmL2ForWriting(base(line), line.offset());
  }

  @Override
  public void load(Vec to, At from) {
    code.ldr(Part.Q, to, base(from), from.offset());
  }

  @Override
  public void store(At to, Vec from) {
    code.str(Part.Q, from, base(to), to.offset());
  }

  @Override
  public void load(Vec to, At from, Format format) {
    switch (format) {
      case FP32, ROUNDED -> load(to, from);
      case BF16 -> {
        code.ldr(Part.D, to, base(from), from.offset());
        code.shll4s16(to, to);
      }
      case U8, S8, S16 -> throw new IllegalArgumentException("not implemented for " + format);
    }
  }

  @Override
  public void store(At to, Vec from, Format format, Vec scratch) {
    switch (format) {
      case FP32 -> store(to, from);
      case BF16 -> {
        code.bfcvtn(scratch, from);
        code.str(Part.D, scratch, base(to), to.offset());
      }
      case ROUNDED, U8, S8, S16 ->
          throw new IllegalArgumentException("not implemented for " + format);
    }
  }

  @Override
  public void loadFloat(Vec to, At from) {
    code.ldr(Part.S, to, base(from), from.offset());
  }

  @Override
  public void storeFloat(At to, Vec from) {
    code.str(Part.S, from, base(to), to.offset());
  }

  @Override
  public void move(Vec to, Vec from) {
    code.mov(to, from);
  }

  @Override
  public void clear(Vec to) {
    code.moviZero(to);
  }

  @Override
  public void constant(Vec to, int bits, Gpr scratch) {
    code.mov(reg(scratch), bits);
    code.dup4s(to, reg(scratch));
  }

  @Override
  public void repeat(Vec to, Gpr bits) {
    code.dup4s(to, reg(bits));
  }

  @Override
  public void add(Vec to, Vec a, Vec b) {
    code.fadd(to, a, b);
  }

  @Override
  public void add(Vec to, Vec a, At b) {
    code.fadd(to, a, operand(b));
  }

  @Override
  public void sub(Vec to, Vec a, Vec b) {
    code.fsub(to, a, b);
  }

  @Override
  public void mul(Vec to, Vec a, Vec b) {
    code.fmul(to, a, b);
  }

  @Override
  public void mulFloat(Vec to, Vec a, At b) {
    code.ldr(Part.S, OPERAND, base(b), b.offset());
    code.fmulS(to, a, OPERAND);
  }

  @Override
  public void multiplyAdd(Vec sum, Vec a, Vec b) {
    code.fmla(sum, a, b);
  }

  @Override
  public void multiplyAdd(Vec sum, Vec a, At b) {
    code.fmla(sum, a, operand(b));
  }

  @Override
  public void relu(Vec values, Vec zero) {
    code.fcmltZero(OPERAND, values);
    code.bic(values, values, OPERAND);
  }

  @Override
  public void selectGreater(Vec to, Vec from, Vec a, Vec b) {
    code.fcmgt(to, a, b);
    code.and(to, to, from);
  }

  @Override
  public void selectEqual(Vec to, Vec from, Vec a, Vec b) {
    code.fcmeq(to, a, b);
    code.and(to, to, from);
  }

  @Override
  public void maximum(Vec max, At b, Format format, Vec scratch) {
    load(scratch, b, format);
    code.fmax(max, max, scratch);
  }

  @Override
  public void maximumOfBytes(Vec max, At b) {
    code.umax16b(max, max, operand(b));
  }

  @Override
  public void maximumOfShorts(Vec max, At b) {
    code.umax8h(max, max, operand(b));
  }

  @Override
  public void round(Vec floats, Vec belowHalf, Vec scratch) {
    code.ushr4s(scratch, floats, 16);
    code.shl4s(scratch, scratch, 31);
    code.ushr4s(scratch, scratch, 31); // 1 if the remaining number is odd
    code.add4s(floats, floats, belowHalf);
    code.add4s(floats, floats, scratch);
    code.ushr4s(floats, floats, 16);
    code.shl4s(floats, floats, 16);
  }

  @Override
  public void pair(Vec first, Vec second) {
    code.bfcvtn(first, first);
    code.bfcvtn(second, second);
    code.uxtl4s(first, first);
    code.shll4s16(second, second);
    code.add4s(first, first, second);
  }
}
