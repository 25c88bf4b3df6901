package io.github.resnet4j.onnx;

import io.github.resnet4j.nn.Layer.BlurPool2d;
import io.github.resnet4j.onnx.OnnxModel.Constant;
import io.github.resnet4j.onnx.OnnxModel.Node;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Optional;
import java.util.Set;

/**
 * Traverses a graph from its input to its output and converts it to {@linkplain ParsedLayer
 * layers}. A node that the output depends on is either converted or rejected with its name.
 */
final class GraphTraversal {
  private static final Set<String> ACTIVATIONS = Set.of("Softmax", "LogSoftmax", "Sigmoid");

  private final OnnxGraph graph;
  private final boolean dropSoftmax;

  /** The first outputs of the recognized nodes. */
  private final Set<String> recognized = new HashSet<>();

  private final List<ParsedLayer> layers;
  private final InputScaling scaling;
  private Optional<Omitted> omitted = Optional.empty();

  /**
   * An operation at the end of the graph that the network does not have.
   *
   * @param output the output of the network without it
   */
  record Omitted(Node node, String output) {}

  /**
   * Traverses a graph.
   *
   * @param dropSoftmax whether to omit a Softmax, LogSoftmax or Sigmoid at the end
   * @throws UnsupportedGraphException naming the first unsupported node
   */
  GraphTraversal(OnnxGraph graph, boolean dropSoftmax) throws UnsupportedGraphException {
    this.graph = graph;
    this.dropSoftmax = dropSoftmax;
    scaling = InputScaling.of(graph);
    recognized.addAll(scaling.recognized());
    var cursor = new Cursor(scaling.value(), scaling.extents());
    network(cursor);
    layers = cursor.layers;
    for (Node node : graph.operations()) {
      if (!recognized.contains(node.outputs().getFirst())) {
        throw UnsupportedGraphException.at(node, "is not part of a residual network");
      }
    }
  }

  List<ParsedLayer> layers() {
    return layers;
  }

  InputScaling scaling() {
    return scaling;
  }

  Optional<Omitted> omitted() {
    return omitted;
  }

  /** A position in the traversal: a value, and the layers that compute it. */
  private static final class Cursor {
    private String x;

    /** The extents without the batch axis: channels, rows, columns; 0 if unknown. */
    private List<Long> extents;

    private final List<ParsedLayer> layers = new ArrayList<>();

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

    boolean lastIs(Class<? extends ParsedLayer> kind) {
      return !layers.isEmpty() && kind.isInstance(layers.getLast());
    }
  }

  private void network(Cursor cursor) throws UnsupportedGraphException {
    while (!cursor.x.equals(graph.output())) {
      if (graph.consumers(cursor.x).size() == 2 && cursor.isMap()) {
        block(cursor);
        continue;
      }
      Node node = graph.singleConsumer(cursor.x);
      if (cursor.lastIs(ParsedLayer.Linear.class) && ACTIVATIONS.contains(node.op())) {
        if (!dropSoftmax || !node.outputs().getFirst().equals(graph.output())) {
          throw UnsupportedGraphException.at(
              node,
              "follows the last layer, but the output of a network must be logits; import it with"
                  + " --drop-softmax to omit it");
        }
        omit(node, "logits");
        return;
      }
      if (endsInBlock(cursor) && isLastTranspose(node)) {
        omit(node, "feature maps [N, C, H, W]");
        return;
      }
      if (cursor.lastIs(ParsedLayer.GlobalMean.class) && node.op().equals("Conv")) {
        windowLinear(cursor, node);
      } else {
        advance(cursor, node);
      }
    }
    if (cursor.layers.isEmpty()) {
      throw new UnsupportedGraphException("it contains no layers");
    }
    if (cursor.lastIs(ParsedLayer.GlobalMean.class)) {
      Node mean = cursor.layers.removeLast().node();
      omit(mean, "feature maps, whose means over all pixels are the embeddings");
      return;
    }
    boolean complete =
        cursor.lastIs(ParsedLayer.Linear.class) ? cursor.extents.size() == 1 : endsInBlock(cursor);
    if (!complete) {
      throw UnsupportedGraphException.at(
          cursor.layers.getLast().node(),
          "is at the end of the graph; a network must end with a block or with a linear layer");
    }
  }

  private static boolean endsInBlock(Cursor cursor) {
    return cursor.isMap()
        && (cursor.lastIs(ParsedLayer.Block.class)
            || cursor.lastIs(ParsedLayer.Relu.class)); // after blocks that normalize first
  }

  /** Whether a node moves the channels of the graph's output to the end. */
  private boolean isLastTranspose(Node node) {
    return node.op().equals("Transpose")
        && node.outputs().getFirst().equals(graph.output())
        && node.integers("perm").equals(List.of(0L, 2L, 3L, 1L));
  }

  private void omit(Node node, String output) {
    recognize(node);
    omitted = Optional.of(new Omitted(node, output));
  }

  private String recognize(Node node) {
    String result = node.outputs().getFirst();
    recognized.add(result);
    return result;
  }

  /** Converts the next node, whose first input must be the current value. */
  private void advance(Cursor cursor, Node node) throws UnsupportedGraphException {
    if (!node.inputs().getFirst().equals(cursor.x)) {
      throw UnsupportedGraphException.at(
          node, "has '%s' as an input other than the first".formatted(cursor.x));
    }
    if (cursor.layers.stream().noneMatch(ParsedLayer.Convolution.class::isInstance)
        && !node.op().equals("Conv")
        && !node.op().equals("Pad")
        && cursor.x.equals(scaling.value())) {
      throw UnsupportedGraphException.at(node, "is found where a convolution was expected");
    }
    recognize(node);
    switch (node.op()) {
      case "Conv" -> {
        ParsedLayer.Convolution conv = convolution(cursor, node);
        cursor.layers.add(conv);
        cursor.x =
            conv.norm().isPresent() ? recognize(conv.norm().get()) : node.outputs().getFirst();
        return;
      }
      case "BatchNormalization" -> {
        NormOperations.checkBatchNorm(node);
        cursor.layers.add(new ParsedLayer.BatchNorm(node));
      }
      case "GroupNormalization" ->
          cursor.layers.add(NormOperations.groupNorm(node, cursor.extents, graph));
      case "Relu" -> cursor.layers.add(new ParsedLayer.Relu(node));
      case "Sigmoid" -> cursor.layers.add(new ParsedLayer.Sigmoid(node));
      case "MaxPool" -> {
        maxPool(cursor, node);
        return;
      }
      case "AveragePool" -> {
        if (cursor.lastIs(ParsedLayer.Block.class)
            && WindowOperations.coversAll(node, cursor.extents)) {
          cursor.layers.add(new ParsedLayer.GlobalMean(node));
        } else {
          cursor.layers.add(new ParsedLayer.AveragePool(node));
        }
        cursor.extents = WindowOperations.pooled(node, cursor.extents);
      }
      case "GlobalAveragePool", "ReduceMean" -> {
        if (!cursor.lastIs(ParsedLayer.GlobalMean.class)) {
          cursor.layers.add(new ParsedLayer.GlobalMean(node));
        }
        cursor.extents = WindowOperations.averaged(node, cursor.extents, graph);
      }
      case "Pad" -> {
        if (node.text("mode", "constant").equals("reflect")) {
          blur(cursor, node);
          return;
        }
        if (isSpatialPad(node)) {
          boolean positive = cursor.lastIs(ParsedLayer.Relu.class);
          Node next = padded(cursor, node);
          advance(cursor, next);
          if (cursor.lastIs(ParsedLayer.MaxPool.class) && !positive) { // so the zeros count
            cursor.layers.set(cursor.layers.size() - 1, new ParsedLayer.MaxPool(next, true));
          }
          return;
        }
        cursor.layers.add(zeroPad(cursor, node));
      }
      case "Slice" -> subsample(cursor, node);
      case "Flatten", "Reshape", "Squeeze", "Unsqueeze", "Transpose" -> {
        if (cursor.isMap() && NormOperations.beginsGroupNorm(node, graph)) {
          groupNorm(cursor, node);
          return;
        }
        if (cursor.layers.stream().noneMatch(ParsedLayer.GlobalMean.class::isInstance)) {
          throw UnsupportedGraphException.at(node, "changes the axes of a feature map");
        }
        cursor.extents = AxisOperations.extents(node, cursor.extents, graph);
      }
      case "Gemm", "MatMul" -> {
        linear(cursor, node);
        return;
      }
      default ->
          throw UnsupportedGraphException.at(
              node, "is not an operation of a residual network at this position");
    }
    cursor.x = node.outputs().getFirst();
  }

  private ParsedLayer.Convolution convolution(Cursor cursor, Node conv)
      throws UnsupportedGraphException {
    Constant weight = graph.weights(conv);
    int axes = cursor.extents.size();
    if (weight.shape().size() != axes + 1 || axes < 2 || weight.size() == 0 || !weight.isReal()) {
      throw UnsupportedGraphException.at(conv, "has weights of shape %s".formatted(weight.shape()));
    }
    long in = weight.shape().get(1) * Math.max(1, conv.integer("group", 1));
    if (cursor.channels() != 0 && cursor.channels() != in) {
      throw UnsupportedGraphException.at(
          conv, "expects %d input channels, but its input has %d".formatted(in, cursor.channels()));
    }
    Optional<Constant> bias = Optional.empty();
    if (!OnnxGraph.isOmitted(conv, 2)) {
      bias = Optional.of(graph.constant(conv, 2));
    }
    cursor.extents = WindowOperations.convolved(conv, weight, cursor.extents);
    List<Node> after = graph.consumers(conv.outputs().getFirst());
    Node norm =
        after.size() == 1 && after.getFirst().op().equals("BatchNormalization")
            ? after.getFirst()
            : null;
    if (norm != null) {
      NormOperations.checkBatchNorm(norm);
    }
    return new ParsedLayer.Convolution(
        conv, weight, graph.standardization(conv), bias, Optional.ofNullable(norm));
  }

  /** Converts a group norm, which exporters write as an instance norm of the groups. */
  private void groupNorm(Cursor cursor, Node grouped) throws UnsupportedGraphException {
    List<Node> nodes = NormOperations.groupNormNodes(grouped, graph);
    nodes.forEach(this::recognize);
    cursor.layers.add(NormOperations.groupNorm(nodes, cursor.x, cursor.extents, graph));
    cursor.x = nodes.getLast().outputs().getFirst();
  }

  /**
   * Converts max pooling. Zeros as padding are written as a maximum with the rows and columns of
   * the border, or as a {@code Pad} before, see {@link #padded}.
   */
  private void maxPool(Cursor cursor, Node pool) throws UnsupportedGraphException {
    List<Long> input = cursor.extents;
    cursor.extents = WindowOperations.pooled(pool, input);
    cursor.x = pool.outputs().getFirst();
    boolean zeros = false;
    if (graph.consumers(cursor.x).size() == 1) {
      Node border = graph.singleConsumer(cursor.x);
      zeros = border.op().equals("Max");
      if (zeros) {
        WindowOperations.checkBorder(border, pool, input, cursor.extents, graph);
        cursor.x = recognize(border);
      }
    }
    cursor.layers.add(new ParsedLayer.MaxPool(pool, zeros));
  }

  /** Converts a blur with stride 2: reflection padding, then a depthwise convolution. */
  private void blur(Cursor cursor, Node pad) throws UnsupportedGraphException {
    boolean mirrors =
        OnnxGraph.isOmitted(pad, 3)
            && Arrays.equals(constantFloats(pad, 1), new float[] {0, 0, 1, 1, 0, 0, 1, 1});
    if (!mirrors) {
      throw UnsupportedGraphException.at(pad, "is not a reflection padding of one pixel");
    }
    Node conv = graph.singleConsumer(pad.outputs().getFirst());
    if (!conv.op().equals("Conv") || !cursor.isMap()) {
      throw UnsupportedGraphException.at(conv, "is found where a blur was expected");
    }
    Constant weight = graph.constant(conv, 1);
    boolean binomial =
        weight.shape().equals(List.of(cursor.channels(), 1L, 3L, 3L)) && weight.isReal();
    float[] values = binomial ? weight.floats() : new float[0];
    for (int i = 0; i < values.length; i++) {
      binomial &= Math.abs(values[i] - BlurPool2d.weight(i % 9 / 3, i % 3) / 16f) < 1e-6;
    }
    if (!binomial
        || conv.integer("group", 1) != cursor.channels()
        || !OnnxGraph.isOmitted(conv, 2)) {
      throw UnsupportedGraphException.at(conv, "is not a depthwise [1 2 1] blur");
    }
    WindowOperations.require(conv, "pads", 0, 0);
    WindowOperations.require(conv, "dilations", 1, 1);
    var blur = new ParsedLayer.Blur(conv);
    WindowOperations.require(conv, "strides", blur.stride() == 1 ? 1 : 2, 1);
    cursor.layers.add(blur);
    cursor.extents =
        List.of(
            cursor.channels(),
            Math.ceilDiv(cursor.extents.get(1), blur.stride()),
            Math.ceilDiv(cursor.extents.get(2), blur.stride()));
    cursor.x = recognize(conv);
  }

  /** Whether zeros are added around the rows and columns, as Keras does before a convolution. */
  private boolean isSpatialPad(Node pad) throws UnsupportedGraphException {
    float[] pads = paddings(pad);
    return pads.length == 8 && pads[0] == 0 && pads[1] == 0 && pads[4] == 0 && pads[5] == 0;
  }

  /** The paddings: an attribute before operator set 11, then an input. */
  private float[] paddings(Node pad) throws UnsupportedGraphException {
    List<Long> attribute = pad.integers("pads");
    if (attribute.isEmpty()) {
      return constantFloats(pad, 1);
    }
    float[] values = new float[attribute.size()];
    for (int i = 0; i < values.length; i++) {
      values[i] = attribute.get(i);
    }
    return values;
  }

  /** The convolution or pooling after a zero padding, with the padding as its own. */
  private Node padded(Cursor cursor, Node pad) throws UnsupportedGraphException {
    float[] pads = paddings(pad);
    float[] value = OnnxGraph.isOmitted(pad, 2) ? new float[] {0} : constantFloats(pad, 2);
    Node next = graph.singleConsumer(pad.outputs().getFirst());
    boolean pools =
        next.op().equals("MaxPool") && next.integers("pads").stream().allMatch(each -> each == 0);
    if (value.length != 1
        || value[0] != 0
        || pad.real("value", 0) != 0
        || !OnnxGraph.isOmitted(pad, 3)
        || !pad.text("mode", "constant").equals("constant")
        || !(pools || next.op().equals("Conv"))
        || !Set.of("NOTSET", "VALID").contains(next.text("auto_pad", "NOTSET"))) {
      throw UnsupportedGraphException.at(pad, "is not a zero padding before a convolution");
    }
    List<Long> own = next.integers("pads");
    var sum = new ArrayList<Long>();
    for (int i = 0; i < 4; i++) {
      sum.add((long) pads[i < 2 ? i + 2 : i + 4] + (own.size() == 4 ? own.get(i) : 0));
    }
    var attributes = new LinkedHashMap<>(next.attributes());
    attributes.remove("auto_pad");
    attributes.put("pads", new OnnxModel.Attribute.Ints(sum));
    var inputs = new ArrayList<>(next.inputs());
    inputs.set(0, cursor.x);
    return new Node(next.op(), next.domain(), next.name(), inputs, next.outputs(), attributes);
  }

  private ParsedLayer zeroPad(Cursor cursor, Node pad) throws UnsupportedGraphException {
    float[] pads = constantFloats(pad, 1);
    boolean channels = pads.length == 8 && cursor.isMap() && OnnxGraph.isOmitted(pad, 3);
    for (int i = 0; channels && i < 8; i++) {
      channels = i % 4 == 1 ? pads[i] >= 0 && pads[i] < 1 << 20 : pads[i] == 0;
    }
    float[] value = OnnxGraph.isOmitted(pad, 2) ? new float[] {0} : constantFloats(pad, 2);
    if (!channels
        || value.length != 1
        || value[0] != 0
        || !pad.text("mode", "constant").equals("constant")) {
      throw UnsupportedGraphException.at(pad, "is not a zero padding of channels");
    }
    cursor.extents =
        List.of(
            cursor.channels() + (long) pads[1] + (long) pads[5],
            cursor.extents.get(1),
            cursor.extents.get(2));
    return new ParsedLayer.ZeroPad(pad, (long) pads[1], (long) pads[5]);
  }

  /** Converts a slice with a step along rows and columns, starting at the first pixel. */
  private void subsample(Cursor cursor, Node slice) throws UnsupportedGraphException {
    if (slice.inputs().size() != 5 || !cursor.isMap()) {
      throw UnsupportedGraphException.at(slice, "has no constant steps");
    }
    long[] starts = constantIntegers(slice, 1);
    long[] ends = constantIntegers(slice, 2);
    long[] axes = constantIntegers(slice, 3);
    long[] steps = constantIntegers(slice, 4);
    if (starts.length != axes.length || ends.length != axes.length || steps.length != axes.length) {
      throw UnsupportedGraphException.at(slice, "has inputs of different lengths");
    }
    long[] by = {1, 1, 1, 1};
    var extents = new ArrayList<>(cursor.extents);
    for (int i = 0; i < axes.length; i++) {
      int axis = (int) (axes[i] < 0 ? axes[i] + 4 : axes[i]);
      long extent = axis >= 1 && axis <= 3 ? extents.get(axis - 1) : 0;
      boolean whole =
          starts[i] == 0 && (ends[i] >= Integer.MAX_VALUE || (extent > 0 && ends[i] >= extent));
      if (axis < 0 || axis > 3 || !whole || steps[i] < 1 || (axis < 2 && steps[i] > 1)) {
        throw UnsupportedGraphException.at(
            slice, "does not subsample all rows or columns with a constant step");
      }
      by[axis] = Math.multiplyExact(by[axis], Math.min(steps[i], 1 << 20));
      if (axis > 0) {
        extents.set(axis - 1, Math.ceilDiv(extent, steps[i]));
      }
    }
    cursor.extents = List.copyOf(extents);
    if (cursor.lastIs(ParsedLayer.Subsample.class)) { // rows and columns in two slices
      var before = (ParsedLayer.Subsample) cursor.layers.removeLast();
      by[2] = Math.multiplyExact(by[2], before.rows());
      by[3] = Math.multiplyExact(by[3], before.columns());
    }
    if (by[2] > 1 || by[3] > 1) {
      cursor.layers.add(new ParsedLayer.Subsample(slice, by[2], by[3]));
    }
  }

  /** The values of a small constant input. */
  private float[] constantFloats(Node node, int input) throws UnsupportedGraphException {
    Constant found = graph.constant(node, input);
    if (found.size() > 16) {
      throw UnsupportedGraphException.at(
          node, "has %d values in input %d".formatted(found.size(), input));
    }
    return found.floats();
  }

  private long[] constantIntegers(Node node, int input) throws UnsupportedGraphException {
    return AxisOperations.numbers(node, graph.constant(node, input));
  }

  /** Converts a head that is a 1×1 convolution. */
  private void windowLinear(Cursor cursor, Node node) throws UnsupportedGraphException {
    ParsedLayer.Convolution conv = convolution(cursor, node);
    Constant weight = conv.weight();
    if (!weight.shape().subList(2, weight.shape().size()).equals(List.of(1L, 1L))
        || conv.norm().isPresent()
        || conv.standardization().isPresent()
        || node.integer("group", 1) != 1
        || !cursor.extents.equals(List.of((long) conv.out(), 1L, 1L))) {
      throw UnsupportedGraphException.at(
          node, "is not a linear layer after global average pooling");
    }
    recognize(node);
    cursor.layers.add(
        new ParsedLayer.Linear(
            node, weight.withShape(weight.shape().subList(0, 2)), true, conv.bias()));
    cursor.x = node.outputs().getFirst();
  }

  /** Converts a matrix product and its bias. */
  private void linear(Cursor cursor, Node node) throws UnsupportedGraphException {
    boolean gemm = node.op().equals("Gemm");
    Constant weight = graph.constant(node, 1);
    if (cursor.extents.size() != 1
        || weight.shape().size() != 2
        || weight.size() == 0
        || !weight.isReal()
        || !cursor.lastIs(ParsedLayer.GlobalMean.class)) {
      throw UnsupportedGraphException.at(
          node, "is not a linear layer after global average pooling");
    }
    if (node.real("alpha", 1) != 1 || node.real("beta", 1) != 1 || node.integer("transA", 0) != 0) {
      throw UnsupportedGraphException.at(node, "is not a plain linear layer");
    }
    cursor.x = node.outputs().getFirst();
    Optional<Constant> bias = Optional.empty();
    if (gemm && !OnnxGraph.isOmitted(node, 2)) {
      bias = Optional.of(graph.constant(node, 2));
    }
    List<Node> after = graph.consumers(cursor.x);
    if (!gemm && after.size() == 1 && after.getFirst().op().equals("Add")) {
      Node sum = after.getFirst();
      bias = Optional.of(graph.constant(sum, sum.inputs().getFirst().equals(cursor.x) ? 1 : 0));
      cursor.x = recognize(sum);
    }
    var linear = new ParsedLayer.Linear(node, weight, gemm && node.integer("transB", 0) != 0, bias);
    if (weight.shape().get(linear.transposed() ? 1 : 0) != cursor.channels()) {
      throw UnsupportedGraphException.at(
          node,
          "has weights of shape %s for an input of shape %s"
              .formatted(weight.shape(), cursor.extents));
    }
    cursor.layers.add(linear);
    cursor.extents = List.of(linear.out());
  }

  // --- branches ---------------------------------------------------------------------------------

  /**
   * Converts a residual block: two branches, their sum, and a ReLU or the norm of the next block.
   */
  private void block(Cursor cursor) throws UnsupportedGraphException {
    List<Node> first = graph.consumers(cursor.x);
    var one = new Cursor(cursor.x, cursor.extents);
    var other = new Cursor(cursor.x, cursor.extents);
    Node sum = branch(one, first.get(0));
    Node same = branch(other, first.get(1));
    if (sum != same
        || sum.inputs().size() != 2
        || one.x.equals(other.x)
        || !sum.inputs().containsAll(List.of(one.x, other.x))) {
      throw UnsupportedGraphException.at(sum, "does not add the two branches of one block");
    }
    if (!one.extents.equals(other.extents)) {
      throw UnsupportedGraphException.at(
          sum, "adds shapes %s and %s".formatted(one.extents, other.extents));
    }
    cursor.x = recognize(sum);
    List<Node> after = graph.consumers(cursor.x);
    boolean normalizes = after.stream().anyMatch(node -> NormOperations.begins(node, graph));
    if (!normalizes) {
      if (after.size() != 1 || !after.getFirst().op().equals("Relu")) {
        throw after.isEmpty()
            ? UnsupportedGraphException.at(sum, "is not followed by a ReLU")
            : UnsupportedGraphException.at(after.getFirst(), "is found where a ReLU was expected");
      }
      cursor.x = recognize(after.getFirst());
    }
    boolean swap = convolutions(one) < convolutions(other);
    cursor.layers.add(
        new ParsedLayer.Block(
            sum, swap ? other.layers : one.layers, swap ? one.layers : other.layers, !normalizes));
    cursor.extents = one.extents;
  }

  private static long convolutions(Cursor branch) {
    return branch.layers.stream().filter(ParsedLayer.Convolution.class::isInstance).count();
  }

  /** Traverses a branch to the sum at its end. */
  private Node branch(Cursor cursor, Node from) throws UnsupportedGraphException {
    Node node = from;
    while (!node.op().equals("Add")) {
      advance(cursor, node);
      if (graph.consumers(cursor.x).size() == 2) {
        gates(cursor);
      }
      node = graph.singleConsumer(cursor.x);
    }
    return node;
  }

  /**
   * Converts a channel attention: a product of every channel with a gate computed from the channel
   * means.
   */
  private void gates(Cursor cursor) throws UnsupportedGraphException {
    List<Node> next = graph.consumers(cursor.x);
    Node product = next.get(next.get(0).op().equals("Mul") ? 0 : 1);
    var factors = new Cursor(cursor.x, cursor.extents);
    Node node = next.get(product == next.get(0) ? 1 : 0);
    while (node != product) {
      if (node.op().equals("Expand")) {
        AxisOperations.checkExpand(node, factors.x, cursor.x, cursor.extents, graph);
        factors.x = recognize(node);
      } else {
        advance(factors, node);
      }
      node = graph.singleConsumer(factors.x);
    }
    var convolutions = new ArrayList<ParsedLayer.Convolution>();
    var order = new StringBuilder();
    for (ParsedLayer layer : factors.layers) {
      order.append(layer.getClass().getSimpleName()).append(' ');
      if (layer instanceof ParsedLayer.Convolution conv && conv.norm().isEmpty()) {
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
        || !factors.extents.equals(List.of(cursor.channels(), 1L, 1L))) {
      throw UnsupportedGraphException.at(product, "is not a supported channel attention");
    }
    cursor.layers.add(new ParsedLayer.Gates(product, convolutions));
    cursor.x = recognize(product);
  }
}
