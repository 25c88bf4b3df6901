package io.github.resnet4j.onnx;

import io.github.resnet4j.image.Preprocessing;
import io.github.resnet4j.onnx.OnnxModel.Constant;
import io.github.resnet4j.onnx.OnnxModel.Node;
import io.github.resnet4j.onnx.OnnxModel.Type;
import io.github.resnet4j.onnx.OnnxModel.Value;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Optional;

/**
 * The operations before the first convolution: {@code (x - mean) / std} per channel, and the order
 * of the input's axes. They become part of the preprocessing.
 *
 * @param value the input of the first convolution
 * @param extents its extents: channels, rows, columns; 0 if unknown
 * @param pixels whether the input of the graph is bytes from 0 to 255
 * @param mean one per channel
 * @param std one per channel
 * @param recognized the outputs of the nodes that belong to it
 */
record InputScaling(
    String value,
    List<Long> extents,
    boolean pixels,
    List<Double> mean,
    List<Double> std,
    List<String> recognized) {

  /** Collects the operations between the input of a graph and its first convolution. */
  static InputScaling of(OnnxGraph graph) throws UnsupportedGraphException {
    String x = graph.input().name();
    List<Integer> axes = List.of(0, 1, 2, 3); // the input axes in their current order
    var found = new ArrayList<Node>();
    var orders = new ArrayList<List<Integer>>();
    var recognized = new ArrayList<String>();
    while (graph.consumers(x).size() == 1) {
      Node node = graph.singleConsumer(x);
      switch (node.op()) {
        case "Transpose" -> axes = transposed(node, axes);
        case "Add", "Sub", "Mul", "Div", "BatchNormalization" -> {
          found.add(node);
          orders.add(axes);
          if (!node.inputs().getFirst().equals(x)
              && (node.op().equals("Sub") || node.op().equals("Div"))) {
            throw UnsupportedGraphException.at(node, "has the image as its second operand");
          }
        }
        default -> {
          return finish(graph, x, axes, found, orders, recognized);
        }
      }
      x = node.outputs().getFirst();
      recognized.add(x);
    }
    return finish(graph, x, axes, found, orders, recognized);
  }

  private static List<Integer> transposed(Node node, List<Integer> axes)
      throws UnsupportedGraphException {
    List<Long> order = node.integers("perm");
    if (!order.stream().sorted().toList().equals(List.of(0L, 1L, 2L, 3L))) {
      throw UnsupportedGraphException.at(node, "permutes the axes to %s".formatted(order));
    }
    return order.stream().map(axis -> axes.get(axis.intValue())).toList();
  }

  private static InputScaling finish(
      OnnxGraph graph,
      String x,
      List<Integer> axes,
      List<Node> found,
      List<List<Integer>> orders,
      List<String> recognized)
      throws UnsupportedGraphException {
    if (!axes.equals(List.of(0, 1, 2, 3)) && !axes.equals(List.of(0, 3, 1, 2))) {
      throw new UnsupportedGraphException(
          "its input reaches the first layer with the axes in the order %s".formatted(axes));
    }
    long channels = extent(graph.input(), axes.get(1));
    int count = channels > 0 && channels <= 64 ? (int) channels : channels(graph, x);
    var extents = new ArrayList<Long>();
    extents.add((long) count);
    extents.add(extent(graph.input(), axes.get(2)));
    extents.add(extent(graph.input(), axes.get(3)));
    double[] mean = new double[count];
    double[] std = new double[count];
    Arrays.fill(std, 1);
    for (int i = 0; i < found.size(); i++) {
      Node node = found.get(i);
      int channelAxis = orders.get(i).indexOf(axes.get(1));
      if (node.op().equals("BatchNormalization")) {
        if (channelAxis != 1) {
          throw UnsupportedGraphException.at(node, "normalizes an axis other than the channels");
        }
        normalize(node, graph, mean, std);
      } else {
        boolean second =
            node.inputs().size() > 1 && graph.constant(node.inputs().get(1)).isPresent();
        double[] values = values(node, graph.constant(node, second ? 1 : 0), channelAxis, count);
        apply(node.op(), values, mean, std);
      }
    }
    for (int c = 0; c < count; c++) {
      if (!Double.isFinite(mean[c]) || !Double.isFinite(std[c]) || std[c] <= 0) {
        throw UnsupportedGraphException.at(
            found.isEmpty() ? graph.singleConsumer(x) : found.getLast(),
            "scales a channel by a number that is not positive");
      }
    }
    return new InputScaling(
        x,
        List.copyOf(extents),
        graph.input().type() == Type.UINT8,
        Arrays.stream(mean).boxed().toList(),
        Arrays.stream(std).boxed().toList(),
        List.copyOf(recognized));
  }

  /** The number of input channels of the first convolution. */
  private static int channels(OnnxGraph graph, String x) throws UnsupportedGraphException {
    Node conv = graph.singleConsumer(x);
    if (conv.op().equals("Pad")) {
      conv = graph.singleConsumer(conv.outputs().getFirst());
    }
    Constant weight = conv.op().equals("Conv") ? graph.constant(conv, 1) : null;
    if (weight == null || weight.shape().size() != 4) {
      throw UnsupportedGraphException.at(conv, "is found where a convolution was expected");
    }
    long channels = weight.shape().get(1);
    if (channels < 1 || channels > 1 << 20 || weight.size() == 0) {
      throw UnsupportedGraphException.at(conv, "has weights of shape %s".formatted(weight.shape()));
    }
    return (int) channels;
  }

  /** An extent of the graph's input; 0 if it is dynamic. */
  static long extent(Value input, int axis) {
    if (input.shape().size() != 4) {
      return 0;
    }
    String text = input.shape().get(axis);
    return text.matches("[1-9]\\d{0,5}") ? Long.parseLong(text) : 0;
  }

  /** Composes {@code (x - mean) / std} with one more operation. */
  private static void apply(String op, double[] values, double[] mean, double[] std) {
    for (int c = 0; c < mean.length; c++) {
      switch (op) {
        case "Add" -> mean[c] -= values[c] * std[c];
        case "Sub" -> mean[c] += values[c] * std[c];
        case "Mul" -> std[c] /= values[c];
        default -> std[c] *= values[c];
      }
    }
  }

  private static void normalize(Node norm, OnnxGraph graph, double[] mean, double[] std)
      throws UnsupportedGraphException {
    int count = mean.length;
    if (norm.inputs().size() != 5
        || norm.integer("training_mode", 0) != 0
        || norm.integer("spatial", 1) != 1) {
      throw UnsupportedGraphException.at(
          norm, "uses batch statistics; export the model in inference mode");
    }
    double[] variance = values(norm, graph.constant(norm, 4), 3, count);
    for (int c = 0; c < count; c++) {
      variance[c] = Math.sqrt(variance[c] + norm.real("epsilon", 1e-5f));
    }
    apply("Sub", values(norm, graph.constant(norm, 3), 3, count), mean, std);
    apply("Div", variance, mean, std);
    apply("Mul", values(norm, graph.constant(norm, 1), 3, count), mean, std);
    apply("Add", values(norm, graph.constant(norm, 2), 3, count), mean, std);
  }

  /** Broadcasts a constant to one value per channel. */
  private static double[] values(Node node, Constant constant, int channelAxis, int count)
      throws UnsupportedGraphException {
    List<Long> shape = constant.shape();
    boolean fits = constant.isReal() && shape.size() <= 4;
    for (int i = 0; fits && i < shape.size(); i++) {
      long extent = shape.get(i);
      fits = extent == 1 || (extent == count && i + 4 - shape.size() == channelAxis);
    }
    if (!fits) {
      throw UnsupportedGraphException.at(
          node, "has a constant of shape %s, not one value per channel".formatted(shape));
    }
    float[] floats = constant.floats();
    double[] values = new double[count];
    for (int c = 0; c < count; c++) {
      values[c] = floats[floats.length == 1 ? 0 : c];
    }
    return values;
  }

  boolean isIdentity() {
    return !pixels
        && mean.stream().allMatch(each -> each == 0)
        && std.stream().allMatch(each -> each == 1);
  }

  /** The scaling as text, for messages. */
  String describe() {
    return "(x - %s) / %s".formatted(decimals(mean), decimals(std));
  }

  private static String decimals(List<Double> values) {
    List<String> texts =
        values.stream().map(each -> String.valueOf(each.floatValue())).distinct().toList();
    return texts.size() == 1 ? texts.getFirst() : texts.toString();
  }

  /**
   * Returns the preprocessing that produces the input of the first convolution.
   *
   * @param given the preprocessing for the input of the graph, if specified
   * @param usual the default sizes, if not
   * @throws UnsupportedGraphException if it cannot be determined whether the input of the graph is
   *     from 0 to 1 or from 0 to 255
   */
  Preprocessing preprocessing(Optional<Preprocessing> given, Preprocessing usual)
      throws UnsupportedGraphException {
    if (given.isPresent()) {
      Preprocessing before = given.get();
      if (before.channels() != mean.size()) {
        throw new UnsupportedGraphException(
            "the preprocessing has %d channels, but the graph needs %d"
                .formatted(before.channels(), mean.size()));
      }
      return compose(
          before,
          before.mean().stream().map(Double::valueOf).toList(),
          before.std().stream().map(Double::valueOf).toList());
    }
    double range = 1d / range();
    return compose(
        usual, Collections.nCopies(mean.size(), 0d), Collections.nCopies(mean.size(), range));
  }

  /** Composes this scaling with a preceding {@code (v - firstMean) / firstStd}. */
  private Preprocessing compose(Preprocessing sizes, List<Double> firstMean, List<Double> firstStd)
      throws UnsupportedGraphException {
    var means = new ArrayList<Float>();
    var stds = new ArrayList<Float>();
    for (int c = 0; c < mean.size(); c++) {
      means.add((float) (firstMean.get(c) + mean.get(c) * firstStd.get(c)));
      stds.add((float) (firstStd.get(c) * std.get(c)));
    }
    try {
      return new Preprocessing(
          sizes.resize(),
          sizes.cropHeight(),
          sizes.cropWidth(),
          sizes.interpolation(),
          means,
          stds);
    } catch (IllegalArgumentException e) {
      throw new UnsupportedGraphException(
          "its input is scaled by %s, which is not a valid preprocessing: %s"
              .formatted(describe(), e.getMessage()));
    }
  }

  /** The maximum pixel value in the input of the graph, derived from the scaling. */
  private int range() throws UnsupportedGraphException {
    if (pixels) {
      return 255;
    }
    double largestMean = mean.stream().mapToDouble(each -> each).max().orElse(0);
    double smallestMean = mean.stream().mapToDouble(each -> each).min().orElse(0);
    double largestStd = std.stream().mapToDouble(each -> each).max().orElse(1);
    double smallestStd = std.stream().mapToDouble(each -> each).min().orElse(1);
    if (smallestMean >= 0 && largestMean <= 1 && largestStd <= 1) {
      return 1;
    }
    boolean bytes =
        smallestMean >= 0
            && largestMean <= 255
            && (smallestMean > 1 || (largestMean == 0 && smallestStd >= 16));
    if (bytes) {
      return 255;
    }
    throw new UnsupportedGraphException(
        ("its input is scaled by %s; it cannot be determined whether pixels are from 0 to 1 or from"
                + " 0 to 255: specify the preprocessing of its input with --preprocessing")
            .formatted(describe()));
  }

  /**
   * Whether a preprocessing already contains this scaling, as in files written by {@link
   * OnnxExport}.
   */
  boolean isContainedIn(Preprocessing preprocessing) throws UnsupportedGraphException {
    Preprocessing own = preprocessing(Optional.empty(), preprocessing);
    return own.channels() == preprocessing.channels()
        && isClose(own.mean(), preprocessing.mean())
        && isClose(own.std(), preprocessing.std());
  }

  private static boolean isClose(List<Float> one, List<Float> other) {
    for (int i = 0; i < one.size(); i++) {
      if (Math.abs(one.get(i) - other.get(i)) > 1e-5f * Math.max(1e-3f, Math.abs(other.get(i)))) {
        return false;
      }
    }
    return true;
  }
}
