package io.github.resnet4j.kernel;

import static io.github.resnet4j.kernel.MachineCode.check;

import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;
import java.util.Objects;

/** A {@link ConvTile} in machine code, which {@link MachineTileCode} writes. */
final class MachineTile implements ConvTile {
  private static final MethodHandle CALLER = MachineCode.caller(6, 10);

  /**
   * Products of a call, at most: 50 µs of a slow core, since the garbage collector waits for it.
   */
  private static final long PRODUCTS_OF_A_CALL = 2_000_000;

  private final Shape shape;
  private final MemorySegment code;
  private final Tiles tiles;
  private final Ints runs;

  /** How far a tile reads from the beginning of its last run. */
  private final int inputSpan;

  /** How far it writes from the beginning of its output. */
  private final int outputSpan;

  private final int residualSpan;
  private final int biasSpan;

  /**
   * @param lanes of the vectors that the code uses
   */
  MachineTile(Shape shape, int lanes, MemorySegment code, Tiles tiles, Ints runs) {
    this.shape = shape;
    this.code = code;
    this.tiles = tiles;
    this.runs = runs;
    Output out = shape.out();
    long channels = (shape.vectors(lanes) - 1L) * shape.spacing(lanes) + lanes;
    this.inputSpan = span(shape.inputSpan(lanes));
    this.biasSpan = span(channels * Shape.constants(shape.in().format()));
    this.outputSpan =
        span(
            (shape.pixels() - 1L) * out.pixelStride()
                + Math.ceilDiv(channels, out.format().perWord()));
    this.residualSpan =
        out.residual() == null
            ? 0
            : span(
                (shape.pixels() - 1L) * out.residualStride()
                    + Math.ceilDiv(channels, out.residual().perWord()));
  }

  /** Distances within a tile are constants of the code: 32 bits, in bytes. */
  private static int span(long floats) {
    if (floats > Integer.MAX_VALUE / Float.BYTES) {
      throw new IllegalArgumentException("a tile that spans %d floats".formatted(floats));
    }
    return (int) floats;
  }

  @Override
  public void run(
      Floats arena,
      int first,
      int end,
      int in,
      int out,
      int residual,
      Floats weights,
      int weightAt,
      Reduction reduction) {
    int firstRun = reduction.firstRun();
    int endRun = reduction.endRun();
    int biasAt = reduction.biasAt();
    Objects.checkFromToIndex(first, end, tiles.in().size());
    Objects.checkFromToIndex(first, end, tiles.out().size());
    Objects.checkFromToIndex(firstRun, endRun, runs.size());
    check(
        arena,
        (long) in + tiles.in().least + runs.least,
        (long) in + tiles.in().most + runs.most + inputSpan);
    check(arena, (long) out + tiles.out().least, (long) out + tiles.out().most + outputSpan);
    if (shape.out().residual() != null) {
      Objects.checkFromToIndex(first, end, tiles.residual().size());
      check(
          arena,
          (long) residual + tiles.residual().least,
          (long) residual + tiles.residual().most + residualSpan);
    }
    check(weights, weightAt, weightAt + shape.weightSpan(endRun - firstRun));
    check(weights, biasAt, (long) biasAt + biasSpan);

    long products = (long) (endRun - firstRun) * shape.in().run() * shape.channels();
    int atOnce = (int) Math.clamp(PRODUCTS_OF_A_CALL / (products * shape.pixels() + 1), 1, 4096);
    for (int t = first; t < end; t += atOnce) {
      try {
        CALLER.invokeExact(
            code,
            arena.enter(),
            weights.enter(),
            tiles.in().segment,
            tiles.out().segment,
            tiles.residual().segment,
            runs.segment,
            4L * in,
            4L * out,
            4L * residual,
            4L * weightAt,
            4L * biasAt,
            4L * t,
            (long) Math.min(atOnce, end - t),
            4L * firstRun,
            4L * endRun,
            4L * products);
      } catch (Throwable e) {
        throw MachineCode.unexpected(e);
      }
      arena.leave();
    }
  }
}
