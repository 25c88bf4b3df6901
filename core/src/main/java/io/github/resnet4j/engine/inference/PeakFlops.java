package io.github.resnet4j.engine.inference;

import io.github.resnet4j.engine.graph.ArenaPlanner;
import io.github.resnet4j.engine.step.Workers;
import io.github.resnet4j.kernel.ConvTile;
import io.github.resnet4j.kernel.Floats;
import io.github.resnet4j.kernel.Format;
import io.github.resnet4j.kernel.Ints;
import io.github.resnet4j.kernel.Kernels;

/** Measures the peak rate of the micro-kernel, limited only by the processor. */
final class PeakFlops {
  private static final int RUNS = 4;

  /** The number of pixels of a matrix; a tile has two. */
  private static final int MATRIX_PIXELS = 16;

  private PeakFlops() {}

  /** Returns multiplications and additions per second for operands of a format. */
  static double measure(Kernels kernels, Format format, Workers workers, long nanos) {
    int channels = kernels.lanes() * kernels.maxVectors();
    var input = new ConvTile.Input(format, channels, channels);
    int pixels =
        kernels.conv().multiplyMatrices(input)
            ? 2 * MATRIX_PIXELS
            : kernels.accumulators() / kernels.maxVectors();
    // The shapes are those of the networks, so that the JVM compiles no other code.
    ConvTile tile =
        kernels
            .conv()
            .tile(
                new ConvTile.Shape(
                    pixels,
                    channels,
                    input,
                    new ConvTile.Output(Format.FP32, channels, null, true)),
                ConvTile.Tiles.ONE,
                Ints.of(0));
    double flops = 2.0 * pixels * channels * channels * format.perWord() * RUNS;
    double[] best = new double[workers.size()];
    workers.run(worker -> {
      Floats arena = Floats.of(new float[ArenaPlanner.ALIGNMENT + 2 * pixels * channels]);
      Floats weights =
          Floats.of(new float[ArenaPlanner.ALIGNMENT + channels * channels + 3 * channels]);
      int at = ArenaPlanner.ALIGNMENT;
      var sum = new ConvTile.Reduction(0, 1, at + channels * channels);
      int calls = 1 << 6;
      long end = System.nanoTime() + nanos;
      for (long now = System.nanoTime(); now < end; ) {
        for (int i = 0; i < calls; i++) {
          tile.run(arena, 0, 1, at, at + pixels * channels, 0, weights, at, sum);
        }
        long later = System.nanoTime();
        best[worker] = Math.max(best[worker], flops / RUNS * calls / (later - now) * 1e9);
        now = later;
      }
    });
    double sum = 0;
    for (double one : best) {
      sum += one;
    }
    return sum;
  }
}
