package io.github.resnet4j.onnx;

import io.github.resnet4j.onnx.OnnxModel.Constant;
import io.github.resnet4j.onnx.OnnxModel.Node;
import io.github.resnet4j.onnx.OnnxModel.Type;
import java.util.ArrayList;
import java.util.List;

/**
 * Operations that only change the axes of a vector per image: all extents but one are 1. Extents
 * exclude the batch axis, which must stay first.
 */
final class AxisOperations {
  private AxisOperations() {}

  static List<Long> extents(Node node, List<Long> x, OnnxGraph graph)
      throws UnsupportedGraphException {
    long channels = x.stream().reduce(1L, Math::multiplyExact);
    return switch (node.op()) {
      case "Flatten" -> {
        long axis = node.integer("axis", 1);
        if (axis != 1 && axis != -x.size()) {
          throw UnsupportedGraphException.at(
              node, "mixes the images of a batch (axis %d)".formatted(axis));
        }
        yield List.of(channels);
      }
      case "Reshape" -> reshaped(node, x, channels, graph);
      case "Squeeze" -> {
        List<Long> axes = axes(node, graph, x.size() + 1);
        var result = new ArrayList<>(x);
        for (long axis : axes.stream().sorted((a, b) -> Long.compare(b, a)).toList()) {
          if (axis == 0 || result.size() < axis || result.remove((int) axis - 1) != 1) {
            throw UnsupportedGraphException.at(node, "removes an axis with an extent other than 1");
          }
        }
        yield List.copyOf(result);
      }
      case "Unsqueeze" -> {
        List<Long> axes = axes(node, graph, 0);
        int rank = x.size() + 1 + axes.size();
        var result = new ArrayList<>(x);
        for (long axis :
            axes.stream().map(each -> each < 0 ? each + rank : each).sorted().toList()) {
          if (axis < 1 || axis > result.size() + 1) {
            throw UnsupportedGraphException.at(node, "adds the invalid axes %s".formatted(axes));
          }
          result.add((int) axis - 1, 1L);
        }
        yield List.copyOf(result);
      }
      case "Transpose" -> {
        List<Long> order = node.integers("perm");
        if (order.size() != x.size() + 1
            || order.getFirst() != 0
            || order.stream().distinct().count() != order.size()
            || order.stream().anyMatch(each -> each < 0 || each > x.size())) {
          throw UnsupportedGraphException.at(node, "permutes the axes to %s".formatted(order));
        }
        yield order.stream().skip(1).map(each -> x.get((int) (each - 1))).toList();
      }
      default -> throw UnsupportedGraphException.at(node, "is not an axis operation");
    };
  }

  private static List<Long> reshaped(Node node, List<Long> x, long channels, OnnxGraph graph)
      throws UnsupportedGraphException {
    long[] target = numbers(node, graph.constant(node, 1));
    boolean copies = node.integer("allowzero", 0) == 0;
    var result = new ArrayList<Long>();
    long known = 1;
    int inferred = -1;
    boolean images = target.length > 1 && isBatch(target[0], copies, graph);
    for (int i = 1; images && i < target.length; i++) {
      long extent = target[i] == 0 && copies && i <= x.size() ? x.get(i - 1) : target[i];
      if (extent == -1 && inferred < 0 && target[0] != -1) {
        inferred = i - 1;
      } else {
        images = extent > 0 && extent <= channels;
        known = images ? known * extent : known;
        images &= known <= channels;
      }
      result.add(extent);
    }
    if (!images || known > channels || channels % known != 0) {
      throw UnsupportedGraphException.at(
          node, "does not keep a vector of %d values per image".formatted(channels));
    }
    if (inferred >= 0) {
      result.set(inferred, channels / known);
    } else if (known != channels) {
      throw UnsupportedGraphException.at(
          node, "does not keep a vector of %d values per image".formatted(channels));
    }
    return List.copyOf(result);
  }

  /** Whether an extent is the batch size. */
  static boolean isBatch(long extent, boolean copies, OnnxGraph graph) {
    return extent == -1 // inferred
        || (extent == 0 && copies)
        || extent == OnnxGraph.BATCH
        || (extent > 0 && extent == InputScaling.extent(graph.input(), 0));
  }

  /**
   * Returns the axes from an attribute or, in newer operator sets, from input 1; negative ones are
   * resolved.
   */
  static List<Long> axes(Node node, OnnxGraph graph, int rank) throws UnsupportedGraphException {
    List<Long> found = node.integers("axes");
    if (!OnnxGraph.isOmitted(node, 1)) {
      var list = new ArrayList<Long>();
      for (long axis : numbers(node, graph.constant(node, 1))) {
        list.add(axis);
      }
      found = list;
    }
    List<Long> axes =
        found.stream().map(axis -> axis < 0 && rank > 0 ? axis + rank : axis).distinct().toList();
    if (axes.isEmpty()
        || axes.size() != found.size()
        || axes.stream().anyMatch(axis -> rank > 0 && (axis < 0 || axis >= rank))) {
      throw UnsupportedGraphException.at(node, "has the invalid axes %s".formatted(found));
    }
    return axes;
  }

  /** Returns the values of a small integer constant. */
  static long[] numbers(Node node, Constant constant) throws UnsupportedGraphException {
    boolean whole = constant.type() == Type.INT64 || constant.type() == Type.INT32;
    if (!whole || constant.size() > 16 || constant.shape().size() > 1) {
      throw UnsupportedGraphException.at(node, "has an input that is not a short list of integers");
    }
    long[] numbers = new long[(int) constant.size()];
    for (int i = 0; i < numbers.length; i++) {
      numbers[i] =
          constant.type() == Type.INT64
              ? constant.raw().getLong(8 * i)
              : constant.raw().getInt(4 * i);
    }
    return numbers;
  }

  /** Checks that factors are not expanded to a larger shape than that of the other factor. */
  static void checkExpand(Node node, String factors, String x, List<Long> extents, OnnxGraph graph)
      throws UnsupportedGraphException {
    boolean fits = node.inputs().size() == 2 && node.inputs().getFirst().equals(factors);
    if (fits && graph.isShapeOf(node.inputs().get(1), x)) {
      return;
    }
    long[] target = numbers(node, graph.constant(node, 1));
    fits &= target.length == extents.size() + 1 && isBatch(target[0], false, graph);
    for (int i = 1; fits && i < target.length; i++) {
      fits = target[i] == 1 || target[i] == extents.get(i - 1);
    }
    if (!fits) {
      throw UnsupportedGraphException.at(node, "expands to a larger shape than the other factor");
    }
  }
}
