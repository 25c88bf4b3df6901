package io.github.resnet4j.engine.conv;

import static java.util.Comparator.comparing;

import io.github.resnet4j.kernel.ConvTile;
import io.github.resnet4j.kernel.Floats;
import io.github.resnet4j.kernel.Ints;
import io.github.resnet4j.kernel.Kernels;
import java.util.ArrayList;
import java.util.List;
import java.util.TreeMap;
import java.util.function.IntFunction;

/**
 * An ordered list of tiles. Tiles of the same size are computed together, by the micro-kernel of
 * their size; a range of the list is a range of each size's tiles.
 */
final class TileSchedule {
  private final int tiles;
  private final Sized[] sizes;

  /**
   * A tile.
   *
   * @param size the number of pixels, or in a weight gradient of input channels
   * @param rows the number of rows of these pixels
   * @param in the offset of its input, relative to an index given to {@link #run}
   * @param out the offset of its output, likewise
   * @param residual the offset of its residual, likewise; unused without residual
   */
  record Tile(int size, int rows, int in, int out, int residual) {
    /** A tile of one row. */
    Tile(int size, int in, int out, int residual) {
      this(size, 1, in, out, residual);
    }
  }

  /** The shape of tiles. */
  interface Shapes {
    ConvTile.Shape of(int size, int rows);
  }

  /**
   * The tiles of one size.
   *
   * @param before for each tile of the whole list the number of tiles of this size before it
   */
  private record Sized(ConvTile kernel, int[] before) {}

  /**
   * @param shape the tile shape for a size, if all tiles have one row
   * @param segments the segments of their inputs
   */
  TileSchedule(
      List<Tile> tiles, IntFunction<ConvTile.Shape> shape, Ints segments, Kernels kernels) {
    this(tiles, (size, _) -> shape.apply(size), segments, kernels);
  }

  /**
   * @param shapes the tile shape for a size and a number of rows
   * @param segments the segments of their inputs
   */
  TileSchedule(List<Tile> tiles, Shapes shapes, Ints segments, Kernels kernels) {
    this.tiles = tiles.size();
    record Size(int pixels, int rows) {}
    var bySize = new TreeMap<Size, List<Tile>>(comparing(Size::pixels).thenComparing(Size::rows));
    for (Tile tile : tiles) {
      bySize.computeIfAbsent(new Size(tile.size, tile.rows), _ -> new ArrayList<>()).add(tile);
    }
    var all = new ArrayList<Sized>();
    bySize.forEach((size, own) -> {
      int[] before = new int[tiles.size() + 1];
      for (int t = 0; t < tiles.size(); t++) {
        Tile tile = tiles.get(t);
        boolean fits = tile.size == size.pixels && tile.rows == size.rows;
        before[t + 1] = before[t] + (fits ? 1 : 0);
      }
      var offsets =
          new ConvTile.Tiles(
              Ints.of(own.stream().mapToInt(Tile::in).toArray()),
              Ints.of(own.stream().mapToInt(Tile::out).toArray()),
              Ints.of(own.stream().mapToInt(Tile::residual).toArray()));
      ConvTile.Shape shape = shapes.of(size.pixels, size.rows);
      all.add(new Sized(kernels.conv().tile(shape, offsets, segments), before));
    });
    this.sizes = all.toArray(Sized[]::new);
  }

  /** The number of tiles. */
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
