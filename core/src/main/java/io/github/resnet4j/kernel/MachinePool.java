package io.github.resnet4j.kernel;

import static io.github.resnet4j.kernel.Assembler.mem;

import io.github.resnet4j.kernel.Assembler.Condition;
import io.github.resnet4j.kernel.Assembler.Label;
import io.github.resnet4j.kernel.Assembler.Reg;

/** Pooling in machine code, for one block and window. */
final class MachinePool {
  private MachinePool() {}

  /**
   * A row of max pooling. Parameters: arena, arena; then from, to, row stride in bytes and the
   * count of windows.
   */
  static byte[] max(Format format, int block, int size, int stride, boolean wide) {
    final Reg from = Reg.RDI;
    final Reg to = Reg.RSI;
    final Reg rowStride = Reg.R8;
    final Reg count = Reg.R9;
    final Reg row = Reg.RAX;
    var code = new Assembler(wide);
    MachineCode.Frame frame = MachineCode.Frame.enter(code);
    code.add(from, Reg.RDX);
    code.add(to, Reg.RCX);
    int vectors = block / code.lanes();
    int scratch = vectors;
    int nan = vectors + 1;
    var window = new Label();
    code.bind(window);
    code.mov(row, from);
    for (int y = 0; y < size; y++) {
      for (int x = 0; x < size; x++) {
        for (int v = 0; v < vectors; v++) {
          var pixel = mem(row, (x * block + v * code.lanes()) * Float.BYTES);
          if (y == 0 && x == 0) {
            code.vmovups(v, pixel);
          } else if (format == Format.BF16) {
            code.vpmaxuw(v, v, pixel); // in order as whole numbers are, and NaN above all
          } else if (format.isWhole()) {
            code.vpmaxub(v, v, pixel);
          } else {
            code.vmovups(scratch, pixel);
            // A maximum that is not a number stays one; a new pixel that is none becomes it.
            code.moveNan(scratch, v, nan);
            code.vmaxps(v, v, scratch);
          }
        }
      }
      if (y + 1 < size) {
        code.add(row, rowStride);
      }
    }
    for (int v = 0; v < vectors; v++) {
      code.vmovups(mem(to, v * code.vectorBytes()), v);
    }
    code.add(from, stride * block * Float.BYTES);
    code.add(to, block * Float.BYTES);
    code.sub(count, 1);
    code.jump(Condition.NOT_EQUAL, window);
    frame.leave();
    return code.code();
  }

  /**
   * The gradient of a row of max pooling. Parameters: arena; then in bytes where x, its gradient,
   * the maxima and their gradient begin, the row strides of x and of its gradient; then the count.
   */
  static byte[] maxGradient(int block, int size, int stride, boolean wide) {
    final Reg x = Reg.RSI;
    final Reg to = Reg.RDX;
    final Reg maxima = Reg.RCX;
    final Reg gradient = Reg.R8;
    final Reg xRow = Reg.R9;
    final Reg toRow = Reg.RBX;
    final Reg count = Reg.R10;
    final Reg row = Reg.RAX;
    final Reg toAt = Reg.RBP;
    var code = new Assembler(wide);
    MachineCode.Frame frame = MachineCode.Frame.enter(code);
    code.add(x, Reg.RDI);
    code.add(to, Reg.RDI);
    code.add(maxima, Reg.RDI);
    code.add(gradient, Reg.RDI);
    code.mov(toRow, frame.parameter(6));
    code.mov(count, frame.parameter(7));
    final int maximum = 0;
    final int left = 1; // what no pixel has been given yet
    final int pixel = 2;
    final int share = 3;
    var window = new Label();
    code.bind(window);
    for (int v = 0; v < block / code.lanes(); v++) {
      int lane = v * code.vectorBytes();
      code.vmovups(maximum, mem(maxima, lane));
      code.vmovups(left, mem(gradient, lane));
      code.mov(row, x);
      code.mov(toAt, to);
      for (int i = 0; i < size; i++) {
        for (int j = 0; j < size; j++) {
          int at = j * block * Float.BYTES + lane;
          code.vmovups(pixel, mem(row, at));
          code.select(share, left, pixel, Assembler.Comparison.EQUAL, maximum);
          code.vsubps(left, left, share);
          code.vaddps(share, share, mem(toAt, at));
          code.vmovups(mem(toAt, at), share);
        }
        if (i + 1 < size) {
          code.add(row, xRow);
          code.add(toAt, toRow);
        }
      }
    }
    code.add(x, stride * block * Float.BYTES);
    code.add(to, stride * block * Float.BYTES);
    code.add(maxima, block * Float.BYTES);
    code.add(gradient, block * Float.BYTES);
    code.sub(count, 1);
    code.jump(Condition.NOT_EQUAL, window);
    frame.leave();
    return code.code();
  }

  /**
   * The mean over pixels. Parameters: arena, arena; then from, to, row stride in bytes, rows,
   * columns and the bits of what the sum is multiplied by.
   */
  static byte[] average(int block, boolean wide) {
    final Reg from = Reg.RDI;
    final Reg to = Reg.RSI;
    final Reg rowStride = Reg.R8;
    final Reg rows = Reg.R9;
    final Reg pixel = Reg.RAX;
    final Reg column = Reg.RBX;
    var code = new Assembler(wide);
    MachineCode.Frame frame = MachineCode.Frame.enter(code);
    code.add(from, Reg.RDX);
    code.add(to, Reg.RCX);
    int vectors = block / code.lanes();
    for (int v = 0; v < vectors; v++) {
      code.clear(v);
    }
    var row = new Label();
    code.bind(row);
    code.mov(pixel, from);
    code.mov(column, frame.parameter(6));
    var next = new Label();
    code.bind(next);
    for (int v = 0; v < vectors; v++) {
      code.vaddps(v, v, mem(pixel, v * code.vectorBytes()));
    }
    code.add(pixel, block * Float.BYTES);
    code.sub(column, 1);
    code.jump(Condition.NOT_EQUAL, next);
    code.add(from, rowStride);
    code.sub(rows, 1);
    code.jump(Condition.NOT_EQUAL, row);
    int scale = vectors;
    code.mov(pixel, frame.parameter(7));
    code.vmovd(scale, pixel);
    code.vbroadcastss(scale, scale);
    for (int v = 0; v < vectors; v++) {
      code.vmulps(v, v, scale);
      code.vmovups(mem(to, v * code.vectorBytes()), v);
    }
    frame.leave();
    return code.code();
  }
}
