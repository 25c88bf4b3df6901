package io.github.resnet4j.kernel;

import static io.github.resnet4j.kernel.MachineCode.check;
import static io.github.resnet4j.kernel.MachineCode.unexpected;
import static io.github.resnet4j.kernel.VectorCode.at;

import io.github.resnet4j.kernel.Assembler.Label;
import io.github.resnet4j.kernel.VectorCode.Gpr;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;

/**
 * {@link ConvKernels#gather} in machine code, float by float. Otherwise most of the time from
 * loading weights to the first prediction would be spent in loops that the JVM has not compiled
 * yet.
 */
final class MachineGather {
  private static final MethodHandle CALLER = MachineCode.caller(4, 7);

  /**
   * The number of floats copied per call: about 20 µs, since the garbage collector waits for it.
   */
  private static final int MAX_FLOATS_PER_CALL = 16_384;

  private static final int UNROLLED = 4;

  /** The code has no constants. */
  private record Constants() {}

  private MachineGather() {}

  static ConvKernels.Gather create(
      Ints from, int stride, int channels, Target target, MachineCache cache) {
    if (stride < 0 || channels < 1 || channels % UNROLLED != 0) {
      throw new IllegalArgumentException(
          "channels must be a multiple of 4, was %d, %d apart".formatted(channels, stride));
    }
    MemorySegment code = cache.get(new Constants(), () -> code(target.function()));
    int rowsPerCall = Math.max(1, MAX_FLOATS_PER_CALL / channels);
    long span = (channels - 1L) * stride + 1;
    return (source, start, scales, first, to, at) -> {
      check(source, (long) start + from.min, (long) start + from.max + span);
      check(scales, first, (long) first + channels);
      check(to, at, at + (long) from.size() * channels);
      MemorySegment input = source.enter();
      MemorySegment factors = scales.enter();
      MemorySegment result = to.enter();
      for (int i = 0; i < from.size(); i += rowsPerCall) {
        try {
          CALLER.invokeExact(
              code,
              input,
              from.segment,
              factors,
              result,
              4L * start,
              4L * first,
              4L * (at + i * channels),
              (long) Math.min(rowsPerCall, from.size() - i),
              4L * stride,
              (long) channels,
              4L * i);
        } catch (Throwable e) {
          throw unexpected(e);
        }
      }
      to.leave();
    };
  }

  /**
   * Parameters: source, list, scales, to; then the offsets of source, scales and result, the length
   * of the list, the stride, all in bytes, the number of channels, and the offset in the list, in
   * bytes.
   */
  private static byte[] code(VectorCode code) {
    final Gpr source = Gpr.A0;
    final Gpr from = Gpr.A1;
    final Gpr scales = Gpr.A2;
    final Gpr to = Gpr.A3;
    final Gpr stride = Gpr.T0;
    final Gpr channels = Gpr.T1;
    final Gpr weight = Gpr.T2;
    final Gpr scale = Gpr.T3;
    final Gpr left = Gpr.T4;
    code.enter(0);
    code.add(source, Gpr.A4);
    code.add(scales, Gpr.A5);
    code.addParameter(to, 6);
    code.addParameter(from, 10);
    code.parameter(stride, 8);
    code.parameter(channels, 9);
    var row = new Label();
    code.bind(row);
    code.next(weight, source, from);
    code.move(scale, scales);
    code.move(left, channels);
    var four = new Label();
    code.bind(four);
    for (int i = 0; i < UNROLLED; i++) {
      Vec value = code.vec(i);
      code.loadFloat(value, at(weight, 0));
      code.add(weight, stride);
      code.mulFloat(value, value, at(scale, i * Float.BYTES));
      code.storeFloat(at(to, i * Float.BYTES), value);
    }
    code.add(scale, UNROLLED * Float.BYTES);
    code.add(to, UNROLLED * Float.BYTES);
    code.add(left, -UNROLLED);
    code.jumpIfNotEqual(left, 0, four);
    code.loop(7, row);
    code.leave();
    return code.code();
  }
}
