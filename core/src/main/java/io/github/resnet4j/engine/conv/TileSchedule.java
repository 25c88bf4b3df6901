package io.github.resnet4j.engine.conv;

import io.github.resnet4j.kernel.ConvTile;
import io.github.resnet4j.kernel.Floats;
import io.github.resnet4j.kernel.Ints;
import io.github.resnet4j.kernel.Kernels;
import java.util.ArrayList;
import java.util.List;
import java.util.function.IntFunction;

/**
 * Tiles in an order: those of a size are computed together, by the micro-kernel of their size, and
 * a range of the order is a range of each size's tiles.
 */
final class TileSchedule {
  private final int tiles;
  private final Sized[] sizes;

  /**
   * A tile.
   *
   * @param size pixels, or in a weight gradient input channels
   * @param in where its input lies, relative to a place that is given at each run
   * @param out where its output lies, in the same way
   * @param residual where its residual lies, in the same way; unused without residual
   */
  record Tile(int size, int in, int out, int residual) {}

  /**
   * The tiles of one size.
   *
   * @param before how many of them come before a tile of the whole order
   */
  private record Sized(ConvTile kernel, int[] before) {}

  /**
   * @param shape of the tiles of a size
   * @param runs of their inputs
   */
  TileSchedule(List<Tile> tiles, IntFunction<ConvTile.Shape> shape, Ints runs, Kernels kernels) {
    this.tiles = tiles.size();
    int largest = tiles.stream().mapToInt(Tile::size).max().orElse(0);
    var all = new ArrayList<Sized>();
    for (int size = 1; size <= largest; size++) {
      var own = new ArrayList<Tile>();
      int[] before = new int[tiles.size() + 1];
      for (int t = 0; t < tiles.size(); t++) {
        if (tiles.get(t).size() == size) {
          own.add(tiles.get(t));
        }
        before[t + 1] = own.size();
      }
      if (!own.isEmpty()) {
        var places =
            new ConvTile.Tiles(
                Ints.of(own.stream().mapToInt(Tile::in).toArray()),
                Ints.of(own.stream().mapToInt(Tile::out).toArray()),
                Ints.of(own.stream().mapToInt(Tile::residual).toArray()));
        all.add(new Sized(kernels.conv().tile(shape.apply(size), places, runs), before));
      }
    }
    this.sizes = all.toArray(Sized[]::new);
  }

  /** How many tiles there are. */
  int tiles() {
    return tiles;
  }

  /** Computes the tiles {@code [first, end)}; see {@link ConvTile#run}. */
  void run(
      Floats arena,
      int first,
      int end,
      int in,
      int out,
      int residual,
      Floats weights,
      int weightAt,
      ConvTile.Reduction sum) {
    for (Sized size : sizes) {
      int from = size.before[first];
      int to = size.before[end];
      if (from < to) {
        size.kernel.run(arena, from, to, in, out, residual, weights, weightAt, sum);
      }
    }
  }
}
