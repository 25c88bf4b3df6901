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

  /** The number of words of a segment. */
  private static final int SEGMENT = 64;

  /** The number of words of weights, which fit into the first-level cache. */
  private static final int WEIGHTS = 4096;

  /** The number of pixels of a matrix; a tile has two. */
  private static final int MATRIX_PIXELS = 16;

  private PeakFlops() {}

  /** Returns multiplications and additions per second for operands of a format. */
  static double measure(Kernels kernels, Format format, Workers workers, long nanos) {
    int channels = kernels.lanes() * kernels.maxVectors();
    var input = new ConvTile.Input(format, kernels.conv().weights(format), SEGMENT, SEGMENT);
    int row = channels * input.rows();
    int segments = Math.max(1, WEIGHTS / (SEGMENT * row));
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
                Ints.of(new int[segments]));
    double flops = 2.0 * pixels * channels * segments * SEGMENT * format.perWord() * RUNS;
    int inputs = pixels * SEGMENT;
    int count = segments * SEGMENT * row;
    double[] best = new double[workers.size()];
    workers.run(worker -> {
      Floats arena = Floats.of(new float[ArenaPlanner.ALIGNMENT + inputs + pixels * channels]);
      Floats weights = Floats.of(new float[ArenaPlanner.ALIGNMENT + count + 3 * channels]);
      int at = ArenaPlanner.ALIGNMENT;
      var sum = new ConvTile.Reduction(0, segments, at + count);
      int calls = 1 << 6;
      long end = System.nanoTime() + nanos;
      for (long now = System.nanoTime(); now < end; ) {
        for (int i = 0; i < calls; i++) {
          tile.run(arena, 0, 1, at, at + inputs, 0, weights, at, sum);
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
