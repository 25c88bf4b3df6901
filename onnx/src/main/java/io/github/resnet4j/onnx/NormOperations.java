package io.github.resnet4j.onnx;

import io.github.resnet4j.nn.Layer;
import io.github.resnet4j.onnx.OnnxModel.Constant;
import io.github.resnet4j.onnx.OnnxModel.Node;
import java.util.ArrayList;
import java.util.List;

/**
 * Batch norm, and group norm, which exporters write as five operations: a change of the axes to
 * groups, instance norm, the change back, and a product and a sum with one value per channel.
 */
final class NormOperations {
  private static final List<String> GROUP_NORM =
      List.of("Reshape", "InstanceNormalization", "Reshape", "Mul", "Add");

  private NormOperations() {}

  /** Whether a node is the first of a norm. */
  static boolean begins(Node node, OnnxGraph graph) {
    return node.op().equals("BatchNormalization")
        || node.op().equals("GroupNormalization")
        || beginsGroupNorm(node, graph);
  }

  /** Whether a node changes the axes for an instance norm. */
  static boolean beginsGroupNorm(Node node, OnnxGraph graph) {
    List<Node> after = graph.consumers(node.outputs().getFirst());
    return node.op().equals("Reshape")
        && after.size() == 1
        && after.getFirst().op().equals("InstanceNormalization");
  }

  static void checkBatchNorm(Node norm) throws UnsupportedGraphException {
    if (norm.integer("training_mode", 0) != 0 || norm.integer("spatial", 1) != 1) {
      throw UnsupportedGraphException.at(
          norm, "uses batch statistics; export the model in inference mode");
    }
    float epsilon = norm.real("epsilon", 1e-5f);
    if (norm.inputs().size() != 5 || !(epsilon >= 0 && epsilon <= 1)) {
      throw UnsupportedGraphException.at(norm, "has an epsilon of " + epsilon);
    }
  }

  /** The five operations of a group norm. */
  static List<Node> groupNormNodes(Node first, OnnxGraph graph) throws UnsupportedGraphException {
    var nodes = new ArrayList<>(List.of(first));
    while (nodes.size() < GROUP_NORM.size()) {
      Node next = graph.singleConsumer(nodes.getLast().outputs().getFirst());
      if (!next.op().equals(GROUP_NORM.get(nodes.size()))) {
        throw UnsupportedGraphException.at(
            next,
            "is found where %s of a group norm was expected"
                .formatted(GROUP_NORM.get(nodes.size())));
      }
      nodes.add(next);
    }
    return nodes;
  }

  /**
   * Converts the five operations of a group norm.
   *
   * @param x the input
   * @param extents channels, rows and columns; 0 if unknown
   */
  static ParsedLayer.GroupNorm groupNorm(
      List<Node> nodes, String x, List<Long> extents, OnnxGraph graph)
      throws UnsupportedGraphException {
    Node grouped = nodes.get(0);
    Node normal = nodes.get(1);
    Node image = nodes.get(2);
    long channels = extents.getFirst();
    long pixels = extents.get(1) * extents.get(2);
    long[] to = AxisOperations.numbers(grouped, graph.constant(grouped, 1));
    boolean copies = grouped.integer("allowzero", 0) == 0;
    boolean splits =
        to.length == 3
            && AxisOperations.isBatch(to[0], copies, graph)
            && to[1] >= 1
            && channels % to[1] == 0
            && (to[2] == -1 && to[0] != -1 || pixels > 0 && to[2] == channels / to[1] * pixels);
    if (!splits) {
      throw UnsupportedGraphException.at(grouped, "does not split the channels into groups");
    }
    int groups = Math.toIntExact(to[1]);
    checkEpsilon(normal);
    for (int i = 1; i <= 2; i++) {
      if (!isFilled(graph.constant(normal, i), groups, 2 - i)) {
        throw UnsupportedGraphException.at(normal, "has its own weight or bias for each group");
      }
    }
    if (!graph.isShapeOf(image.input(1), x)) {
      long[] back = AxisOperations.numbers(image, graph.constant(image, 1));
      boolean restores =
          back.length == 4
              && AxisOperations.isBatch(back[0], image.integer("allowzero", 0) == 0, graph);
      for (int i = 1; restores && i < 4; i++) {
        restores = back[i] > 0 && back[i] == extents.get(i - 1);
      }
      if (!restores) {
        throw UnsupportedGraphException.at(image, "does not restore the shape before a group norm");
      }
    }
    return new ParsedLayer.GroupNorm(
        nodes.getLast(),
        groups,
        perChannel(nodes.get(3), image, channels, graph),
        perChannel(nodes.get(4), nodes.get(3), channels, graph));
  }

  /** Converts a group norm that is one operation, as from operator set 21 on. */
  static ParsedLayer.GroupNorm groupNorm(Node node, List<Long> extents, OnnxGraph graph)
      throws UnsupportedGraphException {
    checkEpsilon(node);
    long groups = node.integer("num_groups", 0);
    if (extents.size() != 3 || groups < 1 || extents.getFirst() % groups != 0) {
      throw UnsupportedGraphException.at(node, "has %d groups".formatted(groups));
    }
    return new ParsedLayer.GroupNorm(
        node, Math.toIntExact(groups), graph.constant(node, 1), graph.constant(node, 2));
  }

  private static void checkEpsilon(Node norm) throws UnsupportedGraphException {
    float epsilon = norm.real("epsilon", 1e-5f);
    if (epsilon != (float) Layer.GroupNorm.EPS) {
      throw UnsupportedGraphException.at(
          norm, "has an epsilon of %s, not %s".formatted(epsilon, Layer.GroupNorm.EPS));
    }
  }

  /** Whether a vector has the same value everywhere. */
  static boolean isFilled(Constant constant, int length, float value) {
    boolean filled = constant.shape().equals(List.of((long) length)) && constant.isReal();
    float[] values = filled ? constant.floats() : new float[0];
    for (float each : values) {
      filled &= each == value;
    }
    return filled;
  }

  /** The other operand of a product or sum, one value for each channel. */
  private static Constant perChannel(Node node, Node before, long channels, OnnxGraph graph)
      throws UnsupportedGraphException {
    boolean first = node.input(0).equals(before.outputs().getFirst());
    Constant constant = graph.constant(node, first ? 1 : 0);
    if (!constant.shape().equals(List.of(channels, 1L, 1L))
        && !constant.shape().equals(List.of(1L, channels, 1L, 1L))) {
      throw UnsupportedGraphException.at(
          node, "has a constant of shape %s after a group norm".formatted(constant.shape()));
    }
    return constant.withShape(List.of(channels));
  }
}
