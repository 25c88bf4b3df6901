package io.github.resnet4j.onnx;

import io.github.resnet4j.onnx.OnnxModel.Constant;
import io.github.resnet4j.onnx.OnnxModel.Node;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;

/** Extents after convolutions, pooling and means; without the number of images, 0 if unknown. */
final class Windows {
  private Windows() {}

  static List<Long> convolved(Node conv, Constant weight, List<Long> extents) throws Unfit {
    List<Long> kernel = weight.shape().subList(2, weight.shape().size());
    List<Long> named = conv.integers("kernel_shape");
    if (!named.isEmpty() && !named.equals(kernel)) {
      throw Unfit.at(conv, "has kernel_shape %s, weights %s".formatted(named, weight.shape()));
    }
    return through(conv, weight.shape().getFirst(), kernel, extents);
  }

  static List<Long> pooled(Node pool, List<Long> extents) throws Unfit {
    List<Long> kernel = pool.integers("kernel_shape");
    if (kernel.size() != extents.size() - 1) {
      throw Unfit.at(pool, "has kernel_shape %s".formatted(kernel));
    }
    return through(pool, extents.getFirst(), kernel, extents);
  }

  private static List<Long> through(Node node, long channels, List<Long> kernel, List<Long> extents)
      throws Unfit {
    int axes = kernel.size();
    List<Long> strides = numbers(node, "strides", axes, 1);
    List<Long> dilations = numbers(node, "dilations", axes, 1);
    List<Long> pads = numbers(node, "pads", 2 * axes, 0);
    var result = new ArrayList<Long>();
    result.add(channels);
    for (int i = 0; i < axes; i++) {
      long stride = strides.get(i);
      long reach = (kernel.get(i) - 1) * dilations.get(i) + 1;
      if (stride < 1 || kernel.get(i) < 1 || dilations.get(i) < 1) {
        throw Unfit.at(node, "has a stride, a dilation or a window below 1");
      }
      long extent = extents.get(i + 1);
      long room = extent + pads.get(i) + pads.get(i + axes) - reach;
      if (extent != 0 && room < 0) {
        throw Unfit.at(node, "has a window of %d on %d pixels".formatted(reach, extent));
      }
      boolean ceil = node.integer("ceil_mode", 0) != 0;
      result.add(extent == 0 ? 0 : (ceil ? Math.ceilDiv(room, stride) : room / stride) + 1);
    }
    return List.copyOf(result);
  }

  private static List<Long> numbers(Node node, String attribute, int count, long otherwise)
      throws Unfit {
    List<Long> found = node.integers(attribute);
    if (!node.attributes().containsKey(attribute)) {
      found = Collections.nCopies(count, otherwise);
    }
    if (found.size() != count || found.stream().anyMatch(each -> each < 0 || each > 1 << 20)) {
      throw Unfit.at(node, "has %s %s".formatted(attribute, found));
    }
    return found;
  }

  /** Is a window the whole image? */
  static boolean coversAll(Node pool, List<Long> extents) {
    List<Long> pads = pool.integers("pads");
    List<Long> dilations = pool.integers("dilations");
    return extents.size() == 3
        && pool.integers("kernel_shape").equals(extents.subList(1, 3))
        && pads.stream().allMatch(each -> each == 0)
        && dilations.stream().allMatch(each -> each == 1);
  }

  /** After a mean over all pixels. */
  static List<Long> averaged(Node node, List<Long> extents, OnnxGraph graph) throws Unfit {
    if (extents.size() != 3) {
      throw Unfit.at(node, "where a feature map was expected");
    }
    boolean keeps = true;
    if (node.op().equals("ReduceMean")) {
      List<Long> axes = Views.axes(node, graph, 4).stream().sorted().toList();
      if (!axes.equals(List.of(2L, 3L))) {
        throw Unfit.at(
            node, "takes the mean over the axes %s, not over rows and columns".formatted(axes));
      }
      keeps = node.integer("keepdims", 1) != 0;
    }
    long channels = extents.getFirst();
    return keeps ? List.of(channels, 1L, 1L) : List.of(channels);
  }

  /** An attribute with the same number for all axes. */
  static void require(Node node, String attribute, long value, long otherwise) throws Unfit {
    List<Long> found = node.integers(attribute);
    boolean fits =
        found.isEmpty() ? value == otherwise : found.stream().allMatch(each -> each == value);
    if (!fits) {
      throw Unfit.at(node, "has %s %s, not %d".formatted(attribute, found, value));
    }
  }
}
