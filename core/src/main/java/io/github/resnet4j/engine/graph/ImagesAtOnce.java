package io.github.resnet4j.engine.graph;

import io.github.resnet4j.kernel.Winograd;
import io.github.resnet4j.nn.Layer.Conv2d;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/**
 * How many images each block of operations takes at a time: few where images are large, so that
 * what one step writes is still in the cache when the next one reads it; many where weights are.
 */
public final class ImagesAtOnce {
  private final Map<Value, Layout> layouts;
  private final Map<Value, Winograd> forms;

  private ImagesAtOnce(Map<Value, Layout> layouts, Map<Value, Winograd> forms) {
    this.layouts = layouts;
    this.forms = forms;
  }

  /**
   * @param layouts with their borders
   * @param forms of Winograd's algorithm, by the result of a convolution
   * @param images that a plan runs at once
   * @return for each operation; never more than for the one after it
   */
  public static int[] choose(
      Graph graph, Map<Value, Layout> layouts, Map<Value, Winograd> forms, int images) {
    var rule = new ImagesAtOnce(layouts, forms);
    int[] atOnce = new int[graph.ops().size()];
    int end = atOnce.length;
    int now = images;
    for (List<Op> block : graph.blocks().reversed()) {
      now = rule.choose(block, now);
      Arrays.fill(atOnce, end - block.size(), end, now);
      end -= block.size();
    }
    return atOnce;
  }

  private int choose(List<Op> block, int most) {
    if (block.stream().noneMatch(op -> op instanceof Op.Conv)) {
      return most;
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
    int best = most;
    double least = Double.MAX_VALUE;
    for (int n = most; n >= 1; n /= 2) {
      // Bytes from beyond the cache, for one image.
      double cached = (double) Cache.BYTES / (n * largest);
      double bytes = activationBytes * Math.max(0, 1 - cached);
      for (Op op : block) {
        if (op instanceof Op.Conv conv) {
          bytes += weightBytes(conv, forms.get(op.out()), n);
        }
      }
      if (bytes < 0.9 * least) {
        least = bytes;
        best = n;
      }
    }
    return best;
  }

  /** The bytes of weights that one of {@code n} images costs. */
  private double weightBytes(Op.Conv conv, @Nullable Winograd form, int n) {
    Conv2d layer = conv.layer();
    double weights =
        (double) layer.outChannels() * layer.inChannels() / layer.groups() * Float.BYTES;
    if (form != null) {
      return weights * form.products() / n;
    }
    // Direct convolution shares weights among the images that fit into the cache together.
    double together = Math.clamp(0.75 * Cache.BYTES / bytes(conv.in()), 1, n);
    return weights * layer.kernel() * layer.kernel() / together;
  }

  private long bytes(Value value) {
    return (long) Objects.requireNonNull(layouts.get(value)).imageSize() * Float.BYTES;
  }
}
