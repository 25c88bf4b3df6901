package io.github.resnet4j.kernel;

import static io.github.resnet4j.kernel.Assembler.mem;

import io.github.resnet4j.kernel.Assembler.Condition;
import io.github.resnet4j.kernel.Assembler.Label;
import io.github.resnet4j.kernel.Assembler.Mem;
import io.github.resnet4j.kernel.Assembler.Reg;
import io.github.resnet4j.kernel.Vec.Width;
import io.github.resnet4j.kernel.VectorAssembler.Comparison;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/** {@link VectorCode} for x86-64 with AVX2 or AVX-512. */
final class X86Code implements VectorCode {
  /** In the order of {@link Gpr}. */
  private static final Reg[] REGISTERS = {
    Reg.RDI, Reg.RSI, Reg.RDX, Reg.RCX, Reg.R8, Reg.R9, Reg.RBX, Reg.R10, Reg.R11, Reg.R12, Reg.R13,
    Reg.R14, Reg.R15, Reg.RAX
  };

  /** The stack pointer before scratch memory was reserved. */
  private static final Reg FRAME = Reg.RBP;

  private final VectorAssembler code;
  private final Width width;

  /** Null before {@link #enter}. */
  private MachineCode.@Nullable Frame frame;

  private boolean hasScratch;

  X86Code(Width width) {
    this.code = new VectorAssembler(width);
    this.width = width;
  }

  private static Reg reg(Gpr register) {
    return REGISTERS[register.ordinal()];
  }

  private static Mem memory(At at) {
    return mem(at.base() == null ? Reg.RSP : reg(at.base()), at.offset());
  }

  private MachineCode.Frame frame() {
    return Objects.requireNonNull(frame);
  }

  private Mem parameter(int index) {
    Mem parameter = frame().parameter(index);
    return hasScratch ? mem(FRAME, parameter.displacement()) : parameter;
  }

  @Override
  public byte[] code() {
    return code.code();
  }

  @Override
  public int lanes() {
    return width.lanes();
  }

  @Override
  public Vec vec(int number) {
    return code.vec(number);
  }

  @Override
  public void enter(int scratch) {
    frame = MachineCode.Frame.enter(code);
    hasScratch = scratch > 0;
    if (hasScratch) {
      code.mov(FRAME, Reg.RSP);
      code.sub(Reg.RSP, scratch);
      code.and(Reg.RSP, -64);
    }
  }

  @Override
  public void leave() {
    if (hasScratch) {
      code.mov(Reg.RSP, FRAME);
    }
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
    code.sub(reg(count), 1);
    code.jump(Condition.NOT_EQUAL, again);
  }

  @Override
  public void loop(int parameter, Label again) {
    code.sub(parameter(parameter), 1);
    code.jump(Condition.NOT_EQUAL, again);
  }

  @Override
  public void jumpIfLess(Gpr value, int than, Label to) {
    code.cmp(reg(value), than);
    code.jump(Condition.LESS, to);
  }

  @Override
  public void jumpIfNotEqual(Gpr value, int to, Label label) {
    code.cmp(reg(value), to);
    code.jump(Condition.NOT_EQUAL, label);
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
    code.add(reg(to), reg(value));
  }

  @Override
  public void add(Gpr to, int value) {
    code.add(reg(to), value);
  }

  @Override
  public void sum(Gpr to, Gpr a, Gpr b) {
    code.lea(reg(to), mem(reg(a), reg(b), 1));
  }

  @Override
  public void parameter(Gpr to, int index) {
    code.mov(reg(to), parameter(index));
  }

  @Override
  public void addParameter(Gpr to, int index) {
    code.add(reg(to), parameter(index));
  }

  @Override
  public void addToParameter(int index, Gpr value) {
    code.add(parameter(index), reg(value));
  }

  @Override
  public void loadInt(Gpr to, Gpr from) {
    code.movsxd(reg(to), mem(reg(from)));
  }

  @Override
  public void next(Gpr to, Gpr base, Gpr list) {
    Macros.next(code, reg(to), reg(base), reg(list));
  }

  @Override
  public void prefetch(At line) {
    code.prefetcht1(memory(line));
  }

  @Override
  public void prefetchForWriting(At line) {
    code.prefetchw(memory(line));
  }

  @Override
  public void load(Vec to, At from) {
    code.vmovups(to, memory(from));
  }

  @Override
  public void store(At to, Vec from) {
    code.vmovups(memory(to), from);
  }

  @Override
  public void load(Vec to, At from, Format format) {
    Macros.widen(code, to, memory(from), format);
  }

  @Override
  public void store(At to, Vec from, Format format, Vec scratch) {
    Macros.narrow(code, memory(to), from, format, scratch, scratch);
  }

  @Override
  public void loadFloat(Vec to, At from) {
    code.vmovss(to.as(Width.XMM), memory(from));
  }

  @Override
  public void storeFloat(At to, Vec from) {
    code.vmovss(memory(to), from.as(Width.XMM));
  }

  @Override
  public void move(Vec to, Vec from) {
    code.vmovaps(to, from);
  }

  @Override
  public void clear(Vec to) {
    Macros.clear(code, to);
  }

  @Override
  public void constant(Vec to, int bits, Gpr scratch) {
    Macros.constant(code, to, bits, reg(scratch));
  }

  @Override
  public void repeat(Vec to, Gpr bits) {
    code.vmovd(to.as(Width.XMM), reg(bits));
    code.vbroadcastss(to, to.as(Width.XMM));
  }

  @Override
  public void add(Vec to, Vec a, Vec b) {
    code.vaddps(to, a, b);
  }

  @Override
  public void add(Vec to, Vec a, At b) {
    code.vaddps(to, a, memory(b));
  }

  @Override
  public void sub(Vec to, Vec a, Vec b) {
    code.vsubps(to, a, b);
  }

  @Override
  public void mul(Vec to, Vec a, Vec b) {
    code.vmulps(to, a, b);
  }

  @Override
  public void mulFloat(Vec to, Vec a, At b) {
    code.vmulss(to.as(Width.XMM), a.as(Width.XMM), memory(b));
  }

  @Override
  public void multiplyAdd(Vec sum, Vec a, Vec b) {
    code.vfmadd231ps(sum, a, b);
  }

  @Override
  public void multiplyAdd(Vec sum, Vec a, At b) {
    code.vfmadd231ps(sum, a, memory(b));
  }

  @Override
  public void relu(Vec values, Vec zero) {
    code.vmaxps(values, zero, values); // the second operand if one is NaN or both are zero
  }

  @Override
  public void selectGreater(Vec to, Vec from, Vec a, Vec b) {
    Macros.select(code, to, from, a, Comparison.GREATER, b);
  }

  @Override
  public void selectEqual(Vec to, Vec from, Vec a, Vec b) {
    Macros.select(code, to, from, a, Comparison.EQUAL, b);
  }

  @Override
  public void maximum(Vec max, At b, Format format, Vec scratch) {
    load(scratch, b, format);
    // A NaN maximum stays NaN; a NaN in b becomes the maximum.
    Macros.moveNan(code, scratch, max, scratch.plus(1));
    code.vmaxps(max, max, scratch);
  }

  @Override
  public void maximumOfBytes(Vec max, At b) {
    code.vpmaxub(max, max, memory(b));
  }

  @Override
  public void maximumOfShorts(Vec max, At b) {
    code.vpmaxuw(max, max, memory(b));
  }

  @Override
  public void round(Vec floats, Vec belowHalf, Vec scratch) {
    Macros.round(code, floats, belowHalf, scratch);
  }

  @Override
  public void pair(Vec first, Vec second) {
    Macros.roundWords(code, first);
    Macros.roundWords(code, second);
    Macros.join(code, first, second);
  }
}
