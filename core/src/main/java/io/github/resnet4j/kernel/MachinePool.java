package io.github.resnet4j.kernel;

import static io.github.resnet4j.kernel.Assembler.mem;
import static io.github.resnet4j.kernel.MachineCode.check;
import static io.github.resnet4j.kernel.MachineCode.unexpected;

import io.github.resnet4j.kernel.Assembler.Condition;
import io.github.resnet4j.kernel.Assembler.Label;
import io.github.resnet4j.kernel.Assembler.Mem;
import io.github.resnet4j.kernel.Assembler.Reg;
import io.github.resnet4j.kernel.Vec.Width;
import io.github.resnet4j.kernel.VectorAssembler.Comparison;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;
import java.util.function.Predicate;

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

  /** Whether there are instructions for a format. */
  private final Predicate<Format> supports;

  /** For words with few channels, and formats that the processor does not support. */
  private final PoolKernels scalar = new ScalarPool();

  MachinePool(Width width, MachineCache cache, Predicate<Format> supports) {
    this.width = width;
    this.supports = supports;
    this.cache = cache;
  }

  private record MaxCode(Format format, int block, Windows windows) {}

  private record MaxGradientCode(Format format, int channels, Windows windows) {}

  private record AverageCode(Format format, int channels) {}

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
    if (!supports.test(in.format())) {
      return scalar.maxGradient(windows, in, out, gradient);
    }
    checkWindows(windows);
    Format format = floats(in.format());
    int channels = in.channels();
    MachineKernels.checkBlock(channels, width);
    MemorySegment code =
        cache.get(
            new MaxGradientCode(format, channels, windows),
            () -> maxGradient(format, channels, windows, width));
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
    if (!supports.test(in.format())) {
      return scalar.average(in);
    }
    Format format = floats(in.format());
    int channels = in.channels();
    MachineKernels.checkBlock(channels, width);
    MemorySegment code =
        cache.get(new AverageCode(format, channels), () -> average(format, channels, width));
    long share = Float.floatToRawIntBits(1f / (in.rows() * in.columns()));
    return (arena, from, to) -> {
      check(arena, from, from + in.span());
      check(arena, to, (long) to + channels);
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

  private static Format floats(Format format) {
    return format.isFloat() ? Format.FP32 : format;
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
  private static byte[] maxGradient(Format format, int block, Windows windows, Width width) {
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
    final Vec scratch = code.vec(4);
    int bytes = Float.BYTES / format.perWord(); // of a channel
    var window = new Label();
    code.bind(window);
    for (int v = 0; v < block / width.lanes(); v++) {
      int lane = v * width.lanes() * bytes;
      Macros.widen(code, maximum, mem(maxima, lane), format);
      Macros.widen(code, left, mem(gradient, lane), format);
      code.mov(row, x);
      code.mov(toAt, to);
      for (int i = 0; i < size; i++) {
        for (int j = 0; j < size; j++) {
          int at = j * block * bytes + lane;
          Macros.widen(code, pixel, mem(row, at), format);
          Macros.select(code, share, left, pixel, Comparison.EQUAL, maximum);
          code.vsubps(left, left, share);
          if (format == Format.BF16) {
            Macros.widen(code, pixel, mem(toAt, at), format);
            code.vaddps(share, share, pixel);
            Macros.narrow(code, mem(toAt, at), share, format, scratch, scratch);
          } else {
            code.vaddps(share, share, mem(toAt, at));
            code.vmovups(mem(toAt, at), share);
          }
        }
        if (i + 1 < size) {
          code.add(row, xRow);
          code.add(toAt, toRow);
        }
      }
    }
    code.add(x, windows.stride() * block * bytes);
    code.add(to, windows.stride() * block * bytes);
    code.add(maxima, block * bytes);
    code.add(gradient, block * bytes);
    code.sub(count, 1);
    code.jump(Condition.NOT_EQUAL, window);
    frame.leave();
    return code.code();
  }

  /**
   * The mean of pixels. Parameters: arena, arena; then from, to, row stride in bytes, rows, columns
   * and the bits of the factor of the sum.
   */
  private static byte[] average(Format format, int block, Width width) {
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
    int bytes = Float.BYTES / format.perWord(); // of a channel
    Vec value = code.vec(vectors);
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
      Mem values = mem(pixel, v * width.lanes() * bytes);
      if (format == Format.BF16) {
        Macros.widen(code, value, values, format);
        code.vaddps(code.vec(v), code.vec(v), value);
      } else {
        code.vaddps(code.vec(v), code.vec(v), values);
      }
    }
    code.add(pixel, block * bytes);
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
