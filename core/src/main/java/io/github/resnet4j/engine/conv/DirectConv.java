package io.github.resnet4j.engine.conv;

import io.github.resnet4j.engine.graph.Activation;
import io.github.resnet4j.engine.graph.Convolution;
import io.github.resnet4j.engine.graph.L2Cache;
import io.github.resnet4j.engine.graph.Layout;
import io.github.resnet4j.engine.step.ExecutionContext;
import io.github.resnet4j.engine.step.Operands;
import io.github.resnet4j.engine.step.Step;
import io.github.resnet4j.kernel.ConvTile;
import io.github.resnet4j.kernel.Floats;
import io.github.resnet4j.kernel.Ints;
import io.github.resnet4j.kernel.Kernels;
import io.github.resnet4j.nn.Layer.Conv2d;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * Direct convolution: for every tile of output pixels and every block of output channels one
 * micro-kernel call over all taps of the window. With a 1×1 window it is a matrix product, and the
 * pixels of an image form one long row.
 */
public final class DirectConv implements Step {
  /** Calls compute tiles of several images if an image has few. */
  private static final int TILES_PER_CALL = 32;

  private final Convolution conv;
  private final Operands operands;
  private final DirectWeights weights;
  private final Kernels kernels;

  /** The tiles of one image. */
  private final TileSchedule schedule;

  private final int allTiles;

  /** The tiles of several images. */
  private final TileSchedule together;

  /** The number of these images. */
  private final int imagesTogether;

  /** The number of floats of the largest block of weights. */
  private final int panel;

  /**
   * The number of tiles and images that are computed for one block of output channels before the
   * next block.
   */
  private final int groupTiles;

  private final int groupImages;

  /** The reduction of each block of output channels. */
  private final ConvTile.Reduction[] sums;

  public DirectConv(Convolution conv, Operands operands, DirectWeights weights, Kernels kernels) {
    this.conv = conv;
    this.operands = operands;
    this.weights = weights;
    this.kernels = kernels;
    List<TileSchedule.Tile> tiles = tiles(conv, kernels);
    allTiles = tiles.size();
    imagesTogether = Math.clamp(TILES_PER_CALL / allTiles, 1, fewestImages(conv));
    schedule = schedule(tiles, conv, weights, kernels);
    together = schedule(repeated(tiles, imagesTogether, conv), conv, weights, kernels);
    sums = new ConvTile.Reduction[weights.blocks().length];
    Arrays.setAll(
        sums,
        b -> {
          DirectWeights.Block block = weights.blocks()[b];
          return new ConvTile.Reduction(
              block.firstSegment(),
              block.endSegment(),
              weights.biasAt() + block.channel() * weights.constants());
        });
    // The input of a group stays in the cache while all blocks of output channels use it.
    panel = weights.panel();
    long others = L2Cache.BYTES / 8 + (long) panel * Float.BYTES;
    long cacheBytes =
        Tiling.multipliesMatrices(conv, kernels)
            ? L2Cache.BYTES / 2 // products are so fast that the results need their share too
            : Math.max(L2Cache.BYTES / 4, L2Cache.BYTES - others);
    long image = (long) conv.in().imageSize() * Float.BYTES;
    groupImages = (int) Math.max(1, cacheBytes / image);
    groupTiles = (int) Math.clamp(cacheBytes * allTiles / image, 1, allTiles);
  }

  private static TileSchedule schedule(
      List<TileSchedule.Tile> tiles, Convolution conv, DirectWeights weights, Kernels kernels) {
    return new TileSchedule(
        tiles,
        (pixels, rows) -> shape(conv, weights, pixels, rows, kernels),
        Ints.of(
            conv.isInterleaved() ? NarrowGroups.segments(conv, kernels) : WindowSegments.of(conv)),
        kernels);
  }

  /** The number of images that are in memory one after the other, in all operands. */
  private static int fewestImages(Convolution conv) {
    int images = Math.min(conv.in().images(), conv.out().images());
    return conv.residual() == null ? images : Math.min(images, conv.residual().images());
  }

  private static ConvTile.Shape shape(
      Convolution conv, DirectWeights weights, int pixels, int rows, Kernels kernels) {
    Layout residual = conv.residual();
    int pixelStride = conv.layer().stride() * conv.in().block();
    var in =
        new ConvTile.Input(
            conv.in().format(),
            kernels.conv().weights(conv.in().format()),
            pixelStride,
            weights.segment());
    var out =
        new ConvTile.Output(
            conv.out().format(),
            conv.out().block(),
            residual == null ? null : residual.format(),
            conv.relu());
    if (conv.isInterleaved()) {
      return ConvTile.Shape.ofGroups(pixels, weights.channels(), in, out, kernels.lanes());
    }
    var apart =
        new ConvTile.Rows(
            rows,
            conv.layer().stride() * conv.in().rowStride(),
            conv.out().rowStride(),
            residual == null ? 0 : residual.rowStride());
    return new ConvTile.Shape(
        pixels, weights.channels(), in, out, rows == 1 ? ConvTile.Rows.ONE : apart);
  }

  /** The tiles of an image, row by row. */
  private static List<TileSchedule.Tile> tiles(Convolution conv, Kernels kernels) {
    Conv2d layer = conv.layer();
    Layout in = conv.in();
    Layout out = conv.out();
    Layout residual = conv.residual();
    boolean oneRow = Tiling.isOneRow(conv);
    int rows = oneRow ? 1 : out.height();
    int width = oneRow ? out.height() * out.width() : out.width();
    Tiling tiling = Tiling.of(conv, kernels);
    int perRow = tiling.tiles(width);
    var tiles = new ArrayList<TileSchedule.Tile>();
    for (int y = 0; y < rows; y += tiling.rows()) {
      int count = Math.min(tiling.rows(), rows - y);
      int corner = in.pixel(y * layer.stride() - layer.padding(), -layer.padding());
      for (int i = 0; i < perRow; i++) {
        int x = Tiling.start(width, perRow, i);
        tiles.add(
            new TileSchedule.Tile(
                count * (Tiling.start(width, perRow, i + 1) - x),
                count,
                corner + x * layer.stride() * in.block(),
                out.pixel(y, 0) + x * out.block(),
                residual == null ? 0 : residual.pixel(y, 0) + x * residual.block()));
      }
    }
    return tiles;
  }

  /** The tiles of several images. */
  private static List<TileSchedule.Tile> repeated(
      List<TileSchedule.Tile> tiles, int images, Convolution conv) {
    int residual = conv.residual() == null ? 0 : conv.residual().imageSize();
    var all = new ArrayList<TileSchedule.Tile>();
    for (int n = 0; n < images; n++) {
      for (TileSchedule.Tile tile : tiles) {
        all.add(
            new TileSchedule.Tile(
                tile.size(),
                tile.rows(),
                tile.in() + n * conv.in().imageSize(),
                tile.out() + n * conv.out().imageSize(),
                tile.residual() + n * residual));
      }
    }
    return all;
  }

  /** The packing of a convolution's weights. */
  public static Packing<DirectWeights> packing(Convolution conv, Kernels kernels) {
    return conv.isInterleaved()
        ? NarrowGroups.packing(conv, kernels)
        : new DirectPacking(conv, kernels);
  }

  /**
   * The packing of a convolution's weights as floats, whatever its format: the blocks of output
   * channels are those of {@link #packing}.
   */
  public static Packing<DirectWeights> packingOfFloats(Convolution conv, Kernels kernels) {
    return conv.isInterleaved()
        ? NarrowGroups.packing(conv, kernels)
        : new DirectPacking(conv.ofFloats(), kernels, Tiling.of(conv, kernels).channels());
  }

  @Override
  public String name() {
    return conv.layer().name();
  }

  @Override
  public String algorithm() {
    return "%s %dx%d"
        .formatted(
            conv.isInterleaved() ? "grouped" : "direct",
            conv.layer().kernel(),
            conv.layer().kernel());
  }

  @Override
  public Activation out() {
    return operands.out();
  }

  @Override
  public long flops() {
    return conv.flops();
  }

  @Override
  public void run(ExecutionContext context, int first, int count, int phase, int part, int parts) {
    int blocks = sums.length;
    // If there are few weights, a part computes the rows whose input it wrote in the step before.
    boolean splitChannels =
        blocks % parts == 0
            && (long) panel * blocks > conv.in().imageSize() + conv.out().imageSize();
    int firstBlock = splitChannels ? blocks * part / parts : 0;
    int endBlock = splitChannels ? blocks * (part + 1) / parts : blocks;
    int firstTile = splitChannels ? 0 : allTiles * part / parts;
    int endTile = splitChannels ? allTiles : allTiles * (part + 1) / parts;
    if (splitChannels && parts > 1) {
      int channels = conv.out().paddedChannels();
      operands.prepareChannels(
          context, kernels, first, count, channels * part / parts, channels * (part + 1) / parts);
    } else if (part == 0) {
      for (int n = first; n < first + count; n++) {
        operands.out().clearBorder(context.arena(), n);
      }
    }
    for (int n = first; n < first + count; n += groupImages) {
      int endImage = Math.min(first + count, n + groupImages);
      for (int t = firstTile; t < endTile; t += groupTiles) {
        int groupEnd = Math.min(endTile, t + groupTiles);
        boolean isWhole = t == 0 && groupEnd == allTiles;
        for (int b = firstBlock; b < endBlock; b++) {
          for (int i = n; i < endImage; ) {
            if (isWhole && i % imagesTogether == 0 && i + imagesTogether <= endImage) {
              group(together, context.memory(), i, b, 0, together.tiles());
              i += imagesTogether;
            } else {
              group(schedule, context.memory(), i++, b, t, groupEnd);
            }
          }
        }
      }
    }
  }

  /** Computes some tiles, from one image on, for one block of output channels. */
  private void group(TileSchedule tiles, Floats arena, int n, int b, int firstTile, int endTile) {
    DirectWeights.Block block = weights.blocks()[b];
    tiles.run(
        arena,
        firstTile,
        endTile,
        operands.in().image(n),
        operands.out().word(n, block.channel()),
        operands.residualWord(n, block.channel()),
        weights.data(),
        block.at(),
        sums[b]);
  }
}
