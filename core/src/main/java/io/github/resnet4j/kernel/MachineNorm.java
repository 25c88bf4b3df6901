package io.github.resnet4j.kernel;

import static io.github.resnet4j.kernel.MachineCode.check;
import static io.github.resnet4j.kernel.MachineCode.unexpected;

import io.github.resnet4j.kernel.Vec.Width;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/** Batch norm and its gradient in machine code, which {@link MachineNormCode} writes. */
final class MachineNorm implements NormKernels {
  private static final MethodHandle CALLER = MachineCode.caller(1, 10);

  /** Floats of a call: some 20 µs where they come from memory, since the collector waits for it. */
  private static final int FLOATS_OF_A_CALL = 65_536;

  private final Width width;
  private final MachineCache cache;

  MachineNorm(Width width, MachineCache cache) {
    this.width = width;
    this.cache = cache;
  }

  private record Constants(Kind kind, int block) {}

  /**
   * A pass over all pixels.
   *
   * @param x the plane that all passes read
   * @param secondRow words from a row of the second operand to its next one
   * @param thirdRow the same of the third
   * @param channels that the code takes at a time
   */
  private record Pass(MemorySegment code, Plane x, int secondRow, int thirdRow, int channels) {
    /** Runs it for some rows and as many channels at a time as registers hold. */
    void run(Floats arena, int at, int second, int third, int coefficients, int to) {
      int atOnce = Math.max(1, FLOATS_OF_A_CALL / (x.columns() * channels));
      MemorySegment memory = arena.enter();
      for (int c = 0; c < x.block(); c += channels) {
        for (int row = 0; row < x.rows(); row += atOnce) {
          try {
            CALLER.invokeExact(
                code,
                memory,
                4L * (at + row * x.rowStride() + c),
                4L * (second + row * secondRow + c),
                4L * (third + row * thirdRow + c),
                4L * (coefficients + c),
                4L * (to + c),
                4L * x.rowStride(),
                4L * secondRow,
                4L * thirdRow,
                (long) Math.min(atOnce, x.rows() - row),
                (long) x.columns());
          } catch (Throwable e) {
            throw unexpected(e);
          }
        }
      }
      arena.leave();
    }
  }

  private Pass pass(Kind kind, Plane x, @Nullable Plane second, @Nullable Plane third) {
    Plane.checkAlike(x, second, third);
    MachineKernels.checkBlock(x.block(), width);
    MemorySegment code =
        cache.get(
            new Constants(kind, x.block()), () -> MachineNormCode.write(kind, x.block(), width));
    return new Pass(
        code,
        x,
        second == null ? 0 : second.rowStride(),
        third == null ? 0 : third.rowStride(),
        MachineNormCode.channels(x.block(), width));
  }

  private static void checkPlane(Floats arena, Plane plane, int at) {
    check(arena, at, at + plane.span());
  }

  private static void checkNumbers(Floats arena, int at, int count, Plane plane) {
    check(arena, at, at + (long) count * plane.block());
  }

  @Override
  public Moments moments(Plane x) {
    Pass pass = pass(Kind.MOMENTS, x, null, null);
    return (arena, at, pivot, to) -> {
      checkPlane(arena, x, at);
      checkNumbers(arena, pivot, 1, x);
      checkNumbers(arena, to, 2, x);
      pass.run(arena, at, 0, 0, pivot, to);
    };
  }

  @Override
  public Normalize normalize(Plane x, @Nullable Plane residual, Plane y) {
    Pass pass = pass(residual == null ? Kind.NORMALIZE : Kind.NORMALIZE_SUM, x, residual, y);
    return (arena, at, coefficients, added, to) -> {
      checkPlane(arena, x, at);
      checkPlane(arena, y, to);
      checkNumbers(arena, coefficients, 3, x);
      if (residual != null) {
        checkPlane(arena, residual, added);
      }
      pass.run(arena, at, residual == null ? 0 : added, to, coefficients, 0);
    };
  }

  @Override
  public GradientMoments gradientMoments(Mask mask, Plane g, Plane x, @Nullable Plane y) {
    Kind kind =
        switch (mask) {
          case NONE -> Kind.GRADIENT_MOMENTS;
          case INPUT -> Kind.GRADIENT_MOMENTS_BY_INPUT;
          case OUTPUT -> Kind.GRADIENT_MOMENTS_BY_OUTPUT;
        };
    Plane output = mask == Mask.OUTPUT ? Objects.requireNonNull(y) : null;
    Pass pass = pass(kind, x, g, output);
    return (arena, gradient, at, result, coefficients, to) -> {
      checkPlane(arena, g, gradient);
      checkPlane(arena, x, at);
      checkNumbers(arena, coefficients, 3, x);
      checkNumbers(arena, to, 2, x);
      if (output != null) {
        checkPlane(arena, output, result);
      }
      pass.run(arena, at, gradient, output == null ? 0 : result, coefficients, to);
    };
  }

  @Override
  public Gradient gradient(boolean masked, Plane g, Plane x, Plane out) {
    Pass pass = pass(masked ? Kind.GRADIENT_BY_INPUT : Kind.GRADIENT, x, g, out);
    return (arena, gradient, at, coefficients, to) -> {
      checkPlane(arena, g, gradient);
      checkPlane(arena, x, at);
      checkPlane(arena, out, to);
      checkNumbers(arena, coefficients, masked ? 5 : 3, x);
      pass.run(arena, at, gradient, to, coefficients, 0);
    };
  }

  /** Which pass. */
  enum Kind {
    MOMENTS,
    NORMALIZE,
    NORMALIZE_SUM,
    GRADIENT_MOMENTS,
    GRADIENT_MOMENTS_BY_INPUT,
    GRADIENT_MOMENTS_BY_OUTPUT,
    GRADIENT,
    GRADIENT_BY_INPUT;

    /** How many numbers of each channel are kept in registers. */
    int coefficients() {
      return switch (this) {
        case MOMENTS, GRADIENT_MOMENTS, GRADIENT_MOMENTS_BY_OUTPUT -> 1;
        case NORMALIZE -> 2;
        case NORMALIZE_SUM, GRADIENT, GRADIENT_MOMENTS_BY_INPUT -> 3;
        case GRADIENT_BY_INPUT -> 5;
      };
    }

    boolean sums() {
      return switch (this) {
        case MOMENTS, GRADIENT_MOMENTS, GRADIENT_MOMENTS_BY_INPUT, GRADIENT_MOMENTS_BY_OUTPUT ->
            true;
        case NORMALIZE, NORMALIZE_SUM, GRADIENT, GRADIENT_BY_INPUT -> false;
      };
    }

    boolean readsSecond() {
      return this != MOMENTS && this != NORMALIZE;
    }

    boolean usesThird() {
      return !sums() || this == GRADIENT_MOMENTS_BY_OUTPUT;
    }
  }
}
