package io.github.resnet4j.engine.graph;

import io.github.resnet4j.kernel.Winograd;
import io.github.resnet4j.nn.Layer.Conv2d;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/**
 * Chooses how many images the steps of each block process together: few if images are large, so
 * that a step's result is still in the cache when the next step reads it; many if weights are
 * large.
 */
public final class ChunkSizes {
  /**
   * The share of the L3 cache that a chunk's operands may fill, as a multiple of the L2 cache;
   * measured with 512 kB, where chunks of 1 to 4 images are 4 to 7 % faster than chunks of 8.
   */
  private static final int L2_CACHES_PER_CHUNK = 8;

  private final Map<Value, Layout> layouts;
  private final Map<Value, Winograd> forms;

  private ChunkSizes(Map<Value, Layout> layouts, Map<Value, Winograd> forms) {
    this.layouts = layouts;
    this.forms = forms;
  }

  /**
   * @param layouts the layouts with their borders
   * @param forms the form of Winograd's algorithm, by the result of a convolution
   * @param images the number of images that the plan processes together
   * @return the number of images for each operation; it never decreases from one operation to the
   *     next
   */
  public static int[] choose(
      Graph graph, Map<Value, Layout> layouts, Map<Value, Winograd> forms, int images) {
    var chooser = new ChunkSizes(layouts, forms);
    int[] chunkSizes = new int[graph.ops().size()];
    int end = chunkSizes.length;
    int chunkSize = images;
    for (List<Op> block : graph.blocks().reversed()) {
      chunkSize = chooser.choose(block, chunkSize);
      Arrays.fill(chunkSizes, end - block.size(), end, chunkSize);
      end -= block.size();
    }
    return chunkSizes;
  }

  private int choose(List<Op> block, int maxImages) {
    if (block.stream().noneMatch(op -> op instanceof Op.Conv)) {
      return maxImages;
    }
    long activationBytes = 0;
    long largest = 0;
    for (Op op : block) {
      long bytes = bytes(op.out());
      for (Value in : op.inputs()) {
        bytes += bytes(in);
      }
      activationBytes += bytes;
      largest = Math.max(largest, bytes);
    }
    int best = maxImages;
    double leastBytes = Double.MAX_VALUE;
    for (int n = maxImages; n >= 1; n /= 2) {
      if (n > 1 && n * largest > (long) L2_CACHES_PER_CHUNK * L2Cache.BYTES) {
        continue;
      }
      // Bytes of memory traffic beyond the cache, for one image.
      double cachedFraction = (double) L2Cache.BYTES / (n * largest);
      double bytes = activationBytes * Math.max(0, 1 - cachedFraction);
      for (Op op : block) {
        if (op instanceof Op.Conv conv) {
          bytes += weightBytes(conv, forms.get(op.out()), n);
        }
      }
      if (bytes < 0.9 * leastBytes) {
        leastBytes = bytes;
        best = n;
      }
    }
    return best;
  }

  /** The bytes of weights that are read per image if {@code n} images are processed together. */
  private double weightBytes(Op.Conv conv, @Nullable Winograd form, int n) {
    Conv2d layer = conv.layer();
    int perWord = layout(conv.in()).format().perWord();
    double weights =
        (double) layer.outChannels() * layer.inChannels() / layer.groups() * Float.BYTES / perWord;
    if (form != null) {
      return weights * form.products() / n;
    }
    // Direct convolution reads weights once for all images that fit into the cache together.
    double imagesPerRead = Math.clamp(0.75 * L2Cache.BYTES / bytes(conv.in()), 1, n);
    return weights * layer.kernel() * layer.kernel() / imagesPerRead;
  }

  private long bytes(Value value) {
    return (long) layout(value).imageSize() * Float.BYTES;
  }

  private Layout layout(Value value) {
    return Objects.requireNonNull(layouts.get(value));
  }
}
