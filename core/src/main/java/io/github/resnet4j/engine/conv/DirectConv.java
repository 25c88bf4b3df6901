package io.github.resnet4j.engine.conv;

import io.github.resnet4j.engine.graph.Activation;
import io.github.resnet4j.engine.graph.Cache;
import io.github.resnet4j.engine.graph.Convolution;
import io.github.resnet4j.engine.graph.Layout;
import io.github.resnet4j.engine.step.Frame;
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
 * Convolution as the sum it is defined by: for every tile of output pixels and every block of
 * output channels one micro-kernel call over all taps of the window. A 1×1 window makes it a matrix
 * product, and then the pixels of an image are one long row.
 */
public final class DirectConv implements Step {
  private final Convolution conv;
  private final Operands operands;
  private final DirectWeights weights;

  /** Tiles of one image. */
  private final TileSchedule schedule;

  private final int allTiles;

  /** Floats of the largest block of weights. */
  private final int panel;

  /** How much is done for one block of output channels before the next one's turn. */
  private final int groupTiles;

  private final int groupImages;

  /** What is added up, for each block of output channels. */
  private final ConvTile.Reduction[] sums;

  public DirectConv(Convolution conv, Operands operands, DirectWeights weights, Kernels kernels) {
    this.conv = conv;
    this.operands = operands;
    this.weights = weights;
    schedule =
        new TileSchedule(
            tiles(conv, kernels),
            pixels -> shape(conv, weights, pixels, kernels),
            Ints.of(conv.isInterleaved() ? NarrowGroups.runs(conv, kernels) : Runs.of(conv)),
            kernels);
    allTiles = schedule.tiles();
    sums = new ConvTile.Reduction[weights.blocks().length];
    Arrays.setAll(
        sums,
        b -> {
          DirectWeights.Block block = weights.blocks()[b];
          return new ConvTile.Reduction(
              block.firstRun(),
              block.endRun(),
              weights.biasAt() + block.channel() * weights.constants());
        });
    // What a group reads stays in the cache while all blocks of output channels pass over it.
    panel = weights.panel();
    long room =
        Math.max(Cache.BYTES / 4, Cache.BYTES - Cache.BYTES / 8 - (long) panel * Float.BYTES);
    long image = (long) conv.in().imageSize() * Float.BYTES;
    groupImages = (int) Math.max(1, room / image);
    groupTiles = (int) Math.clamp(room * allTiles / image, 1, allTiles);
  }

  private static ConvTile.Shape shape(
      Convolution conv, DirectWeights weights, int pixels, Kernels kernels) {
    Layout residual = conv.residual();
    int pixelStride = conv.layer().stride() * conv.in().block();
    var in = new ConvTile.Input(conv.in().format(), pixelStride, weights.run());
    var out =
        new ConvTile.Output(
            conv.out().format(),
            conv.out().block(),
            residual == null ? null : residual.format(),
            conv.relu());
    return conv.isInterleaved()
        ? ConvTile.Shape.ofGroups(pixels, weights.channels(), in, out, kernels.lanes())
        : new ConvTile.Shape(pixels, weights.channels(), in, out);
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
    int perRow = Tiling.of(conv, kernels).tiles(width);
    var tiles = new ArrayList<TileSchedule.Tile>();
    for (int y = 0; y < rows; y++) {
      int corner = in.pixel(y * layer.stride() - layer.padding(), -layer.padding());
      for (int i = 0; i < perRow; i++) {
        int x = Tiling.start(width, perRow, i);
        tiles.add(
            new TileSchedule.Tile(
                Tiling.start(width, perRow, i + 1) - x,
                corner + x * layer.stride() * in.block(),
                out.pixel(y, 0) + x * out.block(),
                residual == null ? 0 : residual.pixel(y, 0) + x * residual.block()));
      }
    }
    return tiles;
  }

  /** How a convolution's weights are packed. */
  public static Packing<DirectWeights> packing(Convolution conv, Kernels kernels) {
    return conv.isInterleaved()
        ? NarrowGroups.packing(conv, kernels)
        : new DirectPacking(conv, kernels);
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
  public void run(Frame frame, int first, int count, int phase, int part, int parts) {
    int blocks = sums.length;
    // Where weights are few, a part stays with the rows that it wrote itself in the step before.
    boolean splitChannels =
        blocks % parts == 0
            && (long) panel * blocks > conv.in().imageSize() + conv.out().imageSize();
    int firstBlock = splitChannels ? blocks * part / parts : 0;
    int endBlock = splitChannels ? blocks * (part + 1) / parts : blocks;
    int firstTile = splitChannels ? 0 : allTiles * part / parts;
    int endTile = splitChannels ? allTiles : allTiles * (part + 1) / parts;
    if (part == 0) {
      for (int n = first; n < first + count; n++) {
        operands.out().clearBorder(frame.arena(), n);
      }
    }
    for (int n = first; n < first + count; n += groupImages) {
      int endImage = Math.min(first + count, n + groupImages);
      for (int t = firstTile; t < endTile; t += groupTiles) {
        int groupEnd = Math.min(endTile, t + groupTiles);
        for (int b = firstBlock; b < endBlock; b++) {
          for (int i = n; i < endImage; i++) {
            group(frame.memory(), i, b, t, groupEnd);
          }
        }
      }
    }
  }

  /** Some tiles of one image, for one block of output channels. */
  private void group(Floats arena, int n, int b, int firstTile, int endTile) {
    DirectWeights.Block block = weights.blocks()[b];
    schedule.run(
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
