package io.github.resnet4j.kernel;

import static io.github.resnet4j.kernel.Assembler.mem;
import static io.github.resnet4j.kernel.MachineCode.check;
import static io.github.resnet4j.kernel.MachineCode.unexpected;

import io.github.resnet4j.kernel.Assembler.Condition;
import io.github.resnet4j.kernel.Assembler.Label;
import io.github.resnet4j.kernel.Assembler.Reg;
import io.github.resnet4j.kernel.Vec.Width;
import io.github.resnet4j.kernel.VectorAssembler.Comparison;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;

/** Pooling in machine code, for one block size and window. */
final class MachinePool implements PoolKernels {
  private static final MethodHandle MAX = MachineCode.caller(2, 4);
  private static final MethodHandle MAX_GRADIENT = MachineCode.caller(1, 8);
  private static final MethodHandle AVERAGE = MachineCode.caller(2, 6);

  /** The largest window size and stride: the loop over a window is unrolled. */
  private static final int MAX_WINDOW = 7;

  /** The number of floats of 256-bit vectors. */
  private static final int HALF_LANES = 8;

  private final Width width;
  private final MachineCache cache;

  /** For words with few channels. */
  private final PoolKernels scalar = new ScalarPool();

  MachinePool(Width width, MachineCache cache) {
    this.width = width;
    this.cache = cache;
  }

  private record MaxCode(Format format, int block, Windows windows) {}

  private record MaxGradientCode(int block, Windows windows) {}

  private record AverageCode(int block) {}

  private static void checkWindows(Windows windows) {
    if (windows.size() > MAX_WINDOW || windows.stride() > MAX_WINDOW) {
      throw new IllegalArgumentException("max pooling is not supported for " + windows);
    }
  }

  /** The number of words that a row of windows reads. */
  private static long span(Windows windows, Plane plane, int count) {
    long pixels = (count - 1L) * windows.stride() + windows.size();
    return (windows.size() - 1L) * plane.rowStride() + pixels * plane.block();
  }

  @Override
  public MaxRow max(Windows windows, Plane in, Plane out) {
    int block = in.block();
    boolean whole = block % width.lanes() == 0;
    if (!in.format().isFloat() && block != HALF_LANES && !whole) {
      return scalar.max(windows, in, out);
    }
    checkWindows(windows);
    // Half of a 512-bit vector, the bytes of 32 channels, is a 256-bit vector.
    Width own = width == Width.ZMM && block == HALF_LANES ? Width.YMM : width;
    MachineKernels.checkBlock(block, own);
    MemorySegment code =
        cache.get(
            new MaxCode(in.format(), block, windows), () -> max(in.format(), block, windows, own));
    int count = out.columns();
    long inSpan = span(windows, in, count);
    return (arena, from, to) -> {
      check(arena, from, from + inSpan);
      check(arena, to, to + (long) count * block);
      MemorySegment memory = arena.enter();
      try {
        MAX.invokeExact(
            code, memory, memory, 4L * from, 4L * to, 4L * in.rowStride(), (long) count);
      } catch (Throwable e) {
        throw unexpected(e);
      }
      arena.leave();
    };
  }

  @Override
  public MaxGradientRow maxGradient(Windows windows, Plane in, Plane out, Plane gradient) {
    int block = in.block();
    Plane.checkAlike(in, gradient);
    checkWindows(windows);
    MachineKernels.checkBlock(block, width);
    MemorySegment code =
        cache.get(new MaxGradientCode(block, windows), () -> maxGradient(block, windows, width));
    int count = out.columns();
    long inSpan = span(windows, in, count);
    long toSpan = span(windows, gradient, count);
    return (arena, from, maxima, ofMaxima, to) -> {
      check(arena, from, from + inSpan);
      check(arena, to, to + toSpan);
      check(arena, maxima, maxima + (long) count * block);
      check(arena, ofMaxima, ofMaxima + (long) count * block);
      try {
        MAX_GRADIENT.invokeExact(
            code,
            arena.enter(),
            4L * from,
            4L * to,
            4L * maxima,
            4L * ofMaxima,
            4L * in.rowStride(),
            4L * gradient.rowStride(),
            (long) count,
            0L);
      } catch (Throwable e) {
        throw unexpected(e);
      }
      arena.leave();
    };
  }

  @Override
  public Average average(Plane in) {
    Plane.checkAlike(in);
    MachineKernels.checkBlock(in.block(), width);
    MemorySegment code = cache.get(new AverageCode(in.block()), () -> average(in.block(), width));
    long share = Float.floatToRawIntBits(1f / (in.rows() * in.columns()));
    return (arena, from, to) -> {
      check(arena, from, from + in.span());
      check(arena, to, (long) to + in.block());
      MemorySegment memory = arena.enter();
      try {
        AVERAGE.invokeExact(
            code,
            memory,
            memory,
            4L * from,
            4L * to,
            4L * in.rowStride(),
            (long) in.rows(),
            (long) in.columns(),
            share);
      } catch (Throwable e) {
        throw unexpected(e);
      }
      arena.leave();
    };
  }

  /**
   * A row of max pooling. Parameters: arena, arena; then from, to, row stride in bytes and the
   * number of windows.
   */
  private static byte[] max(Format format, int block, Windows windows, Width width) {
    int size = windows.size();
    final Reg from = Reg.RDI;
    final Reg to = Reg.RSI;
    final Reg rowStride = Reg.R8;
    final Reg count = Reg.R9;
    final Reg row = Reg.RAX;
    var code = new VectorAssembler(width);
    MachineCode.Frame frame = MachineCode.Frame.enter(code);
    code.add(from, Reg.RDX);
    code.add(to, Reg.RCX);
    int vectors = block / width.lanes();
    Vec scratch = code.vec(vectors);
    Vec nan = code.vec(vectors + 1);
    var window = new Label();
    code.bind(window);
    code.mov(row, from);
    for (int y = 0; y < size; y++) {
      for (int x = 0; x < size; x++) {
        for (int v = 0; v < vectors; v++) {
          Vec max = code.vec(v);
          var pixel = mem(row, x * block * Float.BYTES + v * width.bytes());
          if (y == 0 && x == 0) {
            code.vmovups(max, pixel);
          } else if (format == Format.BF16) {
            code.vpmaxuw(
                max, max,
                pixel); // bfloat16 bits have the order of unsigned integers, with NaN above all
          } else if (format.isInteger()) {
            code.vpmaxub(max, max, pixel);
          } else {
            code.vmovups(scratch, pixel);
            // A NaN maximum stays NaN; a NaN pixel becomes the maximum.
            Macros.moveNan(code, scratch, max, nan);
            code.vmaxps(max, max, scratch);
          }
        }
      }
      if (y + 1 < size) {
        code.add(row, rowStride);
      }
    }
    for (int v = 0; v < vectors; v++) {
      code.vmovups(mem(to, v * width.bytes()), code.vec(v));
    }
    code.add(from, windows.stride() * block * Float.BYTES);
    code.add(to, block * Float.BYTES);
    code.sub(count, 1);
    code.jump(Condition.NOT_EQUAL, window);
    frame.leave();
    return code.code();
  }

  /**
   * The gradient of a row of max pooling. Parameters: arena; then in bytes the offsets of x, its
   * gradient, the maxima and their gradient, the row strides of x and of its gradient; then the
   * number of windows.
   */
  private static byte[] maxGradient(int block, Windows windows, Width width) {
    int size = windows.size();
    final Reg x = Reg.RSI;
    final Reg to = Reg.RDX;
    final Reg maxima = Reg.RCX;
    final Reg gradient = Reg.R8;
    final Reg xRow = Reg.R9;
    final Reg toRow = Reg.RBX;
    final Reg count = Reg.R10;
    final Reg row = Reg.RAX;
    final Reg toAt = Reg.RBP;
    var code = new VectorAssembler(width);
    MachineCode.Frame frame = MachineCode.Frame.enter(code);
    code.add(x, Reg.RDI);
    code.add(to, Reg.RDI);
    code.add(maxima, Reg.RDI);
    code.add(gradient, Reg.RDI);
    code.mov(toRow, frame.parameter(6));
    code.mov(count, frame.parameter(7));
    final Vec maximum = code.vec(0);
    final Vec left = code.vec(1); // the gradient not yet assigned to a pixel
    final Vec pixel = code.vec(2);
    final Vec share = code.vec(3);
    var window = new Label();
    code.bind(window);
    for (int v = 0; v < block / width.lanes(); v++) {
      int lane = v * width.bytes();
      code.vmovups(maximum, mem(maxima, lane));
      code.vmovups(left, mem(gradient, lane));
      code.mov(row, x);
      code.mov(toAt, to);
      for (int i = 0; i < size; i++) {
        for (int j = 0; j < size; j++) {
          int at = j * block * Float.BYTES + lane;
          code.vmovups(pixel, mem(row, at));
          Macros.select(code, share, left, pixel, Comparison.EQUAL, maximum);
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
    code.add(x, windows.stride() * block * Float.BYTES);
    code.add(to, windows.stride() * block * Float.BYTES);
    code.add(maxima, block * Float.BYTES);
    code.add(gradient, block * Float.BYTES);
    code.sub(count, 1);
    code.jump(Condition.NOT_EQUAL, window);
    frame.leave();
    return code.code();
  }

  /**
   * The mean of pixels. Parameters: arena, arena; then from, to, row stride in bytes, rows, columns
   * and the bits of the factor of the sum.
   */
  private static byte[] average(int block, Width width) {
    final Reg from = Reg.RDI;
    final Reg to = Reg.RSI;
    final Reg rowStride = Reg.R8;
    final Reg rows = Reg.R9;
    final Reg pixel = Reg.RAX;
    final Reg column = Reg.RBX;
    var code = new VectorAssembler(width);
    MachineCode.Frame frame = MachineCode.Frame.enter(code);
    code.add(from, Reg.RDX);
    code.add(to, Reg.RCX);
    int vectors = block / width.lanes();
    for (int v = 0; v < vectors; v++) {
      Macros.clear(code, code.vec(v));
    }
    var row = new Label();
    code.bind(row);
    code.mov(pixel, from);
    code.mov(column, frame.parameter(6));
    var next = new Label();
    code.bind(next);
    for (int v = 0; v < vectors; v++) {
      code.vaddps(code.vec(v), code.vec(v), mem(pixel, v * width.bytes()));
    }
    code.add(pixel, block * Float.BYTES);
    code.sub(column, 1);
    code.jump(Condition.NOT_EQUAL, next);
    code.add(from, rowStride);
    code.sub(rows, 1);
    code.jump(Condition.NOT_EQUAL, row);
    Vec scale = code.vec(vectors);
    code.mov(pixel, frame.parameter(7));
    code.vmovd(scale.as(Width.XMM), pixel);
    code.vbroadcastss(scale, scale.as(Width.XMM));
    for (int v = 0; v < vectors; v++) {
      Vec mean = code.vec(v);
      code.vmulps(mean, mean, scale);
      code.vmovups(mem(to, v * width.bytes()), mean);
    }
    frame.leave();
    return code.code();
  }
}
