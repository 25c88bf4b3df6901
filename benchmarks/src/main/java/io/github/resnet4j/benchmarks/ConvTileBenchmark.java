package io.github.resnet4j.benchmarks;

import io.github.resnet4j.kernel.ConvTile;
import io.github.resnet4j.kernel.Floats;
import io.github.resnet4j.kernel.Format;
import io.github.resnet4j.kernel.Ints;
import io.github.resnet4j.kernel.Kernels;
import java.util.Arrays;
import java.util.concurrent.TimeUnit;
import java.util.stream.IntStream;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Fork;
import org.openjdk.jmh.annotations.Measurement;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OperationsPerInvocation;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.Warmup;

/**
 * The micro-kernel on a 1×1 convolution with 64 input channels and one block of output channels;
 * all data fits into the L1 cache. An operation is one output value: 64 multiply-adds, so GFLOP/s
 * is 128 divided by the time in nanoseconds. The fastest kernels of the machine are measured;
 * {@code -jvmArgsAppend "--add-modules=jdk.incubator.vector -Dresnet4j.kernels=vector"} selects
 * others.
 */
@State(Scope.Thread)
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.NANOSECONDS)
@Warmup(iterations = 3, time = 2)
@Measurement(iterations = 5, time = 1)
@Fork(
    value = 1,
    jvmArgsAppend = {
      "--enable-native-access=ALL-UNNAMED",
      "--add-modules=jdk.incubator.vector",
      "-XX:+UseG1GC"
    })
public class ConvTileBenchmark {
  private static final int DEPTH = 64;
  private static final int CHANNELS = 64;
  private static final int PIXELS = 60;
  private static final ConvTile.Reduction SUM = new ConvTile.Reduction(0, 1, 12 + DEPTH * CHANNELS);

  @Param({"1", "2", "3", "4", "5", "6"})
  private int pixels;

  @Param({"false", "true"})
  private boolean residualAndRelu;

  private final Floats arena = Floats.of(new float[1 << 20]);
  private final Floats weights = Floats.of(new float[1 << 20]);
  private ConvTile tile = tile(1, false);

  private static ConvTile tile(int pixels, boolean residualAndRelu) {
    Format residual = residualAndRelu ? Format.FP32 : null;
    var shape =
        new ConvTile.Shape(
            pixels,
            CHANNELS,
            new ConvTile.Input(Format.FP32, DEPTH, DEPTH),
            new ConvTile.Output(Format.FP32, CHANNELS, residual, residualAndRelu));
    Ints at =
        Ints.of(IntStream.range(0, PIXELS / pixels).map(i -> i * pixels * CHANNELS).toArray());
    var tiles = new ConvTile.Tiles(at, at, at); // DEPTH is CHANNELS
    return Kernels.best().conv().tile(shape, tiles, Ints.of(0));
  }

  /** Creates the tile and fills the operands. */
  @Setup
  public void prepare() {
    Arrays.fill(arena.values(), 0.5f);
    Arrays.fill(weights.values(), 0.25f);
    tile = tile(pixels, residualAndRelu);
  }

  /** Computes sixty pixels. */
  @Benchmark
  @OperationsPerInvocation(PIXELS * CHANNELS)
  public Floats sixtyPixels() {
    int at = 12; // aligned to a cache line, including the array header
    int out = at + PIXELS * DEPTH;
    tile.run(arena, 0, PIXELS / pixels, at, out, out, weights, at, SUM);
    return arena;
  }
}
