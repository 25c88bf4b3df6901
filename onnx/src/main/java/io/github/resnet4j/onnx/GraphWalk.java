package io.github.resnet4j.onnx;

import io.github.resnet4j.nn.Layer.BatchNorm2d;
import io.github.resnet4j.nn.Layer.BlurPool2d;
import io.github.resnet4j.onnx.OnnxModel.Constant;
import io.github.resnet4j.onnx.OnnxModel.Node;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;

/**
 * The way through a graph, from its input to its output, as {@linkplain Step steps}. Every node
 * that the output depends on is either on the way or refused by name.
 */
final class GraphWalk {
  private static final Set<String> ACTIVATIONS = Set.of("Softmax", "LogSoftmax", "Sigmoid");

  private final OnnxGraph graph;
  private final boolean dropSoftmax;

  /** First results of the nodes that were understood. */
  private final Set<String> passed = new HashSet<>();

  private final List<Step> steps;
  private final InputScaling scaling;
  private Optional<Node> dropped = Optional.empty();

  /**
   * Walks through a graph.
   *
   * @param dropSoftmax whether to leave out a Softmax, LogSoftmax or Sigmoid at the end
   * @throws Unfit naming the first node that is understood in no way
   */
  GraphWalk(OnnxGraph graph, boolean dropSoftmax) throws Unfit {
    this.graph = graph;
    this.dropSoftmax = dropSoftmax;
    scaling = InputScaling.of(graph);
    passed.addAll(scaling.passed());
    var at = new Cursor(scaling.value(), scaling.extents());
    network(at);
    steps = at.steps;
    for (Node node : graph.operations()) {
      if (!passed.contains(node.outputs().getFirst())) {
        throw Unfit.at(node, "changes the result in a way that no residual network has");
      }
    }
  }

  List<Step> steps() {
    return steps;
  }

  InputScaling scaling() {
    return scaling;
  }

  /** What was left out at the end. */
  Optional<Node> dropped() {
    return dropped;
  }

  /** A place on the way: a value, and what led to it. */
  private static final class Cursor {
    private String x;

    /** Extents without the number of images: channels, rows, columns; 0 if unknown. */
    private List<Long> extents;

    private final List<Step> steps = new ArrayList<>();

    Cursor(String x, List<Long> extents) {
      this.x = x;
      this.extents = extents;
    }

    boolean isMap() {
      return extents.size() == 3;
    }

    long channels() {
      return extents.getFirst();
    }

    boolean lastIs(Class<? extends Step> kind) {
      return !steps.isEmpty() && kind.isInstance(steps.getLast());
    }
  }

  private void network(Cursor at) throws Unfit {
    while (!at.x.equals(graph.output())) {
      if (graph.consumers(at.x).size() == 2 && at.isMap()) {
        block(at);
        continue;
      }
      Node node = graph.only(at.x);
      if (at.lastIs(Step.Linear.class) && ACTIVATIONS.contains(node.op())) {
        if (!dropSoftmax || !node.outputs().getFirst().equals(graph.output())) {
          throw Unfit.at(
              node,
              "follows the last layer, but a network gives logits; import it with --drop-softmax"
                  + " to leave it out");
        }
        dropped = Optional.of(node);
        pass(node);
        return;
      }
      advance(at, node);
    }
    if (at.steps.isEmpty()) {
      throw new Unfit("it has no layers");
    }
    boolean complete =
        at.lastIs(Step.Linear.class)
            ? at.extents.size() == 1
            : at.lastIs(Step.Block.class) && at.isMap();
    if (!complete) {
      throw Unfit.at(
          at.steps.getLast().node(),
          "ends the graph; a network ends with its last block or with a linear layer after it");
    }
  }

  private String pass(Node node) {
    String result = node.outputs().getFirst();
    passed.add(result);
    return result;
  }

  /** The next operation; x must be its first input. */
  private void advance(Cursor at, Node node) throws Unfit {
    if (!node.inputs().getFirst().equals(at.x)) {
      throw Unfit.at(node, "takes '%s' in another place than the first".formatted(at.x));
    }
    if (at.steps.stream().noneMatch(Step.Convolution.class::isInstance)
        && !node.op().equals("Conv")
        && at.x.equals(scaling.value())) {
      throw Unfit.at(node, "where a convolution was expected");
    }
    pass(node);
    switch (node.op()) {
      case "Conv" -> {
        Step.Convolution conv = convolution(at, node);
        at.steps.add(conv);
        at.x = conv.norm().isPresent() ? pass(conv.norm().get()) : node.outputs().getFirst();
        return;
      }
      case "Relu" -> at.steps.add(new Step.Relu(node));
      case "Sigmoid" -> at.steps.add(new Step.Sigmoid(node));
      case "MaxPool" -> {
        at.steps.add(new Step.MaxPool(node));
        at.extents = Windows.pooled(node, at.extents);
      }
      case "AveragePool" -> {
        if (at.lastIs(Step.Block.class) && Windows.coversAll(node, at.extents)) {
          at.steps.add(new Step.GlobalMean(node));
        } else {
          at.steps.add(new Step.AveragePool(node));
        }
        at.extents = Windows.pooled(node, at.extents);
      }
      case "GlobalAveragePool", "ReduceMean" -> {
        if (!at.lastIs(Step.GlobalMean.class)) {
          at.steps.add(new Step.GlobalMean(node));
        }
        at.extents = Windows.averaged(node, at.extents, graph);
      }
      case "Pad" -> {
        if (node.text("mode", "constant").equals("reflect")) {
          blur(at, node);
          return;
        }
        at.steps.add(zeroPad(at, node));
      }
      case "Slice" -> subsample(at, node);
      case "Flatten", "Reshape", "Squeeze", "Unsqueeze", "Transpose" -> {
        if (at.steps.stream().noneMatch(Step.GlobalMean.class::isInstance)) {
          throw Unfit.at(node, "changes the axes of a feature map");
        }
        at.extents = Views.extents(node, at.extents, graph);
      }
      case "Gemm", "MatMul" -> {
        linear(at, node);
        return;
      }
      default -> throw Unfit.at(node, "is no operation of a residual network at this place");
    }
    at.x = node.outputs().getFirst();
  }

  private Step.Convolution convolution(Cursor at, Node conv) throws Unfit {
    Constant weight = graph.constant(conv, 1);
    int axes = at.extents.size();
    if (weight.shape().size() != axes + 1 || axes < 2 || weight.size() == 0 || !weight.isReal()) {
      throw Unfit.at(conv, "has weights of shape %s".formatted(weight.shape()));
    }
    long in = weight.shape().get(1) * Math.max(1, conv.integer("group", 1));
    if (at.channels() != 0 && at.channels() != in) {
      throw Unfit.at(conv, "takes %d channels, given %d".formatted(in, at.channels()));
    }
    Optional<Constant> bias = Optional.empty();
    if (!OnnxGraph.lacks(conv, 2)) {
      bias = Optional.of(graph.constant(conv, 2));
    }
    at.extents = Windows.convolved(conv, weight, at.extents);
    List<Node> after = graph.consumers(conv.outputs().getFirst());
    Node norm =
        after.size() == 1 && after.getFirst().op().equals("BatchNormalization")
            ? after.getFirst()
            : null;
    if (norm != null) {
      checkNorm(norm);
    }
    return new Step.Convolution(conv, weight, bias, Optional.ofNullable(norm));
  }

  private static void checkNorm(Node norm) throws Unfit {
    if (norm.inputs().size() != 5
        || Math.abs(norm.real("epsilon", 1e-5f) - BatchNorm2d.EPS) > 1e-9) {
      throw Unfit.at(norm, "has an epsilon other than 1e-5");
    }
    if (norm.integer("training_mode", 0) != 0 || norm.integer("spatial", 1) != 1) {
      throw Unfit.at(norm, "takes the batch's statistics; export the model for inference");
    }
  }

  /** A low-pass filter with stride 2: an image's mirrored border, then the same window. */
  private void blur(Cursor at, Node pad) throws Unfit {
    boolean mirrors =
        OnnxGraph.lacks(pad, 3)
            && Arrays.equals(small(pad, 1), new float[] {0, 0, 1, 1, 0, 0, 1, 1});
    if (!mirrors) {
      throw Unfit.at(pad, "does not mirror one pixel around the image");
    }
    Node conv = graph.only(pad.outputs().getFirst());
    if (!conv.op().equals("Conv") || !at.isMap()) {
      throw Unfit.at(conv, "where a blur was expected");
    }
    Constant weight = graph.constant(conv, 1);
    boolean binomial = weight.shape().equals(List.of(at.channels(), 1L, 3L, 3L)) && weight.isReal();
    float[] values = binomial ? weight.floats() : new float[0];
    for (int i = 0; i < values.length; i++) {
      binomial &= Math.abs(values[i] - BlurPool2d.weight(i % 9 / 3, i % 3) / 16f) < 1e-6;
    }
    if (!binomial || conv.integer("group", 1) != at.channels() || !OnnxGraph.lacks(conv, 2)) {
      throw Unfit.at(conv, "is no blur of [1 2 1] for each channel");
    }
    Windows.require(conv, "strides", 2, 1);
    Windows.require(conv, "pads", 0, 0);
    Windows.require(conv, "dilations", 1, 1);
    at.steps.add(new Step.Blur(conv));
    at.extents =
        List.of(
            at.channels(), Math.ceilDiv(at.extents.get(1), 2), Math.ceilDiv(at.extents.get(2), 2));
    at.x = pass(conv);
  }

  private Step zeroPad(Cursor at, Node pad) throws Unfit {
    float[] pads = small(pad, 1);
    boolean channels = pads.length == 8 && at.isMap() && OnnxGraph.lacks(pad, 3);
    for (int i = 0; channels && i < 8; i++) {
      channels = i % 4 == 1 ? pads[i] >= 0 && pads[i] < 1 << 20 : pads[i] == 0;
    }
    float[] value = OnnxGraph.lacks(pad, 2) ? new float[] {0} : small(pad, 2);
    if (!channels
        || value.length != 1
        || value[0] != 0
        || !pad.text("mode", "constant").equals("constant")) {
      throw Unfit.at(pad, "does not fill channels with zeros");
    }
    at.extents =
        List.of(
            at.channels() + (long) pads[1] + (long) pads[5], at.extents.get(1), at.extents.get(2));
    return new Step.ZeroPad(pad, (long) pads[1], (long) pads[5]);
  }

  /** Every so many pixels from the first one on; or all, where the step is 1. */
  private void subsample(Cursor at, Node slice) throws Unfit {
    if (slice.inputs().size() != 5 || !at.isMap()) {
      throw Unfit.at(slice, "has no constant steps");
    }
    long[] starts = whole(slice, 1);
    long[] ends = whole(slice, 2);
    long[] axes = whole(slice, 3);
    long[] steps = whole(slice, 4);
    if (starts.length != axes.length || ends.length != axes.length || steps.length != axes.length) {
      throw Unfit.at(slice, "has inputs of different lengths");
    }
    long[] by = {1, 1, 1, 1};
    var extents = new ArrayList<>(at.extents);
    for (int i = 0; i < axes.length; i++) {
      int axis = (int) (axes[i] < 0 ? axes[i] + 4 : axes[i]);
      long extent = axis >= 1 && axis <= 3 ? extents.get(axis - 1) : 0;
      boolean whole =
          starts[i] == 0 && (ends[i] >= Integer.MAX_VALUE || (extent > 0 && ends[i] >= extent));
      if (axis < 0 || axis > 3 || !whole || steps[i] < 1 || (axis < 2 && steps[i] > 1)) {
        throw Unfit.at(slice, "does not take every so many pixels from the first to the last");
      }
      by[axis] = Math.multiplyExact(by[axis], Math.min(steps[i], 1 << 20));
      if (axis > 0) {
        extents.set(axis - 1, Math.ceilDiv(extent, steps[i]));
      }
    }
    at.extents = List.copyOf(extents);
    if (at.lastIs(Step.Subsample.class)) { // rows and columns, one after the other
      var before = (Step.Subsample) at.steps.removeLast();
      by[2] = Math.multiplyExact(by[2], before.rows());
      by[3] = Math.multiplyExact(by[3], before.columns());
    }
    if (by[2] > 1 || by[3] > 1) {
      at.steps.add(new Step.Subsample(slice, by[2], by[3]));
    }
  }

  /** A few constant numbers. */
  private float[] small(Node node, int input) throws Unfit {
    Constant found = graph.constant(node, input);
    if (found.size() > 16) {
      throw Unfit.at(node, "has %d numbers as input %d".formatted(found.size(), input));
    }
    return found.floats();
  }

  private long[] whole(Node node, int input) throws Unfit {
    return Views.numbers(node, graph.constant(node, input));
  }

  /** A matrix and what is added to its product. */
  private void linear(Cursor at, Node node) throws Unfit {
    boolean gemm = node.op().equals("Gemm");
    Constant weight = graph.constant(node, 1);
    if (at.extents.size() != 1
        || weight.shape().size() != 2
        || weight.size() == 0
        || !weight.isReal()
        || !at.lastIs(Step.GlobalMean.class)) {
      throw Unfit.at(node, "is no linear layer after the mean over all pixels");
    }
    if (node.real("alpha", 1) != 1 || node.real("beta", 1) != 1 || node.integer("transA", 0) != 0) {
      throw Unfit.at(node, "is no plain linear layer");
    }
    at.x = node.outputs().getFirst();
    Optional<Constant> bias = Optional.empty();
    if (gemm && !OnnxGraph.lacks(node, 2)) {
      bias = Optional.of(graph.constant(node, 2));
    }
    List<Node> after = graph.consumers(at.x);
    if (!gemm && after.size() == 1 && after.getFirst().op().equals("Add")) {
      Node sum = after.getFirst();
      bias = Optional.of(graph.constant(sum, sum.inputs().getFirst().equals(at.x) ? 1 : 0));
      at.x = pass(sum);
    }
    var linear = new Step.Linear(node, weight, gemm && node.integer("transB", 0) != 0, bias);
    if (weight.shape().get(linear.transposed() ? 1 : 0) != at.channels()) {
      throw Unfit.at(node, "has weights %s for %s".formatted(weight.shape(), at.extents));
    }
    at.steps.add(linear);
    at.extents = List.of(linear.out());
  }

  // --- branches ---------------------------------------------------------------------------------

  /** The two ways from x to a sum, and a ReLU. */
  private void block(Cursor at) throws Unfit {
    List<Node> first = graph.consumers(at.x);
    var one = new Cursor(at.x, at.extents);
    var other = new Cursor(at.x, at.extents);
    Node sum = branch(one, first.get(0));
    Node same = branch(other, first.get(1));
    if (sum != same
        || sum.inputs().size() != 2
        || one.x.equals(other.x)
        || !sum.inputs().containsAll(List.of(one.x, other.x))) {
      throw Unfit.at(sum, "adds what does not come from one block");
    }
    if (!one.extents.equals(other.extents)) {
      throw Unfit.at(sum, "adds %s and %s".formatted(one.extents, other.extents));
    }
    List<Node> after = graph.consumers(pass(sum));
    if (after.size() != 1 || !after.getFirst().op().equals("Relu")) {
      throw after.isEmpty()
          ? Unfit.at(sum, "is not followed by a ReLU")
          : Unfit.at(after.getFirst(), "where a ReLU was expected");
    }
    boolean swap = convolutions(one) < convolutions(other);
    at.steps.add(
        new Step.Block(sum, swap ? other.steps : one.steps, swap ? one.steps : other.steps));
    at.extents = one.extents;
    at.x = pass(after.getFirst());
  }

  private static long convolutions(Cursor branch) {
    return branch.steps.stream().filter(Step.Convolution.class::isInstance).count();
  }

  /** Walks to the sum at a branch's end. */
  private Node branch(Cursor at, Node from) throws Unfit {
    Node node = from;
    while (!node.op().equals("Add")) {
      advance(at, node);
      if (graph.consumers(at.x).size() == 2) {
        gates(at);
      }
      node = graph.only(at.x);
    }
    return node;
  }

  /** Past a multiplication of every channel with what is made of the channels' means. */
  private void gates(Cursor at) throws Unfit {
    List<Node> next = graph.consumers(at.x);
    Node product = next.get(next.get(0).op().equals("Mul") ? 0 : 1);
    var factors = new Cursor(at.x, at.extents);
    Node node = next.get(product == next.get(0) ? 1 : 0);
    while (node != product) {
      if (node.op().equals("Expand")) {
        Views.checkExpand(node, factors.x, at.x, at.extents, graph);
        factors.x = pass(node);
      } else {
        advance(factors, node);
      }
      node = graph.only(factors.x);
    }
    var convolutions = new ArrayList<Step.Convolution>();
    var order = new StringBuilder();
    for (Step step : factors.steps) {
      order.append(step.getClass().getSimpleName()).append(' ');
      if (step instanceof Step.Convolution conv && conv.norm().isEmpty()) {
        convolutions.add(conv);
      }
    }
    boolean known =
        switch (order.toString()) {
          case "GlobalMean Convolution Sigmoid " -> convolutions.size() == 1;
          case "GlobalMean Convolution Relu Convolution Sigmoid " -> convolutions.size() == 2;
          default -> false;
        };
    if (!known
        || !product.op().equals("Mul")
        || product.inputs().size() != 2
        || !factors.extents.equals(List.of(at.channels(), 1L, 1L))) {
      throw Unfit.at(product, "is no channel attention");
    }
    at.steps.add(new Step.Gates(product, convolutions));
    at.x = pass(product);
  }
}
