package io.github.resnet4j.onnx;

import io.github.resnet4j.onnx.OnnxModel.Constant;
import io.github.resnet4j.onnx.OnnxModel.Node;
import io.github.resnet4j.onnx.OnnxModel.Type;
import java.util.ArrayList;
import java.util.List;

/**
 * Operations that only rename the axes of one number for each channel: extents are 1 but for one.
 * Extents are without the number of images, which stays the first axis.
 */
final class Views {
  private Views() {}

  static List<Long> extents(Node node, List<Long> x, OnnxGraph graph) throws Unfit {
    long channels = x.stream().reduce(1L, Math::multiplyExact);
    return switch (node.op()) {
      case "Flatten" -> {
        long axis = node.integer("axis", 1);
        if (axis != 1 && axis != -x.size()) {
          throw Unfit.at(node, "mixes images (axis %d)".formatted(axis));
        }
        yield List.of(channels);
      }
      case "Reshape" -> reshaped(node, x, channels, graph);
      case "Squeeze" -> {
        List<Long> axes = axes(node, graph, x.size() + 1);
        var result = new ArrayList<>(x);
        for (long axis : axes.stream().sorted((a, b) -> Long.compare(b, a)).toList()) {
          if (axis == 0 || result.size() < axis || result.remove((int) axis - 1) != 1) {
            throw Unfit.at(node, "removes an axis of more than one number");
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
            throw Unfit.at(node, "adds the axes %s".formatted(axes));
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
          throw Unfit.at(node, "orders the axes as %s".formatted(order));
        }
        yield order.stream().skip(1).map(each -> x.get((int) (each - 1))).toList();
      }
      default -> throw Unfit.at(node, "is no view");
    };
  }

  private static List<Long> reshaped(Node node, List<Long> x, long channels, OnnxGraph graph)
      throws Unfit {
    long[] target = numbers(node, graph.constant(node, 1));
    boolean copies = node.integer("allowzero", 0) == 0;
    var result = new ArrayList<Long>();
    long known = 1;
    int open = -1;
    boolean images = target.length > 1 && isBatch(target[0], copies, graph);
    for (int i = 1; images && i < target.length; i++) {
      long extent = target[i] == 0 && copies && i <= x.size() ? x.get(i - 1) : target[i];
      if (extent == -1 && open < 0 && target[0] != -1) {
        open = i - 1;
      } else {
        images = extent > 0 && extent <= channels;
        known = images ? known * extent : known;
        images &= known <= channels;
      }
      result.add(extent);
    }
    if (!images || known > channels || channels % known != 0) {
      throw Unfit.at(node, "is no view of %d numbers for each image".formatted(channels));
    }
    if (open >= 0) {
      result.set(open, channels / known);
    } else if (known != channels) {
      throw Unfit.at(node, "is no view of %d numbers for each image".formatted(channels));
    }
    return List.copyOf(result);
  }

  /** Is an extent the number of images? */
  private static boolean isBatch(long extent, boolean copies, OnnxGraph graph) {
    return extent == -1 // whatever is left
        || (extent == 0 && copies)
        || extent == OnnxGraph.BATCH
        || (extent > 0 && extent == InputScaling.extent(graph.input(), 0));
  }

  /** Axes from an attribute or, in newer operator sets, from input 1; negative ones resolved. */
  static List<Long> axes(Node node, OnnxGraph graph, int rank) throws Unfit {
    List<Long> found = node.integers("axes");
    if (!OnnxGraph.lacks(node, 1)) {
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
      throw Unfit.at(node, "has the axes %s".formatted(found));
    }
    return axes;
  }

  /** A few whole numbers. */
  static long[] numbers(Node node, Constant constant) throws Unfit {
    boolean whole = constant.type() == Type.INT64 || constant.type() == Type.INT32;
    if (!whole || constant.size() > 16 || constant.shape().size() > 1) {
      throw Unfit.at(node, "has no list of a few whole numbers where one was expected");
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

  /** Checks that factors are expanded to nothing larger than what they are multiplied with. */
  static void checkExpand(Node node, String factors, String x, List<Long> extents, OnnxGraph graph)
      throws Unfit {
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
      throw Unfit.at(node, "makes more numbers than it is multiplied with");
    }
  }
}
