package io.github.resnet4j.kernel;

import static io.github.resnet4j.kernel.Assembler.mem;

import io.github.resnet4j.kernel.Assembler.Condition;
import io.github.resnet4j.kernel.Assembler.Label;
import io.github.resnet4j.kernel.Assembler.Reg;

/**
 * {@link ConvKernels#gather} in machine code, float by float. Otherwise most of the time from
 * loading weights to the first prediction would be spent in loops that the JVM has not compiled
 * yet.
 */
final class MachineGather {
  private static final int UNROLLED = 4;

  private MachineGather() {}

  /**
   * Parameters: source, list, scales, to; then the offsets of source, scales and result, the length
   * of the list, the stride, all in bytes, the number of channels, and the offset in the list, in
   * bytes.
   */
  static byte[] code() {
    final Reg source = Reg.RDI;
    final Reg from = Reg.RSI;
    final Reg scales = Reg.RDX;
    final Reg to = Reg.RCX;
    final Reg stride = Reg.R10;
    final Reg threeStrides = Reg.R12;
    final Reg channels = Reg.R13;
    final Reg weight = Reg.RAX;
    final Reg scale = Reg.RBX;
    final Reg left = Reg.R11;
    var code = new VectorAssembler(Vec.Width.YMM);
    MachineCode.Frame frame = MachineCode.Frame.enter(code);
    code.add(source, Reg.R8);
    code.add(scales, Reg.R9);
    code.add(to, frame.parameter(6));
    code.add(from, frame.parameter(10));
    code.mov(stride, frame.parameter(8));
    code.lea(threeStrides, mem(stride, stride, 2));
    code.mov(channels, frame.parameter(9));
    var row = new Label();
    code.bind(row);
    Macros.next(code, weight, source, from);
    code.mov(scale, scales);
    code.mov(left, channels);
    var four = new Label();
    code.bind(four);
    for (int i = 0; i < UNROLLED; i++) {
      var at =
          switch (i) {
            case 0 -> mem(weight);
            case 1 -> mem(weight, stride, 1);
            case 2 -> mem(weight, stride, 2);
            default -> mem(weight, threeStrides, 1);
          };
      Vec value = Vec.xmm(i);
      code.vmovss(value, at);
      code.vmulss(value, value, mem(scale, i * Float.BYTES));
      code.vmovss(mem(to, i * Float.BYTES), value);
    }
    code.add(scale, UNROLLED * Float.BYTES);
    code.add(to, UNROLLED * Float.BYTES);
    code.lea(weight, mem(weight, stride, UNROLLED));
    code.sub(left, UNROLLED);
    code.jump(Condition.NOT_EQUAL, four);
    code.sub(frame.parameter(7), 1);
    code.jump(Condition.NOT_EQUAL, row);
    frame.leave();
    return code.code();
  }
}
