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
 * What stands before the first convolution: {@code (x - mean) / std} for each channel, and how the
 * input's axes are ordered. It becomes part of the model's preprocessing.
 *
 * @param value what the first convolution takes
 * @param extents of that, as {@link GraphWalk} has them
 * @param pixels whether the graph takes pixels of 0 to 255 as bytes
 * @param mean for each channel
 * @param std for each channel
 * @param passed results of the nodes that are part of it
 */
record InputScaling(
    String value,
    List<Long> extents,
    boolean pixels,
    List<Double> mean,
    List<Double> std,
    List<String> passed) {

  /** Collects the arithmetic between a graph's input and its first convolution. */
  static InputScaling of(OnnxGraph graph) throws Unfit {
    String x = graph.input().name();
    List<Integer> axes = List.of(0, 1, 2, 3); // the input's axes, in their present order
    var found = new ArrayList<Node>();
    var orders = new ArrayList<List<Integer>>();
    var passed = new ArrayList<String>();
    while (graph.consumers(x).size() == 1) {
      Node node = graph.only(x);
      switch (node.op()) {
        case "Transpose" -> axes = transposed(node, axes);
        case "Add", "Sub", "Mul", "Div", "BatchNormalization" -> {
          found.add(node);
          orders.add(axes);
          if (!node.inputs().getFirst().equals(x)
              && (node.op().equals("Sub") || node.op().equals("Div"))) {
            throw Unfit.at(node, "has the image as its second operand");
          }
        }
        default -> {
          return finish(graph, x, axes, found, orders, passed);
        }
      }
      x = node.outputs().getFirst();
      passed.add(x);
    }
    return finish(graph, x, axes, found, orders, passed);
  }

  private static List<Integer> transposed(Node node, List<Integer> axes) throws Unfit {
    List<Long> order = node.integers("perm");
    if (!order.stream().sorted().toList().equals(List.of(0L, 1L, 2L, 3L))) {
      throw Unfit.at(node, "orders the axes as %s".formatted(order));
    }
    return order.stream().map(axis -> axes.get(axis.intValue())).toList();
  }

  private static InputScaling finish(
      OnnxGraph graph,
      String x,
      List<Integer> axes,
      List<Node> found,
      List<List<Integer>> orders,
      List<String> passed)
      throws Unfit {
    if (!axes.equals(List.of(0, 1, 2, 3)) && !axes.equals(List.of(0, 3, 1, 2))) {
      throw new Unfit("its input's axes come to the first layer in the order %s".formatted(axes));
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
          throw Unfit.at(node, "normalises another axis than the channels");
        }
        normalise(node, graph, mean, std);
      } else {
        boolean second =
            node.inputs().size() > 1 && graph.constant(node.inputs().get(1)).isPresent();
        double[] values = values(node, graph.constant(node, second ? 1 : 0), channelAxis, count);
        apply(node.op(), values, mean, std);
      }
    }
    for (int c = 0; c < count; c++) {
      if (!Double.isFinite(mean[c]) || !Double.isFinite(std[c]) || std[c] <= 0) {
        throw Unfit.at(
            found.isEmpty() ? graph.only(x) : found.getLast(),
            "scales an image's channel by a number that is not above 0");
      }
    }
    return new InputScaling(
        x,
        List.copyOf(extents),
        graph.input().type() == Type.UINT8,
        Arrays.stream(mean).boxed().toList(),
        Arrays.stream(std).boxed().toList(),
        List.copyOf(passed));
  }

  /** The channels that the first convolution takes. */
  private static int channels(OnnxGraph graph, String x) throws Unfit {
    Node conv = graph.only(x);
    Constant weight = conv.op().equals("Conv") ? graph.constant(conv, 1) : null;
    if (weight == null || weight.shape().size() != 4) {
      throw Unfit.at(conv, "where a convolution was expected");
    }
    long channels = weight.shape().get(1);
    if (channels < 1 || channels > 1 << 20 || weight.size() == 0) {
      throw Unfit.at(conv, "has weights of shape %s".formatted(weight.shape()));
    }
    return (int) channels;
  }

  /** An extent that the graph declares for its input; 0 if it leaves it open. */
  static long extent(Value input, int axis) {
    if (input.shape().size() != 4) {
      return 0;
    }
    String text = input.shape().get(axis);
    return text.matches("[1-9]\\d{0,5}") ? Long.parseLong(text) : 0;
  }

  /** y = (x - mean) / std, and then one more operation. */
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

  private static void normalise(Node norm, OnnxGraph graph, double[] mean, double[] std)
      throws Unfit {
    int count = mean.length;
    if (norm.inputs().size() != 5
        || norm.integer("training_mode", 0) != 0
        || norm.integer("spatial", 1) != 1) {
      throw Unfit.at(norm, "takes the batch's statistics; export the model for inference");
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

  /** A constant as one number for each channel. */
  private static double[] values(Node node, Constant constant, int channelAxis, int count)
      throws Unfit {
    List<Long> shape = constant.shape();
    boolean fits = constant.isReal() && shape.size() <= 4;
    for (int i = 0; fits && i < shape.size(); i++) {
      long extent = shape.get(i);
      fits = extent == 1 || (extent == count && i + 4 - shape.size() == channelAxis);
    }
    if (!fits) {
      throw Unfit.at(node, "has a constant of shape %s, not one number a channel".formatted(shape));
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

  /** For people. */
  String describe() {
    return "(x - %s) / %s".formatted(decimals(mean), decimals(std));
  }

  private static String decimals(List<Double> values) {
    List<String> texts =
        values.stream().map(each -> String.valueOf(each.floatValue())).distinct().toList();
    return texts.size() == 1 ? texts.getFirst() : texts.toString();
  }

  /**
   * The preprocessing that makes what the first convolution takes.
   *
   * @param given how the graph's own input is made, if somebody said so
   * @param usual sizes, if nobody did
   * @throws Unfit if it does not show whether the graph takes pixels of 0 to 1 or of 0 to 255
   */
  Preprocessing preprocessing(Optional<Preprocessing> given, Preprocessing usual) throws Unfit {
    if (given.isPresent()) {
      Preprocessing before = given.get();
      if (before.channels() != mean.size()) {
        throw new Unfit(
            "the preprocessing makes %d channels, it takes %d"
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

  /** Scaling after {@code (v - firstMean) / firstStd}. */
  private Preprocessing compose(Preprocessing sizes, List<Double> firstMean, List<Double> firstStd)
      throws Unfit {
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
      throw new Unfit(
          "its input is scaled by %s, which no preprocessing can be: %s"
              .formatted(describe(), e.getMessage()));
    }
  }

  /** The largest value of a pixel that the graph takes, from the numbers it is scaled with. */
  private int range() throws Unfit {
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
    throw new Unfit(
        ("its input is scaled by %s, which does not show whether pixels are 0 to 1 or 0 to 255;"
                + " say with --preprocessing how the graph's input is made")
            .formatted(describe()));
  }

  /** Is this what a preprocessing does already, as in files that this project wrote? */
  boolean isPartOf(Preprocessing preprocessing) throws Unfit {
    Preprocessing own = preprocessing(Optional.empty(), preprocessing);
    return own.channels() == preprocessing.channels()
        && near(own.mean(), preprocessing.mean())
        && near(own.std(), preprocessing.std());
  }

  private static boolean near(List<Float> one, List<Float> other) {
    for (int i = 0; i < one.size(); i++) {
      if (Math.abs(one.get(i) - other.get(i)) > 1e-5f * Math.max(1e-3f, Math.abs(other.get(i)))) {
        return false;
      }
    }
    return true;
  }
}
