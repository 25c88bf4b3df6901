package io.github.resnet4j.onnx;

import io.github.resnet4j.onnx.OnnxModel.Constant;
import io.github.resnet4j.onnx.OnnxModel.Node;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;

/**
 * Computes the output extents of convolutions, pooling and averages; without the batch axis, 0 if
 * unknown.
 */
final class WindowOperations {
  private static final float LOWEST_FLOAT16 = -65504;

  private WindowOperations() {}

  static List<Long> convolved(Node conv, Constant weight, List<Long> extents)
      throws UnsupportedGraphException {
    List<Long> kernel = weight.shape().subList(2, weight.shape().size());
    List<Long> named = conv.integers("kernel_shape");
    if (!named.isEmpty() && !named.equals(kernel)) {
      throw UnsupportedGraphException.at(
          conv, "has kernel_shape %s, but weights of shape %s".formatted(named, weight.shape()));
    }
    return outputExtents(conv, weight.shape().getFirst(), kernel, extents);
  }

  static List<Long> pooled(Node pool, List<Long> extents) throws UnsupportedGraphException {
    List<Long> kernel = pool.integers("kernel_shape");
    if (kernel.size() != extents.size() - 1) {
      throw UnsupportedGraphException.at(pool, "has kernel_shape %s".formatted(kernel));
    }
    return outputExtents(pool, extents.getFirst(), kernel, extents);
  }

  private static List<Long> outputExtents(
      Node node, long channels, List<Long> kernel, List<Long> extents)
      throws UnsupportedGraphException {
    int axes = kernel.size();
    List<Long> strides = numbers(node, "strides", axes, 1);
    List<Long> dilations = numbers(node, "dilations", axes, 1);
    List<Long> pads = numbers(node, "pads", 2 * axes, 0);
    var result = new ArrayList<Long>();
    result.add(channels);
    for (int i = 0; i < axes; i++) {
      long stride = strides.get(i);
      long span = (kernel.get(i) - 1) * dilations.get(i) + 1;
      if (stride < 1 || kernel.get(i) < 1 || dilations.get(i) < 1) {
        throw UnsupportedGraphException.at(
            node, "has a stride, a dilation or a kernel extent below 1");
      }
      long extent = extents.get(i + 1);
      long last = extent + pads.get(i) + pads.get(i + axes) - span;
      if (extent != 0 && last < 0) {
        throw UnsupportedGraphException.at(
            node, "has a window of %d pixels for an input of %d".formatted(span, extent));
      }
      boolean ceil = node.integer("ceil_mode", 0) != 0;
      result.add(extent == 0 ? 0 : (ceil ? Math.ceilDiv(last, stride) : last / stride) + 1);
    }
    return List.copyOf(result);
  }

  private static List<Long> numbers(Node node, String attribute, int count, long otherwise)
      throws UnsupportedGraphException {
    List<Long> found = node.integers(attribute);
    if (!node.attributes().containsKey(attribute)) {
      found = Collections.nCopies(count, otherwise);
    }
    if (found.size() != count || found.stream().anyMatch(each -> each < 0 || each > 1 << 20)) {
      throw UnsupportedGraphException.at(node, "has %s %s".formatted(attribute, found));
    }
    return found;
  }

  /** Whether a pooling window covers the whole feature map. */
  static boolean coversAll(Node pool, List<Long> extents) {
    List<Long> pads = pool.integers("pads");
    List<Long> dilations = pool.integers("dilations");
    return extents.size() == 3
        && pool.integers("kernel_shape").equals(extents.subList(1, 3))
        && pads.stream().allMatch(each -> each == 0)
        && dilations.stream().allMatch(each -> each == 1);
  }

  /** The output extents of global average pooling. */
  static List<Long> averaged(Node node, List<Long> extents, OnnxGraph graph)
      throws UnsupportedGraphException {
    if (extents.size() != 3) {
      throw UnsupportedGraphException.at(node, "is found where a feature map was expected");
    }
    boolean keeps = true;
    if (node.op().equals("ReduceMean")) {
      List<Long> axes = AxisOperations.axes(node, graph, 4).stream().sorted().toList();
      if (!axes.equals(List.of(2L, 3L))) {
        throw UnsupportedGraphException.at(
            node, "averages over the axes %s, not over rows and columns".formatted(axes));
      }
      keeps = node.integer("keepdims", 1) != 0;
    }
    long channels = extents.getFirst();
    return keeps ? List.of(channels, 1L, 1L) : List.of(channels);
  }

  /**
   * Checks that a maximum with two constants makes the padding of a pooling count as zeros: of
   * windows beyond the border of the rows or of the columns it is a maximum with zero, of others
   * with the lowest number.
   *
   * @param input the extents of the pooling's input
   * @param output those of its output
   */
  static void checkBorder(
      Node border, Node pool, List<Long> input, List<Long> output, OnnxGraph graph)
      throws UnsupportedGraphException {
    for (int axis = 1; axis <= 2; axis++) {
      List<Long> shape =
          axis == 1 ? List.of(1L, 1L, output.get(1), 1L) : List.of(1L, 1L, 1L, output.get(2));
      Constant found = graph.constant(border, axis);
      boolean fits = border.inputs().size() == 3 && found.shape().equals(shape) && found.isReal();
      long kernel = pool.integers("kernel_shape").get(axis - 1);
      long stride = numbers(pool, "strides", 2, 1).get(axis - 1);
      long padding = numbers(pool, "pads", 4, 0).get(axis - 1);
      float[] values = fits ? found.floats() : new float[0];
      for (int i = 0; i < values.length; i++) {
        long first = i * stride - padding;
        boolean beyond = first < 0 || first + kernel > input.get(axis);
        fits &= beyond ? values[i] == 0 : values[i] <= LOWEST_FLOAT16;
      }
      if (!fits) {
        throw UnsupportedGraphException.at(border, "is not a maximum with the zeros of a padding");
      }
    }
  }

  /** Checks that an attribute has the same value for all axes. */
  static void require(Node node, String attribute, long value, long otherwise)
      throws UnsupportedGraphException {
    List<Long> found = node.integers(attribute);
    boolean fits =
        found.isEmpty() ? value == otherwise : found.stream().allMatch(each -> each == value);
    if (!fits) {
      throw UnsupportedGraphException.at(
          node, "has %s %s, not %d".formatted(attribute, found, value));
    }
  }
}
